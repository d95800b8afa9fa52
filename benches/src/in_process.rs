//! The product's engine on its SQLite store, in this process: what the HTTP layer adds is not in
//! these figures.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use autom8_engine::executors::BuiltinExecutor;
use autom8_engine::observer::Unobserved;
use autom8_engine::{Engine, EngineConfig, EngineObserver, EngineParts};
use autom8_model::{BootId, Inputs, Random, SystemClock, TaskName, TaskSpec, Trigger};
use autom8_store::sqlite::{Durability, SqliteOptions, SqliteStore};
use autom8_store::{Enqueue, RetentionPolicy, Store, Write};

use crate::ceiling::{Throughput, Volume};
use crate::machine::{bytes_written, now, pause};

const TASK: &str = "noop";
const BATCHES_IN_FLIGHT: usize = 2;
/// Nothing in these benchmarks takes longer, by far.
const LIMIT: Duration = Duration::from_secs(300);
/// Between two looks at a counter in memory.
const POLL: Duration = Duration::from_micros(500);
const STOP_GRACE: Duration = Duration::from_secs(5);

/// A store with one task `noop`, and a runtime for the engine on it.
pub struct InProcess {
    runtime: tokio::runtime::Runtime,
    pub store: Arc<dyn Store>,
    engine: Option<Arc<Engine>>,
}

impl InProcess {
    pub fn open(folder: &Path) -> Result<InProcess> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let directory = folder.join("data");
        let store = {
            let _inside = runtime.enter();
            open_store(&directory)?
        };
        let spec: TaskSpec = serde_json::from_str(&format!(
            r#"{{"name": "{TASK}", "do": {{"builtin": "noop"}}}}"#
        ))?;
        runtime.block_on(store.create_task(spec, Write::unattended()))?;
        Ok(InProcess {
            runtime,
            store,
            engine: None,
        })
    }

    pub fn start_engine(&mut self, observer: Arc<dyn EngineObserver>) {
        let parts = EngineParts {
            store: Arc::clone(&self.store),
            clock: Arc::new(SystemClock::new()),
            executors: vec![Arc::new(BuiltinExecutor::new([]))],
            observer,
        };
        let _inside = self.runtime.enter();
        self.engine = Some(Engine::start(EngineConfig::default(), parts));
    }

    /// Has the runs wait.
    pub fn pause_task(&self) -> Result<()> {
        let name: TaskName = TASK.parse()?;
        self.runtime.block_on(
            self.store
                .set_task_enabled(&name, false, Write::unattended()),
        )?;
        Ok(())
    }

    /// Enqueues batch after batch, each acknowledged after its commit.
    pub fn enqueue(&self, volume: Volume) -> Result<()> {
        self.runtime.block_on(async {
            let mut outstanding = VecDeque::new();
            let mut left = volume.runs;
            while left > 0 {
                let runs = volume.batch_runs.min(left);
                left -= runs;
                let store = Arc::clone(&self.store);
                let request = batch(runs, volume.payload_bytes)?;
                outstanding.push_back(tokio::spawn(async move {
                    store.enqueue(request, Write::unattended()).await
                }));
                if outstanding.len() >= BATCHES_IN_FLIGHT
                    && let Some(oldest) = outstanding.pop_front()
                {
                    oldest.await??;
                }
            }
            for answer in outstanding {
                answer.await??;
            }
            Ok(())
        })
    }

    /// Waits for what the store promises.
    pub fn wait<T>(&self, of_store: impl Future<Output = autom8_store::Result<T>>) -> Result<T> {
        Ok(self.runtime.block_on(of_store)?)
    }

    /// Enqueues one run on the engine's runtime, without waiting for it.
    pub fn spawn_one<T: Send + 'static>(
        &self,
        then: impl FnOnce(autom8_store::Result<autom8_store::Enqueued>) -> T + Send + 'static,
    ) -> Result<tokio::task::JoinHandle<T>> {
        let store = Arc::clone(&self.store);
        let request = batch(1, 100)?;
        Ok(self
            .runtime
            .spawn(async move { then(store.enqueue(request, Write::unattended()).await) }))
    }

    pub fn join<T>(&self, handle: tokio::task::JoinHandle<T>) -> Result<T> {
        Ok(self.runtime.block_on(handle)?)
    }

    /// Waits until this many runs have completed, outcomes stored.
    pub fn wait_for_completed(&self, runs: u64) -> Result<()> {
        let started = now();
        while self.store.totals().sum().completed < runs {
            ensure!(
                started.elapsed() < LIMIT,
                "{:?} after {LIMIT:?}",
                self.store.totals()
            );
            pause(POLL);
        }
        Ok(())
    }

    pub fn stop(self) {
        self.runtime.block_on(async {
            if let Some(engine) = &self.engine {
                engine.stop(STOP_GRACE).await;
            }
            self.store.close().await;
        });
    }
}

fn open_store(directory: &Path) -> Result<Arc<dyn Store>> {
    let options = SqliteOptions {
        directory: directory.to_owned(),
        durability: Durability::Full,
        boot: BootId(Random::from_os().next_u64()),
        retention: RetentionPolicy {
            age_max: Duration::from_secs(30 * 86_400),
            runs_max: 10_000_000,
            bytes_max: 10 << 30,
            audit_age_max: Duration::from_secs(90 * 86_400),
        },
    };
    let observer = Arc::new(autom8_store::observe::Unobserved);
    Ok(SqliteStore::open(
        options,
        Arc::new(SystemClock::new()),
        observer,
    )?)
}

/// One request of `runs` inputs: JSON of about `payload_bytes` each, as spans of one buffer.
fn batch(runs: usize, payload_bytes: usize) -> Result<Enqueue> {
    let input = format!("\"{}\"", "x".repeat(payload_bytes.saturating_sub(2)));
    let each = u32::try_from(input.len())?;
    let buffer: Arc<[u8]> = input.repeat(runs).into_bytes().into();
    let spans = (0..u32::try_from(runs)?)
        .map(|index| index * each..(index + 1) * each)
        .collect();
    Ok(Enqueue {
        task: TASK.parse::<TaskName>()?,
        trigger: Trigger::Batch,
        inputs: Inputs::from_spans(buffer, spans),
    })
}

/// Enqueue to finish, both going on at once.
pub fn pipe(folder: &Path, volume: Volume) -> Result<Throughput> {
    let mut product = InProcess::open(folder)?;
    product.start_engine(Arc::new(Unobserved));
    let (started, bytes) = (now(), bytes_written().0);
    product.enqueue(volume)?;
    product.wait_for_completed(volume.runs as u64)?;
    let throughput = Throughput::since(volume.runs, started, bytes);
    product.stop();
    Ok(throughput)
}

/// Enqueue alone, then drain alone.
pub fn enqueue_then_drain(folder: &Path, volume: Volume) -> Result<(Throughput, Throughput)> {
    let mut product = InProcess::open(folder)?;
    let (started, bytes) = (now(), bytes_written().0);
    product.enqueue(volume)?;
    let enqueue = Throughput::since(volume.runs, started, bytes);
    let (started, bytes) = (now(), bytes_written().0);
    product.start_engine(Arc::new(Unobserved));
    product.wait_for_completed(volume.runs as u64)?;
    let drain = Throughput::since(volume.runs, started, bytes);
    product.stop();
    Ok((enqueue, drain))
}
