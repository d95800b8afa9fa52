//! Schedules: every planned time is in the ledger once, whatever happens.

use autom8_model::RunState;
use autom8_model::transition::Decision;
use autom8_store::Write;

use super::memory_store::unavailable;
use super::*;
use crate::timer;

async fn completes(_: RunContext) -> Ended {
    Ended::Completed { result: None }
}

fn minute(n: u64) -> Timestamp {
    MIDNIGHT.plus(Duration::from_secs(60 * n))
}

fn planned(stage: &Stage) -> Vec<Timestamp> {
    stage
        .store
        .edit(|state| state.fires.keys().map(|(_, at)| *at).collect())
}

#[tokio::test(start_paused = true)]
async fn a_cron_task_runs_at_each_of_its_minutes() {
    let stage = Stage::new(2, completes);
    stage
        .task(&spec(r#","schedule":{"cron":"*/2 * * * *"}"#))
        .await;
    timer::sleep(Duration::from_secs(10 * 60 + 1)).await;
    assert_eq!(planned(&stage), [2, 4, 6, 8, 10].map(minute));
    let started = stage.store.edit(|state| state.finishes.clone());
    for (finish, planned) in started.iter().zip(planned(&stage)) {
        assert!(
            finish.started_at.since(planned) < Duration::from_millis(10),
            "{finish:?}"
        );
    }
    assert_eq!(started.len(), 5);
    let status = stage.engine.status();
    assert!(status.scheduler_running);
    assert_eq!(
        (status.schedules, status.next_fire_at),
        (1, Some(minute(12)))
    );
}

#[tokio::test(start_paused = true)]
async fn a_thousand_schedules_at_one_second_are_one_transaction() {
    let stage = Stage::new(8, completes);
    for n in 0..1_000 {
        let json = format!(
            r#"{{"name":"job-{n}","do":{{"builtin":"noop"}},"schedule":{{"cron":"0 * * * *"}}}}"#
        );
        stage.task(&json).await;
    }
    timer::sleep(Duration::from_secs(3_600 + 1)).await;
    stage.store.edit(|state| {
        assert_eq!(state.fires.len(), 1_000);
        assert_eq!(state.fire_transactions, 1);
        assert_eq!(state.finishes.len(), 1_000);
    });
}

#[tokio::test(start_paused = true)]
async fn fires_that_the_store_refused_are_made_up_for() {
    let stage = Stage::new(2, completes);
    stage
        .task(&spec(r#","schedule":{"every":"60s"},"catch_up":"all""#))
        .await;
    // With backoffs of up to 7.5 s this lasts for minutes.
    stage
        .store
        .edit(|state| state.fire_faults.extend((0..40).map(|_| unavailable())));
    stage
        .store
        .wait(|state| (state.fires.len() == 6).then_some(()))
        .await;
    assert_eq!(planned(&stage), [1, 2, 3, 4, 5, 6].map(minute));
    assert!(stage.told.problems.lock()[0].starts_with("scheduler: fires are delayed"));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_nobody_announced_is_found_out_at_the_next_fire() {
    let stage = Stage::new(2, completes);
    stage.task(&spec(r#","schedule":{"every":"60s"}"#)).await;
    timer::sleep(Duration::from_secs(61)).await;
    let changed = spec(r#","schedule":{"every":"7m"}"#);
    stage
        .store
        .update_task(serde_json::from_str(&changed).unwrap(), Write::unattended())
        .await
        .unwrap();
    timer::sleep(Duration::from_secs(7 * 60 + 1)).await;
    let seventh = Timestamp::from_micros(MIDNIGHT.as_micros() + 61_000_000 + 7 * 60_000_000);
    let planned = planned(&stage);
    // Virtual timers round up to whole milliseconds.
    assert_eq!(planned[0], minute(1));
    assert!(
        planned.len() == 2 && planned[1].since(seventh) < SECOND,
        "{planned:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_paused_or_unscheduled_task_fires_nothing() {
    let stage = Stage::new(2, completes);
    stage
        .task(&spec(r#","schedule":{"every":"60s"},"enabled":false"#))
        .await;
    stage
        .task(r#"{"name":"by-hand","do":{"builtin":"noop"}}"#)
        .await;
    timer::sleep(Duration::from_secs(600)).await;
    assert!(planned(&stage).is_empty());
    assert_eq!(stage.engine.status().schedules, 0);
}

#[tokio::test(start_paused = true)]
async fn a_fire_that_replaces_stops_the_run_before_it() {
    let stage = Stage::new(4, |context: RunContext| async move {
        context.cancel.cancelled().await;
        Ended::Cancelled
    });
    let rest = r#","schedule":{"every":"60s"},"overlap":"replace""#;
    stage.task(&spec(rest)).await;
    timer::sleep(Duration::from_secs(181)).await;
    stage.store.edit(|state| {
        let ends: Vec<Decision> = state
            .finishes
            .iter()
            .map(|finish| finish.decision)
            .collect();
        assert_eq!(ends, [Decision::End(RunState::Cancelled); 2]);
        assert_eq!(state.running.len(), 1);
    });
}

#[tokio::test(start_paused = true)]
async fn a_scheduler_that_starts_late_follows_the_rule_for_missed_fires() {
    let clock = VirtualClock::start();
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let json = spec(r#","schedule":{"every":"60s"}"#);
    store
        .create_task(serde_json::from_str(&json).unwrap(), Write::unattended())
        .await
        .unwrap();
    timer::sleep(Duration::from_secs(330)).await;
    let stage = Stage::on(store, clock, 2, completes);
    stage
        .store
        .wait(|state| (!state.finishes.is_empty()).then_some(()))
        .await;
    // The fifth runs, the four before it are one row.
    assert_eq!(planned(&stage), [minute(4), minute(5)]);
    assert_eq!(stage.store.edit(|state| state.finishes.len()), 1);
}
