//! The monitoring routes on a whole server.

use super::*;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::endpoints;
use crate::routes::test_bench::{Answer, Bench};
use crate::telemetry::{ErrorNote, SlowRequest};

const PATIENCE: Duration = Duration::from_secs(30);

async fn get_as(bench: &Bench, path: &str, accept: &str) -> Answer {
    let request = Request::get(path)
        .header(header::ACCEPT, accept)
        .body(Body::empty())
        .unwrap();
    bench.send_request(request).await
}

/// Waits for a sample that was taken after now.
async fn next_sample(bench: &Bench) {
    let telemetry = &bench.state().telemetry;
    let taken = telemetry.published().unwrap().sequence;
    let mut samples = telemetry.samples().unwrap();
    // The one in the making may have been read before; the one after it was not.
    let wait = samples.wait_for(|sequence| *sequence >= taken + 2);
    tokio::time::timeout(PATIENCE, wait).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_come_in_the_format_that_is_asked_for() {
    let bench = Bench::start().await;
    let of_prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
                         text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    for (path, accept, content_type, beginning) in [
        (
            "/api/v1/metrics",
            "*/*",
            "application/json",
            "{\"schema\":\"autom8.report/1\"",
        ),
        (
            "/api/v1/metrics",
            "text/plain",
            "text/plain; version=0.0.4; charset=utf-8",
            "# HELP ",
        ),
        (
            "/api/v1/metrics",
            of_prometheus,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "# TYPE ",
        ),
        (
            "/metrics",
            "*/*",
            "text/plain; version=0.0.4; charset=utf-8",
            "# HELP ",
        ),
        (
            "/metrics",
            of_prometheus,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "# TYPE ",
        ),
        (
            "/api/v1/metrics/system",
            "text/plain",
            "application/json",
            "{\"schema\":\"autom8.system/1\"",
        ),
    ] {
        let answer = get_as(&bench, path, accept).await;
        assert_eq!(answer.status, 200, "{path} {accept}");
        assert_eq!(
            answer.headers[header::CONTENT_TYPE],
            content_type,
            "{path} {accept}"
        );
        assert!(answer.text().starts_with(beginning), "{}", answer.text());
        let age_ms: u64 = answer.headers[SAMPLE_AGE]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(age_ms < 20_000, "{age_ms}");
    }
    let without = bench.get("/api/v1/metrics").await;
    assert_eq!(without.headers[header::CONTENT_TYPE], "application/json");
    assert_eq!(without.headers[header::VARY], "accept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_did_shows_in_the_next_sample() {
    let bench = Bench::start().await;
    bench.create("quiet", r#""do":{"builtin":"noop"}"#).await;
    let run = bench
        .post("/api/v1/tasks/quiet/run", "{}")
        .await
        .expect(202);
    let id = run["id"].as_i64().unwrap();
    let report = tokio::time::timeout(PATIENCE, async {
        loop {
            next_sample(&bench).await;
            let report = bench.get("/api/v1/metrics").await.expect(200);
            if report["tasks"]["completed"] == 1 && !report["tasks"]["window"].is_null() {
                return report;
            }
        }
    });
    let report = report.await.unwrap();
    assert_eq!(report["tasks"]["total_executions"], 1, "run {id}: {report}");
    assert_eq!(report["tasks"]["window"]["count"], 1);
    assert!(
        report["system"]["disk"]["fsync"]["p99_ms"]
            .as_f64()
            .unwrap()
            > 0.0
    );
    assert!(report["http"]["by_status"]["201"].as_u64().unwrap() >= 1);
    let has = |list: &Value, key: &str, name: &str| {
        list.as_array()
            .unwrap()
            .iter()
            .any(|entry| entry[key] == name)
    };
    assert!(
        has(
            &report["http"]["routes"],
            "route",
            "/api/v1/tasks/{name}/run"
        ),
        "{report}"
    );
    assert!(
        has(&report["database"]["statements"], "id", "task_create"),
        "{report}"
    );

    let stats = bench.get("/api/v1/performance/stats").await.expect(200);
    assert!(
        stats["count"].as_u64().unwrap() >= 2 && stats["p95_ms"].is_f64(),
        "{stats}"
    );
    let system = bench.get("/api/v1/performance/system").await.expect(200);
    assert!(system["process"]["rss_bytes"].as_u64().unwrap() > 1_000_000);
    let health = bench.get("/api/v1/performance/health").await.expect(200);
    assert!(["healthy", "warning", "unhealthy"].contains(&health["status"].as_str().unwrap()));
    let slo = bench.get("/api/v1/slo").await.expect(200);
    assert!(has(&slo["slo"], "id", "task-start"), "{slo}");
    let cleared = bench
        .post("/api/v1/performance/cache/clear", "")
        .await
        .expect(200);
    assert_eq!(
        cleared,
        serde_json::json!({"cleared": ["contact", "contact_list"]})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_monitoring_request_asks_the_store_nothing() {
    let bench = Bench::start().await;
    next_sample(&bench).await;
    // Claims come back empty from time to time; they are no answer to a request, and not listed.
    let calls = || -> u64 {
        let statements = bench.state().telemetry.store_observer();
        let counts = statements.series().map(|(_, series)| series.totals().count);
        counts.sum()
    };
    let before = calls();
    for endpoint in endpoints::all().filter(|endpoint| endpoint.access.is_monitoring()) {
        let path = endpoint.path;
        if path != "/api/v1/metrics/stream" && path != "/readyz" {
            assert_eq!(bench.get(path).await.status, 200, "{path}");
        }
    }
    assert_eq!(calls(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_sends_each_sample_and_ends_with_the_server() {
    let bench = Bench::start().await;
    let request = Request::get("/api/v1/metrics/stream")
        .body(Body::empty())
        .unwrap();
    let response = bench.open(request).await;
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/event-stream"
    );
    let mut body = response.into_body();
    let mut sequences = Vec::new();
    for _ in 0..2 {
        let frame = tokio::time::timeout(PATIENCE, body.frame())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let event = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
        let mut lines = event.lines();
        let id = lines.next().unwrap().strip_prefix("id: ").unwrap();
        sequences.push(id.parse::<u64>().unwrap());
        assert_eq!(lines.next(), Some("event: metrics"));
        let data = lines.next().unwrap().strip_prefix("data: ").unwrap();
        let report: Value = serde_json::from_str(data).unwrap();
        assert!(report["system"]["process"]["rss_bytes"].is_u64());
        assert!(event.ends_with("\n\n"));
    }
    assert!(sequences[0] < sequences[1], "{sequences:?}");
    bench.state().lifecycle.stopping().cancel();
    let end = tokio::time::timeout(PATIENCE, async { while body.frame().await.is_some() {} });
    end.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_newest_first_and_their_limit_is_checked() {
    let bench = Bench::start().await;
    let telemetry = &bench.state().telemetry;
    for (request_id, duration_micros) in [("one", 151_000), ("two", 300_000)] {
        telemetry.note_slow_request(SlowRequest {
            route: "GET /api/v1/tasks",
            status: 200,
            duration_micros,
            request_id,
        });
        let (source, message) = ("finisher", request_id);
        telemetry.note_error(ErrorNote {
            source,
            message,
            request_id: None,
        });
    }
    let slow = bench.get("/api/v1/slow_log").await.expect(200);
    let of_tests: Vec<&Value> = slow["slow_log"]
        .as_array()
        .unwrap()
        .iter()
        // A slow disk may put statements of its own beside them.
        .filter(|entry| entry["kind"] == "request" && entry["name"] == "GET /api/v1/tasks")
        .collect();
    assert_eq!(of_tests[0]["request_id"], "two");
    assert_eq!(
        (&of_tests[1]["duration_ms"], &of_tests[1]["threshold_ms"]),
        (&151.0.into(), &150.0.into())
    );
    let errors = bench.get("/api/v1/logs/errors?limit=1").await.expect(200);
    assert_eq!(errors["errors"].as_array().unwrap().len(), 1);
    assert_eq!(errors["errors"][0]["message"], "two");
    for path in ["/api/v1/slow_log?limit=0", "/api/v1/logs/errors?limit=257"] {
        let message = bench.get(path).await.expect_problem(400);
        assert!(message.contains("from 1 to 256"), "{message}");
    }
}
