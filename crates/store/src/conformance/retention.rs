//! What is kept of the history: whole segments leave, the oldest first, and nothing that is open.

use std::collections::BTreeSet;
use std::time::Duration;

use autom8_model::{RunId, RunState, TaskSpec, Timestamp};

use super::Backend;
use super::fixture::{
    COMPLETED, Fixture, batch, input_of, is_not_found, log, minutely, name, slot_task,
};
use crate::{Finish, FireBatch, RetentionPolicy, RetentionReport, RunFilter, Write};

const HOUR: u64 = 3_600;
const RUNS_A_ROUND: usize = 10;

/// Keeps everything younger than so many hours.
fn hours(hours: u64) -> RetentionPolicy {
    RetentionPolicy {
        age_max: Duration::from_secs(hours * HOUR),
        runs_max: u64::MAX,
        bytes_max: u64::MAX,
        audit_age_max: Duration::from_secs(90 * 86_400),
    }
}

/// One round of history: some runs of task `a` that complete, with input and output; then
/// retention.
async fn round(
    store: &Fixture<'_>,
    input_bytes: usize,
    policy: &RetentionPolicy,
) -> RetentionReport {
    let inputs = vec!["7".repeat(input_bytes); RUNS_A_ROUND];
    store
        .enqueue(batch("a", &inputs), Write::unattended())
        .await
        .unwrap();
    let leases = store.claim_up_to(1_000).await;
    let finishes = leases
        .iter()
        .map(|lease| Finish {
            log: log(b"a line\n"),
            ..store.ended(lease, COMPLETED)
        })
        .collect();
    store.finish(finishes).await.unwrap();
    store.apply_retention(policy.clone()).await.unwrap()
}

async fn all_ids(store: &Fixture<'_>) -> BTreeSet<RunId> {
    let every = RunFilter {
        limit: 1_000,
        ..RunFilter::default()
    };
    store.list_ids(every).await.into_iter().collect()
}

/// What was there and is there no more, after checking that it was the oldest that left.
async fn dropped(store: &Fixture<'_>, before: &[(RunId, Timestamp)]) -> Vec<(RunId, Timestamp)> {
    let kept = all_ids(store).await;
    let gone: Vec<_> = before
        .iter()
        .filter(|(run, _)| !kept.contains(run))
        .copied()
        .collect();
    let oldest_kept = before
        .iter()
        .map(|(run, _)| *run)
        .filter(|run| kept.contains(run))
        .min();
    let newest_gone = gone.iter().map(|(run, _)| *run).max();
    assert!(
        oldest_kept.is_none_or(|kept| newest_gone.is_none_or(|gone| gone < kept)),
        "{newest_gone:?} left before {oldest_kept:?}"
    );
    gone
}

pub(super) async fn age_drops_the_oldest_and_never_what_is_younger(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let policy = hours(20);
    let mut history = Vec::new();
    let mut report = RetentionReport::default();
    for index in 0..30 {
        store.advance(2 * HOUR);
        let known = all_ids(&store).await;
        let one = round(&store, 10, &policy).await;
        report.runs_dropped += one.runs_dropped;
        report.segments_dropped += one.segments_dropped;
        let queued_at = store.now();
        history.extend(
            all_ids(&store)
                .await
                .difference(&known)
                .map(|run| (*run, queued_at)),
        );
        if index == 20 {
            store.crash().await;
        }
    }
    assert_eq!(history.len(), 30 * RUNS_A_ROUND);
    let gone = dropped(&store, &history).await;
    assert_eq!(gone.len() as u64, report.runs_dropped, "the reports add up");
    assert!(report.segments_dropped > 0);
    let age = |at: Timestamp| store.now().since(at);
    for (run, at) in &gone {
        assert!(
            age(*at) > policy.age_max,
            "{run} left at the age of {:?}",
            age(*at)
        );
    }
    // A segment spans a twentieth of the age, or the pause between two writes; half is generous.
    let late = history
        .iter()
        .filter(|(_, at)| age(*at) > policy.age_max.mul_f64(1.5))
        .count();
    assert!(
        late > 0 && gone.len() >= late,
        "{} left, {late} are overdue",
        gone.len()
    );
    let (run, _) = gone[0];
    assert!(store.run(run).await.unwrap().is_none());
    assert!(store.run_log(run).await.unwrap().is_empty());
    assert!(store.attempts(run).await.unwrap().is_empty());
    assert!(is_not_found(
        &store.cancel_run(run, Write::unattended()).await
    ));
    assert!(is_not_found(
        &store.replay_run(run, Write::unattended()).await
    ));
    let (newest, _) = history[history.len() - 1];
    assert_eq!(store.run_log(newest).await.unwrap()[0].bytes, b"a line\n");
}

