//! The fire ledger: one row for each planned time, and the run it makes in the same transaction.

use std::sync::Arc;

use autom8_model::schedule::{FireOutcome as Planned, FireSpan, PlannedFire};
use autom8_model::task::Overlap;
use autom8_model::transition::Decision;
use autom8_model::{RunState, Task, TaskId, TaskSpec, Timestamp, Trigger};

use super::Backend;
use super::fixture::{CANCELLED, COMPLETED, Fixture, answer, minutely, name, run_ids, slot_task};
use crate::{Cancelled, Fire, FireBatch, FireOutcome, RecordedFires, Write};

/// The planned times of a task, in minutes after its anchor, each to make a run.
fn minutes(task: &Task, minutes: &[u64]) -> FireBatch {
    let fires: Vec<PlannedFire> = minutes
        .iter()
        .map(|minute| PlannedFire {
            planned_at: at(task, *minute),
            outcome: Planned::Run,
        })
        .collect();
    FireBatch {
        task: task.id,
        rev: task.rev,
        fired_through: fires.last().expect("a fire").planned_at,
        fires,
    }
}

fn at(task: &Task, minute: u64) -> Timestamp {
    task.anchor_at
        .plus(std::time::Duration::from_secs(60 * minute))
}

fn overlapping(name: &str, overlap: Overlap) -> TaskSpec {
    TaskSpec {
        overlap,
        ..minutely(name)
    }
}

async fn record(store: &Fixture<'_>, batch: FireBatch) -> RecordedFires {
    let mut recorded = store.record_fires(vec![batch]).await.unwrap();
    assert_eq!(recorded.len(), 1, "one answer for each batch");
    recorded.remove(0)
}

async fn ledger(store: &Fixture<'_>, task: &Task) -> Vec<Fire> {
    store.fires(task.id, 100).await.unwrap()
}

pub(super) async fn a_fire_makes_a_run_and_a_row(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    let task = store.create(minutely("a")).await;
    store.advance(61);
    let recorded = record(&store, minutes(&task, &[1])).await;
    assert!(!recorded.outdated);
    assert_eq!((recorded.runs.len(), recorded.skipped), (1, 0));
    assert_eq!(recorded.to_cancel, []);
    let run = recorded.runs[0];
    let told = store.get(run).await;
    assert_eq!(
        (told.state, told.trigger),
        (RunState::Queued, Trigger::Schedule)
    );
    assert_eq!(
        (told.planned_at, told.queued_at),
        (Some(at(&task, 1)), store.now())
    );
    assert_eq!(told.input, None);
    let expected = Fire {
        planned_at: at(&task, 1),
        outcome: FireOutcome::Ran,
        run: Some(run),
        through: at(&task, 1),
        count: 1,
        recorded_at: store.now(),
    };
    assert_eq!(ledger(&store, &task).await, std::slice::from_ref(&expected));
    store.advance(5);
    store.crash().await;
    assert_eq!(ledger(&store, &task).await, [expected]);
    let stored = store.task(&name("a")).await.unwrap().unwrap();
    assert_eq!((stored.fired_through, stored.rev), (at(&task, 1), task.rev));
    assert_eq!(store.drain().await, [run]);
}

pub(super) async fn a_planned_time_makes_one_run_for_ever(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    let task = store.create(overlapping("a", Overlap::Allow)).await;
    store.advance(181);
    let first = record(&store, minutes(&task, &[1, 2])).await;
    assert_eq!(first.runs.len(), 2);
    let again = record(&store, minutes(&task, &[1, 2])).await;
    assert_eq!(again.runs, []);
    store.drain().await;
    store.crash().await;
    let beyond = record(&store, minutes(&task, &[2, 3])).await;
    assert_eq!(beyond.runs.len(), 1, "only the third is new");
    let again = record(&store, minutes(&task, &[1])).await;
    assert_eq!(again.runs, []);
    let rows = ledger(&store, &task).await;
    let planned: Vec<Timestamp> = rows.iter().map(|fire| fire.planned_at).collect();
    assert_eq!(
        planned,
        [at(&task, 3), at(&task, 2), at(&task, 1)],
        "newest first"
    );
    assert_eq!(store.fires(task.id, 2).await.unwrap(), rows[..2]);
    let stored = store.task(&name("a")).await.unwrap().unwrap();
    assert_eq!(stored.fired_through, at(&task, 3), "it never goes back");
}

pub(super) async fn of_racing_schedulers_one_makes_the_run(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let task = store.create(overlapping("a", Overlap::Allow)).await;
    store.advance(10_000);
    for minute in 1..=20 {
        let mut racers = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let inner = Arc::clone(&store.store);
            let batch = minutes(&task, &[minute]);
            racers.spawn(async move { inner.record_fires(vec![batch]).await.unwrap().remove(0) });
        }
        let recorded = answer(racers.join_all()).await;
        let made: usize = recorded.iter().map(|one| one.runs.len()).sum();
        assert_eq!(made, 1, "minute {minute}");
    }
    assert_eq!(ledger(&store, &task).await.len(), 20);
    assert_eq!(store.totals().queued, 20);
}

