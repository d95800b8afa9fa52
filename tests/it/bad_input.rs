//! Each field of a task, a run and a batch, wrong in every way of its own: a 400 that names the
//! field, and nothing written. What is wrong for every route is in [`crate::hostile`].

use autom8_tests::steps::noop_task;
use autom8_tests::{Client, Server, ServerOptions};
use serde_json::{Value, json};

/// What is wrong, the body, and the path that the answer must name.
struct Bad {
    body: Vec<u8>,
    names: &'static str,
}

fn bad(body: impl Into<Vec<u8>>, names: &'static str) -> Bad {
    Bad {
        body: body.into(),
        names,
    }
}

fn bad_json(body: &Value, names: &'static str) -> Bad {
    bad(body.to_string(), names)
}

/// A good task with one field replaced or added.
fn task_with(field: &str, value: Value) -> Value {
    let mut task = noop_task("victim");
    task[field] = value;
    task
}

fn bad_tasks() -> Vec<Bad> {
    let action = |action: Value| task_with("do", action);
    let schedule = |schedule: Value| task_with("schedule", schedule);
    let http = |http: Value| action(json!({"http": http}));
    vec![
        bad_json(&json!({"do": {"builtin": "noop"}}), "name"),
        bad_json(&json!({"name": "victim"}), "do"),
        bad_json(&task_with("name", json!("")), "/name"),
        bad_json(&task_with("name", json!("Not A Slug")), "/name"),
        bad_json(&task_with("name", json!("x".repeat(65))), "/name"),
        bad_json(&task_with("name", json!("../../etc/passwd")), "/name"),
        bad_json(&task_with("name", json!("a\u{0}b")), "/name"),
        bad_json(&task_with("name", json!(7)), "/name"),
        bad_json(&task_with("name", json!(null)), "/name"),
        bad_json(&task_with("shedule", json!({"every": "1s"})), "schedule"),
        bad_json(&action(json!({})), "/do"),
        bad_json(&action(json!("noop")), "/do"),
        bad_json(
            &action(json!({"builtin": "noop", "http": {"url": "http://a.example/"}})),
            "/do",
        ),
        bad_json(&action(json!({"fax": {}})), "fax"),
        bad_json(&action(json!({"builtin": "bakup"})), "backup"),
        bad_json(
            &action(json!({"builtin": {"name": "backup", "keep": 0}})),
            "keep",
        ),
        bad_json(&http(json!({})), "url"),
        bad_json(&http(json!({"url": "ftp://a.example/"})), "/do/http/url"),
        bad_json(&http(json!({"url": "http:///nowhere"})), "/do/http/url"),
        bad_json(
            &http(json!({"url": "http://user:secret@a.example/"})),
            "/do/http/url",
        ),
        bad_json(
            &http(json!({"url": format!("http://a.example/{}", "x".repeat(9_000))})),
            "/do/http/url",
        ),
        bad_json(
            &http(json!({"url": "http://a.example/", "method": "get it"})),
            "/do/http/method",
        ),
        bad_json(
            &http(json!({"url": "http://a.example/", "headers": {"x": "a\r\nb: c"}})),
            "/do/http/headers",
        ),
        bad_json(
            &http(json!({"url": "http://a.example/", "headers": {"b ad": "x"}})),
            "/do/http/headers",
        ),
        bad_json(
            &http(json!({"url": "http://a.example/", "body ": {}})),
            "body",
        ),
        bad_json(&schedule(json!({})), "schedule"),
        bad_json(&schedule(json!({"every": "0s"})), "schedule"),
        bad_json(&schedule(json!({"every": "10ms"})), "schedule"),
        bad_json(&schedule(json!({"every": "-1s"})), "schedule"),
        bad_json(
            &schedule(json!({"every": "1s", "cron": "* * * * *"})),
            "schedule",
        ),
        bad_json(&schedule(json!({"cron": "* * * *"})), "schedule"),
        bad_json(&schedule(json!({"cron": "61 * * * *"})), "schedule"),
        bad_json(
            &schedule(json!({"cron": "* * * * *", "timezone": "Mars/Olympus"})),
            "Mars/Olympus",
        ),
        bad_json(&schedule(json!({"at": "tomorrow"})), "schedule"),
        bad_json(&task_with("timeout", json!("0s")), "/timeout"),
        bad_json(&task_with("timeout", json!("8d")), "/timeout"),
        bad_json(&task_with("timeout", json!("soon")), "/timeout"),
        bad_json(&task_with("timeout", json!(30)), "/timeout"),
        bad_json(
            &task_with("retry", json!({"max_attempts": 0})),
            "/retry/max_attempts",
        ),
        bad_json(
            &task_with("retry", json!({"max_attempts": 101})),
            "/retry/max_attempts",
        ),
        bad_json(
            &task_with("retry", json!({"max_attempts": -1})),
            "/retry/max_attempts",
        ),
        bad_json(
            &task_with("retry", json!({"max_attempts": 1e99})),
            "/retry/max_attempts",
        ),
        bad_json(&task_with("retry", json!({"backoff": "9d"})), "/retry"),
        bad_json(&task_with("retry", json!({"tries": 3})), "tries"),
        bad_json(&task_with("queue", json!("UPPER")), "/queue"),
        bad_json(&task_with("priority", json!(101)), "/priority"),
        bad_json(&task_with("priority", json!(1.5)), "/priority"),
        bad_json(
            &task_with("priority", json!(99_999_999_999_i64)),
            "/priority",
        ),
        bad_json(&task_with("overlap", json!("maybe")), "/overlap"),
        bad_json(&task_with("catch_up", json!("sometimes")), "/catch_up"),
        bad_json(&task_with("on_crash", json!([])), "/on_crash"),
        bad_json(&task_with("enabled", json!("yes")), "/enabled"),
    ]
}

