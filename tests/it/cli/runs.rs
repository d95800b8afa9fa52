use autom8_tests::steps::{noop_task, script_task, with};
use autom8_tests::{Server, ServerOptions};
use serde_json::json;

use super::{fail, json as as_json, succeed};

#[test]
fn runs_are_listed_shown_and_their_logs_printed() {
    let server = Server::start(&ServerOptions::allowing_processes());
    let client = server.client();
    client.create_task(&script_task("hello", "echo from the child"));
    let id = client.run_task("hello");
    client.ended_run(id);
    let id = id.to_string();
    assert!(succeed(&server, &["runs", "ls"]).contains("hello"));
    assert_eq!(
        as_json(&server, &["runs", "ls"])["runs"][0]["task"],
        "hello"
    );
    assert_eq!(
        as_json(&server, &["runs", "show", &id])["state"],
        "completed"
    );
    assert!(succeed(&server, &["runs", "logs", &id]).contains("from the child"));
    // Following a run that has ended prints all of it and ends.
    assert!(succeed(&server, &["runs", "logs", "-f", &id]).contains("from the child"));
    fail(&server, &["runs", "show", "999999"], 6, &["999999"]);
}

#[test]
fn runs_are_cancelled_and_retried() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&with(noop_task("n"), json!({"enabled": false})));
    let id = client.run_task("n").to_string();
    succeed(&server, &["runs", "cancel", &id]);
    assert_eq!(
        as_json(&server, &["runs", "show", &id])["state"],
        "cancelled"
    );
    fail(&server, &["runs", "cancel", &id], 1, &[&id]);
    succeed(&server, &["runs", "retry", &id]);
    assert_eq!(
        as_json(&server, &["runs", "ls"])["runs"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}
