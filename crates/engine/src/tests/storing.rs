//! What the engine does while its store does not do its part.

use autom8_model::RunState;
use autom8_model::transition::Decision;
use autom8_store::StoreError;
use autom8_store::Write;

use super::memory_store::{ended_as, unavailable};
use super::*;

async fn completes(_: RunContext) -> Ended {
    Ended::Completed { result: None }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_is_kept_until_a_store_that_was_away_takes_it() {
    let stage = Stage::new(2, completes);
    let full = StoreError::DiskFull {
        path: "/data".into(),
    };
    stage.store.edit(|state| {
        state.finish_faults.extend((0..20).map(|_| unavailable()));
        state.finish_faults.extend((0..20).map(|_| full.clone()));
    });
    let run = stage.run(&spec("")).await;
    assert_eq!(
        stage.finish(run).await.decision,
        Decision::End(RunState::Completed)
    );
    let problems = stage.told.problems.lock();
    assert_eq!(problems.len(), 40);
    assert!(problems[39].contains("the disk is full"), "{problems:?}");
}

#[tokio::test(start_paused = true)]
async fn one_outcome_that_cannot_be_stored_does_not_hold_up_its_neighbours() {
    let stage = Stage::new(2, completes);
    let noop = stage
        .task(r#"{"name":"nothing","do":{"builtin":"noop"}}"#)
        .await;
    let runs = stage.enqueue(&noop, 50).await;
    stage.store.edit(|state| state.cursed = Some(runs[7]));
    stage
        .store
        .wait(|state| (ended_as(state, RunState::Completed) == 49).then_some(()))
        .await;
    // The store told of the last one before the finisher gave its place back.
    stage.until(|status| status.instant_in_flight == 1).await;
    let later = stage.enqueue(&noop, 1).await[0];
    stage.finish(later).await;
    stage.store.edit(|state| state.cursed = None);
    stage.finish(runs[7]).await;
    stage.engine.stop(SECOND).await;
    assert_eq!(stage.engine.status().instant_in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stale_finish_is_counted_and_not_told_as_settled() {
    let stage = Stage::new(2, completes);
    stage.store.edit(|state| state.stale = Some(RunId(1)));
    let run = stage.run(&spec("")).await;
    assert_eq!(run, RunId(1));
    let next = stage.enqueue("job", 1).await[0];
    stage.finish(next).await;
    stage.engine.stop(SECOND).await;
    assert_eq!(stage.engine.status().stale_finishes, 1);
    assert!(
        stage
            .told
            .settled
            .lock()
            .iter()
            .all(|(settled, ..)| *settled != run)
    );
}

#[tokio::test(start_paused = true)]
async fn claiming_goes_on_after_trouble_and_tells_of_it_ever_less_often() {
    let stage = Stage::new(2, completes);
    stage
        .store
        .edit(|state| state.claim_faults.extend((0..40).map(|_| unavailable())));
    let run = stage.run(&spec("")).await;
    stage.finish(run).await;
    let waited = stage.clock.now().since(MIDNIGHT);
    // Two lanes share 40 faults; each waits 50 ms, 100 ms, … 5 s.
    assert!(waited > 40 * SECOND && waited < 200 * SECOND, "{waited:?}");
    assert_eq!(stage.told.problems.lock().len(), 40);
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_ever_for_a_store_that_is_gone() {
    let stage = Stage::new(2, completes);
    stage.store.edit(|state| {
        state
            .finish_faults
            .extend((0..10_000).map(|_| unavailable()))
    });
    let run = stage.run(&spec("")).await;
    stage
        .store
        .wait(|state| state.running.contains_key(&run).then_some(()))
        .await;
    let before = stage.clock.now();
    stage.engine.stop(20 * SECOND).await;
    assert!(stage.clock.now().since(before) < 60 * SECOND);
    let problems = stage.told.problems.lock();
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("did not take the last outcomes"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_costs_no_outcome() {
    struct Panics;
    impl EngineObserver for Panics {
        fn run_started(&self, _: &RunStarted<'_>) {}
        fn run_settled(&self, _: &RunSettled<'_>) {
            panic!("a listener's own trouble");
        }
        fn problem(&self, _: &str, _: &str) {}
    }
    let clock = VirtualClock::start();
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let parts = EngineParts {
        store: store.clone(),
        clock: clock.clone(),
        executors: vec![Arc::new(BuiltinExecutor::new([]))],
        observer: Arc::new(Panics),
    };
    let spec = serde_json::from_str(r#"{"name":"nothing","do":{"builtin":"noop"}}"#).unwrap();
    store.create_task(spec, Write::unattended()).await.unwrap();
    let engine = Engine::start(EngineConfig::default(), parts);
    for ended in 1..=3 {
        let enqueue = Enqueue {
            task: "nothing".parse().unwrap(),
            trigger: Trigger::Manual,
            inputs: Inputs::none(),
        };
        store.enqueue(enqueue, Write::unattended()).await.unwrap();
        store
            .wait(|state| (ended_as(state, RunState::Completed) == ended).then_some(()))
            .await;
    }
    engine.stop(SECOND).await;
    assert_eq!(engine.status().instant_in_flight, 0);
}
