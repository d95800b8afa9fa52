//! What a person does to one run: cancel it, replay it, look at it.

use crate::Write;
use autom8_model::transition::Decision;
use autom8_model::{Run, RunId, RunState, Trigger};

use super::Backend;
use super::fixture::{
    CANCELLED, COMPLETED, FAILED, Fixture, input_of, is_conflict, is_not_found, name, slot_task,
};
use crate::Cancelled;

/// All that may never change once a run has ended.
fn ended(run: &Run) -> String {
    assert!(run.state.is_terminal());
    format!("{run:?}")
}

pub(super) async fn a_queued_run_is_cancelled_at_once(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    store.advance(5);
    assert_eq!(
        store.cancel_run(run, Write::unattended()).await.unwrap(),
        Cancelled::AtOnce { at: store.now() }
    );
    let told = store.get(run).await;
    assert_eq!(
        (told.state, told.attempt, told.epoch),
        (RunState::Cancelled, 0, None)
    );
    assert_eq!(
        (told.started_at, told.finished_at),
        (None, Some(store.now()))
    );
    assert_eq!(
        (store.totals().queued, store.totals().sum().cancelled),
        (0, 1)
    );
    assert!(store.claim_up_to(1).await.is_empty());
    store.crash().await;
    assert_eq!(store.state(run).await, RunState::Cancelled);
    assert!(store.claim_up_to(1).await.is_empty());
}

pub(super) async fn a_run_that_backs_off_is_cancelled_at_once(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let lease = store.claim_one().await;
    store
        .settle(&lease, Decision::RetryAt(store.after(60)))
        .await;
    assert_eq!(
        store.cancel_run(run, Write::unattended()).await.unwrap(),
        Cancelled::AtOnce { at: store.now() }
    );
    let told = store.get(run).await;
    assert_eq!((told.state, told.attempt), (RunState::Cancelled, 1));
    assert_eq!(store.totals().queued, 0);
    store.advance(61);
    assert!(store.claim_up_to(1).await.is_empty());
    store.crash().await;
    assert!(store.claim_up_to(1).await.is_empty());
}

pub(super) async fn a_suspect_is_cancelled_at_once(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs = store.enqueue_many("a", 2).await;
    store.claim_up_to(2).await;
    store.crash().await;
    assert_eq!(
        store
            .cancel_run(runs[0], Write::unattended())
            .await
            .unwrap(),
        Cancelled::AtOnce { at: store.now() }
    );
    assert_eq!(store.state(runs[0]).await, RunState::Cancelled);
    assert_eq!(store.totals().queued, 1);
    assert_eq!(store.drain().await, [runs[1]]);
}

pub(super) async fn a_running_run_goes_on_until_its_executor_has_stopped(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let lease = store.claim_one().await;
    assert_eq!(
        store.cancel_run(run, Write::unattended()).await.unwrap(),
        Cancelled::Requested
    );
    assert_eq!(store.state(run).await, RunState::Running);
    assert_eq!(store.totals().running, 1);
    assert_eq!(
        store.cancel_run(run, Write::unattended()).await.unwrap(),
        Cancelled::Requested,
        "once more"
    );
    store.settle(&lease, CANCELLED).await;
    assert_eq!(store.state(run).await, RunState::Cancelled);
    assert!(is_conflict(
        &store.cancel_run(run, Write::unattended()).await
    ));
}

pub(super) async fn success_wins_over_a_cancel_that_came_too_late(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let lease = store.claim_one().await;
    store.cancel_run(run, Write::unattended()).await.unwrap();
    store.settle(&lease, COMPLETED).await;
    store.crash().await;
    assert_eq!(store.state(run).await, RunState::Completed);
}

pub(super) async fn a_run_asked_to_stop_is_not_tried_again(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let lease = store.claim_one().await;
    store.cancel_run(run, Write::unattended()).await.unwrap();
    // Its executor did not know yet, and failed on its own.
    store.settle(&lease, Decision::RetryAt(store.now())).await;
    assert_eq!(store.state(run).await, RunState::Cancelled);
    assert!(store.claim_up_to(1).await.is_empty());
    assert_eq!(
        (store.totals().queued, store.totals().sum().cancelled),
        (0, 1)
    );
}

