//! The first milestone: schedules run, survive `kill -9`, and show in the task logs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use autom8_tests::sink::{append_command, read_lines};
use autom8_tests::steps::{http_task, noop_task, script_task, with};
use autom8_tests::{Client, Server, ServerOptions, Sink, wait};
use serde_json::{Value, json};

/// A cron task of each minute may have to be waited for a whole one, and a bit.
const ONE_MINUTE: Duration = Duration::from_secs(75);

#[test]
fn cron_and_interval_runs_survive_a_kill_and_show_in_the_task_logs() {
    let sink = Sink::start();
    let mut server = Server::start(&ServerOptions::allowing_processes());
    let file = server.folder().join("effects.txt");
    let client = server.client();
    let script = format!("{}; echo printed by the job", append_command(&file, "ran"));
    client.create_task(&with(
        script_task("each-minute", &script),
        json!({"schedule": {"cron": "*/1 * * * *"}}),
    ));
    client.create_task(&with(
        http_task("each-two-seconds", &sink.url("/ok")),
        json!({"schedule": {"every": "2s"}}),
    ));
    client.create_task(&http_task("held", &sink.url("/hold")));

    let completed = |client: &Client, task: &str| -> BTreeMap<i64, Value> {
        let logs = client
            .get("/api/v1/task_logs?status=completed&limit=1000")
            .expect(200);
        let logs = logs["logs"].as_array().unwrap().iter();
        logs.filter(|log| log["task_name"] == task)
            .map(|log| (log["id"].as_i64().unwrap(), log.clone()))
            .collect()
    };
    wait::until("a run of the cron task", ONE_MINUTE, || {
        (!completed(&client, "each-minute").is_empty()).then_some(())
    });
    wait::until("runs of the interval task", wait::PATIENT, || {
        (completed(&client, "each-two-seconds").len() >= 3).then_some(())
    });
    let log = completed(&client, "each-minute")
        .into_values()
        .next()
        .unwrap();
    assert!(
        log["result"].to_string().contains("printed by the job"),
        "its output: {log}"
    );
    let log = completed(&client, "each-two-seconds")
        .into_values()
        .next()
        .unwrap();
    assert!(
        log["result"].to_string().contains("/ok"),
        "the answer's body: {log}"
    );

    // One run in flight, one acknowledged that has not started, then the end of the process.
    let in_flight = client.run_task("held");
    sink.wait_for("the held call", wait::PROMPT, |effect| {
        effect.run == in_flight
    });
    client.create_task(&with(noop_task("waiting"), json!({"enabled": false})));
    let waiting = client.run_task("waiting");
    let before = client.get("/api/v1/task_logs/stats").expect(200);
    let done: BTreeMap<i64, Value> = ["each-minute", "each-two-seconds"]
        .iter()
        .flat_map(|task| completed(&client, task))
        .collect();
    server.kill();
    server.start_again();
    let client = server.client();

    sink.wait_for("the second attempt", wait::PATIENT, |effect| {
        (effect.run, effect.attempt) == (in_flight, 2)
    });
    sink.release();
    let run = client.ended_run(in_flight);
    assert_eq!(
        (&run["state"], &run["attempt"]),
        (&json!("completed"), &json!(2)),
        "{run}"
    );
    assert_eq!(client.read_run(waiting)["state"], "queued");
    client
        .post_empty("/api/v1/tasks/waiting/resume")
        .expect(200);
    assert_eq!(client.ended_run(waiting)["attempt"], 1);

    // The schedules go on by themselves.
    let interval_runs = done
        .values()
        .filter(|log| log["task_name"] == "each-two-seconds")
        .count();
    wait::until("fires after the restart", wait::PATIENT, || {
        (completed(&client, "each-two-seconds").len() >= interval_runs + 2).then_some(())
    });
    for task in ["each-minute", "each-two-seconds"] {
        client
            .post_empty(&format!("/api/v1/tasks/{task}/pause"))
            .expect(200);
    }
    wait::until("the last run's end", wait::PATIENT, || {
        client.all_runs("state=running").is_empty().then_some(())
    });

    // Nothing that had ended has changed, and nothing was done twice.
    let logs = client.get("/api/v1/task_logs?limit=1000").expect(200);
    let now: BTreeMap<i64, &Value> = logs["logs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|log| (log["id"].as_i64().unwrap(), log))
        .collect();
    for (id, log) in &done {
        assert_eq!(now.get(id), Some(&log), "run {id} changed");
    }
    let arrivals = sink.arrivals();
    assert!(
        arrivals.values().all(|times| *times == 1),
        "an attempt ran twice: {arrivals:?}"
    );
    for (id, log) in &now {
        if log["task_name"] == "each-two-seconds" && log["status"] == "completed" {
            let attempts = arrivals.keys().filter(|(run, _)| run == id).count();
            assert_eq!(
                attempts as u64,
                client.read_run(*id)["attempt"].as_u64().unwrap()
            );
        }
    }
    let lines = read_lines(&file);
    let distinct: BTreeSet<_> = lines.iter().collect();
    assert_eq!(
        distinct.len(),
        lines.len(),
        "a process ran twice: {lines:?}"
    );
    assert_eq!(
        lines.len(),
        now.values()
            .filter(|log| log["task_type"] == "process")
            .count()
    );

    // A planned time made one run at most.
    let scheduled = client.all_runs("trigger=schedule");
    let planned: BTreeSet<(String, String)> = scheduled
        .iter()
        .map(|run| (run["task"].to_string(), run["planned_at"].to_string()))
        .collect();
    assert_eq!(planned.len(), scheduled.len());

    let after = client.get("/api/v1/task_logs/stats").expect(200);
    let listed = now
        .values()
        .filter(|log| log["status"] == "completed")
        .count() as u64;
    assert_eq!(after["completed"], listed, "{after}");
    assert_eq!(
        (&after["failed"], &after["running"]),
        (&json!(0), &json!(0)),
        "{after}"
    );
    assert_eq!(after["success_rate"], 100.0);
    assert!(after["completed"].as_u64() > before["completed"].as_u64());
}

#[test]
fn acknowledged_batches_and_cancels_are_there_after_a_kill() {
    let mut server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&with(noop_task("n"), json!({"enabled": false})));
    let inputs: Vec<u32> = (0..5_000).collect();
    let batch = json!({"task": "n", "inputs": inputs, "return_ids": true});
    let accepted = client.post("/api/v1/runs/batch", &batch).expect(202);
    let first = accepted["ids"][0].as_i64().unwrap();
    client
        .post_empty(&format!("/api/v1/runs/{first}/cancel"))
        .expect(202);
    server.kill();
    server.start_again();
    let client = server.client();
    assert_eq!(client.read_run(first)["state"], "cancelled");
    assert_eq!(client.all_runs("state=queued&limit=1000").len(), 4_999);
    client.post_empty("/api/v1/tasks/n/resume").expect(200);
    wait::until("the whole batch", wait::PATIENT, || {
        let stats = client.get("/api/v1/task_logs/stats").expect(200);
        (stats["completed"] == 4_999).then_some(())
    });
    let runs = client.all_runs("state=completed&limit=1000");
    assert!(
        runs.iter().all(|run| run["attempt"] == 1),
        "a waiting run is not charged"
    );
}

