//! The engine on the store it is shipped with, in real time: what both promise together.

use std::path::Path;

use autom8_model::task::TaskSpec;
use autom8_model::{BootId, Random, Run, RunState, SystemClock};
use autom8_store::sqlite::{Durability, SqliteOptions, SqliteStore};
use autom8_store::{RetentionPolicy, Store, Write};
use futures_util::FutureExt as _;

use super::*;
use crate::timer;

struct Node {
    store: Arc<dyn Store>,
    engine: Arc<Engine>,
}

impl Node {
    fn start<F, R>(directory: &Path, script: F) -> Node
    where
        F: Fn(RunContext) -> R + Send + Sync + 'static,
        R: Future<Output = Ended> + Send + 'static,
    {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let options = SqliteOptions {
            directory: directory.to_owned(),
            durability: Durability::Full,
            boot: BootId(Random::from_os().next_u64()),
            retention: RetentionPolicy {
                age_max: Duration::from_secs(86_400),
                runs_max: 1_000_000,
                bytes_max: 1 << 30,
                audit_age_max: Duration::from_secs(90 * 86_400),
            },
        };
        let observer = Arc::new(autom8_store::observe::Unobserved);
        let store: Arc<dyn Store> = SqliteStore::open(options, clock.clone(), observer).unwrap();
        let script = move |context| -> BoxFuture<'static, Ended> { script(context).boxed() };
        let parts = EngineParts {
            store: store.clone(),
            clock,
            executors: vec![
                Arc::new(Scripted { script }),
                Arc::new(BuiltinExecutor::new([])),
            ],
            observer: Arc::new(Told::default()),
        };
        Node {
            engine: Engine::start(EngineConfig::default(), parts),
            store,
        }
    }

    async fn task(&self, json: &str) {
        let spec: TaskSpec = serde_json::from_str(json).unwrap();
        self.store
            .create_task(spec, Write::unattended())
            .await
            .unwrap();
        self.engine.schedules_changed();
    }

    async fn enqueue(&self, task: &str, runs: usize) -> RunId {
        let enqueue = Enqueue {
            task: task.parse().unwrap(),
            trigger: Trigger::Manual,
            inputs: Inputs::from_spans(Arc::from([]), vec![0..0; runs]),
        };
        let enqueued = self
            .store
            .enqueue(enqueue, Write::unattended())
            .await
            .unwrap();
        enqueued.iter().next().unwrap()
    }

    async fn until(&self, run: RunId, condition: impl Fn(&Run) -> bool) -> Run {
        for _ in 0..6_000 {
            let found = self.store.run(run).await.unwrap().unwrap();
            if condition(&found) {
                return found;
            }
            timer::sleep(Duration::from_millis(5)).await;
        }
        panic!("{:?}", self.store.run(run).await);
    }

    async fn until_totals(&self, condition: impl Fn(&autom8_store::Totals) -> bool) {
        for _ in 0..6_000 {
            if condition(&self.store.totals()) {
                return;
            }
            timer::sleep(Duration::from_millis(5)).await;
        }
        panic!("{:?}", self.store.totals());
    }

    async fn stop(self, grace: Duration) {
        self.engine.stop(grace).await;
        self.store.close().await;
    }
}

async fn until_stopped(context: RunContext) -> Ended {
    context.cancel.cancelled().await;
    Ended::Cancelled
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_noops_end_once_each_and_are_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path(), until_stopped);
    node.task(r#"{"name":"nothing","do":{"builtin":"noop"}}"#)
        .await;
    for _ in 0..3 {
        node.enqueue("nothing", 3_333).await;
    }
    node.until_totals(|totals| totals.sum().completed == 9_999)
        .await;
    assert_eq!(node.engine.status().stale_finishes, 0);
    node.stop(SECOND).await;
    let node = Node::start(directory.path(), until_stopped);
    let totals = node.store.totals();
    assert_eq!(
        (totals.sum().completed, totals.queued, totals.running),
        (9_999, 0, 0)
    );
    node.stop(SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_a_stop_cuts_short_is_done_by_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path(), until_stopped);
    node.task(&spec("")).await;
    let run = node.enqueue("job", 1).await;
    // `running` is true with the claim's commit; a stop before the lease has arrived would give it
    // back with no attempt counted.
    node.until(run, |_| node.engine.live_log(run).is_some())
        .await;
    node.stop(Duration::ZERO).await;
    let node = Node::start(directory.path(), |context| async move {
        Ended::Completed {
            result: Some(context.attempt.to_string().into_bytes()),
        }
    });
    let done = node.until(run, |run| run.state.is_terminal()).await;
    assert_eq!(done.state, RunState::Completed);
    assert_eq!((done.attempt, done.result.as_deref()), (2, Some(&b"2"[..])));
    node.stop(SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_and_a_deletion_end_what_runs() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path(), until_stopped);
    node.task(&spec("")).await;
    let [first, second] = [node.enqueue("job", 1).await, node.enqueue("job", 1).await];
    for run in [first, second] {
        node.until(run, |run| run.state == RunState::Running).await;
    }
    node.engine
        .cancel_run(first, Write::unattended())
        .await
        .unwrap();
    node.until(first, |run| run.state == RunState::Cancelled)
        .await;
    let deleted = node
        .store
        .delete_task(&"job".parse().unwrap(), Write::unattended())
        .await
        .unwrap();
    assert_eq!(deleted.running, [second]);
    node.engine.stop_runs(&deleted.running);
    node.until(second, |run| run.state == RunState::Cancelled)
        .await;
    node.stop(SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_runs_on_time_and_goes_on_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let script = |_| async { Ended::Completed { result: None } };
    let node = Node::start(directory.path(), script);
    node.task(&spec(r#","schedule":{"every":"1s"}"#)).await;
    node.until_totals(|totals| totals.sum().completed == 2)
        .await;
    node.stop(SECOND).await;
    let node = Node::start(directory.path(), script);
    node.until_totals(|totals| totals.sum().completed >= 4)
        .await;
    let task = node
        .store
        .task(&"job".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    let fires = node.store.fires(task.id, 100).await.unwrap();
    for fire in fires {
        let off = (fire.planned_at.as_micros() - task.anchor_at.as_micros()) % 1_000_000;
        assert_eq!(off, 0, "{fire:?}");
    }
    node.stop(SECOND).await;
}
