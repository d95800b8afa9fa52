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
