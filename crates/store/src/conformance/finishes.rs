//! How attempts end: every decision, and the fence against ends that come too late.

use autom8_model::transition::Decision;
use autom8_model::{Epoch, RunId, RunState, TaskType};

use super::Backend;
use super::fixture::{CANCELLED, COMPLETED, FAILED, Fixture, run_ids, slot_task, with_attempts};
use crate::{Finish, Finished};

pub(super) async fn each_terminal_state_is_kept_with_what_it_left(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let states = [
        RunState::Completed,
        RunState::Failed,
        RunState::Cancelled,
        RunState::Interrupted,
    ];
    let runs = store.enqueue_many("a", states.len()).await;
    let leases = store.claim_up_to(states.len()).await;
    let claimed_at = store.now();
    let started_at = store.after(1);
    store.advance(9);
    let finishes: Vec<Finish> = states
        .iter()
        .zip(&leases)
        .map(|(state, lease)| Finish {
            started_at,
            result: Some(format!(r#"{{ "state" : "{}" }}"#, state.as_str()).into_bytes()),
            error: (*state != RunState::Completed).then(|| format!("{} – ä\n", state.as_str())),
            ..store.ended(lease, Decision::End(*state))
        })
        .collect();
    let finished_at = store.now();
    assert!(claimed_at < started_at && started_at < finished_at);
    let finished = store.finish(finishes.clone()).await.unwrap();
    assert_eq!(
        finished,
        Finished {
            accepted: 4,
            stale: vec![]
        }
    );
    for round in ["at once", "after a crash", "after a restart"] {
        for ((state, run), finish) in states.iter().zip(&runs).zip(&finishes) {
            let told = store.get(*run).await;
            assert_eq!(
                (told.state, told.attempt, told.epoch),
                (*state, 1, Some(finish.epoch)),
                "{round}"
            );
            assert_eq!(told.started_at, Some(started_at), "{round}");
            assert_eq!(told.finished_at, Some(finished_at), "{round}");
            assert_eq!(
                (&told.result, &told.error),
                (&finish.result, &finish.error),
                "{round}"
            );
            assert_eq!(told.run_at, None, "{round}");
        }
        match round {
            "at once" => store.crash().await,
            _ => store.restart().await,
        }
    }
    assert!(
        store.claim_up_to(10).await.is_empty(),
        "terminal is terminal"
    );
}

pub(super) async fn a_retry_waits_for_its_time(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", r#"{"x":1}"#).await;
    let lease = store.claim_one().await;
    let run_at = store.after(60);
    store.settle(&lease, Decision::RetryAt(run_at)).await;
    let told = store.get(run).await;
    assert_eq!(
        (told.state, told.attempt, told.run_at),
        (RunState::Queued, 1, Some(run_at))
    );
    assert_eq!((told.finished_at, told.result), (None, None));
    assert_eq!((store.totals().queued, store.totals().running), (1, 0));
    assert!(store.claim_up_to(1).await.is_empty());
    store.advance(59);
    assert!(store.claim_up_to(1).await.is_empty(), "a second too early");
    store.crash().await;
    assert_eq!(store.get(run).await.run_at, Some(run_at));
    assert!(
        store.claim_up_to(1).await.is_empty(),
        "and a crash does not hasten it"
    );
    store.advance(1);
    let again = store.claim_one().await;
    assert_eq!((again.claimed.run, again.claimed.attempt), (run, 2));
    assert_eq!(super::fixture::input_of(&again), br#"{"x":1}"#);
}

pub(super) async fn a_retry_far_ahead_is_claimed_at_its_time(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let lease = store.claim_one().await;
    store
        .settle(&lease, Decision::RetryAt(store.after(3_600)))
        .await;
    store.crash().await;
    store.advance(3_599);
    assert!(store.claim_up_to(1).await.is_empty());
    store.advance(1);
    assert_eq!(store.drain().await, [run]);
}

pub(super) async fn attempts_that_did_not_end_the_run_are_listed_oldest_first(
    backend: &dyn Backend,
) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let mut expected = Vec::new();
    for attempt in 1..=2_u16 {
        store.advance(10);
        let lease = store.claim_one().await;
        let error = Some(format!("attempt {attempt} failed"));
        let started_at = store.now();
        store.advance(2);
        let finish = Finish {
            error: error.clone(),
            started_at,
            ..store.ended(&lease, Decision::RetryAt(store.now()))
        };
        expected.push((attempt, lease.epoch, started_at, store.now(), error));
        assert_eq!(store.finish(vec![finish]).await.unwrap().accepted, 1);
    }
    let lease = store.claim_one().await;
    store.settle(&lease, FAILED).await;
    for _ in 0..2 {
        let told: Vec<_> = store
            .attempts(run)
            .await
            .unwrap()
            .into_iter()
            .map(|one| {
                (
                    one.attempt,
                    one.epoch,
                    one.started_at,
                    one.finished_at,
                    one.error,
                )
            })
            .collect();
        assert_eq!(told, expected);
        assert_eq!(store.get(run).await.attempt, 3, "the last is the run's own");
        store.crash().await;
    }
    assert!(
        store
            .attempts(RunId(run.0 + 1_000))
            .await
            .unwrap()
            .is_empty()
    );
}

pub(super) async fn a_stale_end_is_named_counted_and_never_aborts_the_others(
    backend: &dyn Backend,
) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs = store.enqueue_many("a", 4).await;
    let leases = store.claim_up_to(4).await;
    let mut finishes: Vec<Finish> = leases
        .iter()
        .map(|lease| store.ended(lease, COMPLETED))
        .collect();
    finishes[1].epoch = Epoch(finishes[1].epoch.0 - 1);
    finishes[2].epoch = Epoch(finishes[2].epoch.0 + 1);
    let finished = store.finish(finishes).await.unwrap();
    assert_eq!(
        finished,
        Finished {
            accepted: 2,
            stale: vec![runs[1], runs[2]]
        }
    );
    assert_eq!(store.totals().stale_finishes, 2);
    for (run, state) in runs.iter().zip([
        RunState::Completed,
        RunState::Running,
        RunState::Running,
        RunState::Completed,
    ]) {
        assert_eq!(store.state(*run).await, state);
    }
    store.settle(&leases[1], FAILED).await;
    store.crash().await;
    assert_eq!(store.totals().stale_finishes, 2, "a lifetime count");
}

pub(super) async fn a_second_end_is_refused_and_the_first_stands(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs = store.enqueue_many("a", 2).await;
    let leases = store.claim_up_to(2).await;
    // Twice in one batch.
    let twice = vec![
        store.ended(&leases[0], COMPLETED),
        store.ended(&leases[0], FAILED),
    ];
    let finished = store.finish(twice).await.unwrap();
    assert_eq!(
        finished,
        Finished {
            accepted: 1,
            stale: vec![runs[0]]
        }
    );
    // And later, with the epoch that was right.
    let later = store.finish_one(&leases[0], CANCELLED).await;
    assert_eq!(
        later,
        Finished {
            accepted: 0,
            stale: vec![runs[0]]
        }
    );
    let retried = store
        .finish_one(&leases[0], Decision::RetryAt(store.now()))
        .await;
    assert_eq!(
        retried,
        Finished {
            accepted: 0,
            stale: vec![runs[0]]
        }
    );
    store.crash().await;
    let after_crash = store.finish_one(&leases[0], FAILED).await;
    assert_eq!(
        after_crash,
        Finished {
            accepted: 0,
            stale: vec![runs[0]]
        }
    );
    assert_eq!(store.state(runs[0]).await, RunState::Completed);
    assert_eq!(store.totals().sum().completed, 1);
    assert_eq!(store.totals().sum().failed, 0);
    assert_eq!(store.totals().stale_finishes, 4);
}

pub(super) async fn of_two_ends_at_once_one_is_accepted(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs = store.enqueue_many("a", 50).await;
    let leases = store.claim_up_to(50).await;
    let all = |decision| {
        leases
            .iter()
            .map(|lease| store.ended(lease, decision))
            .collect()
    };
    let (left, right) = tokio::join!(store.finish(all(COMPLETED)), store.finish(all(FAILED)));
    let (left, right) = (left.unwrap(), right.unwrap());
    assert_eq!(left.accepted + right.accepted, runs.len() as u64);
    assert_eq!(left.stale.len() + right.stale.len(), runs.len());
    let sum = store.totals().sum();
    assert_eq!((sum.completed, sum.failed), (left.accepted, right.accepted));
}

pub(super) async fn an_end_after_a_retry_was_claimed_again_is_stale(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let first = store.claim_one().await;
    store.settle(&first, Decision::RetryAt(store.now())).await;
    assert_eq!(
        store.finish_one(&first, COMPLETED).await.stale,
        [run],
        "it waits"
    );
    let second = store.claim_one().await;
    assert_eq!(
        store.finish_one(&first, COMPLETED).await.stale,
        [run],
        "another holds it"
    );
    assert_eq!(store.state(run).await, RunState::Running);
    store.settle(&second, COMPLETED).await;
}

pub(super) async fn an_end_of_an_unknown_run_is_stale(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    store.enqueue_many("a", 2).await;
    let leases = store.claim_up_to(1).await;
    let unknown = RunId(leases[0].claimed.run.0 + 1_000_000);
    let mut finish = store.ended(&leases[0], COMPLETED);
    finish.run = unknown;
    let known = store.ended(&leases[0], COMPLETED);
    let finished = store.finish(vec![finish, known]).await.unwrap();
    assert_eq!(
        finished,
        Finished {
            accepted: 1,
            stale: vec![unknown]
        }
    );
    assert!(store.run(unknown).await.unwrap().is_none());
    // A run that waits has no live epoch either.
    let waiting = RunId(leases[0].claimed.run.0 + 1);
    let finish = Finish {
        run: waiting,
        ..store.ended(&leases[0], COMPLETED)
    };
    assert_eq!(store.finish(vec![finish]).await.unwrap().stale, [waiting]);
    assert_eq!(store.state(waiting).await, RunState::Queued);
}

pub(super) async fn an_end_from_before_a_crash_is_stale(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(with_attempts(slot_task("a"), 5)).await;
    let run = store.enqueue_one("a", "1").await;
    let old = store.claim_one().await;
    store.crash().await;
    assert_eq!(store.finish_one(&old, COMPLETED).await.stale, [run]);
    let new = store.claim_one().await;
    assert_eq!(store.finish_one(&old, COMPLETED).await.stale, [run]);
    store.settle(&new, COMPLETED).await;
}

pub(super) async fn an_empty_list_of_ends_is_answered(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    assert_eq!(store.finish(vec![]).await.unwrap(), Finished::default());
}

pub(super) async fn ends_of_one_claim_may_come_apart_and_in_any_order(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs = store.enqueue_many("a", 9).await;
    let leases = store.claim_up_to(9).await;
    for index in [8, 0, 4, 5, 2] {
        store.settle(&leases[index], COMPLETED).await;
    }
    assert_eq!(store.totals().running, 4);
    store.crash().await;
    for (index, run) in runs.iter().enumerate() {
        let ended = [8, 0, 4, 5, 2].contains(&index);
        let expected = if ended {
            RunState::Completed
        } else {
            RunState::Queued
        };
        assert_eq!(store.state(*run).await, expected, "run {index}");
    }
    let mut again = store.drain().await;
    again.sort();
    assert_eq!(again, [runs[1], runs[3], runs[6], runs[7]]);
    assert!(run_ids(&store.claim_up_to(10).await).is_empty());
    let totals = store.totals();
    assert_eq!(
        (totals.sum().completed, totals.running, totals.queued),
        (9, 0, 0)
    );
    assert_eq!(
        totals
            .by_type
            .iter()
            .filter(|(_, one)| one.completed > 0)
            .count(),
        1
    );
    assert!(
        totals
            .by_type
            .iter()
            .any(|(one, _)| *one == TaskType::Process)
    );
}
