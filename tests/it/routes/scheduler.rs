use autom8_tests::steps::{http_task, noop_task, with};
use autom8_tests::{Server, ServerOptions, Sink, wait};
use serde_json::json;

#[test]
fn jobs_are_the_tasks_with_a_schedule_and_obey_by_name() {
    let sink = Sink::start();
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    let daily = json!({"schedule": {"cron": "0 2 * * *"}});
    client.create_task(&with(http_task("daily", &sink.url("/ok")), daily));
    client.create_task(&noop_task("by-hand"));
    let status = client.get("/api/v1/scheduler/status").expect(200);
    assert_eq!(status["running"], true);
    let jobs = status["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 1, "{status}");
    assert_eq!(jobs[0]["name"], "daily");
    assert!(
        jobs[0]["next_run_time"]
            .as_str()
            .unwrap()
            .ends_with("02:00:00Z"),
        "{status}"
    );
    assert!(
        jobs[0]["trigger"].as_str().unwrap().contains("0 2 * * *"),
        "{status}"
    );
    assert!(!jobs[0]["id"].is_null());

    let answer = client.post_empty("/api/v1/scheduler/jobs/daily/run");
    assert!(answer.status / 100 == 2, "{}", answer.text());
    sink.wait_for("the run by hand", wait::PROMPT, |_| true);
    let answer = client.post_empty("/api/v1/scheduler/jobs/daily/pause");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let paused = client.get("/api/v1/scheduler/status").expect(200);
    assert!(paused["jobs"][0]["next_run_time"].is_null(), "{paused}");
    client
        .post_empty("/api/v1/scheduler/jobs/daily/resume")
        .expect(200);
    client
        .post_empty("/api/v1/scheduler/jobs/none/run")
        .expect(404);
}

#[test]
fn an_interval_fires_at_its_anchor_plus_whole_steps_and_once_a_step() {
    let sink = Sink::start();
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    let each_second = json!({"schedule": {"every": "1s"}});
    client.create_task(&with(http_task("tick", &sink.url("/ok")), each_second));
    wait::until("four fires", wait::PATIENT, || {
        (sink.count() >= 4).then_some(())
    });
    let runs = client.all_runs("task=tick");
    let mut planned: Vec<&str> = runs
        .iter()
        .map(|run| run["planned_at"].as_str().unwrap())
        .collect();
    // The same fraction of a second each time.
    let fraction = |time: &str| {
        time.trim_end_matches('Z')
            .split_once('.')
            .map(|(_, f)| f.to_owned())
    };
    assert!(
        planned
            .iter()
            .all(|time| fraction(time) == fraction(planned[0])),
        "{planned:?}"
    );
    planned.dedup();
    assert_eq!(planned.len(), runs.len(), "one run a planned time");
    assert!(runs.iter().all(|run| run["trigger"] == "schedule"));
}

#[test]
fn a_fire_is_skipped_while_the_run_before_it_goes_on() {
    let sink = Sink::start();
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&with(
        http_task("long", &sink.url("/hold")),
        json!({"schedule": {"every": "1s"}, "overlap": "skip"}),
    ));
    client.create_task(&with(
        http_task("other", &sink.url("/ok")),
        json!({"schedule": {"every": "1s"}}),
    ));
    let of = |task: &str| client.all_runs(&format!("task={task}")).len();
    wait::until("the first fire", wait::PATIENT, || {
        (of("long") == 1).then_some(())
    });
    let others = of("other");
    wait::until("two more steps", wait::PATIENT, || {
        (of("other") >= others + 2).then_some(())
    });
    assert_eq!(of("long"), 1);
    sink.release();
    wait::until("fires go on", wait::PATIENT, || {
        (of("long") > 1).then_some(())
    });
}

#[test]
fn a_one_shot_in_the_past_never_runs() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    let answer = client.post(
        "/api/v1/tasks",
        &with(
            noop_task("past"),
            json!({"schedule": {"at": "2020-01-01T00:00:00Z"}}),
        ),
    );
    // A schedule counts from when it was set: a time before that never fires.
    if answer.status == 201 {
        assert!(answer.json()["next_run_at"].is_null(), "{}", answer.text());
        client.create_task(&noop_task("other"));
        client.ended_run(client.run_task("other"));
        assert_eq!(client.all_runs("task=past").len(), 0);
    } else {
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
}