#[track_caller]
fn refuse(client: &Client, method: &str, path: &str, bad: &Bad) {
    let answer = match client.send(method, path, &[], Some(&bad.body)) {
        Ok(answer) => answer,
        Err(error) => panic!("{method} {path} {}: {error}", shown(&bad.body)),
    };
    let text = answer.text();
    assert_eq!(
        answer.status,
        400,
        "{method} {path} {}: {text}",
        shown(&bad.body)
    );
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{text}"
    );
    let problem = answer.json();
    assert!(
        !problem["message"].as_str().unwrap_or_default().is_empty(),
        "{problem}"
    );
    assert!(
        text.contains(bad.names),
        "{method} {path} {}: the answer does not name {}: {text}",
        shown(&bad.body),
        bad.names
    );
    if bad.names.starts_with('/') {
        let paths = problem["errors"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(
            paths.iter().any(|error| error["path"]
                .as_str()
                .is_some_and(|p| p.starts_with(bad.names))),
            "{}: no error has the path {}: {text}",
            shown(&bad.body),
            bad.names
        );
    }
}

fn shown(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(200).collect()
}

/// Everything that a write could have changed.
fn state(client: &Client) -> (Value, Value) {
    (
        client.get("/api/v1/tasks").expect(200),
        client.get("/api/v1/runs").expect(200),
    )
}

#[test]
fn a_bad_task_is_refused_by_its_field_and_nothing_is_written() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&noop_task("present"));
    let before = state(&client);
    for bad in &bad_tasks() {
        refuse(&client, "POST", "/api/v1/tasks", bad);
    }
    assert_eq!(state(&client), before);
}

#[test]
fn a_bad_patch_leaves_the_task_as_it_was() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&noop_task("present"));
    let before = state(&client);
    for patch in [
        bad_json(&json!({"timeout": "never"}), "/timeout"),
        bad_json(
            &json!({"retry": {"max_attempts": 0}}),
            "/retry/max_attempts",
        ),
        bad_json(&json!({"schedule": {"cron": "nope"}}), "schedule"),
        bad_json(&json!({"prioritiy": 1}), "priority"),
        bad_json(&json!({"name": "renamed"}), "name"),
        bad_json(&json!({"do": null}), "do"),
    ] {
        refuse(&client, "PATCH", "/api/v1/tasks/present", &patch);
    }
    let toggle = "/api/v1/tasks/present/toggle";
    refuse(
        &client,
        "PUT",
        toggle,
        &bad_json(&json!({"enabled": "no"}), "enabled"),
    );
    refuse(&client, "PUT", toggle, &bad_json(&json!({}), "enabled"));
    assert_eq!(state(&client), before);
}

