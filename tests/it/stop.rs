//! A graceful stop: what is accepted is finished or kept.

use std::time::Duration;

use autom8_tests::steps::{http_task, noop_task, script_task};
use autom8_tests::{Server, ServerOptions, Sink, wait};
use serde_json::json;

/// The grace of 20 s for runs and requests, and the time to close.
const STOP_LIMIT: Duration = Duration::from_secs(25);

#[test]
fn an_idle_server_stops_at_once_with_code_zero() {
    let mut server = Server::start(&ServerOptions::default());
    let started = wait::now();
    let status = server.stop(STOP_LIMIT);
    assert_eq!(status.code(), Some(0), "{}", server.output());
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn a_run_in_flight_may_finish_and_waiting_ones_are_kept() {
    let sink = Sink::start();
    let mut server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&http_task("slow", &sink.url("/slow/700")));
    client.create_task(&noop_task("n"));
    client.post_empty("/api/v1/tasks/n/pause").expect(200);
    let waiting = client.run_task("n");
    let running = client.run_task("slow");
    sink.wait_for("the slow call", wait::PROMPT, |effect| {
        effect.run == running
    });
    assert_eq!(
        server.stop(STOP_LIMIT).code(),
        Some(0),
        "{}",
        server.output()
    );
    server.start_again();
    let client = server.client();
    let run = client.ended_run(running);
    assert_eq!(
        (&run["state"], &run["attempt"]),
        (&json!("completed"), &json!(1)),
        "{run}"
    );
    assert_eq!(sink.count(), 1);
    assert_eq!(client.read_run(waiting)["state"], "queued");
}

#[test]
fn no_child_outlives_a_stop() {
    let mut server = Server::start(&ServerOptions {
        environment: vec![(
            "AUTOM8_SERVER_SHUTDOWN_GRACE".to_owned(),
            "300ms".to_owned(),
        )],
        ..ServerOptions::allowing_processes()
    });
    let client = server.client();
    let file = server.folder().join("pid");
    client.create_task(&script_task(
        "long",
        &format!("echo $$ > '{}'; sleep 600", file.display()),
    ));
    let run = client.run_task("long");
    let pid = wait::until("the child", wait::PROMPT, || {
        std::fs::read_to_string(&file)
            .ok()
            .filter(|text| text.ends_with('\n'))
    });
    server.stop(STOP_LIMIT);
    let gone = || !std::path::Path::new(&format!("/proc/{}", pid.trim())).exists();
    wait::until("the end of the child", wait::PROMPT, || {
        gone().then_some(())
    });
    server.start_again();
    let state = server.client().read_run(run)["state"].clone();
    assert!(
        state == "queued" || state == "running",
        "its next attempt: {state}"
    );
}