#[test]
fn a_run_that_must_not_be_repeated_ends_as_interrupted() {
    let sink = Sink::start();
    let mut server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&with(
        http_task("pay", &sink.url("/hold")),
        json!({"on_crash": "fail"}),
    ));
    let run = client.run_task("pay");
    sink.wait_for("the payment", wait::PROMPT, |effect| effect.run == run);
    server.kill();
    server.start_again();
    let ended = server.client().ended_run(run);
    assert_eq!(ended["state"], "interrupted", "{ended}");
    assert_eq!(sink.count(), 1);
    assert_eq!(
        server.client().get("/api/v1/task_logs/stats").expect(200)["failed"],
        1
    );
}

#[test]
fn a_run_that_kills_its_server_is_given_up_after_its_attempts() {
    let mut server = Server::start(&ServerOptions::allowing_processes());
    let client = server.client();
    // It waits for a word, so that no start is cut short before it has answered.
    let word = server.folder().join("word");
    let script = format!(
        "while ! rm '{}' 2> /dev/null; do sleep 0.02; done\n\
         # The parent of the child's shell is the server itself.\n\
         kill -9 $PPID; sleep 5",
        word.display()
    );
    client.create_task(&with(
        script_task("poison", &script),
        json!({"retry": {"max_attempts": 2, "backoff": "10ms"}}),
    ));
    let run = client.run_task("poison");
    for _ in 0..2 {
        std::fs::write(&word, b"now").unwrap();
        wait::until("the server's death", wait::PATIENT, || server.exit_status());
        server.forget();
        server.start_again();
    }
    let ended = server.client().ended_run(run);
    assert_eq!(
        (&ended["state"], &ended["attempt"]),
        (&json!("failed"), &json!(2)),
        "{ended}"
    );
}

#[test]
fn what_a_killed_server_left_running_is_ended_before_its_run_is_tried_again() {
    let mut server = Server::start(&ServerOptions::allowing_processes());
    let client = server.client();
    let child = server.folder().join("child");
    // The kernel ends the shell with its server, and leaves the shell's own child to init.
    let script = format!(
        "if [ $AUTOM8_ATTEMPT = 1 ]; then\n\
           sleep 1000 &\n\
           echo $! > '{child}.new'; mv '{child}.new' '{child}'\n\
           wait\n\
         elif grep -q '^State:.[^ZX]' /proc/$(cat '{child}')/status; then\n\
           echo it lives on; exit 1\n\
         fi",
        child = child.display()
    );
    client.create_task(&script_task("family", &script));
    let run = client.run_task("family");
    wait::until("the child", wait::PATIENT, || child.exists().then_some(()));
    server.kill();
    server.start_again();
    let ended = server.client().ended_run(run);
    assert_eq!(
        (&ended["state"], &ended["attempt"]),
        (&json!("completed"), &json!(2)),
        "{ended}"
    );
    wait::until("the server's word of it", wait::PROMPT, || {
        let output = server.output();
        output.contains("had left behind").then_some(())
    });
}