#[test]
fn a_bad_run_or_batch_queues_nothing() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&noop_task("present"));
    let before = state(&client);
    let run = "/api/v1/tasks/present/run";
    refuse(
        &client,
        "POST",
        run,
        &bad_json(&json!({"inptu": 1}), "input"),
    );
    refuse(&client, "POST", run, &bad(r#"{"input": "#, ""));
    let large = "x".repeat(300 * 1024);
    let answer = client.post(run, &json!({"input": large}));
    assert!(matches!(answer.status, 400 | 413), "{}", answer.text());

    let batch = "/api/v1/runs/batch";
    let present = |inputs: Value| json!({"task": "present", "inputs": inputs});
    refuse(
        &client,
        "POST",
        batch,
        &bad_json(&json!({"inputs": [1]}), "task"),
    );
    refuse(
        &client,
        "POST",
        batch,
        &bad_json(&json!({"task": "present"}), "inputs"),
    );
    refuse(
        &client,
        "POST",
        batch,
        &bad_json(&present(json!([])), "inputs"),
    );
    refuse(
        &client,
        "POST",
        batch,
        &bad_json(&present(json!({"a": 1})), "inputs"),
    );
    refuse(
        &client,
        "POST",
        batch,
        &bad_json(&json!({"task": "A B", "inputs": [1]}), "task"),
    );
    refuse(
        &client,
        "POST",
        batch,
        &bad_json(&json!({"task": "present", "inputs": [1], "x": 1}), "x"),
    );
    let many: Vec<u8> = vec![0; 10_001];
    refuse(
        &client,
        "POST",
        batch,
        &bad_json(&present(json!(many)), "inputs"),
    );
    client
        .post(batch, &json!({"task": "absent", "inputs": [1]}))
        .expect(404);
    assert_eq!(state(&client), before);
}

#[test]
fn bad_parameters_and_paths_are_named() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&noop_task("present"));
    for (path, names) in [
        ("/api/v1/runs?limit=0", "limit"),
        ("/api/v1/runs?limit=1001", "limit"),
        ("/api/v1/runs?limit=many", "limit"),
        ("/api/v1/runs?state=asleep", "state"),
        ("/api/v1/runs?stat=queued", "stat"),
        ("/api/v1/runs?trigger=whim", "trigger"),
        ("/api/v1/runs?task_type=fax", "task_type"),
        ("/api/v1/runs?since=yesterday", "since"),
        ("/api/v1/runs?cursor=%00", "cursor"),
        ("/api/v1/runs?task=NO%20SLUG", "task"),
        ("/api/v1/task_logs?status=asleep", "status"),
        ("/api/v1/task_logs?limit=-1", "limit"),
        ("/api/v1/tasks?limit=0", "limit"),
        ("/api/v1/tasks/present/next?n=0", "n"),
        ("/api/v1/tasks/present/next?n=999999", "n"),
        ("/api/v1/tasks/present/next?from=now", "from"),
    ] {
        let answer = client.get(path);
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert!(answer.text().contains(names), "{path}: {}", answer.text());
    }
    for path in [
        "/api/v1/runs/nan",
        "/api/v1/runs/-1",
        "/api/v1/runs/99999999999999999999",
        "/api/v1/runs/0",
        "/api/v1/tasks/%00",
        "/api/v1/tasks/..%2f..%2fetc",
        "/api/v1/tasks/NO%20SLUG",
    ] {
        let answer = client.get(path);
        assert!(
            matches!(answer.status, 400 | 404),
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
    }
}

#[test]
fn the_wrong_method_type_or_size_has_its_own_answer() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    assert_eq!(client.delete("/api/v1/health").status, 405);
    assert!(client.delete("/api/v1/health").header("allow").is_some());
    let form = client
        .send(
            "POST",
            "/api/v1/tasks",
            &[("content-type", "text/plain")],
            Some(b"name=x"),
        )
        .unwrap();
    assert_eq!(form.status, 415, "{}", form.text());
    let huge = vec![b' '; 80 * 1024 * 1024];
    match client.send("POST", "/api/v1/tasks", &[], Some(&huge)) {
        Ok(answer) => assert_eq!(answer.status, 413, "{}", answer.text()),
        // The server may close while we still send; it must go on serving.
        Err(error) => eprintln!("the connection was closed: {error}"),
    }
    assert_eq!(client.get("/api/v1/health").status, 200);
}