pub(super) async fn a_crash_ends_a_run_that_was_asked_to_stop(backend: &dyn Backend) {
    for graceful in [false, true] {
        let mut store = Fixture::start(backend).await;
        let task = if graceful { "b" } else { "a" };
        store.create(slot_task(task)).await;
        let runs = store.enqueue_many(task, 2).await;
        store.claim_up_to(2).await;
        store
            .cancel_run(runs[0], Write::unattended())
            .await
            .unwrap();
        if graceful {
            store.restart().await;
        } else {
            store.crash().await;
        }
        let told = store.get(runs[0]).await;
        assert_eq!((told.state, told.attempt), (RunState::Cancelled, 1));
        assert_eq!(store.drain().await, [runs[1]]);
        store.close().await;
    }
}

pub(super) async fn an_unknown_run_is_not_found(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let known = store.enqueue_one("a", "1").await;
    for unknown in [
        RunId(known.0 + 1),
        RunId(known.0 + 1_000_000),
        RunId(0),
        RunId(-1),
    ] {
        assert!(store.run(unknown).await.unwrap().is_none());
        assert!(is_not_found(
            &store.cancel_run(unknown, Write::unattended()).await
        ));
        assert!(is_not_found(
            &store.replay_run(unknown, Write::unattended()).await
        ));
        assert!(store.run_log(unknown).await.unwrap().is_empty());
    }
}

pub(super) async fn a_replay_is_a_new_run_that_names_the_old(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let input = r#"{ "x" :  [1,2] }"#;
    let old = store.enqueue_one("a", input).await;
    let lease = store.claim_one().await;
    store.settle(&lease, FAILED).await;
    let before = ended(&store.get(old).await);
    store.advance(60);
    let replayed = store.replay_run(old, Write::unattended()).await.unwrap();
    let new = replayed.run;
    assert!(new > old);
    assert_eq!(replayed.input.as_deref(), Some(input.as_bytes()));
    let told = store.get(new).await;
    assert_eq!(
        (told.state, told.attempt, told.task),
        (RunState::Queued, 0, name("a"))
    );
    assert_eq!((told.trigger, told.replay_of), (Trigger::Replay, Some(old)));
    assert_eq!(
        (told.queued_at, told.input.as_deref()),
        (store.now(), Some(input.as_bytes()))
    );
    store.crash().await;
    let lease = store.claim_one().await;
    assert_eq!((lease.claimed.run, lease.claimed.attempt), (new, 1));
    assert_eq!(input_of(&lease), input.as_bytes());
    store.settle(&lease, COMPLETED).await;
    let newest = store
        .replay_run(new, Write::unattended())
        .await
        .unwrap()
        .run;
    assert_eq!(store.get(newest).await.replay_of, Some(new));
    assert_eq!(
        ended(&store.get(old).await),
        before,
        "the old run is as it was"
    );
}

pub(super) async fn only_an_ended_run_is_replayed(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs = store.enqueue_many("a", 2).await;
    assert!(
        is_conflict(&store.replay_run(runs[0], Write::unattended()).await),
        "it waits"
    );
    let lease = store.claim_one().await;
    assert!(
        is_conflict(&store.replay_run(runs[0], Write::unattended()).await),
        "it runs"
    );
    store
        .settle(&lease, Decision::RetryAt(store.after(60)))
        .await;
    assert!(
        is_conflict(&store.replay_run(runs[0], Write::unattended()).await),
        "it backs off"
    );
    store
        .cancel_run(runs[0], Write::unattended())
        .await
        .unwrap();
    assert!(store.replay_run(runs[0], Write::unattended()).await.is_ok());
    assert_eq!(store.totals().queued, 2);
}

pub(super) async fn a_run_whose_task_is_gone_is_not_replayed(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    store.drain().await;
    store
        .delete_task(&name("a"), Write::unattended())
        .await
        .unwrap();
    assert!(is_not_found(
        &store.replay_run(run, Write::unattended()).await
    ));
    assert_eq!(store.totals().queued, 0);
}
