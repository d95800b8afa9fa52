use autom8_tests::steps::{http_task, noop_task, script_task, with};
use autom8_tests::{Server, ServerOptions, Sink, wait};
use serde_json::{Value, json};

#[test]
fn a_task_log_is_a_run_in_the_words_of_the_guide() {
    let server = Server::start(&ServerOptions::allowing_processes());
    let client = server.client();
    client.create_task(&script_task("hello", "echo hello world"));
    let id = client.run_task("hello");
    client.ended_run(id);
    let answer = client.get("/api/v1/task_logs").expect(200);
    assert_eq!(answer["count"], 1);
    let log = &answer["logs"][0];
    assert_eq!(
        (&log["id"], &log["status"]),
        (&json!(id), &json!("completed"))
    );
    assert_eq!(
        (&log["task_type"], &log["task_name"]),
        (&json!("process"), &json!("hello"))
    );
    assert!(
        log["result"].to_string().contains("hello world"),
        "its output: {log}"
    );
    assert!(
        log["error"].is_null() && log["duration_ms"].as_f64().unwrap() > 0.0,
        "{log}"
    );
    assert!(log["started_at"].as_str().unwrap() <= log["completed_at"].as_str().unwrap());
    for alias in ["/api/v1/tasklogs", "/tasklogs"] {
        assert_eq!(client.get(alias).expect(200), answer, "{alias}");
    }
}

#[test]
fn logs_are_filtered_and_paged_newest_first() {
    let sink = Sink::start();
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&noop_task("n"));
    client.create_task(&with(
        http_task("bad", &sink.url("/status/400")),
        json!({"retry": {"max_attempts": 1}}),
    ));
    let runs: Vec<i64> = ["n", "bad", "n", "n"]
        .iter()
        .map(|task| client.run_task(task))
        .collect();
    for run in &runs {
        client.ended_run(*run);
    }
    let ids = |query: &str| -> Vec<i64> {
        let list = client
            .get(&format!("/api/v1/task_logs?{query}"))
            .expect(200);
        list["logs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|log| log["id"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(ids("limit=2"), [runs[3], runs[2]]);
    assert_eq!(ids("status=failed"), [runs[1]]);
    assert_eq!(ids("task_type=builtin"), [runs[3], runs[2], runs[0]]);
    let first = client.get("/api/v1/task_logs?limit=3").expect(200);
    let cursor = first["meta"]["next_cursor"].as_str().unwrap();
    assert_eq!(ids(&format!("limit=3&cursor={cursor}")), [runs[0]]);
}

#[test]
fn stats_count_as_the_contract_defines_them() {
    let sink = Sink::start();
    let server = Server::start(&ServerOptions::allowing_processes());
    let client = server.client();
    client.create_task(&noop_task("good"));
    client.create_task(&with(
        script_task("bad", "exit 1"),
        json!({"retry": {"max_attempts": 1}}),
    ));
    client.create_task(&http_task("held", &sink.url("/hold")));
    client.create_task(&with(noop_task("paused"), json!({"enabled": false})));
    for _ in 0..2 {
        client.ended_run(client.run_task("good"));
    }
    client.ended_run(client.run_task("bad"));
    let cancelled = client.run_task("paused");
    client
        .post_empty(&format!("/api/v1/runs/{cancelled}/cancel"))
        .expect(202);
    let running = client.run_task("held");
    sink.wait_for("the call", wait::PROMPT, |effect| effect.run == running);

    let stats = client.get("/api/v1/task_logs/stats").expect(200);
    let count = |name: &str| stats[name].as_u64().unwrap();
    assert_eq!((count("completed"), count("failed")), (2, 1), "{stats}");
    assert_eq!((count("cancelled"), count("running")), (1, 1), "{stats}");
    assert_eq!(count("total_executions"), 5);
    assert_eq!(stats["success_rate"], 66.67);
    let of_type = |name: &str| -> Value {
        let mut rows = stats["by_type"].as_array().unwrap().iter();
        rows.find(|row| row["task_type"] == name).unwrap().clone()
    };
    assert_eq!(of_type("process")["failed"], 1);
    assert_eq!(of_type("http")["running"], 1);
    assert_eq!(of_type("builtin")["total_executions"], 3);
    assert!(stats["anomalies"].is_array());
    // The window is formed with the samples, once a second.
    let window = wait::until("a window", wait::PROMPT, || {
        let stats = client.get("/api/v1/task_logs/stats").expect(200);
        Some(stats["window"].clone()).filter(Value::is_object)
    });
    for part in ["wait", "run", "total"] {
        assert!(window[part]["p95_ms"].is_number(), "{part} in {window}");
    }
    assert_eq!(
        client.get("/api/v1/tasklogs/stats").expect(200)["completed"],
        2
    );

    // What is counted is what is listed.
    let listed = |state: &str| client.all_runs(&format!("state={state}")).len() as u64;
    for state in ["completed", "failed", "cancelled", "running"] {
        assert_eq!(listed(state), count(state), "{state}");
    }
    sink.release();
}
