//! The end of a store in good order.

use std::sync::Arc;

use autom8_model::ready::Lane;
use autom8_model::{Inputs, RunState, WorkerName, limits};

use super::Backend;
use super::fixture::{
    COMPLETED, Fixture, answer, is_unavailable, local_claim, log, manual, name, run_ids, slot_task,
};
use crate::{Claim, Finish, RetentionPolicy, RunFilter, StoreError, Write};

pub(super) async fn a_closed_store_answers_that_it_is_unavailable(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let task = store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let lease = store.claim_one().await;
    answer(store.close()).await;
    answer(store.close()).await;
    assert!(is_unavailable(
        &store.create_task(slot_task("b"), Write::unattended()).await
    ));
    assert!(is_unavailable(
        &store.update_task(slot_task("a"), Write::unattended()).await
    ));
    assert!(is_unavailable(
        &store
            .set_task_enabled(&name("a"), false, Write::unattended())
            .await
    ));
    assert!(is_unavailable(
        &store.delete_task(&name("a"), Write::unattended()).await
    ));
    assert!(is_unavailable(
        &store
            .enqueue(manual("a", Inputs::none()), Write::unattended())
            .await
    ));
    assert!(is_unavailable(
        &answer(store.claim(local_claim(Lane::Slot, 1))).await
    ));
    assert!(is_unavailable(
        &store.finish(vec![store.ended(&lease, COMPLETED)]).await
    ));
    let held = vec![(run, lease.epoch)];
    assert!(is_unavailable(
        &store.renew(&WorkerName::new("far"), held).await
    ));
    assert!(is_unavailable(&store.reap().await));
    assert!(is_unavailable(
        &store.cancel_run(run, Write::unattended()).await
    ));
    assert!(is_unavailable(
        &store.replay_run(run, Write::unattended()).await
    ));
    assert!(is_unavailable(&store.fires(task.id, 1).await));
    assert!(is_unavailable(&store.run(run).await));
    assert!(is_unavailable(&store.attempts(run).await));
    assert!(is_unavailable(
        &store
            .runs(RunFilter {
                limit: 1,
                ..RunFilter::default()
            })
            .await
    ));
    assert!(is_unavailable(&store.run_log(run).await));
    let policy = RetentionPolicy {
        age_max: std::time::Duration::from_secs(1),
        runs_max: 1,
        bytes_max: 1,
        audit_age_max: std::time::Duration::from_secs(90 * 86_400),
    };
    assert!(is_unavailable(&store.apply_retention(policy).await));
    assert!(is_unavailable(
        &store.backup(&backend.backup_directory()).await
    ));
}

pub(super) async fn what_was_accepted_before_the_close_is_there_after_it(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let lease = store.claim_one().await;
    let finish = Finish {
        log: log(b"the last words"),
        ..store.ended(&lease, COMPLETED)
    };
    store.finish(vec![finish]).await.unwrap();
    store.restart().await;
    assert_eq!(store.state(run).await, RunState::Completed);
    assert_eq!(
        store.run_log(run).await.unwrap()[0].bytes,
        b"the last words"
    );
}

/// A close while writes arrive: each is accepted and there, or refused and not there.
pub(super) async fn a_write_that_meets_the_close_is_whole_or_refused(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let mut writes = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let inner = Arc::clone(&store.store);
        writes.spawn(async move {
            let mut accepted = Vec::new();
            for _ in 0..100_000 {
                match inner
                    .enqueue(manual("a", Inputs::one(b"1")), Write::unattended())
                    .await
                {
                    Ok(enqueued) => accepted.extend(enqueued.iter()),
                    Err(StoreError::Unavailable { .. }) => return accepted,
                    Err(other) => panic!("{other}"),
                }
            }
            panic!("the store never closed");
        });
    }
    answer(async {
        while store.totals().queued < 50 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    answer(store.close()).await;
    let mut accepted = answer(writes.join_all()).await.concat();
    accepted.sort();
    store.store = backend.start().await;
    assert_eq!(store.drain().await, accepted);
}

pub(super) async fn a_waiting_claim_ends_with_the_store(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let inner = Arc::clone(&store.store);
    let claim = Claim {
        wait: limits::CLAIM_WAIT_MAX,
        ..local_claim(Lane::Slot, 1)
    };
    let waiting = tokio::spawn(async move { inner.claim(claim).await });
    assert!(store.claim_up_to(1).await.is_empty());
    answer(store.close()).await;
    match answer(waiting).await.unwrap() {
        Ok(leases) => assert!(leases.is_empty()),
        Err(error) => assert!(matches!(error, StoreError::Unavailable { .. }), "{error}"),
    }
}

pub(super) async fn a_run_in_flight_is_an_attempt_after_a_close_too(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    store.claim_one().await;
    store.restart().await;
    let told = store.get(run).await;
    assert_eq!((told.state, told.attempt), (RunState::Queued, 1));
    let leases = store.claim_up_to(1).await;
    assert_eq!(
        (run_ids(&leases), leases[0].claimed.attempt),
        (vec![run], 2)
    );
}
