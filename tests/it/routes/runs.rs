use std::time::Duration;

use autom8_tests::sink::{append_command, read_lines};
use autom8_tests::steps::{http_task, noop_task, script_task, with};
use autom8_tests::{Server, ServerOptions, Sink, wait};
use serde_json::{Value, json};

#[test]
fn a_run_by_hand_tells_its_whole_life() {
    let server = Server::start(&ServerOptions::allowing_processes());
    let client = server.client();
    client.create_task(&script_task("hello", "echo out; echo err >&2"));
    let run = client.ended_run(client.run_task("hello"));
    assert_eq!(run["state"], "completed", "{run}");
    assert_eq!(
        (&run["trigger"], &run["task_type"]),
        (&json!("manual"), &json!("process"))
    );
    assert_eq!(
        (&run["attempt"], &run["max_attempts"]),
        (&json!(1), &json!(3))
    );
    assert!(run["epoch"].as_i64().unwrap() > 0);
    for time in ["queued_at", "started_at", "finished_at"] {
        assert!(
            run[time].as_str().unwrap().ends_with('Z'),
            "{time} in {run}"
        );
    }
    assert!(run["wait_ms"].as_f64().unwrap() >= 0.0 && run["duration_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(run["log"], json!({"bytes": 8, "truncated": false}));
}

#[test]
fn a_child_knows_its_run_and_its_input() {
    let server = Server::start(&ServerOptions::allowing_processes());
    let client = server.client();
    let file = server.folder().join("lines");
    let script = format!(
        "{}; cat \"$AUTOM8_INPUT_FILE\"; echo; echo \"$AUTOM8_TASK\"",
        append_command(&file, "seen")
    );
    client.create_task(&script_task("child", &script));
    let run = client
        .post("/api/v1/tasks/child/run", &json!({"input": {"k": "v"}}))
        .expect(202);
    let id = run["id"].as_i64().unwrap();
    assert_eq!(client.ended_run(id)["state"], "completed");
    assert_eq!(
        (read_lines(&file)[0].run, read_lines(&file)[0].attempt),
        (id, 1)
    );
    let log = client.get(&format!("/api/v1/runs/{id}/log"));
    assert!(
        log.text().contains("k") && log.text().contains("child"),
        "{}",
        log.text()
    );
}

#[test]
fn a_failing_run_is_retried_and_ends_as_failed_with_its_reason() {
    let sink = Sink::start();
    let server = Server::start(&ServerOptions::allowing_processes());
    let client = server.client();
    let retry = json!({"retry": {"max_attempts": 3, "backoff": "10ms"}});
    client.create_task(&with(
        http_task("flaky", &sink.url("/fail/1")),
        retry.clone(),
    ));
    let flaky = client.ended_run(client.run_task("flaky"));
    assert_eq!(
        (&flaky["state"], &flaky["attempt"]),
        (&json!("completed"), &json!(2))
    );

    client.create_task(&with(script_task("broken", "echo why >&2; exit 7"), retry));
    let broken = client.ended_run(client.run_task("broken"));
    assert_eq!(
        (&broken["state"], &broken["attempt"]),
        (&json!("failed"), &json!(3))
    );
    assert!(
        broken["error"].as_str().unwrap().contains('7'),
        "the exit code: {broken}"
    );
    assert_eq!(sink.count(), 2);
}

#[test]
fn a_run_beyond_its_timeout_is_stopped_with_all_its_children() {
    let server = Server::start(&ServerOptions::allowing_processes());
    let client = server.client();
    let file = server.folder().join("pid");
    let script = format!("sleep 600 & echo $! > '{}'; wait", file.display());
    client.create_task(&with(
        script_task("stuck", &script),
        json!({"timeout": "500ms", "retry": {"max_attempts": 1}}),
    ));
    let run = client.ended_run(client.run_task("stuck"));
    assert_eq!(run["state"], "failed", "{run}");
    assert!(run["error"].as_str().unwrap().contains("500ms"), "{run}");
    let child = std::fs::read_to_string(&file).unwrap();
    let gone = || !is_alive(child.trim());
    wait::until("the end of the grandchild", wait::PROMPT, || {
        gone().then_some(())
    });
}

/// Whether a process exists and is more than a zombie that nobody has waited for.
fn is_alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .starts_with(" Z")
    })
}

