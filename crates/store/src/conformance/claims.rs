//! Claims: which runs, in which order, counted before they start, and nobody's twice.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use autom8_model::ready::Lane;
use autom8_model::transition::Decision;
use autom8_model::{RunId, RunState, TaskSpec};
use tokio::task::{JoinHandle, JoinSet};

use super::Backend;
use super::fixture::{
    ANSWER_WAIT_MAX, COMPLETED, Fixture, answer, batch, http_task, instant_task, local_claim, name,
    numbers, run_ids, slot_task, with_attempts,
};
use crate::{Claim, Lease, Write};

/// Long enough that only an early answer can end the test in time.
const LONG_WAIT: Duration = autom8_model::limits::CLAIM_WAIT_MAX;
const _: () = assert!(LONG_WAIT.as_secs() > ANSWER_WAIT_MAX.as_secs());

/// A claim that waits, and is waiting as far as anyone can tell from outside.
async fn waiting_claim(store: &Fixture<'_>) -> JoinHandle<Vec<Lease>> {
    let inner = Arc::clone(&store.store);
    let claim = tokio::spawn(async move {
        let claim = Claim {
            wait: LONG_WAIT,
            ..local_claim(Lane::Slot, 10)
        };
        inner.claim(claim).await.unwrap()
    });
    // A claim that comes after it is answered: so it was taken up, or is about to wait.
    assert!(store.claim_up_to(1).await.is_empty());
    assert!(!claim.is_finished(), "nothing can be claimed yet");
    claim
}

pub(super) async fn higher_priority_goes_first_then_the_older_run(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("low")).await;
    store
        .create(TaskSpec {
            priority: 5,
            ..slot_task("high")
        })
        .await;
    store
        .create(TaskSpec {
            priority: -5,
            ..slot_task("last")
        })
        .await;
    let last = store.enqueue_many("last", 2).await;
    let low = store.enqueue_many("low", 3).await;
    let high = store.enqueue_many("high", 2).await;
    let later = store.enqueue_one("low", "1").await;
    assert_eq!(
        run_ids(&store.claim_up_to(4).await),
        [high[0], high[1], low[0], low[1]]
    );
    assert_eq!(
        run_ids(&store.claim_up_to(10).await),
        [low[2], later, last[0], last[1]]
    );
}

pub(super) async fn the_order_survives_a_restart(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("low")).await;
    store
        .create(TaskSpec {
            priority: 5,
            ..slot_task("high")
        })
        .await;
    let low = store.enqueue_many("low", 3).await;
    let high = store.enqueue_many("high", 2).await;
    let later = store.enqueue_one("low", "1").await;
    store.crash().await;
    let newest = store.enqueue_one("low", "1").await;
    let expected = [high, low, vec![later, newest]].concat();
    assert_eq!(run_ids(&store.claim_up_to(10).await), expected);
}

pub(super) async fn a_claim_takes_only_from_the_queues_it_names(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    for queue in ["blue", "red", "green"] {
        store
            .create(TaskSpec {
                queue: queue.into(),
                ..slot_task(queue)
            })
            .await;
    }
    let red = store.enqueue_one("red", "1").await;
    let blue = store.enqueue_one("blue", "1").await;
    let green = store.enqueue_one("green", "1").await;
    let of = |queues: &[&str]| Claim {
        queues: queues.iter().map(|queue| (*queue).to_owned()).collect(),
        ..local_claim(Lane::Slot, 10)
    };
    assert!(store.claim(of(&["yellow"])).await.unwrap().is_empty());
    let preferred = store.claim(of(&["green", "red"])).await.unwrap();
    assert_eq!(
        run_ids(&preferred),
        [green, red],
        "in the order of preference"
    );
    assert_eq!(
        run_ids(&store.claim(of(&[])).await.unwrap()),
        [blue],
        "no name means any"
    );
}

pub(super) async fn each_lane_has_its_own_runs(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(instant_task("n")).await;
    store.create(slot_task("p")).await;
    store.create(http_task("h")).await;
    let instant = store.enqueue_one("n", "1").await;
    let slots = [
        store.enqueue_one("p", "1").await,
        store.enqueue_one("h", "1").await,
    ];
    store.crash().await;
    assert_eq!(run_ids(&store.claim_up_to(10).await), slots);
    let of_instant = store.claim(local_claim(Lane::Instant, 10)).await.unwrap();
    assert_eq!(run_ids(&of_instant), [instant]);
}

