use autom8_tests::steps::{http_task, noop_task, script_task, with};
use autom8_tests::{Server, ServerOptions, Sink};
use serde_json::json;

#[test]
fn a_task_is_created_read_changed_and_deleted() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    let created = client.create_task(&http_task("sync", "https://crm.example/hook"));
    assert_eq!(created["timeout"], "15m");
    assert_eq!(
        created["retry"],
        json!({"max_attempts": 3, "backoff": "1s", "max_backoff": "5m"})
    );
    assert_eq!(client.get("/api/v1/tasks/sync").expect(200), created);

    let patched = client
        .patch(
            "/api/v1/tasks/sync",
            &json!({"timeout": "30s", "schedule": {"every": "1h"}}),
        )
        .expect(200);
    assert_eq!(patched["timeout"], "30s");
    assert_eq!(patched["do"], created["do"]);
    assert!(patched["next_run_at"].is_string(), "{patched}");

    client.delete("/api/v1/tasks/sync");
    client.get("/api/v1/tasks/sync").expect(404);
    client.delete("/api/v1/tasks/sync").expect(404);
    assert_eq!(client.get("/api/v1/tasks").expect(200)["tasks"], json!([]));
}

#[test]
fn a_taken_name_is_a_conflict_and_an_unknown_one_is_not_found() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&noop_task("one"));
    let problem = client.post("/api/v1/tasks", &noop_task("one")).expect(409);
    assert!(
        problem["message"].as_str().unwrap().contains("one"),
        "{problem}"
    );
    client.post_empty("/api/v1/tasks/two/run").expect(404);
    client
        .patch("/api/v1/tasks/two", &json!({"timeout": "1s"}))
        .expect(404);
    client.post_empty("/api/v1/tasks/two/pause").expect(404);
}

#[test]
fn tasks_are_listed_by_name_page_by_page() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    for name in ["cherry", "apple", "banana"] {
        client.create_task(&noop_task(name));
    }
    let first = client.get("/api/v1/tasks?limit=2").expect(200);
    let names = |list: &serde_json::Value| -> Vec<String> {
        let tasks = list["tasks"].as_array().unwrap().iter();
        tasks
            .map(|task| task["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&first), ["apple", "banana"]);
    let cursor = first["meta"]["next_cursor"].as_str().unwrap();
    let second = client
        .get(&format!("/api/v1/tasks?limit=2&cursor={cursor}"))
        .expect(200);
    assert_eq!(names(&second), ["cherry"]);
    assert!(second["meta"]["next_cursor"].is_null());
}

#[test]
fn processes_are_off_until_allowed_and_the_refusal_names_the_switch() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    let problem = client
        .post("/api/v1/tasks", &script_task("shell", "true"))
        .expect(403);
    assert!(
        problem["message"]
            .as_str()
            .unwrap()
            .contains("--allow-process"),
        "{problem}"
    );
    client.get("/api/v1/tasks/shell").expect(404);
}

#[test]
fn a_paused_task_waits_and_goes_on_when_it_is_resumed() {
    let sink = Sink::start();
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&http_task("call", &sink.url("/ok")));
    assert_eq!(
        client.post_empty("/api/v1/tasks/call/pause").expect(200)["enabled"],
        false
    );
    let waiting = client.run_task("call");
    // Another run that has gone through all of the engine shows that this one had its chance.
    client.create_task(&http_task("other", &sink.url("/ok")));
    client.ended_run(client.run_task("other"));
    assert_eq!(client.read_run(waiting)["state"], "queued");
    assert_eq!(sink.count(), 1);

    let toggle = client
        .put("/api/v1/tasks/call/toggle", &json!({"enabled": true}))
        .expect(200);
    assert_eq!(toggle["enabled"], true);
    assert_eq!(client.ended_run(waiting)["state"], "completed");
}

#[test]
fn the_next_fires_are_told_without_waiting_for_them() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    let schedule = json!({"cron": "0 2 * * *", "timezone": "Europe/Berlin"});
    client.create_task(&with(
        noop_task("nightly"),
        json!({"schedule": schedule, "enabled": false}),
    ));
    // The night of 28 March 2027 has no 02:00 in Berlin: Debian's cron makes up for it at 03:00.
    let answer = client
        .get("/api/v1/tasks/nightly/next?n=3&from=2027-03-26T12:00:00Z")
        .expect(200);
    let times: Vec<&str> = answer["next"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fire| fire["at"].as_str().unwrap())
        .collect();
    assert_eq!(times[0], "2027-03-27T01:00:00Z");
    assert_eq!(times[1], "2027-03-28T01:00:00Z");
    assert_eq!(times[2], "2027-03-29T00:00:00Z");
    assert!(
        !answer["next"][1]["dst"].is_null(),
        "a fire moved by DST says so: {answer}"
    );
}

#[test]
fn an_http_run_carries_its_input_and_its_identity() {
    let sink = Sink::start();
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&http_task("call", &sink.url("/ok")));
    let run = client
        .post("/api/v1/tasks/call/run", &json!({"input": {"a": 1}}))
        .expect(202);
    let id = run["id"].as_i64().unwrap();
    assert_eq!(client.ended_run(id)["state"], "completed");
    let effect = &sink.effects()[0];
    assert_eq!((effect.run, effect.attempt), (id, 1));
    assert_eq!(effect.idempotency_key, format!("autom8-run-{id}"));
    assert!(
        effect
            .traceparent
            .as_ref()
            .is_some_and(|text| text.starts_with("00-")),
        "{effect:?}"
    );
    let body: serde_json::Value = serde_json::from_str(&effect.body).unwrap();
    assert_eq!(body, json!({"a": 1}));
}

#[test]
fn metadata_addresses_are_never_reached() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    let task = with(
        http_task("steal", "http://169.254.169.254/latest/meta-data"),
        json!({"retry": {"max_attempts": 1}}),
    );
    // Refused at creation or at the connection: either way nothing is sent.
    let answer = client.post("/api/v1/tasks", &task);
    if answer.status == 201 {
        let run = client.ended_run(client.run_task("steal"));
        assert_eq!(run["state"], "failed", "{run}");
        assert!(
            run["error"].as_str().unwrap().contains("169.254.169.254"),
            "{run}"
        );
    } else {
        assert!(matches!(answer.status, 400 | 403), "{}", answer.text());
    }
}