#[test]
fn a_waiting_run_is_cancelled_at_once_and_a_running_one_when_it_has_stopped() {
    let sink = Sink::start();
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&http_task("held", &sink.url("/hold")));
    let running = client.run_task("held");
    sink.wait_for("the call", wait::PROMPT, |effect| effect.run == running);
    client
        .post_empty(&format!("/api/v1/runs/{running}/cancel"))
        .expect(202);
    let run = client.ended_run(running);
    assert_eq!(run["state"], "cancelled", "{run}");

    client.create_task(&with(noop_task("paused"), json!({"enabled": false})));
    let waiting = client.run_task("paused");
    let answer = client
        .post_empty(&format!("/api/v1/runs/{waiting}/cancel"))
        .expect(202);
    assert_eq!(answer["state"], "cancelled");
    assert_eq!(client.read_run(waiting)["state"], "cancelled");
    client
        .post_empty(&format!("/api/v1/runs/{waiting}/cancel"))
        .expect(409);
    client.post_empty("/api/v1/runs/999999/cancel").expect(404);
}

#[test]
fn a_retry_is_a_new_run_that_names_the_old_one() {
    let sink = Sink::start();
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&http_task("held", &sink.url("/hold")));
    let original = client
        .post("/api/v1/tasks/held/run", &json!({"input": {"n": 5}}))
        .expect(202)["id"]
        .as_i64()
        .unwrap();
    sink.wait_for("the call", wait::PROMPT, |effect| effect.run == original);
    client
        .post_empty(&format!("/api/v1/runs/{original}/retry"))
        .expect(409);
    sink.release();
    client.ended_run(original);
    let replay = client
        .post_empty(&format!("/api/v1/runs/{original}/retry"))
        .expect(202);
    let id = replay["id"].as_i64().unwrap();
    assert_ne!(id, original);
    let run = client.ended_run(id);
    assert_eq!(
        (&run["replay_of"], &run["trigger"]),
        (&json!(original), &json!("replay"))
    );
    assert_eq!(run["input"], json!({"n": 5}));
    assert_eq!(client.read_run(original)["state"], "completed");
}

#[test]
fn a_batch_makes_a_run_of_each_input_and_gives_their_ids_in_order() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&noop_task("n"));
    let inputs: Vec<Value> = (0..2_500).map(|n| json!({"n": n})).collect();
    let answer = client
        .post(
            "/api/v1/runs/batch",
            &json!({"task": "n", "inputs": inputs, "return_ids": true}),
        )
        .expect(202);
    assert_eq!(
        (&answer["accepted"], &answer["deduplicated"]),
        (&json!(2_500), &json!(0))
    );
    let ids: Vec<i64> = answer["ids"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_i64().unwrap())
        .collect();
    assert_eq!(ids.len(), 2_500);
    assert_eq!(client.read_run(ids[1_234])["input"], json!({"n": 1_234}));
    let last = client.ended_run(ids[2_499]);
    assert_eq!(
        (&last["state"], &last["trigger"]),
        (&json!("completed"), &json!("batch"))
    );
    let short = client
        .post("/api/v1/runs/batch", &json!({"task": "n", "inputs": [1]}))
        .expect(202);
    assert!(short["ids"].is_null());
}

