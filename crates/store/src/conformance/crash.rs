//! After kill -9: nothing acknowledged is lost, nothing that completed runs again, attempts are
//! counted to the unit, and a run that kills its worker goes down alone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use autom8_model::ready::Lane;
use autom8_model::task::OnCrash;
use autom8_model::transition::Decision;
use autom8_model::{RunId, RunState, TaskSpec};
use parking_lot::Mutex;

use super::Backend;
use super::fixture::{
    COMPLETED, FAILED, Fixture, answer, batch, instant_task, local_claim, name, numbers, run_ids,
    slot_task, with_attempts,
};
use super::random::Random;
use crate::{Finish, Store, Write};

pub(super) async fn what_waited_and_what_ended_is_as_it_was(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs = store.enqueue_many("a", 6).await;
    let leases = store.claim_up_to(4).await;
    store.settle(&leases[0], COMPLETED).await;
    store.settle(&leases[1], FAILED).await;
    store
        .settle(&leases[2], Decision::RetryAt(store.after(60)))
        .await;
    store
        .cancel_run(runs[4], Write::unattended())
        .await
        .unwrap();
    let mut before = Vec::new();
    for index in [0, 1, 2, 4, 5] {
        before.push(format!("{:?}", store.get(runs[index]).await));
    }
    store.crash().await;
    for (index, told) in [0, 1, 2, 4, 5].into_iter().zip(before) {
        assert_eq!(format!("{:?}", store.get(runs[index]).await), told);
    }
    let claimed = store.drain().await;
    assert_eq!(
        claimed.iter().copied().collect::<HashSet<_>>(),
        HashSet::from([runs[3], runs[5]])
    );
}

