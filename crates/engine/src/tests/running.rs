//! One run: how it is led, stopped and recorded.

use autom8_store::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use autom8_model::transition::Decision;
use autom8_model::{RunState, limits};

use super::memory_store::ended_as;
use super::*;
use crate::attempt::WIND_DOWN;
use crate::timer;

async fn forever() -> Ended {
    std::future::pending().await
}

async fn until_stopped(context: RunContext) -> Ended {
    context.cancel.cancelled().await;
    Ended::Cancelled
}

#[tokio::test(start_paused = true)]
async fn a_completed_run_is_recorded_with_its_result_and_output() {
    let stage = Stage::new(2, |context| async move {
        context.log.write(b"hello\n");
        timer::sleep(SECOND).await;
        Ended::Completed {
            result: Some(b"{\"n\":1}".to_vec()),
        }
    });
    let run = stage.run(&spec("")).await;
    let finish = stage.finish(run).await;
    assert_eq!(finish.decision, Decision::End(RunState::Completed));
    assert_eq!(finish.result.as_deref(), Some(&b"{\"n\":1}"[..]));
    assert_eq!(finish.log.unwrap().bytes, b"hello\n");
    assert_eq!(finish.finished_at.since(finish.started_at), SECOND);
    stage.engine.stop(SECOND).await;
    assert_eq!(*stage.told.started.lock(), [run]);
    assert_eq!(stage.told.settled.lock()[0].0, run);
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_the_attempt_alone_and_the_next_one_may_succeed() {
    let stage = Stage::new(2, |context| async move {
        if context.attempt == 1 {
            panic!("no luck with {}", context.run);
        }
        Ended::Completed { result: None }
    });
    let run = stage.run(&spec("")).await;
    let finishes = stage.finishes(run, 2).await;
    assert!(matches!(finishes[0].decision, Decision::RetryAt(_)));
    assert_eq!(
        finishes[0].error,
        Some(format!("the executor panicked: no luck with {run}"))
    );
    assert_eq!(finishes[1].decision, Decision::End(RunState::Completed));
    assert!(
        finishes[1].started_at.since(finishes[0].finished_at) >= SECOND,
        "the backoff"
    );
}

#[tokio::test(start_paused = true)]
async fn an_attempt_beyond_its_timeout_is_stopped_even_if_it_will_not_hear() {
    let stage = Stage::new(2, |_| forever());
    let run = stage
        .run(&spec(r#","timeout":"30s","retry":{"max_attempts":1}"#))
        .await;
    let finish = stage.finish(run).await;
    assert_eq!(finish.decision, Decision::End(RunState::Failed));
    assert_eq!(finish.error.as_deref(), Some("timed out after 30s"));
    assert_eq!(
        finish.finished_at.since(finish.started_at),
        30 * SECOND + WIND_DOWN
    );
}

#[tokio::test(start_paused = true)]
async fn what_completes_only_when_told_to_stop_has_still_timed_out() {
    let stage = Stage::new(2, |context| async move {
        context.cancel.cancelled().await;
        Ended::Completed { result: None }
    });
    let run = stage
        .run(&spec(r#","timeout":"30s","retry":{"max_attempts":1}"#))
        .await;
    assert_eq!(
        stage.finish(run).await.decision,
        Decision::End(RunState::Failed)
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancel_stops_the_executor_and_ends_the_run_cancelled() {
    let stage = Stage::new(2, until_stopped);
    let run = stage.run(&spec("")).await;
    stage
        .store
        .wait(|state| state.running.contains_key(&run).then_some(()))
        .await;
    assert_eq!(
        stage
            .engine
            .cancel_run(run, Write::unattended())
            .await
            .unwrap(),
        autom8_store::Cancelled::Requested
    );
    assert_eq!(
        stage.finish(run).await.decision,
        Decision::End(RunState::Cancelled)
    );
    assert!(
        stage
            .engine
            .cancel_run(run, Write::unattended())
            .await
            .is_err(),
        "it has ended"
    );
}

#[tokio::test(start_paused = true)]
async fn a_success_that_was_quicker_than_its_cancel_stays_one() {
    let stage = Stage::new(2, |context| async move {
        context.cancel.cancelled().await;
        Ended::Completed { result: None }
    });
    let run = stage.run(&spec("")).await;
    stage
        .store
        .wait(|state| state.running.contains_key(&run).then_some(()))
        .await;
    stage
        .engine
        .cancel_run(run, Write::unattended())
        .await
        .unwrap();
    assert_eq!(
        stage.finish(run).await.decision,
        Decision::End(RunState::Completed)
    );
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_what_ends_within_the_grace_and_gives_back_the_rest() {
    let stage = Stage::new(4, |context| async move {
        if context.task.spec.name.as_str() == "quick" {
            timer::sleep(5 * SECOND).await;
            return Ended::Completed { result: None };
        }
        until_stopped(context).await
    });
    let process = r#""do":{"process":{"argv":["x"]}}"#;
    let quick = stage.run(&format!(r#"{{"name":"quick",{process}}}"#)).await;
    let slow = stage.run(&format!(r#"{{"name":"slow",{process}}}"#)).await;
    let once = stage
        .run(&format!(r#"{{"name":"once",{process},"on_crash":"fail"}}"#))
        .await;
    stage
        .store
        .wait(|state| (state.running.len() == 3).then_some(()))
        .await;
    let before = stage.clock.now();
    stage.engine.stop(20 * SECOND).await;
    assert!(stage.clock.now().since(before) < 21 * SECOND);
    assert_eq!(
        stage.finish(quick).await.decision,
        Decision::End(RunState::Completed)
    );
    let slow = stage.finish(slow).await;
    assert!(matches!(slow.decision, Decision::RetryAt(at) if at == slow.finished_at));
    assert_eq!(
        stage.finish(once).await.decision,
        Decision::End(RunState::Interrupted)
    );
    assert_eq!(stage.engine.status().slots_busy, 0);
    let later = stage.enqueue("quick", 1).await[0];
    timer::sleep(60 * SECOND).await;
    assert!(
        stage
            .store
            .edit(|state| state.finishes.iter().all(|f| f.run != later))
    );
    stage.engine.stop(20 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn never_more_runs_at_once_than_slots_and_the_noops_pass_them_by() {
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let stage = Stage::new(3, {
        let (running, most) = (running.clone(), most.clone());
        move |_| {
            let (running, most) = (running.clone(), most.clone());
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                timer::sleep(60 * SECOND).await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ended::Completed { result: None }
            }
        }
    });
    let job = stage.task(&spec("")).await;
    stage.enqueue(&job, 10).await;
    stage
        .store
        .wait(|state| (state.running.len() == 3).then_some(()))
        .await;
    let noop = stage
        .task(r#"{"name":"nothing","do":{"builtin":"noop"}}"#)
        .await;
    stage.enqueue(&noop, 20_000).await;
    let noops = |state: &memory_store::State| ended_as(state, RunState::Completed);
    stage
        .store
        .wait(|state| (noops(state) == 20_000).then_some(()))
        .await;
    assert!(
        stage.clock.now().since(MIDNIGHT) < 60 * SECOND,
        "no slot was free meanwhile"
    );
    stage
        .store
        .wait(|state| (noops(state) == 20_010).then_some(()))
        .await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
    stage.engine.stop(SECOND).await;
    assert_eq!(stage.told.settled.lock().len(), 20_010);
    assert_eq!(stage.engine.status().instant_in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_live_log_is_followed_until_the_outcome_is_stored() {
    let stage = Stage::new(1, |context| async move {
        context.log.write(b"one\n");
        timer::sleep(SECOND).await;
        context.log.write(b"two\n");
        Ended::Completed { result: None }
    });
    let run = stage.run(&spec("")).await;
    stage
        .store
        .wait(|state| state.running.contains_key(&run).then_some(()))
        .await;
    while stage.engine.live_log(run).is_none() {
        tokio::task::yield_now().await;
    }
    let log = stage.engine.live_log(run).unwrap();
    let mut changes = log.follow();
    let mut seen = Vec::new();
    while !log.has_ended() {
        let (_, bytes) = log.read_from(seen.len() as u64);
        seen.extend(bytes);
        changes.changed().await.unwrap();
    }
    seen.extend(log.read_from(seen.len() as u64).1);
    assert_eq!(seen, b"one\ntwo\n");
    assert!(stage.engine.live_log(run).is_none());
    stage.finish(run).await;
}

#[tokio::test(start_paused = true)]
async fn results_and_errors_beyond_their_limits_say_so() {
    let stage = Stage::new(1, |context| async move {
        if context.task.spec.name.as_str() == "job" {
            return Ended::failed_for_good("é".repeat(10_000));
        }
        Ended::Completed {
            result: Some(vec![b'7'; 100_000]),
        }
    });
    let run = stage.run(&spec("")).await;
    let error = stage.finish(run).await.error.unwrap();
    assert_eq!(error.chars().count(), autom8_model::limits::ERROR_CHARS_MAX);
    assert!(error.ends_with('…'));
    let run = stage
        .run(r#"{"name":"big","do":{"process":{"argv":["x"]}}}"#)
        .await;
    let result = stage.finish(run).await.result.unwrap();
    assert_eq!(result, br#"{"truncated":true,"bytes":100000}"#);
}

#[tokio::test(start_paused = true)]
async fn a_type_without_an_executor_fails_for_good_and_says_so() {
    let stage = Stage::new(1, |_| forever());
    let run = stage
        .run(r#"{"name":"a","do":{"http":{"url":"http://x"}}}"#)
        .await;
    let finish = stage.finish(run).await;
    assert_eq!(finish.decision, Decision::End(RunState::Failed));
    assert_eq!(
        finish.error.as_deref(),
        Some("this server has no executor for http tasks")
    );
}

#[tokio::test(start_paused = true)]
async fn expired_leases_are_looked_for_before_the_store_takes_it_for_a_standstill() {
    let stage = Stage::new(1, |_| forever());
    let reaps = stage
        .store
        .wait(|state| (state.reaps.len() == 5).then(|| state.reaps.clone()))
        .await;
    for (before, after) in reaps.iter().zip(&reaps[1..]) {
        let gap = after.since(*before);
        assert!(gap < limits::REAP_GAP_MAX, "{reaps:?}");
        assert!(gap >= limits::REAP_EVERY, "{reaps:?}");
    }
}
