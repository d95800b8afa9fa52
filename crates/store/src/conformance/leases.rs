//! Timed leases of remote workers: extended, lost, taken back, and fenced.

use autom8_model::task::OnCrash;
use autom8_model::transition::Decision;
use autom8_model::{Epoch, RunId, RunState, TaskSpec, WorkerName};

use super::Backend;
use super::fixture::{
    CANCELLED, COMPLETED, Fixture, LEASE, held, run_ids, slot_task, with_attempts,
};
use crate::{Reaped, Renewed, Write};

fn worker() -> WorkerName {
    WorkerName::new("far")
}

pub(super) async fn a_lease_says_how_long_it_holds(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    store.enqueue_one("a", "1").await;
    let leases = store.claim_remotely("far", 1).await;
    assert_eq!(leases[0].lease_until, Some(store.now().plus(LEASE)));
}

pub(super) async fn a_renewed_lease_lives_and_one_that_is_not_is_taken_back(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs = store.enqueue_many("a", 3).await;
    let kept = store.claim_remotely("far", 1).await;
    let left = store.claim_remotely("gone", 1).await;
    let mut sum = Reaped::default();
    for _ in 0..12 {
        let reaped = store.tick(5).await;
        sum.requeued += reaped.requeued;
        assert_eq!(reaped.ended, 0);
        assert_eq!(
            store.renew(&worker(), held(&kept)).await.unwrap(),
            Renewed::default()
        );
    }
    assert_eq!(sum.requeued, 1, "once");
    assert_eq!(store.state(runs[0]).await, RunState::Running);
    assert_eq!(store.state(runs[1]).await, RunState::Queued);
    assert_eq!(store.finish_one(&left[0], COMPLETED).await.stale, [runs[1]]);
    store.settle(&kept[0], COMPLETED).await;
    let mut rest = store.drain().await;
    rest.sort();
    assert_eq!(rest, runs[1..]);
}

pub(super) async fn a_lease_holds_to_its_end(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let leases = store.claim_remotely("far", 1).await;
    assert_eq!(store.tick(LEASE.as_secs() - 1).await, Reaped::default());
    assert_eq!(
        store.renew(&worker(), held(&leases)).await.unwrap(),
        Renewed::default()
    );
    assert_eq!(store.tick(LEASE.as_secs() - 1).await, Reaped::default());
    assert_eq!(store.state(run).await, RunState::Running);
}

pub(super) async fn a_run_left_out_of_the_heartbeats_is_lost_while_its_neighbour_lives(
    backend: &dyn Backend,
) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs = store.enqueue_many("a", 2).await;
    let leases = store.claim_remotely("far", 2).await;
    for _ in 0..5 {
        store.tick(4).await;
        let renewed = store.renew(&worker(), held(&leases[..1])).await.unwrap();
        assert_eq!(renewed, Renewed::default());
    }
    assert_eq!(store.state(runs[0]).await, RunState::Running);
    assert_eq!(store.state(runs[1]).await, RunState::Queued);
    assert_eq!(
        store.finish_one(&leases[1], COMPLETED).await.stale,
        [runs[1]]
    );
    store.settle(&leases[0], COMPLETED).await;
}

pub(super) async fn a_renewal_names_what_is_lost(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs = store.enqueue_many("a", 3).await;
    let leases = store.claim_remotely("far", 3).await;
    store.settle(&leases[0], COMPLETED).await;
    let mut held = held(&leases);
    held[1].1 = Epoch(held[1].1.0 - 1);
    let unknown = RunId(runs[2].0 + 1_000);
    held.push((unknown, leases[2].epoch));
    let renewed = store.renew(&worker(), held).await.unwrap();
    assert_eq!(renewed.lost, [runs[0], runs[1], unknown]);
    assert_eq!(renewed.cancel, []);
}