pub(super) async fn times_of_an_old_revision_make_nothing(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let task = store.create(minutely("a")).await;
    let other = store.create(minutely("b")).await;
    store.advance(61);
    let changed = store
        .update_task(
            TaskSpec {
                priority: 4,
                ..minutely("a")
            },
            Write::unattended(),
        )
        .await
        .unwrap();
    let batches = vec![minutes(&task, &[1]), minutes(&other, &[1])];
    let recorded = store.record_fires(batches).await.unwrap();
    assert!(recorded[0].outdated, "it is to be computed anew");
    assert_eq!((recorded[0].runs.len(), recorded[0].skipped), (0, 0));
    assert!(!recorded[1].outdated, "the others are not held up");
    assert_eq!(recorded[1].runs.len(), 1);
    assert_eq!(ledger(&store, &task).await, []);
    let stored = store.task(&name("a")).await.unwrap().unwrap();
    assert_eq!(stored.fired_through, changed.fired_through);
    assert_eq!(record(&store, minutes(&changed, &[1])).await.runs.len(), 1);
}

pub(super) async fn a_paused_or_deleted_task_fires_nothing(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let task = store.create(minutely("a")).await;
    store.advance(61);
    let paused = store
        .set_task_enabled(&name("a"), false, Write::unattended())
        .await
        .unwrap();
    for task in [&task, &paused] {
        let recorded = record(&store, minutes(task, &[1])).await;
        assert!(recorded.outdated);
        assert_eq!(recorded.runs, []);
    }
    store
        .delete_task(&name("a"), Write::unattended())
        .await
        .unwrap();
    let unknown = Task {
        id: TaskId(task.id.0 + 1_000),
        ..(*task).clone()
    };
    for task in [&task, &unknown] {
        let recorded = record(&store, minutes(task, &[1])).await;
        assert!(recorded.outdated);
        assert_eq!(recorded.runs, []);
    }
    assert_eq!(store.totals().queued, 0);
}

pub(super) async fn skip_leaves_out_a_fire_while_the_last_run_has_not_ended(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    let task = store.create(overlapping("a", Overlap::Skip)).await;
    store.advance(600);
    let first = record(&store, minutes(&task, &[1])).await.runs[0];
    // It waits, it runs, it backs off: each is not ended.
    let while_queued = record(&store, minutes(&task, &[2])).await;
    assert_eq!((while_queued.runs.len(), while_queued.skipped), (0, 1));
    let lease = store.claim_one().await;
    assert_eq!(record(&store, minutes(&task, &[3])).await.skipped, 1);
    store
        .settle(&lease, Decision::RetryAt(store.after(60)))
        .await;
    assert_eq!(record(&store, minutes(&task, &[4])).await.skipped, 1);
    store.crash().await;
    assert_eq!(record(&store, minutes(&task, &[5])).await.skipped, 1);
    store.advance(60);
    assert_eq!(store.drain().await, [first]);
    let after = record(&store, minutes(&task, &[6])).await;
    assert_eq!((after.runs.len(), after.skipped), (1, 0));
    let rows = ledger(&store, &task).await;
    let outcomes: Vec<(FireOutcome, bool)> = rows
        .iter()
        .map(|fire| (fire.outcome, fire.run.is_some()))
        .collect();
    let skipped = (FireOutcome::Skipped, false);
    let ran = (FireOutcome::Ran, true);
    assert_eq!(outcomes, [ran, skipped, skipped, skipped, skipped, ran]);
    let repeated = record(&store, minutes(&task, &[2])).await;
    assert_eq!(
        (repeated.runs.len(), repeated.skipped),
        (0, 0),
        "a skipped time stays skipped"
    );
}

pub(super) async fn a_run_asked_to_stop_still_holds_its_place(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let task = store.create(overlapping("a", Overlap::Skip)).await;
    store.advance(600);
    let run = record(&store, minutes(&task, &[1])).await.runs[0];
    let lease = store.claim_one().await;
    assert_eq!(
        store.cancel_run(run, Write::unattended()).await.unwrap(),
        Cancelled::Requested
    );
    assert_eq!(record(&store, minutes(&task, &[2])).await.skipped, 1);
    store.settle(&lease, CANCELLED).await;
    assert_eq!(record(&store, minutes(&task, &[3])).await.runs.len(), 1);
}