pub(super) async fn a_paused_task_waits_keeps_its_place_and_starves_nobody(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    store.create(slot_task("b")).await;
    let first = store.enqueue_many("a", 2).await;
    let other = store.enqueue_many("b", 2).await;
    store
        .set_task_enabled(&name("a"), false, Write::unattended())
        .await
        .unwrap();
    let while_paused = store.enqueue_one("a", "1").await;
    let later = store.enqueue_one("b", "1").await;
    assert_eq!(run_ids(&store.claim_up_to(2).await), other);
    store.crash().await;
    let claimed = store.drain().await;
    assert_eq!(
        claimed.len(),
        3,
        "{claimed:?}: all of the other task and none of the paused one"
    );
    assert!(claimed.contains(&later));
    let newest = store.enqueue_one("b", "1").await;
    store
        .set_task_enabled(&name("a"), true, Write::unattended())
        .await
        .unwrap();
    let expected = [first, vec![while_paused, newest]].concat();
    assert_eq!(run_ids(&store.claim_up_to(10).await), expected);
}

pub(super) async fn a_claim_takes_no_more_than_it_asked_for(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs = store.enqueue_many("a", 10).await;
    assert_eq!(run_ids(&store.claim_up_to(3).await), runs[..3]);
    assert_eq!(run_ids(&store.claim_up_to(1).await), runs[3..4]);
    assert_eq!(run_ids(&store.claim_up_to(100).await), runs[4..]);
    assert!(store.claim_up_to(100).await.is_empty());
}

pub(super) async fn an_attempt_is_counted_when_it_is_claimed(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let task = store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let queued_at = store.now();
    store.advance(3);
    let lease = store.claim_one().await;
    assert_eq!(
        (lease.claimed.run, lease.claimed.task, lease.claimed.attempt),
        (run, task.id, 1)
    );
    assert_eq!(
        (lease.claimed.queued_at, lease.lease_until),
        (queued_at, None)
    );
    let told = store.get(run).await;
    assert_eq!(
        (told.state, told.attempt, told.epoch),
        (RunState::Running, 1, Some(lease.epoch))
    );
    assert_eq!(
        (told.started_at, told.finished_at),
        (Some(store.now()), None)
    );
    assert_eq!((store.totals().queued, store.totals().running), (0, 1));
    store.settle(&lease, Decision::RetryAt(store.now())).await;
    assert_eq!(
        store.get(run).await.attempt,
        1,
        "a retry is counted when it is claimed"
    );
    let again = store.claim_one().await;
    assert_eq!(again.claimed.attempt, 2);
    assert_eq!(store.get(run).await.attempt, 2);
}

pub(super) async fn epochs_rise_with_every_claim_and_over_a_crash(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(with_attempts(slot_task("a"), 100)).await;
    store.enqueue_many("a", 8).await;
    let mut last = 0;
    for round in 0..8 {
        let leases = store.claim_up_to(2).await;
        assert!(!leases.is_empty());
        let epoch = leases[0].epoch.0;
        assert!(epoch > last, "{epoch} follows {last}");
        last = leases.iter().map(|lease| lease.epoch.0).max().unwrap();
        match round {
            2 => store.crash().await,
            5 => store.restart().await,
            _ => {
                for lease in &leases {
                    store.settle(lease, Decision::RetryAt(store.now())).await;
                }
            }
        }
    }
}

pub(super) async fn a_run_keeps_the_revision_it_was_queued_with(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    let first = store.create(with_attempts(slot_task("a"), 2)).await;
    let old = store.enqueue_many("a", 2).await;
    let second = store
        .update_task(with_attempts(http_task("a"), 5), Write::unattended())
        .await
        .unwrap();
    let new = store.enqueue_one("a", "1").await;
    let lease = store.claim_one().await;
    assert_eq!(
        (lease.claimed.run, lease.task.rev, lease.claimed.rev),
        (old[0], first.rev, first.rev)
    );
    assert_eq!(
        lease.task.spec.action.task_type(),
        first.spec.action.task_type()
    );
    store.settle(&lease, COMPLETED).await;
    store.crash().await;
    let leases = store.claim_up_to(2).await;
    assert_eq!(run_ids(&leases), [old[1], new]);
    assert_eq!(
        [leases[0].task.rev, leases[1].task.rev],
        [first.rev, second.rev]
    );
    let told = store.get(old[1]).await;
    assert_eq!(
        (told.task_type, told.max_attempts),
        (autom8_model::TaskType::Process, 2)
    );
    let told = store.get(new).await;
    assert_eq!(
        (told.task_type, told.max_attempts),
        (autom8_model::TaskType::Http, 5)
    );
}