pub(super) async fn a_run_in_flight_is_counted_and_claimed_again(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(with_attempts(slot_task("a"), 5)).await;
    let run = store.enqueue_one("a", r#"{"x":1}"#).await;
    for attempt in 1..=4_u16 {
        let lease = store.claim_one().await;
        assert_eq!((lease.claimed.run, lease.claimed.attempt), (run, attempt));
        assert_eq!(super::fixture::input_of(&lease), br#"{"x":1}"#);
        store.crash().await;
        let told = store.get(run).await;
        assert_eq!((told.state, told.attempt), (RunState::Queued, attempt));
        assert_eq!(told.finished_at, None);
        assert_eq!((store.totals().queued, store.totals().running), (1, 0));
        let attempts = store.attempts(run).await.unwrap();
        assert_eq!(
            attempts.len(),
            usize::from(attempt),
            "each lost attempt is listed"
        );
        assert_eq!(attempts[usize::from(attempt) - 1].epoch, lease.epoch);
    }
    let lease = store.claim_one().await;
    assert_eq!(lease.claimed.attempt, 5);
    store.settle(&lease, COMPLETED).await;
}

pub(super) async fn a_crash_on_the_last_attempt_fails_the_run(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(with_attempts(slot_task("a"), 2)).await;
    let run = store.enqueue_one("a", "1").await;
    store.claim_one().await;
    store.crash().await;
    store.claim_one().await;
    store.crash().await;
    let told = store.get(run).await;
    assert_eq!((told.state, told.attempt), (RunState::Failed, 2));
    assert!(
        told.finished_at.is_some() && told.error.is_some(),
        "{told:?}"
    );
    assert!(store.claim_up_to(1).await.is_empty());
    let sum = store.totals().sum();
    assert_eq!((sum.failed, sum.running, store.totals().queued), (1, 0, 0));
}

pub(super) async fn on_crash_fail_ends_as_interrupted(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store
        .create(TaskSpec {
            on_crash: OnCrash::Fail,
            ..slot_task("a")
        })
        .await;
    let runs = store.enqueue_many("a", 2).await;
    assert_eq!(store.claim_one().await.claimed.run, runs[0]);
    store.crash().await;
    let told = store.get(runs[0]).await;
    assert_eq!((told.state, told.attempt), (RunState::Interrupted, 1));
    assert!(told.finished_at.is_some());
    assert_eq!(store.totals().sum().interrupted, 1);
    assert_eq!(store.drain().await, [runs[1]], "what only waited goes on");
}

pub(super) async fn the_revision_decides_what_a_crash_does(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    store
        .update_task(
            TaskSpec {
                on_crash: OnCrash::Fail,
                ..slot_task("a")
            },
            Write::unattended(),
        )
        .await
        .unwrap();
    store.claim_one().await;
    store.crash().await;
    assert_eq!(
        store.state(run).await,
        RunState::Queued,
        "it was queued when a crash meant retry"
    );
}

pub(super) async fn suspects_are_claimed_in_halves(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs = store.enqueue_many("a", 16).await;
    store.claim_up_to(16).await;
    store.crash().await;
    assert_eq!(store.totals().queued, 16);
    let mut seen = Vec::new();
    for expected in [8, 4, 2, 1, 1] {
        let leases = store.claim_up_to(100).await;
        assert_eq!(leases.len(), expected, "a half of what is left");
        assert!(leases.iter().all(|lease| lease.claimed.attempt == 2));
        assert!(
            store.claim_up_to(100).await.is_empty(),
            "the next half waits for this one"
        );
        seen.extend(run_ids(&leases));
        let ends = leases
            .iter()
            .map(|lease| store.ended(lease, COMPLETED))
            .collect();
        store.finish(ends).await.unwrap();
    }
    seen.sort();
    assert_eq!(seen, runs);
}

pub(super) async fn on_its_last_attempt_a_suspect_goes_alone(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(with_attempts(slot_task("a"), 2)).await;
    let runs = store.enqueue_many("a", 4).await;
    store.claim_up_to(4).await;
    store.crash().await;
    for run in runs {
        let leases = store.claim_up_to(100).await;
        assert_eq!(run_ids(&leases), [run]);
        assert!(store.claim_up_to(100).await.is_empty());
        store.settle(&leases[0], COMPLETED).await;
    }
}

pub(super) async fn suspects_hold_up_no_one_else(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    store.create(slot_task("b")).await;
    store.enqueue_many("a", 8).await;
    store.claim_up_to(8).await;
    let others = store.enqueue_many("b", 5).await;
    store.crash().await;
    let leases = store.claim_up_to(100).await;
    let claimed: HashSet<RunId> = run_ids(&leases).into_iter().collect();
    assert!(others.iter().all(|run| claimed.contains(run)));
    let fresh = store.enqueue_one("b", "1").await;
    assert_eq!(run_ids(&store.claim_up_to(100).await), [fresh]);
}

/// One run kills its process whenever it starts. It alone fails; nobody else pays for it.
pub(super) async fn a_poison_pill_fails_alone(backend: &dyn Backend) {
    for position in [0, 11, 23] {
        let mut store = Fixture::start(backend).await;
        let task = format!("a{position}");
        store.create(with_attempts(slot_task(&task), 3)).await;
        let runs = store.enqueue_many(&task, 24).await;
        let poison = runs[position];
        let mut crashes = 0;
        loop {
            let leases = store.claim_up_to(16).await;
            if leases.is_empty() {
                break;
            }
            if run_ids(&leases).contains(&poison) {
                crashes += 1;
                assert!(crashes <= 3, "as many crashes as attempts");
                store.crash().await;
                continue;
            }
            let ends = leases
                .iter()
                .map(|lease| store.ended(lease, COMPLETED))
                .collect();
            store.finish(ends).await.unwrap();
        }
        assert_eq!(crashes, 3);
        for run in runs {
            let expected = if run == poison {
                RunState::Failed
            } else {
                RunState::Completed
            };
            assert_eq!(
                store.state(run).await,
                expected,
                "{run}, the poison is {poison}"
            );
        }
        store.close().await;
    }
}

pub(super) async fn a_claim_of_thousands_is_given_back_whole(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(instant_task("n")).await;
    let enqueued = store
        .enqueue(batch("n", &numbers(6_000)), Write::unattended())
        .await
        .unwrap();
    let leases = store
        .claim(local_claim(Lane::Instant, 5_000))
        .await
        .unwrap();
    assert_eq!(leases.len(), 5_000);
    let ends: Vec<Finish> = leases
        .iter()
        .step_by(2)
        .map(|lease| store.ended(lease, COMPLETED))
        .collect();
    assert_eq!(store.finish(ends).await.unwrap().accepted, 2_500);
    store.crash().await;
    assert_eq!((store.totals().queued, store.totals().running), (3_500, 0));
    assert_eq!(store.totals().sum().completed, 2_500);
    let mut attempts: HashMap<u16, usize> = HashMap::new();
    loop {
        let leases = store
            .claim(local_claim(Lane::Instant, 5_000))
            .await
            .unwrap();
        if leases.is_empty() {
            break;
        }
        for lease in &leases {
            *attempts.entry(lease.claimed.attempt).or_default() += 1;
        }
        let ends = leases
            .iter()
            .map(|lease| store.ended(lease, COMPLETED))
            .collect();
        assert_eq!(store.finish(ends).await.unwrap().stale, []);
    }
    assert_eq!(attempts, HashMap::from([(1, 1_000), (2, 2_500)]));
    assert_eq!(store.totals().sum().completed, enqueued.count());
}

pub(super) async fn a_crash_right_after_a_crash_changes_nothing(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    store.claim_one().await;
    for _ in 0..3 {
        store.crash().await;
        let told = store.get(run).await;
        assert_eq!(
            (told.state, told.attempt),
            (RunState::Queued, 1),
            "counted once"
        );
        assert_eq!(store.attempts(run).await.unwrap().len(), 1);
    }
    assert!(
        !store
            .set_task_enabled(&name("a"), false, Write::unattended())
            .await
            .unwrap()
            .spec
            .enabled
    );
}

/// What the outside has been told, and so must find again.
#[derive(Default)]
struct Told {
    accepted: HashSet<RunId>,
    /// Claims that were answered: the attempts that may have had an effect.
    attempts: HashMap<RunId, u16>,
    completed: HashSet<RunId>,
}

/// Accepts, claims and ends runs until the store is gone.
async fn work(store: Arc<dyn Store>, told: Arc<Mutex<Told>>, seed: u64) {
    let mut random = Random::seeded(seed);
    loop {
        let inputs = numbers(1 + random.below(5));
        let Ok(enqueued) = store
            .enqueue(batch("a", &inputs), Write::unattended())
            .await
        else {
            return;
        };
        told.lock().accepted.extend(enqueued.iter());
        let Ok(leases) = store
            .claim(local_claim(Lane::Slot, 1 + random.below(6)))
            .await
        else {
            return;
        };
        let mut ends = Vec::new();
        {
            let mut told = told.lock();
            for lease in &leases {
                let run = lease.claimed.run;
                assert!(
                    !told.completed.contains(&run),
                    "{run} completed and runs again"
                );
                let known = told
                    .attempts
                    .insert(run, lease.claimed.attempt)
                    .unwrap_or(0);
                assert!(
                    lease.claimed.attempt > known,
                    "{run} runs attempt {known} twice"
                );
                if random.one_in(4) {
                    continue;
                }
                let now = lease.claimed.queued_at;
                ends.push(Finish {
                    run,
                    epoch: lease.epoch,
                    attempt: lease.claimed.attempt,
                    task_type: lease.task.spec.action.task_type(),
                    decision: if random.one_in(5) {
                        Decision::RetryAt(now)
                    } else {
                        COMPLETED
                    },
                    started_at: now,
                    finished_at: now,
                    result: None,
                    error: None,
                    log: None,
                });
            }
        }
        let completed: Vec<RunId> = ends
            .iter()
            .filter(|end| end.decision == COMPLETED)
            .map(|end| end.run)
            .collect();
        let Ok(finished) = store.finish(ends).await else {
            return;
        };
        assert_eq!(finished.stale, [], "nobody else held them");
        told.lock().completed.extend(completed);
    }
}

/// Crashes in the middle of work by several hands, again and again.
pub(super) async fn nothing_acknowledged_is_lost_under_load(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(with_attempts(slot_task("a"), 100)).await;
    let told = Arc::new(Mutex::new(Told::default()));
    for round in 0..6_u64 {
        let before = told.lock().accepted.len();
        let mut hands = tokio::task::JoinSet::new();
        for hand in 0..4 {
            let seed = round * 10 + hand;
            hands.spawn(work(Arc::clone(&store.store), Arc::clone(&told), seed));
        }
        answer(async {
            while told.lock().accepted.len() < before + 100 {
                assert!(
                    hands.try_join_next().is_none(),
                    "the hands work until the crash"
                );
                tokio::task::yield_now().await;
            }
        })
        .await;
        // Only what was told before this moment is owed. What the hands hear from the dead store
        // afterwards is not: it is another world.
        let owed = std::mem::take(&mut *told.lock());
        backend.crash(Arc::clone(&store.store)).await;
        hands.shutdown().await;
        store.store = backend.start().await;
        store.reap().await.unwrap();
        for run in &owed.accepted {
            let now = store.get(*run).await;
            let attempts = owed.attempts.get(run).copied().unwrap_or(0);
            assert!(
                now.attempt >= attempts,
                "{run}: attempt {attempts} was claimed, {now:?}"
            );
            if owed.completed.contains(run) {
                assert_eq!(now.state, RunState::Completed, "{run}");
            }
        }
        assert_eq!(store.totals().running, 0);
        // Claims that the dead store made durable and never told were attempts as well.
        let mut known = owed;
        for run in store.in_state(RunState::Completed).await {
            known.completed.insert(run);
        }
        for (run, attempt) in &mut known.attempts {
            *attempt = store.get(*run).await.attempt;
        }
        *told.lock() = known;
    }
    store.drain().await;
    let owed = std::mem::take(&mut *told.lock());
    for run in &owed.accepted {
        assert_eq!(store.state(*run).await, RunState::Completed);
    }
    let totals = store.totals();
    assert_eq!((totals.queued, totals.running), (0, 0));
    let completed = store.in_state(RunState::Completed).await;
    assert_eq!(totals.sum().completed, completed.len() as u64);
}