#[test]
fn filters_and_cursors_lead_through_every_run_once() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    for task in ["a", "b"] {
        client.create_task(&noop_task(task));
        let inputs: Vec<u8> = (0..120).collect();
        client
            .post(
                "/api/v1/runs/batch",
                &json!({"task": task, "inputs": inputs}),
            )
            .expect(202);
    }
    client.create_task(&with(noop_task("c"), json!({"enabled": false})));
    let waiting = client.run_task("c");
    wait::until("the ends", wait::PROMPT, || {
        (client.all_runs("state=completed&limit=100").len() == 240).then_some(())
    });
    let all = client.all_runs("limit=7");
    let ids: Vec<i64> = all.iter().map(|run| run["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.len(), 241);
    assert!(
        ids.windows(2).all(|pair| pair[0] > pair[1]),
        "newest first, none twice"
    );
    let of = |query: &str| client.all_runs(query).len();
    assert_eq!(of("task=a&limit=50"), 120);
    assert_eq!(of("task=b&state=completed"), 120);
    assert_eq!(of("task=b&state=failed"), 0);
    assert_eq!(of("trigger=manual"), 1);
    assert_eq!(client.all_runs("state=queued")[0]["id"], waiting);
    assert_eq!(of("task_type=http"), 0);
    assert_eq!(of("since=2100-01-01T00:00:00Z"), 0);
    assert_eq!(of("until=2100-01-01T00:00:00Z&limit=200"), 241);
}

#[test]
fn a_log_is_followed_while_it_is_written_and_resumed_where_it_broke_off() {
    let server = Server::start(&ServerOptions::allowing_processes());
    let client = server.client();
    let gate = server.folder().join("gate");
    let script = format!(
        "echo first; while [ ! -e '{}' ]; do sleep 0.02; done; echo second",
        gate.display()
    );
    client.create_task(&script_task("slow", &script));
    let id = client.run_task("slow");
    let path = format!("/api/v1/runs/{id}/log?follow=1");
    let mut events = client.events(&path, &[]);
    let first = events.next_within(wait::PROMPT).unwrap();
    assert!(first.data.contains("first"), "{first:?}");
    let resume_at = first.id.expect("an event id to resume from");
    drop(events);
    std::fs::write(&gate, "").unwrap();
    let mut events = client.events(&path, &[("last-event-id", &resume_at)]);
    let mut text = String::new();
    while let Some(event) = events.next_within(wait::PROMPT) {
        text.push_str(&event.data);
    }
    assert!(
        text.contains("second") && !text.contains("first"),
        "{text:?}"
    );
}

#[test]
fn a_flood_of_output_is_kept_by_its_head_and_tail() {
    let server = Server::start(&ServerOptions::allowing_processes());
    let client = server.client();
    let script = "echo head; head -c 4000000 /dev/zero | tr '\\0' x; echo; echo tail";
    client.create_task(&script_task("flood", script));
    let run = client.ended_run(client.run_task("flood"));
    assert_eq!(run["log"]["truncated"], true, "{run}");
    assert!(run["log"]["bytes"].as_u64().unwrap() < 1_100_000);
    let text = client
        .get(&format!("/api/v1/runs/{}/log", run["id"]))
        .text();
    assert!(text.contains("head") && text.contains("tail"));
}

#[test]
fn a_run_that_is_lost_in_a_crash_of_its_child_fails_by_its_signal() {
    let server = Server::start(&ServerOptions::allowing_processes());
    let client = server.client();
    client.create_task(&with(
        script_task("suicide", "kill -9 $$"),
        json!({"retry": {"max_attempts": 1}}),
    ));
    let run = client.ended_run(client.run_task("suicide"));
    assert_eq!(run["state"], "failed");
    assert!(
        run["error"].as_str().unwrap().contains('9'),
        "the signal: {run}"
    );
    let program = json!({"name": "gone", "do": {"process": {"argv": ["/no/such/program"]}},
                         "retry": {"max_attempts": 1}});
    client.create_task(&program);
    let run = client.ended_run(client.run_task("gone"));
    assert!(
        run["error"].as_str().unwrap().contains("/no/such/program"),
        "{run}"
    );
    let limit = Duration::from_secs(5);
    wait::until("no child left", limit, || {
        children_of(server.process_id()).is_empty().then_some(())
    });
}

/// Children of a process, zombies included.
fn children_of(parent: u32) -> Vec<String> {
    let is_child = |stat: &str| {
        stat.rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(1))
            == Some(&parent.to_string())
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| is_child(stat))
        .collect()
}