pub(super) async fn a_lease_that_was_taken_back_is_lost_even_if_claimed_again(
    backend: &dyn Backend,
) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let first = store.claim_remotely("far", 1).await;
    assert_eq!(
        store.tick(20).await,
        Reaped {
            requeued: 1,
            ended: 0
        }
    );
    assert_eq!(
        store.renew(&worker(), held(&first)).await.unwrap().lost,
        [run]
    );
    let second = store.claim_remotely("far", 1).await;
    assert_eq!((second[0].claimed.run, second[0].claimed.attempt), (run, 2));
    assert!(second[0].epoch > first[0].epoch);
    assert_eq!(
        store.renew(&worker(), held(&first)).await.unwrap().lost,
        [run]
    );
    assert_eq!(
        store.renew(&worker(), held(&second)).await.unwrap().lost,
        []
    );
    assert_eq!(store.finish_one(&first[0], COMPLETED).await.stale, [run]);
    store.settle(&second[0], COMPLETED).await;
}

pub(super) async fn a_cancel_reaches_the_worker_with_its_next_renewal(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs = store.enqueue_many("a", 2).await;
    let leases = store.claim_remotely("far", 2).await;
    store
        .cancel_run(runs[1], Write::unattended())
        .await
        .unwrap();
    for _ in 0..2 {
        let renewed = store.renew(&worker(), held(&leases)).await.unwrap();
        assert_eq!(
            renewed,
            Renewed {
                lost: vec![],
                cancel: vec![runs[1]]
            }
        );
    }
    store.settle(&leases[1], CANCELLED).await;
    let renewed = store.renew(&worker(), held(&leases[..1])).await.unwrap();
    assert_eq!(renewed, Renewed::default());
}

pub(super) async fn a_lost_lease_is_settled_by_the_rules_of_its_task(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("retry")).await;
    store
        .create(TaskSpec {
            on_crash: OnCrash::Fail,
            ..slot_task("fail")
        })
        .await;
    store.create(with_attempts(slot_task("once"), 1)).await;
    store.create(slot_task("stop")).await;
    let mut runs = Vec::new();
    for task in ["retry", "fail", "once", "stop"] {
        runs.push(store.enqueue_one(task, "1").await);
    }
    let leases = store.claim_remotely("far", 4).await;
    assert_eq!(leases.len(), 4);
    store
        .cancel_run(runs[3], Write::unattended())
        .await
        .unwrap();
    assert_eq!(
        store.tick(20).await,
        Reaped {
            requeued: 1,
            ended: 3
        }
    );
    let expected = [
        RunState::Queued,
        RunState::Interrupted,
        RunState::Failed,
        RunState::Cancelled,
    ];
    for (run, state) in runs.iter().zip(expected) {
        let told = store.get(*run).await;
        assert_eq!((told.state, told.attempt), (state, 1));
        assert_eq!(told.finished_at.is_some(), state.is_terminal());
    }
    let sum = store.totals().sum();
    assert_eq!(
        (sum.interrupted, sum.failed, sum.cancelled, sum.completed),
        (1, 1, 1, 0)
    );
    assert_eq!((store.totals().running, store.totals().queued), (0, 1));
    let attempts = store.attempts(runs[0]).await.unwrap();
    assert_eq!(attempts.len(), 1, "the lost attempt did not end the run");
    assert_eq!(
        (attempts[0].attempt, attempts[0].epoch),
        (1, leases[0].epoch)
    );
}

pub(super) async fn lost_attempts_count_until_none_is_left(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(with_attempts(slot_task("a"), 3)).await;
    let run = store.enqueue_one("a", "1").await;
    for attempt in 1..=3 {
        let leases = store.claim_remotely("far", 1).await;
        assert_eq!(run_ids(&leases), [run]);
        assert_eq!(leases[0].claimed.attempt, attempt);
        let reaped = store.tick(20).await;
        let expected = if attempt < 3 { (1, 0) } else { (0, 1) };
        assert_eq!(
            (reaped.requeued, reaped.ended),
            expected,
            "attempt {attempt}"
        );
    }
    let told = store.get(run).await;
    assert_eq!((told.state, told.attempt), (RunState::Failed, 3));
}

pub(super) async fn a_reaper_that_overslept_skips_a_round(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    store.enqueue_one("a", "1").await;
    store.tick(3).await;
    let leases = store.claim_remotely("far", 1).await;
    // The node stood still, so no heartbeat could reach it: the worker is not to blame.
    store.advance(3_600);
    assert_eq!(store.reap().await.unwrap(), Reaped::default());
    assert_eq!(
        store.renew(&worker(), held(&leases)).await.unwrap(),
        Renewed::default()
    );
    assert_eq!(store.tick(5).await, Reaped::default());
    store.settle(&leases[0], COMPLETED).await;
}

