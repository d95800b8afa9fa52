//! The founding guide's table of targets: the server judges itself by it, holds it, and tells of
//! what is slow.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use autom8_tests::binary::repository_root;
use autom8_tests::steps::noop_task;
use autom8_tests::{Server, ServerOptions, wait};
use serde_json::Value;

const GUIDE: &str = "tests/guide/performance-guide.md";
/// So many reads that the few writes before them are not among the slowest twentieth.
const READS: usize = 300;

/// Target and baseline of a row, in the unit of the row.
#[track_caller]
fn target(metric: &str) -> (f64, f64) {
    let guide = std::fs::read_to_string(repository_root().join(GUIDE)).unwrap();
    let row = guide
        .lines()
        .find(|line| line.starts_with(&format!("| {metric} |")))
        .unwrap_or_else(|| panic!("{GUIDE} has no row {metric}"));
    let number = |cell: &str| -> f64 {
        let digits: String = cell.chars().filter(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    };
    let cells: Vec<&str> = row.split('|').collect();
    (number(cells[2]), number(cells[3]))
}

fn objective(slo: &Value, id: &str) -> Value {
    let mut all = slo["slo"].as_array().unwrap().iter();
    all.find(|one| one["id"] == id).unwrap().clone()
}

#[test]
fn the_server_judges_itself_by_the_targets_and_holds_them() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&noop_task("n"));
    let id = client.run_task("n");
    client.ended_run(id);
    for _ in 0..READS {
        client.read_run(id);
    }
    let slo = wait::until("the reads among the events", wait::PROMPT, || {
        let slo = client.get("/api/v1/slo").expect(200);
        let counted = |id: &str| objective(&slo, id)["total"].as_u64().unwrap();
        let reads = READS as u64;
        (counted("api-latency") >= reads && counted("db-latency") >= reads).then_some(slo)
    });
    for (metric, id) in [
        ("API Latency (p95)", "api-latency"),
        ("DB Query Execution", "db-latency"),
    ] {
        let (limit, baseline) = target(metric);
        let found = objective(&slo, id);
        assert_eq!(found["threshold_ms"], limit, "{found}");
        assert_eq!(found["baseline_ms"], baseline, "{found}");
        let p95_ms = found["p95_ms"].as_f64().unwrap();
        assert!(
            p95_ms < limit,
            "{metric}: {p95_ms} ms at the 95th percentile"
        );
    }
    assert_eq!(objective(&slo, "api-latency")["objective_percent"], 95.0);
    let (limit, baseline) = target("Peak CPU Utilization");
    let cpu = objective(&slo, "cpu");
    assert_eq!(cpu["threshold_percent"], limit, "{cpu}");
    assert_eq!(cpu["baseline_percent"], baseline, "{cpu}");
}

#[test]
fn a_request_that_is_slow_is_in_the_slow_log_with_its_duration() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    let (limit, _) = target("API Latency (p95)");
    let body = noop_task("slow").to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    write!(
        stream,
        "POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         X-Request-Id: a-slow-one\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    // The request has begun; its body takes longer than the target.
    wait::pause_for(Duration::from_millis(limit as u64 + 50));
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");

    let log = client.get("/api/v1/slow_log").expect(200);
    let entries = log["slow_log"].as_array().unwrap();
    let slow = entries
        .iter()
        .find(|entry| entry["request_id"] == "a-slow-one")
        .unwrap_or_else(|| panic!("not in {log}"));
    assert_eq!(slow["name"], "POST /api/v1/tasks");
    assert_eq!(slow["threshold_ms"], limit);
    assert!(slow["duration_ms"].as_f64().unwrap() > limit, "{slow}");
}