pub(super) async fn what_is_dropped_stays_counted(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let mut report = RetentionReport::default();
    for _ in 0..12 {
        store.advance(2 * HOUR);
        report.runs_dropped += round(&store, 10, &hours(10)).await.runs_dropped;
    }
    assert!(report.runs_dropped > 0);
    assert_eq!(store.totals().sum().completed, 12 * RUNS_A_ROUND as u64);
    store.crash().await;
    assert_eq!(store.totals().sum().completed, 12 * RUNS_A_ROUND as u64);
}

pub(super) async fn lists_are_right_after_a_drop(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let mut report = RetentionReport::default();
    for _ in 0..12 {
        store.advance(2 * HOUR);
        report.runs_dropped += round(&store, 10, &hours(10)).await.runs_dropped;
    }
    assert!(report.runs_dropped > 0);
    for _ in 0..2 {
        let all: Vec<RunId> = all_ids(&store).await.into_iter().rev().collect();
        assert_eq!(
            all.len() as u64,
            12 * RUNS_A_ROUND as u64 - report.runs_dropped
        );
        for filter in [
            RunFilter {
                task: Some(name("a")),
                ..RunFilter::default()
            },
            RunFilter {
                states: vec![RunState::Completed],
                ..RunFilter::default()
            },
            RunFilter {
                trigger: Some(autom8_model::Trigger::Batch),
                ..RunFilter::default()
            },
            RunFilter {
                task_type: Some(autom8_model::TaskType::Process),
                ..RunFilter::default()
            },
        ] {
            for limit in [3, 1_000] {
                let filter = RunFilter {
                    limit,
                    ..filter.clone()
                };
                assert_eq!(store.list_ids(filter.clone()).await, all, "{filter:?}");
            }
        }
        store.crash().await;
    }
}