pub(super) async fn runs_of_another_origin_neither_refuse_nor_are_refused(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let task = store.create(overlapping("a", Overlap::Skip)).await;
    let other = store.create(overlapping("b", Overlap::Skip)).await;
    store.advance(600);
    store.enqueue_one("a", "1").await;
    store.enqueue_many("a", 3).await;
    record(&store, minutes(&other, &[1])).await;
    let recorded = record(&store, minutes(&task, &[1])).await;
    assert_eq!((recorded.runs.len(), recorded.skipped), (1, 0));
    // And by hand it runs beside the one of its schedule.
    store.enqueue_one("a", "1").await;
    assert_eq!(store.claim_up_to(100).await.len(), 7);
    // A run of its schedule that is older than one by hand still counts.
    assert_eq!(record(&store, minutes(&task, &[2])).await.skipped, 1);
}

pub(super) async fn allow_runs_them_side_by_side(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let task = store.create(overlapping("a", Overlap::Allow)).await;
    store.advance(600);
    let first = record(&store, minutes(&task, &[1])).await.runs;
    let next = record(&store, minutes(&task, &[2, 3])).await.runs;
    assert_eq!(
        run_ids(&store.claim_up_to(10).await),
        [first, next].concat()
    );
}

pub(super) async fn replace_cancels_what_waits_and_asks_what_runs_to_stop(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    let task = store.create(overlapping("a", Overlap::Replace)).await;
    store.advance(600);
    let first = record(&store, minutes(&task, &[1])).await.runs[0];
    let by_hand = store.enqueue_one("a", "1").await;
    let second = record(&store, minutes(&task, &[2])).await;
    assert_eq!((second.runs.len(), second.skipped), (1, 0));
    assert_eq!(second.to_cancel, [], "what waits is cancelled at once");
    let second = second.runs[0];
    assert_eq!(store.state(first).await, RunState::Cancelled);
    assert_eq!(run_ids(&store.claim_up_to(10).await), [by_hand, second]);
    let third = record(&store, minutes(&task, &[3])).await;
    assert_eq!(
        third.to_cancel,
        [second],
        "the run by hand is no part of the schedule"
    );
    assert_eq!(
        store.state(second).await,
        RunState::Running,
        "until its executor has stopped"
    );
    assert_eq!(store.state(third.runs[0]).await, RunState::Queued);
    // The request is durable: a crash ends it.
    store.crash().await;
    assert_eq!(store.state(second).await, RunState::Cancelled);
    assert_eq!(store.state(by_hand).await, RunState::Queued);
    let sum = store.totals().sum();
    assert_eq!((sum.cancelled, store.totals().queued), (2, 2));
    let outcomes: Vec<FireOutcome> = ledger(&store, &task)
        .await
        .iter()
        .map(|fire| fire.outcome)
        .collect();
    assert_eq!(outcomes, [FireOutcome::Ran; 3]);
}

pub(super) async fn missed_times_are_told_as_one_row(backend: &dyn Backend) {
    for (planned, told) in [
        (
            Planned::Coalesced as fn(FireSpan) -> Planned,
            FireOutcome::Coalesced,
        ),
        (Planned::Missed, FireOutcome::Missed),
    ] {
        let store = Fixture::start(backend).await;
        let task = store.create(minutely(told.as_str())).await;
        store.advance(601);
        let span = FireSpan {
            first: at(&task, 1),
            last: at(&task, 9),
            count: 9,
            count_exact: true,
        };
        let summary = PlannedFire {
            planned_at: span.last,
            outcome: planned(span),
        };
        let mut batch = minutes(&task, &[10]);
        batch.fires.insert(0, summary);
        let recorded = record(&store, batch.clone()).await;
        assert_eq!(recorded.runs.len(), 1);
        assert_eq!(
            recorded.skipped, 0,
            "a missed time is not one that was skipped"
        );
        assert_eq!(record(&store, batch).await.runs, []);
        let rows = ledger(&store, &task).await;
        assert_eq!(rows.len(), 2);
        assert_eq!(
            (rows[0].outcome, rows[0].planned_at),
            (FireOutcome::Ran, at(&task, 10))
        );
        let row = &rows[1];
        assert_eq!((row.outcome, row.run, row.count), (told, None, 9));
        assert_eq!(row.through, span.last);
        assert!(span.first <= row.planned_at && row.planned_at <= span.last);
        store.close().await;
    }
}

pub(super) async fn an_empty_plan_is_answered(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    assert!(store.record_fires(vec![]).await.unwrap().is_empty());
    let task = store.create(slot_task("a")).await;
    assert_eq!(ledger(&store, &task).await, []);
}

pub(super) async fn a_run_of_a_schedule_is_retried_like_any_other(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let task = store.create(minutely("a")).await;
    store.advance(61);
    let run = record(&store, minutes(&task, &[1])).await.runs[0];
    let lease = store.claim_one().await;
    store.settle(&lease, Decision::RetryAt(store.now())).await;
    let lease = store.claim_one().await;
    assert_eq!((lease.claimed.run, lease.claimed.attempt), (run, 2));
    store.settle(&lease, COMPLETED).await;
    assert_eq!(store.get(run).await.planned_at, Some(at(&task, 1)));
}