pub(super) async fn an_empty_answer_means_the_wait_is_over(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let wait = Duration::from_millis(100);
    let started = tokio::time::Instant::now();
    let claim = Claim {
        wait,
        ..local_claim(Lane::Slot, 10)
    };
    assert!(answer(store.claim(claim)).await.unwrap().is_empty());
    assert!(
        started.elapsed() >= wait,
        "it answered before its wait was over"
    );
}

pub(super) async fn a_waiting_claim_is_answered_when_work_arrives(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let claim = waiting_claim(&store).await;
    let run = store.enqueue_one("a", "1").await;
    assert_eq!(run_ids(&answer(claim).await.unwrap()), [run]);
}

pub(super) async fn a_waiting_claim_is_answered_when_a_task_resumes(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store
        .create(TaskSpec {
            enabled: false,
            ..slot_task("a")
        })
        .await;
    let run = store.enqueue_one("a", "1").await;
    let claim = waiting_claim(&store).await;
    store
        .set_task_enabled(&name("a"), true, Write::unattended())
        .await
        .unwrap();
    assert_eq!(run_ids(&answer(claim).await.unwrap()), [run]);
}

pub(super) async fn a_waiting_claim_is_answered_by_a_retry_and_by_a_lost_lease(
    backend: &dyn Backend,
) {
    let store = Fixture::start(backend).await;
    store.create(with_attempts(slot_task("a"), 5)).await;
    let run = store.enqueue_one("a", "1").await;
    let lease = store.claim_one().await;
    let claim = waiting_claim(&store).await;
    store.settle(&lease, Decision::RetryAt(store.now())).await;
    let lease = answer(claim).await.unwrap().remove(0);
    store.settle(&lease, Decision::RetryAt(store.now())).await;
    assert_eq!(store.claim_remotely("far", 1).await.len(), 1);
    let claim = waiting_claim(&store).await;
    assert_eq!(store.tick(20).await.requeued, 1);
    assert_eq!(run_ids(&answer(claim).await.unwrap()), [run]);
}

pub(super) async fn many_claimers_never_share_a_run(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs = store.enqueue_many("a", 600).await;
    let mut claimers = JoinSet::new();
    for _ in 0..8 {
        let inner = Arc::clone(&store.store);
        claimers.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let leases = inner.claim(local_claim(Lane::Slot, 7)).await.unwrap();
                if leases.is_empty() {
                    return mine;
                }
                mine.extend(leases.iter().map(|lease| (lease.claimed.run, lease.epoch)));
            }
        });
    }
    let all: Vec<_> = answer(claimers.join_all()).await.concat();
    let distinct: HashSet<RunId> = all.iter().map(|(run, _)| *run).collect();
    assert_eq!((all.len(), distinct.len()), (runs.len(), runs.len()));
    for (run, epoch) in all {
        assert_eq!(store.get(run).await.epoch, Some(epoch));
    }
}

pub(super) async fn a_cancelled_run_in_the_middle_of_a_batch_is_passed_over(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs: Vec<RunId> = store
        .enqueue(batch("a", &numbers(6)), Write::unattended())
        .await
        .unwrap()
        .iter()
        .collect();
    store
        .cancel_run(runs[1], Write::unattended())
        .await
        .unwrap();
    assert_eq!(run_ids(&store.claim_up_to(2).await), [runs[0], runs[2]]);
    store
        .cancel_run(runs[4], Write::unattended())
        .await
        .unwrap();
    store.crash().await;
    let mut claimed = store.drain().await;
    claimed.sort();
    assert_eq!(claimed, [runs[0], runs[2], runs[3], runs[5]]);
}
