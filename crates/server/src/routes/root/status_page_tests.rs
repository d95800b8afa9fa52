use std::time::Duration;

use super::*;
use crate::routes::test_bench::Bench;
use autom8_api::task_log::Percentiles;
use autom8_model::{Epoch, RunId, TaskType, Trigger};
use axum::body::Body;
use axum::http::{Request, header};

const NOW: Timestamp = Timestamp::from_seconds(1_764_000_000);

fn run(state: RunState) -> Run {
    Run {
        id: RunId(42),
        task: "nightly-sync".parse().unwrap(),
        task_type: TaskType::Http,
        state,
        trigger: Trigger::Schedule,
        planned_at: None,
        queued_at: NOW.minus(Duration::from_secs(60)),
        run_at: None,
        started_at: Some(NOW.minus(Duration::from_secs(10))),
        finished_at: Some(NOW.minus(Duration::from_micros(5_949_100))),
        attempt: 1,
        max_attempts: 3,
        epoch: Some(Epoch(7)),
        replay_of: None,
        input: None,
        result: None,
        error: None,
        log: None,
    }
}

#[test]
fn a_run_that_waits_shows_its_next_try_and_one_that_ended_what_it_took() {
    let ended = run(RunState::Completed);
    let shown = row(&ended, NOW);
    assert_eq!((&*shown.from_now, &*shown.duration), ("10 s ago", "4.1 s"));
    let waiting = Run {
        run_at: Some(NOW.plus(Duration::from_secs(64))),
        started_at: None,
        finished_at: None,
        ..run(RunState::Queued)
    };
    let shown = row(&waiting, NOW);
    assert_eq!(shown.from_now, "next try in 1 min 4 s");
    assert_eq!(shown.duration, "–");
    let due = NOW.plus(Duration::from_secs(64));
    assert_eq!(row(&waiting, due).from_now, "waits for a place");
    let never = Run {
        started_at: None,
        ..run(RunState::Cancelled)
    };
    assert_eq!(row(&never, NOW).from_now, "never");
}

#[test]
fn the_verdict_says_how_many_runs_failed_and_since_when() {
    let of = |count, failed| RunWindow {
        seconds: 3_600,
        count,
        failed,
        wait: Percentiles::default(),
        run: Percentiles::default(),
        total: Percentiles::default(),
    };
    for (hour, uptime_seconds, text) in [
        (
            Some(of(21, 3)),
            3_600,
            "3 of 21 runs failed in the last hour.",
        ),
        (
            Some(of(21, 3)),
            3_599,
            "3 of 21 runs failed since the start.",
        ),
        (
            Some(of(1_234, 0)),
            9_000,
            "None of 1,234 runs failed in the last hour.",
        ),
        (
            Some(of(1, 1)),
            9_000,
            "The only run in the last hour failed.",
        ),
        (None, 9_000, "No run has ended in the last hour."),
        (None, 5, "No run has ended since the start."),
    ] {
        assert_eq!(verdict(hour, uptime_seconds), text);
    }
}

async fn page_of(bench: &Bench) -> String {
    let request = Request::get("/").header(header::ACCEPT, "text/html");
    let answer = bench
        .send_request(request.body(Body::empty()).unwrap())
        .await;
    assert_eq!(answer.status, 200);
    answer.text().to_owned()
}

#[tokio::test]
async fn an_empty_page_says_how_to_begin() {
    let bench = Bench::start().await;
    let html = page_of(&bench).await;
    let command = "autom8 tasks add ping --http http://127.0.0.1:5000/livez --every 2s<";
    assert!(html.contains(command), "{html}");
    assert!(!html.contains("<h2>Tasks</h2>"), "{html}");
    bench.contacts(3).await;
    let html = page_of(&bench).await;
    assert!(html.contains("<dt>Contacts</dt><dd>3</dd>"), "{html}");
}

#[tokio::test]
async fn the_first_command_goes_to_where_the_page_was_read() {
    let bench = Bench::start().await;
    let stand = look(bench.state()).await.unwrap();
    for (host, proto, server) in [
        ("localhost:5050", "", "http://localhost:5050"),
        ("[::1]:80", "http", "http://[::1]:80"),
        ("autom8.example.org", "https", "https://autom8.example.org"),
        ("x;reboot", "", DEFAULT_SERVER),
    ] {
        let headers = [("host", host), ("x-forwarded-proto", proto)];
        let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let headers: HeaderMap = headers.into_iter().collect();
        let page = page(bench.state(), &stand, &headers);
        assert_eq!(page.server, server);
        let html = page.render().unwrap();
        let elsewhere = format!("--http {server}/livez --every 2s --server {server}<");
        assert_eq!(
            html.contains(&elsewhere),
            server != DEFAULT_SERVER,
            "{html}"
        );
    }
}

#[tokio::test]
async fn the_page_shows_tasks_with_their_last_results_and_lets_no_text_become_markup() {
    let bench = Bench::start_with(|config| config.executors.process.enabled = true).await;
    let fields = concat!(
        r#""do":{"process":{"argv":["sh","-c","echo '<script>' >&2; exit 3"]}},"#,
        r#""retry":{"max_attempts":1}"#
    );
    bench.create("sad", fields).await;
    let noop = r#""do":{"builtin":"noop"}"#;
    bench
        .create("hourly", &format!(r#"{noop},"schedule":{{"every":"1h"}}"#))
        .await;
    bench
        .create(
            "off",
            &format!(r#"{noop},"schedule":{{"every":"1h"}},"enabled":false"#),
        )
        .await;
    let started = bench.post("/api/v1/tasks/sad/run", "{}").await.expect(202);
    let id = started["id"].as_i64().unwrap();
    bench.ended(id).await;
    // So many that the failure is not among the last runs, and more tasks than are shown.
    for index in 0..RUNS_SHOWN + TASKS_SHOWN {
        bench.create(&format!("z-{index}"), noop).await;
        let path = format!("/api/v1/tasks/z-{index}/run");
        let run = bench.post(&path, "{}").await.expect(202);
        bench.ended(run["id"].as_i64().unwrap()).await;
    }
    let html = page_of(&bench).await;
    for shown in [
        "<h2>Tasks</h2>",
        "every 1h",
        "in 59 min",
        "paused",
        "by hand",
        "no result yet",
        "13 more",
        "failed since the start.",
        &format!(r#"href="/api/v1/runs/{id}/log""#),
    ] {
        assert!(html.contains(shown), "{shown} in {html}");
    }
    assert!(html.find("<h2>Tasks</h2>") < html.find("endpoints</h2>"));
    let again = bench.post("/api/v1/tasks/sad/run", "{}").await.expect(202);
    bench.ended(again["id"].as_i64().unwrap()).await;
    let html = page_of(&bench).await;
    assert!(html.contains("exit code 3: &#60;script&#62;"), "{html}");
    assert!(!html.contains("<script"), "{html}");
}

#[test]
fn large_numbers_are_grouped() {
    for (number, text) in [
        (0, "0"),
        (999, "999"),
        (1_000, "1,000"),
        (12_345_678, "12,345,678"),
    ] {
        assert_eq!(grouped(number), text);
    }
}

#[test]
fn durations_are_told_in_two_units() {
    for (seconds, text) in [
        (0, "0 s"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (3_720, "1 h 2 min"),
        (90_000, "1 d 1 h"),
    ] {
        assert_eq!(rough_duration(seconds), text);
    }
}
