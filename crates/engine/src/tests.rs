//! The engine as a whole, on a store in memory and in virtual time: timers jump to the next
//! deadline as soon as nothing else can happen, and the clock goes with them.

mod memory_store;
mod on_sqlite;
mod running;
mod scheduling;
mod storing;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use autom8_model::transition::Decision;
use autom8_model::{Clock, Inputs, Monotonic, RunId, TaskSpec, TaskType, Timestamp, Trigger};
use autom8_store::{Enqueue, Finish, Store as _, Write};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use self::memory_store::MemoryStore;
use crate::executor::{Ended, Executor, RunContext};
use crate::executors::BuiltinExecutor;
use crate::observer::{EngineObserver, RunSettled, RunStarted};
use crate::{Engine, EngineConfig, EngineParts, EngineStatus, timer};

/// Virtual time, as the paused runtime tells it.
struct VirtualClock {
    started: tokio::time::Instant,
}

/// 2026-11-24T00:00:00Z.
const MIDNIGHT: Timestamp = Timestamp::from_seconds(1_795_478_400);

impl VirtualClock {
    fn start() -> Arc<Self> {
        Arc::new(VirtualClock {
            started: tokio::time::Instant::now(),
        })
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        MIDNIGHT.plus(self.started.elapsed())
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::from_micros(self.started.elapsed().as_micros() as u64)
    }
}

/// An executor made of a closure.
struct Scripted<F> {
    script: F,
}

#[async_trait]
impl<F> Executor for Scripted<F>
where
    F: Fn(RunContext) -> BoxFuture<'static, Ended> + Send + Sync + 'static,
{
    fn task_type(&self) -> TaskType {
        TaskType::Process
    }

    async fn execute(&self, context: RunContext) -> Ended {
        (self.script)(context).await
    }
}

/// What the observer was told.
#[derive(Default)]
struct Told {
    started: Mutex<Vec<RunId>>,
    settled: Mutex<Vec<(RunId, Decision, Option<String>)>>,
    problems: Mutex<VecDeque<String>>,
}

impl EngineObserver for Told {
    fn run_started(&self, started: &RunStarted<'_>) {
        self.started.lock().push(started.run);
    }

    fn run_settled(&self, settled: &RunSettled<'_>) {
        let error = settled.error.map(str::to_owned);
        self.settled
            .lock()
            .push((settled.run, settled.decision, error));
    }

    fn problem(&self, source: &str, message: &str) {
        self.problems
            .lock()
            .push_back(format!("{source}: {message}"));
    }
}

/// A running engine and everything around it.
struct Stage {
    engine: Arc<Engine>,
    store: Arc<MemoryStore>,
    told: Arc<Told>,
    clock: Arc<VirtualClock>,
}

impl Stage {
    fn new<F, R>(slots: usize, script: F) -> Stage
    where
        F: Fn(RunContext) -> R + Send + Sync + 'static,
        R: Future<Output = Ended> + Send + 'static,
    {
        let clock = VirtualClock::start();
        let store = Arc::new(MemoryStore::new(clock.clone()));
        Self::on(store, clock, slots, script)
    }

    fn on<F, R>(store: Arc<MemoryStore>, clock: Arc<VirtualClock>, slots: usize, script: F) -> Stage
    where
        F: Fn(RunContext) -> R + Send + Sync + 'static,
        R: Future<Output = Ended> + Send + 'static,
    {
        let told = Arc::new(Told::default());
        let script = move |context| -> BoxFuture<'static, Ended> { Box::pin(script(context)) };
        let engine = Engine::start(
            EngineConfig {
                slots,
                ..EngineConfig::default()
            },
            EngineParts {
                store: store.clone(),
                clock: clock.clone(),
                executors: vec![
                    Arc::new(Scripted { script }),
                    Arc::new(BuiltinExecutor::new([])),
                ],
                observer: told.clone(),
            },
        );
        Stage {
            engine,
            store,
            told,
            clock,
        }
    }

    /// Creates the task of `json` and queues one run of it.
    async fn run(&self, json: &str) -> RunId {
        let name = self.task(json).await;
        self.enqueue(&name, 1).await[0]
    }

    async fn task(&self, json: &str) -> String {
        let spec: TaskSpec = serde_json::from_str(json).unwrap();
        let name = spec.name.to_string();
        self.store
            .create_task(spec, Write::unattended())
            .await
            .unwrap();
        self.engine.schedules_changed();
        name
    }

    async fn enqueue(&self, task: &str, runs: usize) -> Vec<RunId> {
        let inputs = Inputs::from_spans(Arc::from([]), vec![0..0; runs]);
        let enqueue = Enqueue {
            task: task.parse().unwrap(),
            trigger: Trigger::Manual,
            inputs,
        };
        self.store
            .enqueue(enqueue, Write::unattended())
            .await
            .unwrap()
            .iter()
            .collect()
    }

    /// Every end of an attempt of `run` so far, once there are `count`.
    async fn finishes(&self, run: RunId, count: usize) -> Vec<Finish> {
        let finished = self.store.wait(|state| {
            let of_run: Vec<Finish> = state
                .finishes
                .iter()
                .filter(|finish| finish.run == run)
                .cloned()
                .collect();
            (of_run.len() >= count).then_some(of_run)
        });
        finished.await
    }

    /// Waits for a status of the engine, in virtual time.
    async fn until(&self, condition: impl Fn(&EngineStatus) -> bool) {
        for _ in 0..1_000 {
            if condition(&self.engine.status()) {
                return;
            }
            timer::sleep(Duration::from_millis(1)).await;
        }
        panic!("{:?}", self.engine.status());
    }

    async fn finish(&self, run: RunId) -> Finish {
        self.finishes(run, 1).await.remove(0)
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// A task of the scripted executor.
fn spec(rest: &str) -> String {
    format!(r#"{{"name":"job","do":{{"process":{{"argv":["x"]}}}}{rest}}}"#)
}
