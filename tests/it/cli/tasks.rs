use autom8_tests::steps::{http_task, noop_task};
use autom8_tests::{Server, ServerOptions, Sink};

use super::{autom8, fail, json, succeed};

#[test]
fn tasks_are_listed_shown_paused_resumed_and_removed() {
    let server = Server::start(&ServerOptions::default());
    assert_eq!(
        json(&server, &["tasks", "ls"])["tasks"],
        serde_json::json!([])
    );
    server.client().create_task(&noop_task("nightly"));
    assert!(succeed(&server, &["tasks", "ls"]).contains("nightly"));
    assert_eq!(
        json(&server, &["tasks", "show", "nightly"])["name"],
        "nightly"
    );
    succeed(&server, &["tasks", "pause", "nightly"]);
    assert_eq!(
        json(&server, &["tasks", "show", "nightly"])["enabled"],
        false
    );
    succeed(&server, &["tasks", "resume", "nightly"]);
    assert_eq!(
        json(&server, &["tasks", "show", "nightly"])["enabled"],
        true
    );
    succeed(&server, &["tasks", "rm", "nightly", "--yes"]);
    fail(&server, &["tasks", "show", "nightly"], 6, &["nightly"]);
}

#[test]
fn a_task_file_is_added_and_edited_and_a_bad_one_is_refused_by_its_field() {
    let server = Server::start(&ServerOptions::default());
    let file = server.folder().join("task.json");
    std::fs::write(&file, noop_task("from-file").to_string()).unwrap();
    let path = file.to_str().unwrap();
    succeed(&server, &["tasks", "add", "--file", path]);
    assert_eq!(
        json(&server, &["tasks", "show", "from-file"])["name"],
        "from-file"
    );
    fail(
        &server,
        &["tasks", "add", "--file", path],
        1,
        &["from-file"],
    );
    std::fs::write(
        &file,
        r#"{"name": "bad", "do": {"builtin": "noop"}, "timeout": "soon"}"#,
    )
    .unwrap();
    fail(&server, &["tasks", "add", "--file", path], 2, &["timeout"]);
}

#[test]
fn a_run_is_awaited_and_its_end_is_the_exit_code() {
    let sink = Sink::start();
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&noop_task("good"));
    let mut bad = http_task("bad", &sink.url("/status/500"));
    bad["retry"] = serde_json::json!({"max_attempts": 1});
    client.create_task(&bad);
    succeed(&server, &["tasks", "run", "good", "--wait"]);
    assert_eq!(autom8(&server, &["tasks", "run", "bad", "--wait"]).code, 10);
    fail(&server, &["tasks", "run", "none"], 6, &["none"]);
}

#[test]
fn the_next_fires_are_printed() {
    let server = Server::start(&ServerOptions::default());
    let mut task = noop_task("nightly");
    task["schedule"] = serde_json::json!({"cron": "30 2 * * *"});
    server.client().create_task(&task);
    let next = json(&server, &["tasks", "next", "nightly"]);
    assert!(
        next["next"][0]["at"]
            .as_str()
            .unwrap()
            .contains("T02:30:00"),
        "{next}"
    );
    assert!(succeed(&server, &["tasks", "next", "nightly"]).contains("02:30"));
}

/// What a command that succeeds says beside its data.
#[track_caller]
fn said(server: &Server, arguments: &[&str]) -> String {
    let ended = autom8(server, arguments);
    assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
    ended.stderr
}

#[test]
fn what_is_accepted_and_hardly_meant_is_told() {
    let server = Server::start(&ServerOptions::allowing_processes());
    let past = ["tasks", "add", "past", "--at", "2020-01-01T00:00:00Z"];
    let past = said(&server, &[&past[..], &["--builtin", "noop"]].concat());
    assert!(past.contains("never runs by itself"), "{past}");
    let pipe = said(&server, &["tasks", "add", "pipe", "--", "ls | wc"]);
    assert!(pipe.contains("-- sh -c 'ls | wc'"), "{pipe}");
    let list = said(&server, &["runs", "ls", "--task", "nosuch"]);
    assert!(list.contains("No task is named `nosuch`"), "{list}");
}

#[test]
fn an_edit_says_what_it_took_away_and_when_it_changed_nothing() {
    let server = Server::start(&ServerOptions::allowing_processes());
    let mut push = http_task("push", "http://127.0.0.1:9/");
    push["do"]["http"]["headers"] = serde_json::json!({"Authorization": "Bearer secret"});
    server.client().create_task(&push);
    let shown = succeed(&server, &["tasks", "show", "push"]);
    assert!(
        shown.contains("Authorization: ****") && !shown.contains("secret"),
        "{shown}"
    );
    let edit = ["tasks", "edit", "push", "--", "echo", "hi"];
    let changed = said(&server, &edit);
    assert!(
        changed.contains("`push` from http to process; its url and headers went"),
        "{changed}"
    );
    assert!(said(&server, &edit).contains("Nothing changed"));
    assert_eq!(json(&server, &["tasks", "show", "push"])["rev"], 2);
}
