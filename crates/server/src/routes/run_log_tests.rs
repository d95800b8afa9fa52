use super::*;
use crate::routes::test_bench::{Answer, Bench};
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::Value;

#[test]
fn a_character_is_never_cut_in_two_and_bytes_that_are_none_go_through() {
    let text = "aé€😀".as_bytes();
    for cut in 0..=text.len() {
        let whole = whole_characters(&text[..cut], false);
        assert!(std::str::from_utf8(whole).is_ok(), "{cut}");
        assert!(cut - whole.len() < 4, "{cut}");
    }
    assert_eq!(whole_characters(text, false), text);
    assert_eq!(whole_characters(&text[..2], true), &text[..2]);
    assert_eq!(
        whole_characters(b"\x80\x80\x80\x80", false),
        b"\x80\x80\x80\x80"
    );
    assert_eq!(whole_characters(b"a\xff", false), b"a\xff");
}

#[test]
fn a_long_output_goes_out_in_pieces_that_make_the_whole() {
    let whole = "€".repeat(CHUNK_BYTES_MAX);
    let (mut rest, mut pieces) = (whole.as_bytes(), Vec::new());
    while !rest.is_empty() {
        let piece = first_chunk(rest, true);
        assert!(!piece.is_empty() && piece.len() <= CHUNK_BYTES_MAX);
        pieces.push(std::str::from_utf8(piece).unwrap());
        rest = &rest[piece.len()..];
    }
    assert_eq!(pieces.concat(), whole);
}

#[test]
fn an_event_id_leads_back_to_its_place() {
    let place = Place {
        attempt: 3,
        offset: 512,
    };
    assert_eq!(Place::parse(&place.event_id()), Some(place));
    for odd in ["", "3", "x-1", "3-x", "-1", "70000-1"] {
        assert_eq!(Place::parse(odd), None, "{odd}");
    }
}

#[test]
fn attempts_are_told_apart_only_where_there_are_several() {
    let log = |attempt, text: &str| AttemptLogView {
        attempt,
        text: text.to_owned(),
        bytes: 0,
        truncated: false,
        live: false,
    };
    assert_eq!(as_text(&[]), "");
    assert_eq!(as_text(&[log(1, "one")]), "one");
    assert_eq!(
        as_text(&[log(1, "one"), log(2, "two\n")]),
        "── attempt 1 ──\none\n── attempt 2 ──\ntwo\n"
    );
}

async fn with_processes() -> Bench {
    Bench::start_with(|config| config.executors.process.enabled = true).await
}

/// Creates a task that runs a shell script once for each attempt, and starts it.
async fn run_script(bench: &Bench, script: &str) -> i64 {
    let argv = serde_json::json!(["/bin/sh", "-c", script]);
    let fields = format!(
        r#""do":{{"process":{{"argv":{argv}}}}},"retry":{{"max_attempts":2,"backoff":"10ms"}}"#
    );
    bench.create("script", &fields).await;
    bench.post("/api/v1/tasks/script/run", "").await.expect(202)["id"]
        .as_i64()
        .unwrap()
}

