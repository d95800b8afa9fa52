use super::*;
use crate::routes::test_bench::{Bench, leaving_at};
use axum::body::Body;
use axum::http::{Request as HttpRequest, header};
use serde_json::{Value, json};

const NOOP: &str = r#""do":{"builtin":"noop"}"#;

#[tokio::test]
async fn a_task_is_created_shown_listed_and_deleted() {
    let bench = Bench::start().await;
    let answer = bench
        .post(
            "/api/v1/tasks",
            r#"{"name":"ping","do":{"builtin":"noop"},"schedule":{"every":"1h"}}"#,
        )
        .await;
    let created = answer.expect(201);
    assert_eq!(answer.headers[header::LOCATION], "/api/v1/tasks/ping");
    assert_eq!(created["do"], json!({"builtin": "noop"}));
    assert_eq!(created["retry"]["max_attempts"], 3);
    assert_eq!(created["trigger"], "every 1h");
    assert!(
        created["next_run_at"].is_string() && created["id"].is_i64(),
        "{created}"
    );
    assert_eq!(bench.get("/api/v1/tasks/ping").await.expect(200), created);

    let taken = bench
        .post("/api/v1/tasks", &format!(r#"{{"name":"ping",{NOOP}}}"#))
        .await;
    assert!(taken.expect_problem(409).contains("ping"));

    // What was read can be sent back, under another name.
    let mut copy = created.clone();
    copy["name"] = "copy".into();
    bench
        .post("/api/v1/tasks", &copy.to_string())
        .await
        .expect(201);

    let gone = bench
        .send("DELETE", "/api/v1/tasks/ping", None)
        .await
        .expect(200);
    assert_eq!(gone["message"], "Task deleted");
    bench.get("/api/v1/tasks/ping").await.expect_problem(404);
    let list = bench.get("/api/v1/tasks").await.expect(200);
    assert_eq!(list["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(list["meta"], json!({"next_cursor": null}));
}

#[tokio::test]
async fn pages_follow_each_other_without_a_gap() {
    let bench = Bench::start().await;
    for name in ["e", "a", "c", "b", "d"] {
        bench.create(name, NOOP).await;
    }
    let (mut names, mut path) = (Vec::new(), "/api/v1/tasks?limit=2".to_owned());
    loop {
        let page = bench.get(&path).await.expect(200);
        let tasks = page["tasks"].as_array().unwrap();
        names.extend(
            tasks
                .iter()
                .map(|task| task["name"].as_str().unwrap().to_owned()),
        );
        match page["meta"]["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/tasks?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn bad_tasks_are_refused_with_their_field_and_nothing_is_written() {
    let bench = Bench::start().await;
    let long = format!(
        r#"{{"name":"a","do":{{"http":{{"url":"http://a/","body":"{}"}}}}}}"#,
        "x".repeat(limits::TASK_SPEC_BYTES_MAX)
    );
    let deep = format!(r#"{{"name":{}"#, "[".repeat(100_000));
    for (body, says) in [
        ("", "is empty"),
        ("{", "expected"),
        ("[]", "must be an object, not an array"),
        (r#"{"name":"a"}"#, "/do: is missing"),
        (
            r#"{"name":"a","do":{"builtin":"noop"},"timout":"5m"}"#,
            "did you mean `timeout`?",
        ),
        (
            r#"{"name":"a","do":{"builtin":"noop"},"retry":[3,"1s","5m"]}"#,
            "/retry: must be an object",
        ),
        (
            r#"{"name":"a","do":{"builtin":"noop"},"timeout":"8d"}"#,
            "/timeout",
        ),
        (
            r#"{"name":"a","do":{"builtin":"noop"},"queue":"A B"}"#,
            "/queue",
        ),
        (
            r#"{"name":"a","do":{"builtin":"noop"},"schedule":{"cron":"* * *"}}"#,
            "/schedule",
        ),
        (
            r#"{"name":"a","do":{"http":{"url":"ftp://a/"}}}"#,
            "/do/http/url",
        ),
        (
            r#"{"name":"a","do":{"http":{"url":"http://169.254.169.254/latest"}}}"#,
            "/do/http/url",
        ),
        (
            r#"{"name":"a","do":{"http":{"url":"http://[fe80::1]/"}}}"#,
            "/do/http/url",
        ),
        (r#"{"name":"a\u0000b","do":{"builtin":"noop"}}"#, "NUL"),
        (
            r#"{"name":"a","do":{"builtin":"noop"},"name":"b"}"#,
            "/name: is given more than once",
        ),
        (long.as_str(), "the limit is 65536"),
        (deep.as_str(), "deeper than 64"),
    ] {
        let answer = bench.post("/api/v1/tasks", body).await;
        let message = answer.expect_problem(400);
        assert!(message.contains(says), "{message} lacks {says}");
    }
    let form = HttpRequest::post("/api/v1/tasks")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(r#"{"name":"a","do":{"builtin":"noop"}}"#))
        .unwrap();
    bench.send_request(form).await.expect_problem(415);
    let huge = format!(r#"{{"name":"{}"}}"#, "x".repeat(BODY_BYTES_MAX as usize));
    bench.post("/api/v1/tasks", &huge).await.expect_problem(413);
    assert_eq!(
        bench.get("/api/v1/tasks").await.expect(200)["tasks"],
        json!([])
    );
}

#[tokio::test]
async fn processes_are_refused_until_they_are_switched_on() {
    let process = r#"{"name":"p","do":{"process":{"argv":["true"]}}}"#;
    let off = Bench::start().await;
    let message = off.post("/api/v1/tasks", process).await.expect_problem(403);
    assert!(message.contains("--allow-process"), "{message}");
    assert!(message.contains("executors.process.enabled"), "{message}");
    off.create("p", NOOP).await;
    let change = r#"{"do":{"process":{"argv":["true"]}}}"#;
    off.send("PATCH", "/api/v1/tasks/p", Some(change))
        .await
        .expect_problem(403);
    assert_eq!(
        off.get("/api/v1/tasks/p").await.json()["do"],
        json!({"builtin": "noop"})
    );

    let on = Bench::start_with(|config| config.executors.process.enabled = true).await;
    on.post("/api/v1/tasks", process).await.expect(201);
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_the_whole_is_judged() {
    let bench = Bench::start().await;
    bench
        .create("t", r#""do":{"http":{"url":"http://a.example/","body":{"n":1.50}}},"schedule":{"cron":"0 2 * * *"}"#)
        .await;
    let patch = |body: &'static str| bench.send("PATCH", "/api/v1/tasks/t", Some(body));

    let changed = patch(r#"{"timeout":"5m","schedule":{"timezone":"Europe/Berlin"}}"#)
        .await
        .expect(200);
    assert_eq!(changed["timeout"], "5m");
    assert_eq!(
        changed["schedule"],
        json!({"cron": "0 2 * * *", "timezone": "Europe/Berlin"})
    );
    assert_eq!(changed["rev"], 2);
    let body = bench.get("/api/v1/tasks/t").await;
    assert!(
        body.text().contains(r#""body":{"n":1.50}"#),
        "{}",
        body.text()
    );

    let every = patch(r#"{"schedule":{"every":"2h"}}"#).await.expect(200);
    assert_eq!(every["schedule"], json!({"every": "2h"}));
    assert_eq!(
        patch(r#"{"schedule":null}"#).await.expect(200)["trigger"],
        Value::Null
    );

    let same = patch(r#"{"timeout":"5m","rev":9}"#).await.expect(200);
    assert_eq!(same["rev"], 4, "what changes nothing makes no revision");
    let paused = patch(r#"{"enabled":false}"#).await.expect(200);
    assert_eq!(
        (&paused["enabled"], &paused["rev"]),
        (&json!(false), &json!(4))
    );

    for (body, says) in [
        (r#"{"timeuot":null}"#, "did you mean `timeout`?"),
        (r#"{"timeout":"9d"}"#, "/timeout"),
        (r#"{"name":"other"}"#, "keeps its name"),
        (r#"{"name":null}"#, "/name: is missing"),
        (r#"{"do":null}"#, "/do: is missing"),
        (r#"{"retry":{"max_attempts":0}}"#, "/retry/max_attempts"),
        (r#"{"retry":[1]}"#, "/retry: must be an object"),
        (
            r#"{"do":{"http":{"url":"http://169.254.1.1/"}}}"#,
            "/do/http/url",
        ),
    ] {
        let message = patch(body).await.expect_problem(400);
        assert!(message.contains(says), "{message} lacks {says}");
    }
    assert_eq!(bench.get("/api/v1/tasks/t").await.json()["rev"], 4);
    bench
        .send("PATCH", "/api/v1/tasks/absent", Some("{}"))
        .await
        .expect_problem(404);
}

#[tokio::test]
async fn two_patches_at_once_do_not_undo_each_other() {
    let bench = Bench::start().await;
    bench.create("t", NOOP).await;
    let patches: Vec<String> = (1..=20)
        .map(|n| match n % 2 {
            0 => format!(r#"{{"priority":{n}}}"#),
            _ => format!(r#"{{"timeout":"{n}m"}}"#),
        })
        .collect();
    let sent = patches
        .iter()
        .map(|patch| bench.send("PATCH", "/api/v1/tasks/t", Some(patch)));
    for answer in futures_util::future::join_all(sent).await {
        answer.expect(200);
    }
    let task = bench.get("/api/v1/tasks/t").await.expect(200);
    assert_eq!(task["rev"], 21, "each was laid over the one before: {task}");
    assert_ne!(task["priority"], 0);
    assert_ne!(task["timeout"], "15m");
}

#[tokio::test]
async fn a_run_by_hand_takes_its_input_as_it_is_and_ends() {
    let bench = Bench::start().await;
    bench.create("t", NOOP).await;
    let answer = bench
        .post("/api/v1/tasks/t/run", r#"{"input": {"a" : 1.50 } }"#)
        .await;
    let run = answer.expect(202);
    let id = run["id"].as_i64().unwrap();
    assert_eq!(
        answer.headers[header::LOCATION],
        format!("/api/v1/runs/{id}")
    );
    assert_eq!(
        (&run["task"], &run["trigger"]),
        (&json!("t"), &json!("manual"))
    );
    let ended = bench.ended(id).await;
    assert_eq!(ended["state"], "completed");
    assert_eq!(ended["attempt"], 1);
    let text = bench.get(&format!("/api/v1/runs/{id}")).await;
    assert!(
        text.text().contains(r#""input":{"a" : 1.50 }"#),
        "{}",
        text.text()
    );

    let bare = bench
        .send("POST", "/api/v1/tasks/t/run", None)
        .await
        .expect(202);
    assert_eq!(bare["input"], Value::Null);
    let long = format!(r#"{{"input":"{}"}}"#, "x".repeat(limits::INPUT_BYTES_MAX));
    assert!(
        bench
            .post("/api/v1/tasks/t/run", &long)
            .await
            .expect_problem(400)
            .contains("/input")
    );
    let slip = bench
        .post("/api/v1/tasks/t/run", r#"{"inptu":1}"#)
        .await
        .expect_problem(400);
    assert!(slip.contains("did you mean `input`?"), "{slip}");
}

#[tokio::test]
async fn a_paused_task_holds_its_runs_until_it_is_resumed() {
    let bench = Bench::start().await;
    bench
        .create("t", &format!(r#"{NOOP},"schedule":{{"every":"1h"}}"#))
        .await;
    let paused = bench.post("/api/v1/tasks/t/pause", "").await.expect(200);
    assert_eq!(
        (&paused["enabled"], &paused["next_run_at"]),
        (&json!(false), &Value::Null)
    );
    let id = bench.post("/api/v1/tasks/t/run", "").await.expect(202)["id"]
        .as_i64()
        .unwrap();
    // A run of another task that comes later ends, and the held one still waits.
    bench.create("other", NOOP).await;
    let other = bench.post("/api/v1/tasks/other/run", "").await.expect(202);
    bench.ended(other["id"].as_i64().unwrap()).await;
    assert_eq!(
        bench.get(&format!("/api/v1/runs/{id}")).await.json()["state"],
        "queued"
    );

    assert_eq!(
        bench.post("/api/v1/tasks/t/resume", "").await.expect(200)["enabled"],
        true
    );
    assert_eq!(bench.ended(id).await["state"], "completed");

    let toggle = |body| bench.send("PUT", "/api/v1/tasks/t/toggle", Some(body));
    assert_eq!(
        toggle(r#"{"enabled":false}"#).await.expect(200)["enabled"],
        false
    );
    assert_eq!(
        toggle(r#"{"enabled":true}"#).await.expect(200)["enabled"],
        true
    );
    toggle(r#"{"enabled":"no"}"#).await.expect_problem(400);
    toggle("{}").await.expect_problem(400);
}

#[tokio::test]
async fn the_next_times_are_told_with_clock_changes_also_for_a_paused_task() {
    let bench = Bench::start().await;
    bench
        .create("t", &format!(r#"{NOOP},"enabled":false,"schedule":{{"cron":"30 2 * * *","timezone":"Europe/Berlin"}}"#))
        .await;
    let next = bench
        .get("/api/v1/tasks/t/next?n=2&from=2026-03-28T00:00:00Z")
        .await
        .expect(200);
    assert_eq!(
        next,
        json!({"next": [
            {"at": "2026-03-28T01:30:00Z", "dst": null},
            {"at": "2026-03-29T01:00:00Z", "dst": "gap"},
        ]})
    );
    let next = bench.get("/api/v1/tasks/t/next").await.expect(200);
    assert_eq!(next["next"].as_array().unwrap().len(), 10);
    bench.create("by-hand", NOOP).await;
    assert_eq!(
        bench.get("/api/v1/tasks/by-hand/next").await.expect(200),
        json!({"next": []})
    );
    for query in ["n=0", "n=101", "n=x", "from=now", "form=1"] {
        bench
            .get(&format!("/api/v1/tasks/t/next?{query}"))
            .await
            .expect_problem(400);
    }
}

#[tokio::test]
async fn what_names_nothing_is_404_on_every_route() {
    let bench = Bench::start().await;
    for name in ["absent", "Not-A-Slug", "..", "%00", "%ff", "a%2Fb"] {
        for (method, path) in [
            ("GET", ""),
            ("PATCH", ""),
            ("DELETE", ""),
            ("POST", "/run"),
            ("POST", "/pause"),
            ("POST", "/resume"),
            ("PUT", "/toggle"),
            ("GET", "/next"),
        ] {
            let body = match method {
                "PATCH" => Some("{}"),
                "PUT" => Some(r#"{"enabled":true}"#),
                _ => None,
            };
            bench
                .send(method, &format!("/api/v1/tasks/{name}{path}"), body)
                .await
                .expect_problem(404);
        }
    }
    for path in [
        "/api/v1/tasks?limt=1",
        "/api/v1/tasks?cursor=A%20B",
        "/api/v1/tasks?limit=0",
    ] {
        bench.get(path).await.expect_problem(400);
    }
}

#[tokio::test]
async fn no_damaged_body_is_ever_an_error_of_the_server() {
    let bench = Bench::start().await;
    bench
        .create("t", &format!(r#"{NOOP},"enabled":false"#))
        .await;
    let task = r#"{"name":"b","do":{"http":{"url":"http://a/","body":{"x":[1,"\u00e9"]}}},"retry":{"backoff":"1s"}}"#;
    let batch = r#"{"task":"t","inputs":[{"a":1},"\ud83d\ude00",2.5e3],"return_ids":true}"#;
    let patch =
        r#"{"schedule":{"cron":"0 2 * * *","timezone":"UTC"},"timeout":"5m","priority":-7}"#;
    for (method, path, body) in [
        ("POST", "/api/v1/tasks", task),
        ("POST", "/api/v1/runs/batch", batch),
        ("PATCH", "/api/v1/tasks/t", patch),
    ] {
        for at in 0..body.len() {
            for byte in *b"\0\x1f\"\\{]0xd:,\xff" {
                let mut damaged = body.as_bytes().to_vec();
                damaged[at] = byte;
                let request = HttpRequest::builder()
                    .method(method)
                    .uri(path)
                    .header(header::CONTENT_TYPE, "application/json")
                    .body(Body::from(damaged))
                    .unwrap();
                let answer = bench.send_request(request).await;
                if !answer.status.is_success() {
                    let status = answer.status.as_u16();
                    assert!(
                        matches!(status, 400 | 404 | 409),
                        "{at} {byte}: {}",
                        answer.text()
                    );
                    answer.expect_problem(status);
                }
            }
        }
    }
}

/// What the store has taken, the scheduler hears of: nobody else will tell it.
#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_kept_though_the_client_left_before_the_answer() {
    let bench = Bench::start().await;
    let mut left_behind = 0;
    for round in 0..300 {
        let body = format!(r#"{{"name":"t{round}",{NOOP},"schedule":{{"every":"1h"}}}}"#);
        let request = bench.post("/api/v1/tasks", &body);
        if leaving_at(1 + round % 3, request).await.is_some() {
            continue;
        }
        let path = format!("/api/v1/tasks/t{round}");
        bench.write_behind().await;
        left_behind += usize::from(bench.get(&path).await.status == 200);
        if left_behind == 3 {
            break;
        }
    }
    assert!(left_behind > 0, "no client left at the right moment");
    let known = bench.state().store.totals().tasks;
    bench
        .until("/api/v1/scheduler/status", |status| {
            let kept = bench.state().engine.status().schedules;
            status["jobs"].as_array().unwrap().len() as u64 == known && kept as u64 == known
        })
        .await;
}
