use crate::routes::test_bench::Bench;
use serde_json::{Value, json};

#[tokio::test]
async fn scheduled_tasks_are_jobs_that_can_be_run_paused_and_resumed() {
    let bench = Bench::start().await;
    let noop = r#""do":{"builtin":"noop"}"#;
    bench
        .create(
            "nightly",
            &format!(r#"{noop},"schedule":{{"cron":"0 2 * * *","timezone":"Europe/Berlin"}}"#),
        )
        .await;
    bench
        .create("often", &format!(r#"{noop},"schedule":{{"every":"1h"}}"#))
        .await;
    bench.create("by-hand", noop).await;

    let status = bench
        .until("/api/v1/scheduler/status", |status| {
            status["running"] == true
        })
        .await;
    let jobs = status["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 2, "{status}");
    assert_eq!(jobs[0]["name"], "nightly");
    assert_eq!(jobs[0]["trigger"], "cron 0 2 * * * Europe/Berlin");
    assert!(
        jobs[0]["id"].is_i64() && jobs[0]["next_run_time"].is_string(),
        "{status}"
    );
    assert_eq!(status["more"], false);

    let run = bench
        .post("/api/v1/scheduler/jobs/often/run", "")
        .await
        .expect(202);
    assert_eq!(
        bench.ended(run["id"].as_i64().unwrap()).await["state"],
        "completed"
    );
    bench
        .post("/api/v1/scheduler/jobs/often/pause", "")
        .await
        .expect(200);
    let status = bench.get("/api/v1/scheduler/status").await.expect(200);
    assert_eq!(status["jobs"][1]["next_run_time"], Value::Null);
    let resumed = bench
        .post("/api/v1/scheduler/jobs/often/resume", "")
        .await
        .expect(200);
    assert_eq!(resumed["enabled"], json!(true));
    bench
        .post("/api/v1/scheduler/jobs/absent/run", "")
        .await
        .expect_problem(404);
}