pub(super) async fn a_lease_is_not_bent_by_a_step_of_the_wall_clock(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    store.tick(3).await;
    store.claim_remotely("far", 1).await;
    let before = store.now();
    store.clock.step_wall(store.after(7_200));
    assert_eq!(
        store.tick(5).await,
        Reaped::default(),
        "an hour ahead ends no lease"
    );
    store
        .clock
        .step_wall(before.minus(std::time::Duration::from_secs(7_200)));
    assert_eq!(
        store.tick(20).await,
        Reaped {
            requeued: 1,
            ended: 0
        },
        "nor does one behind keep it"
    );
    assert_eq!(store.state(run).await, RunState::Queued);
}

pub(super) async fn a_reaper_leaves_what_the_owner_of_the_store_holds(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let lease = store.claim_one().await;
    assert_eq!(store.tick(120).await, Reaped::default());
    assert_eq!(store.state(run).await, RunState::Running);
    store.settle(&lease, COMPLETED).await;
}

pub(super) async fn a_reaper_never_takes_back_what_has_ended(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs = store.enqueue_many("a", 40).await;
    let leases = store.claim_remotely("far", 40).await;
    store.tick(LEASE.as_secs() - 1).await;
    store.advance(2);
    // The ends and the reaper race for an expired lease.
    let ends = leases
        .iter()
        .map(|lease| store.ended(lease, COMPLETED))
        .collect();
    let (finished, reaped) = tokio::join!(store.finish(ends), store.reap());
    let (finished, mut reaped) = (finished.unwrap(), reaped.unwrap());
    reaped.requeued += store.tick(3).await.requeued;
    assert_eq!(finished.accepted + reaped.requeued, runs.len() as u64);
    assert_eq!(finished.stale.len() as u64, reaped.requeued);
    assert_eq!(
        store.in_state(RunState::Completed).await.len() as u64,
        finished.accepted
    );
    let mut again = store.drain().await;
    again.sort();
    let mut stale = finished.stale;
    stale.sort();
    assert_eq!(
        again, stale,
        "exactly the runs whose end was refused run again"
    );
}

/// Whether a timed lease outlives the death of the node that gave it is the backend's; that the
/// run is either held or free, and never both, is not.
pub(super) async fn after_a_crash_a_remote_lease_is_kept_or_lost_but_never_both(
    backend: &dyn Backend,
) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs = store.enqueue_many("a", 2).await;
    let leases = store.claim_remotely("far", 2).await;
    store
        .cancel_run(runs[1], Write::unattended())
        .await
        .unwrap();
    store.crash().await;
    let renewed = store.renew(&worker(), held(&leases)).await.unwrap();
    if renewed.lost.is_empty() {
        assert_eq!(renewed.cancel, [runs[1]], "the request to stop is durable");
        assert_eq!(store.state(runs[0]).await, RunState::Running);
        assert!(store.claim_up_to(10).await.is_empty());
        store.settle(&leases[0], COMPLETED).await;
        store.settle(&leases[1], CANCELLED).await;
    } else {
        assert_eq!(renewed.lost, runs);
        assert_eq!(store.state(runs[0]).await, RunState::Queued);
        assert_eq!(store.state(runs[1]).await, RunState::Cancelled);
        assert_eq!(
            store.finish_one(&leases[0], COMPLETED).await.stale,
            [runs[0]]
        );
        assert_eq!(store.drain().await, [runs[0]]);
    }
    assert_eq!(store.state(runs[0]).await, RunState::Completed);
    assert_eq!(store.state(runs[1]).await, RunState::Cancelled);
}

pub(super) async fn a_retry_of_a_remote_worker_frees_its_lease(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let leases = store.claim_remotely("far", 1).await;
    store
        .settle(&leases[0], Decision::RetryAt(store.after(60)))
        .await;
    assert_eq!(
        store.tick(30).await,
        Reaped::default(),
        "nothing is held any more"
    );
    assert_eq!(store.get(run).await.attempt, 1);
    assert_eq!(store.attempts(run).await.unwrap().len(), 1);
}