pub(super) async fn an_open_run_outlives_any_age(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    store.create(slot_task("old")).await;
    store.create(slot_task("far")).await;
    let waiting = store.enqueue_one("old", r#"{"kept":true}"#).await;
    store
        .set_task_enabled(&name("old"), false, Write::unattended())
        .await
        .unwrap();
    let running = store.enqueue_one("far", "1").await;
    let lease = store.claim_one().await;
    assert_eq!(lease.claimed.run, running);
    let mut report = RetentionReport::default();
    for _ in 0..20 {
        store.advance(2 * HOUR);
        report.runs_dropped += round(&store, 10, &hours(10)).await.runs_dropped;
    }
    assert!(report.runs_dropped > 0, "others left");
    assert_eq!(store.state(waiting).await, RunState::Queued);
    assert_eq!(store.state(running).await, RunState::Running);
    assert_eq!(store.in_state(RunState::Queued).await, [waiting]);
    assert_eq!(store.in_state(RunState::Running).await, [running]);
    store.settle(&lease, COMPLETED).await;
    assert_eq!(
        store.state(running).await,
        RunState::Completed,
        "a late end is kept"
    );
    store.crash().await;
    store
        .set_task_enabled(&name("old"), true, Write::unattended())
        .await
        .unwrap();
    let lease = store.claim_one().await;
    assert_eq!(
        (lease.claimed.run, input_of(&lease)),
        (waiting, &br#"{"kept":true}"#[..])
    );
    store.settle(&lease, COMPLETED).await;
    assert_eq!(store.state(waiting).await, RunState::Completed);
    assert_eq!((store.totals().queued, store.totals().running), (0, 0));
}

pub(super) async fn a_bound_on_runs_keeps_the_newest(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    // Young enough to stay, and old enough to close a segment every round.
    let policy = RetentionPolicy {
        runs_max: 50,
        ..hours(1_000)
    };
    for _ in 0..12 {
        store.advance(60 * HOUR);
        round(&store, 10, &policy).await;
    }
    let kept = all_ids(&store).await;
    assert!(kept.len() <= 50 + RUNS_A_ROUND, "{} are kept", kept.len());
    assert!(
        kept.len() >= 50 - 2 * RUNS_A_ROUND,
        "{} are kept",
        kept.len()
    );
    let newest = store.enqueue_one("a", "1").await;
    assert!(
        kept.iter()
            .all(|run| run.0 >= newest.0 - 12 * RUNS_A_ROUND as i64)
    );
    let gap = newest.0 - kept.first().map_or(newest.0, |run| run.0);
    assert!(
        gap <= kept.len() as i64 + 10,
        "what is kept has no holes: {kept:?}"
    );
}

pub(super) async fn a_bound_on_bytes_keeps_the_newest(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    // A round is about 400 kB, twelve are 4.8 MB.
    let policy = RetentionPolicy {
        bytes_max: 1_600_000,
        audit_age_max: Duration::from_secs(90 * 86_400),
        ..hours(1_000)
    };
    let mut report = RetentionReport::default();
    for _ in 0..12 {
        store.advance(60 * HOUR);
        let one = round(&store, 40_000, &policy).await;
        report.runs_dropped += one.runs_dropped;
        report.bytes_freed += one.bytes_freed;
    }
    let kept = all_ids(&store).await;
    assert_eq!(
        kept.len() as u64 + report.runs_dropped,
        12 * RUNS_A_ROUND as u64
    );
    assert!(
        report.bytes_freed >= report.runs_dropped * 30_000,
        "{report:?}"
    );
    assert!(
        kept.len() <= 6 * RUNS_A_ROUND,
        "{} of 120 are kept",
        kept.len()
    );
    assert!(kept.len() >= RUNS_A_ROUND, "the newest stay");
    let last = kept.last().copied().expect("a run");
    assert_eq!(
        store.get(last).await.input.map(|input| input.len()),
        Some(40_000)
    );
}

pub(super) async fn old_rows_of_the_fire_ledger_leave_and_are_not_fired_again(
    backend: &dyn Backend,
) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let task = store
        .create(TaskSpec {
            enabled: true,
            ..minutely("tick")
        })
        .await;
    let mut first = None;
    let mut report = RetentionReport::default();
    for _ in 0..20 {
        store.advance(2 * HOUR);
        let planned_at = store.now();
        let outcome = autom8_model::schedule::FireOutcome::Run;
        let fires = FireBatch {
            task: task.id,
            rev: task.rev,
            fires: vec![autom8_model::schedule::PlannedFire {
                planned_at,
                outcome,
            }],
            fired_through: planned_at,
        };
        first.get_or_insert_with(|| fires.clone());
        store.record_fires(vec![fires]).await.unwrap();
        report.fires_dropped += round(&store, 10, &hours(10)).await.fires_dropped;
    }
    let rows = store.fires(task.id, 1_000).await.unwrap();
    assert_eq!(rows.len() as u64 + report.fires_dropped, 20);
    assert!(report.fires_dropped > 0 && !rows.is_empty());
    let queued = store.totals().queued;
    let again = store
        .record_fires(vec![first.expect("a fire")])
        .await
        .unwrap();
    assert_eq!(again[0].runs, [], "what is accounted for stays so");
    assert_eq!(store.totals().queued, queued);
}

pub(super) async fn a_generous_policy_drops_nothing(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    for _ in 0..3 {
        store.advance(2 * HOUR);
        let report = round(&store, 10, &hours(10_000)).await;
        assert_eq!(report, RetentionReport::default());
    }
    assert_eq!(all_ids(&store).await.len(), 3 * RUNS_A_ROUND);
}