fn log_request(run: i64, query: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::get(format!("/api/v1/runs/{run}/log{query}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

/// The events of a stream that is over, as (name, id, data).
fn events(answer: &Answer) -> Vec<(String, String, Value)> {
    let field = |event: &str, name: &str| {
        let line = event
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    };
    let events = answer
        .text()
        .split("\n\n")
        .filter(|event| event.contains("data:"));
    events
        .map(|event| {
            let data = serde_json::from_str(&field(event, "data")).unwrap();
            (field(event, "event"), field(event, "id"), data)
        })
        .collect()
}

fn told(events: &[(String, String, Value)]) -> String {
    let chunks = events.iter().filter(|(name, _, _)| name == "log");
    chunks
        .map(|(_, _, data)| data["text"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_told_as_text_as_json_and_as_events() {
    let bench = with_processes().await;
    let run = run_script(&bench, r"printf 'h\303\251llo\r\nworld\n'").await;
    let ended = bench.ended(run).await;
    assert_eq!(ended["state"], "completed", "{ended}");
    assert_eq!(ended["log"]["bytes"], 14);

    let text = bench.send_request(log_request(run, "", &[])).await;
    assert_eq!(text.text(), "héllo\r\nworld\n");
    assert!(
        text.headers[header::CONTENT_TYPE]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    assert_eq!(text.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");

    let json = bench
        .send_request(log_request(run, "", &[("accept", "application/json")]))
        .await;
    let json = json.expect(200);
    assert_eq!(json["attempts"][0]["text"], "héllo\r\nworld\n");
    assert_eq!(json["attempts"][0]["live"], false);

    let stream = bench.send_request(log_request(run, "?follow=1", &[])).await;
    assert_eq!(stream.headers[header::CONTENT_TYPE], "text/event-stream");
    let all = events(&stream);
    assert_eq!(told(&all), "héllo\r\nworld\n");
    let (name, id, end) = all.last().unwrap();
    assert_eq!(
        (name.as_str(), id.as_str(), &end["state"]),
        ("end", "1-14", &"completed".into())
    );

    for (last, rest) in [
        ("1-8", "world\n"),
        ("1-14", ""),
        ("1-9999", ""),
        ("nonsense", "héllo\r\nworld\n"),
    ] {
        let request = log_request(run, "?follow=1", &[("last-event-id", last)]);
        assert_eq!(
            told(&events(&bench.send_request(request).await)),
            rest,
            "from {last}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_reads_along_and_on_through_the_next_attempt_to_the_end() {
    let bench = with_processes().await;
    let gate = bench.folder.path().join("gate");
    let script = format!(
        r#"echo "attempt $AUTOM8_ATTEMPT"; while [ ! -e '{}' ]; do sleep 0.02; done; echo over; exit 3"#,
        gate.display()
    );
    let run = run_script(&bench, &script).await;
    let response = bench.open(log_request(run, "?follow=1", &[])).await;
    let mut body = response.into_body();
    let mut text = String::new();
    let mut opened = false;
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap_or_default();
        text.push_str(std::str::from_utf8(&data).unwrap());
        // The first line is read while the script still waits for the gate.
        if !opened && text.contains("attempt 1") {
            assert!(!text.contains("over"), "{text}");
            let live = bench
                .send_request(log_request(run, "", &[("accept", "application/json")]))
                .await
                .expect(200);
            assert_eq!(live["attempts"][0]["live"], true, "{live}");
            std::fs::write(&gate, "").unwrap();
            opened = true;
        }
    }
    let answer = Answer {
        status: axum::http::StatusCode::OK,
        headers: HeaderMap::new(),
        bytes: text.into(),
    };
    let all = events(&answer);
    assert_eq!(told(&all).matches("over").count(), 2, "{all:?}");
    let first = told(&all).find("attempt 1").unwrap();
    assert!(first < told(&all).find("attempt 2").unwrap());
    assert_eq!(
        told(&all).matches("attempt 1").count(),
        1,
        "nothing is told twice: {all:?}"
    );
    let (name, id, end) = all.last().unwrap();
    assert_eq!((name.as_str(), &end["state"]), ("end", &"failed".into()));
    assert!(id.starts_with("2-"), "{id}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_stops_a_running_process_and_ends_its_followers() {
    let bench = with_processes().await;
    let run = run_script(&bench, "echo begun; sleep 600").await;
    let path = format!("/api/v1/runs/{run}");
    let mut body = bench
        .open(log_request(run, "?follow=1", &[]))
        .await
        .into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(std::str::from_utf8(&first).unwrap().contains("begun"));
    bench.post(&format!("{path}/cancel"), "").await.expect(202);
    let rest = body.collect().await.unwrap().to_bytes();
    assert!(
        std::str::from_utf8(&rest)
            .unwrap()
            .contains(r#"{"state":"cancelled"}"#)
    );
    assert_eq!(bench.ended(run).await["state"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_stops_its_run_though_the_client_left_before_the_answer() {
    let bench = with_processes().await;
    let run = run_script(&bench, "echo begun; sleep 600").await;
    let path = format!("/api/v1/runs/{run}");
    let is_running = |view: &serde_json::Value| view["state"] == "running";
    bench.until(&path, is_running).await;
    {
        // Sent to the store, and dropped while it is being written.
        let path = format!("{path}/cancel");
        let cancel = bench.post(&path, "");
        let mut cancel = std::pin::pin!(cancel);
        assert!(futures_util::poll!(cancel.as_mut()).is_pending());
    }
    assert_eq!(bench.ended(run).await["state"], "cancelled");
}
