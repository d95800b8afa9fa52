use super::*;
use crate::routes::test_bench::Bench;
use autom8_model::limits;
use axum::http::header;
use serde_json::{Value, json};

const NOOP: &str = r#""do":{"builtin":"noop"}"#;

async fn ids(bench: &Bench, query: &str) -> Vec<i64> {
    let list = bench
        .get(&format!("/api/v1/runs?{query}"))
        .await
        .expect(200);
    let runs = list["runs"].as_array().unwrap();
    runs.iter().map(|run| run["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_batch_is_a_run_for_each_input_in_their_order() {
    let bench = Bench::start().await;
    bench
        .create("t", &format!(r#"{NOOP},"enabled":false"#))
        .await;
    let body = r#"{"task":"t","inputs":[ {"n": 1.0}, "two" ,null],"return_ids":true}"#;
    let accepted = bench.post("/api/v1/runs/batch", body).await.expect(202);
    assert_eq!(accepted["accepted"], 3);
    assert_eq!(accepted["deduplicated"], 0);
    let batch: Vec<i64> = accepted["ids"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_i64().unwrap())
        .collect();
    let mut newest_first = batch.clone();
    newest_first.reverse();
    assert_eq!(ids(&bench, "task=t").await, newest_first);
    for (id, input) in batch
        .iter()
        .zip([r#""input":{"n": 1.0}"#, r#""input":"two""#])
    {
        let run = bench.get(&format!("/api/v1/runs/{id}")).await;
        assert!(run.text().contains(input), "{}", run.text());
        assert_eq!(run.json()["trigger"], "batch");
    }
    let quiet = bench
        .post("/api/v1/runs/batch", r#"{"task":"t","inputs":[1]}"#)
        .await
        .expect(202);
    assert_eq!(
        quiet,
        json!({"accepted": 1, "deduplicated": 0, "ids": null})
    );
}

#[tokio::test]
async fn a_full_batch_of_runs_ends_and_is_counted() {
    let bench = Bench::start().await;
    bench.create("t", NOOP).await;
    let inputs = vec!["{}"; limits::BATCH_RUNS_MAX].join(",");
    let body = format!(r#"{{"task":"t","inputs":[{inputs}]}}"#);
    assert_eq!(
        bench.post("/api/v1/runs/batch", &body).await.expect(202)["accepted"],
        10_000
    );
    let stats = bench
        .until("/api/v1/task_logs/stats", |stats| {
            stats["completed"] == 10_000
        })
        .await;
    assert_eq!(stats["total_executions"], 10_000);
    assert_eq!(stats["success_rate"], 100.0);
    let logs = bench
        .get("/api/v1/tasklogs?task_type=builtin&status=completed")
        .await
        .expect(200);
    assert_eq!(logs["count"], 50);
    let log = &logs["logs"][0];
    for key in [
        "id",
        "task_type",
        "task_name",
        "status",
        "started_at",
        "completed_at",
        "result",
        "error",
        "duration_ms",
    ] {
        assert!(log.get(key).is_some(), "{key} in {log}");
    }
}

#[tokio::test]
async fn a_bad_batch_is_refused_with_its_place_and_nothing_is_written() {
    let bench = Bench::start().await;
    bench
        .create("t", &format!(r#"{NOOP},"enabled":false"#))
        .await;
    for (body, says) in [
        ("", "is empty"),
        (r#"{"task":"t","inputs":[1,]}"#, "/inputs/1"),
        (r#"{"task":"t","inputs":[1,"\ud800"]}"#, "/inputs/1"),
        (r#"{"task":"t","inputs":[]}"#, "/inputs"),
        (r#"{"task":"t","input":[1]}"#, "did you mean `inputs`?"),
        (r#"{"task":"T T","inputs":[1]}"#, "/task"),
    ] {
        let message = bench
            .post("/api/v1/runs/batch", body)
            .await
            .expect_problem(400);
        assert!(message.contains(says), "{message} lacks {says}");
    }
    bench
        .post("/api/v1/runs/batch", r#"{"task":"absent","inputs":[1]}"#)
        .await
        .expect_problem(404);
    assert!(ids(&bench, "").await.is_empty());
}

#[tokio::test]
async fn runs_are_filtered_and_pages_follow_each_other() {
    let bench = Bench::start().await;
    bench
        .create("held", &format!(r#"{NOOP},"enabled":false"#))
        .await;
    bench.create("free", NOOP).await;
    bench
        .post(
            "/api/v1/runs/batch",
            r#"{"task":"held","inputs":[1,2,3,4,5]}"#,
        )
        .await
        .expect(202);
    let free = bench.post("/api/v1/tasks/free/run", "").await.expect(202)["id"]
        .as_i64()
        .unwrap();
    bench.ended(free).await;

    assert_eq!(ids(&bench, "task=free").await, [free]);
    assert_eq!(ids(&bench, "state=completed").await, [free]);
    assert_eq!(ids(&bench, "trigger=manual").await, [free]);
    assert_eq!(ids(&bench, "state=queued,running").await.len(), 5);
    assert_eq!(ids(&bench, "task_type=http").await.len(), 0);
    assert_eq!(ids(&bench, "since=2020-01-01T00:00:00Z").await.len(), 6);
    assert_eq!(ids(&bench, "until=2020-01-01T00:00:00Z").await.len(), 0);

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = bench
            .get(&format!("/api/v1/runs?limit=4{cursor}"))
            .await
            .expect(200);
        let runs = page["runs"].as_array().unwrap();
        seen.extend(runs.iter().map(|run| run["id"].as_i64().unwrap()));
        match page["meta"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 6);
    assert!(seen.is_sorted_by(|newer, older| newer > older), "{seen:?}");

    for query in [
        "state=done",
        "task=A%20B",
        "trigger=cron",
        "since=today",
        "limit=1001",
        "cursor=x",
        "cursor=0",
        "cursor=-5",
        "sort=id",
    ] {
        bench
            .get(&format!("/api/v1/runs?{query}"))
            .await
            .expect_problem(400);
    }
}

#[tokio::test]
async fn a_waiting_run_is_cancelled_at_once_and_only_an_ended_one_is_repeated() {
    let bench = Bench::start().await;
    bench
        .create("t", &format!(r#"{NOOP},"enabled":false"#))
        .await;
    let run = bench
        .post("/api/v1/tasks/t/run", r#"{"input":[7]}"#)
        .await
        .expect(202);
    let id = run["id"].as_i64().unwrap();
    let path = format!("/api/v1/runs/{id}");
    bench
        .post(&format!("{path}/retry"), "")
        .await
        .expect_problem(409);

    let cancelled = bench.post(&format!("{path}/cancel"), "").await.expect(202);
    assert_eq!(
        (&cancelled["id"], &cancelled["state"]),
        (&json!(id), &json!("cancelled"))
    );
    bench
        .post(&format!("{path}/cancel"), "")
        .await
        .expect_problem(409);

    let answer = bench.post(&format!("{path}/retry"), "").await;
    let replay = answer.expect(202);
    assert_eq!(
        (&replay["replay_of"], &replay["trigger"]),
        (&json!(id), &json!("replay"))
    );
    assert_eq!(replay["input"], json!([7]));
    assert_ne!(replay["id"], id);
    assert_eq!(
        answer.headers[header::LOCATION],
        format!("/api/v1/runs/{}", replay["id"])
    );
}

#[tokio::test]
async fn what_names_no_run_is_404_on_every_route() {
    let bench = Bench::start().await;
    for id in ["1", "0", "-1", "abc", "1.5", "99999999999999999999", "%00"] {
        for (method, path) in [
            ("GET", ""),
            ("POST", "/cancel"),
            ("POST", "/retry"),
            ("GET", "/log"),
            ("GET", "/log?follow=1"),
        ] {
            bench
                .send(method, &format!("/api/v1/runs/{id}{path}"), None)
                .await
                .expect_problem(404);
        }
    }
}

#[tokio::test]
async fn deleting_a_task_cancels_what_waits_and_keeps_its_history() {
    let bench = Bench::start().await;
    bench.create("t", NOOP).await;
    let done = bench.post("/api/v1/tasks/t/run", "").await.expect(202)["id"]
        .as_i64()
        .unwrap();
    bench.ended(done).await;
    bench.post("/api/v1/tasks/t/pause", "").await.expect(200);
    let waits = bench.post("/api/v1/tasks/t/run", "").await.expect(202)["id"]
        .as_i64()
        .unwrap();
    let deleted = bench
        .send("DELETE", "/api/v1/tasks/t", None)
        .await
        .expect(200);
    assert_eq!(deleted["cancelled"], 1);
    assert_eq!(bench.ended(waits).await["state"], "cancelled");
    assert_eq!(bench.ended(done).await["task"], "t");
    let retry = bench.post(&format!("/api/v1/runs/{done}/retry"), "").await;
    assert!(retry.expect_problem(404).contains('t'));
    let stats: Value = bench.get("/api/v1/task_logs/stats").await.expect(200);
    assert_eq!(
        (&stats["completed"], &stats["cancelled"]),
        (&json!(1), &json!(1))
    );
}

#[tokio::test]
async fn one_run_tells_its_earlier_attempts_and_a_list_does_not() {
    let bench = Bench::start_with(|config| config.executors.process.enabled = true).await;
    let fields = concat!(
        r#""do":{"process":{"argv":["sh","-c","exit 3"]}},"#,
        r#""retry":{"max_attempts":3,"backoff":"10ms"}"#
    );
    bench.create("flaky", fields).await;
    let id = bench
        .post("/api/v1/tasks/flaky/run", "{}")
        .await
        .expect(202)["id"]
        .as_i64()
        .unwrap();
    let run = bench.ended(id).await;
    assert_eq!(
        (&run["state"], &run["attempt"]),
        (&json!("failed"), &json!(3))
    );
    let attempts: Vec<AttemptView> = serde_json::from_value(run["attempts"].clone()).unwrap();
    let numbers: Vec<u16> = attempts.iter().map(|attempt| attempt.attempt).collect();
    assert_eq!(numbers, [1, 2], "the third ended it, and is the run itself");
    for attempt in &attempts {
        assert!(attempt.started_at <= attempt.finished_at, "{attempt:?}");
        let error = attempt.error.as_deref().unwrap();
        assert!(error.contains('3'), "{error}");
    }
    let started: Timestamp = serde_json::from_value(run["started_at"].clone()).unwrap();
    let gap_ms = started.millis_since(attempts[1].finished_at);
    let wait_ms = run["wait_ms"].as_f64().unwrap();
    assert!(
        wait_ms <= gap_ms,
        "{wait_ms} of {gap_ms}: earlier attempts are no wait"
    );
    let list = bench.get("/api/v1/runs?task=flaky").await.expect(200);
    assert_eq!(list["runs"][0]["id"], id);
    assert!(list["runs"][0].get("attempts").is_none(), "{list}");

    bench.create("sound", NOOP).await;
    let id = bench
        .post("/api/v1/tasks/sound/run", "{}")
        .await
        .expect(202)["id"]
        .as_i64()
        .unwrap();
    let run = bench.ended(id).await;
    assert!(run.get("attempts").is_none(), "{run}");
}
