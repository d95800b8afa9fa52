//! The engine as a whole: starts its duties, hands out what they know, and stops them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use autom8_model::ready::Lane;
use autom8_model::{Clock, Random, RunId, TaskType, Timestamp, WorkerName};
use autom8_store::{Cancelled, Store, Write};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::executor::Executor;
use crate::finisher::{self, Finisher};
use crate::live::LiveRuns;
use crate::observer::{EngineObserver, Guarded};
use crate::occupancy::Occupancy;
use crate::progress::ProgressReading;
use crate::run_log::RunLog;
use crate::timer::Backoff;
use crate::{attempt, dispatcher, reaper, scheduler, timer};

/// After the grace of [`Engine::stop`] runs are asked to end, and this long later they are
/// dropped: an attempt's own wind-down, and a little for its way to the finisher.
const STOP_WIND_DOWN: Duration = attempt::WIND_DOWN.saturating_add(Duration::from_secs(1));
/// How long a stop waits for a store that does not take the last outcomes. What is not stored by
/// then is settled by the next start as after a crash.
const STOP_STORE_WAIT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Runs that execute at the same time; those that end at once (`noop`) need no slot.
    pub slots: usize,
    /// The name under which this engine claims.
    pub worker: WorkerName,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            slots: 16,
            worker: WorkerName::new("engine"),
        }
    }
}

/// What the engine works with.
pub struct EngineParts {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    /// One for each type of task; a run of a type without one fails for good.
    pub executors: Vec<Arc<dyn Executor>>,
    pub observer: Arc<dyn EngineObserver>,
}

/// What the engine is doing at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineStatus {
    /// The scheduler is alive and its last words with the store were good.
    pub scheduler_running: bool,
    /// Schedules that will fire again.
    pub schedules: usize,
    pub next_fire_at: Option<Timestamp>,
    pub slots: usize,
    /// Slots that are taken: a run holds its slot until its outcome is stored.
    pub slots_busy: usize,
    /// Runs of the instant lane that are claimed and not stored yet.
    pub instant_in_flight: usize,
    /// Finishes that the store refused because their lease was not the live one.
    pub stale_finishes: u64,
    pub stopping: bool,
}

/// Runs what is due. Cheap to share; [`Engine::stop`] is idempotent.
pub struct Engine {
    shared: Arc<Shared>,
    duties: Mutex<Vec<JoinHandle<()>>>,
    finisher: Mutex<Option<JoinHandle<()>>>,
    stopped: tokio::sync::Mutex<bool>,
}

/// What all duties of one engine share.
pub(crate) struct Shared {
    pub(crate) config: EngineConfig,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Guarded,
    executors: Vec<Arc<dyn Executor>>,
    pub(crate) finisher: Finisher,
    pub(crate) live: Arc<LiveRuns>,
    pub(crate) slots: Arc<Occupancy>,
    pub(crate) instants: Arc<Occupancy>,
    pub(crate) stale_finishes: AtomicU64,
    pub(crate) schedules_changed: Notify,
    pub(crate) scheduler: SchedulerGauge,
    random: Mutex<Random>,
    /// Nothing new begins.
    pub(crate) stopping: CancellationToken,
    /// The store did not take what was left in time.
    pub(crate) abandon: CancellationToken,
}

/// What the scheduler tells of itself.
#[derive(Debug, Default)]
pub(crate) struct SchedulerGauge {
    pub(crate) running: AtomicBool,
    pub(crate) schedules: AtomicUsize,
    /// Microseconds since the epoch; [`i64::MAX`] while nothing will fire.
    pub(crate) next_fire_at: AtomicI64,
}

impl Shared {
    pub(crate) fn executor(&self, task_type: TaskType) -> Option<&Arc<dyn Executor>> {
        self.executors
            .iter()
            .find(|executor| executor.task_type() == task_type)
    }

    pub(crate) fn jitter(&self) -> f64 {
        self.random.lock().next_fraction()
    }
}

impl Engine {
    /// Starts the duties of the engine on the current tokio runtime.
    pub fn start(config: EngineConfig, parts: EngineParts) -> Arc<Engine> {
        let (finisher, submissions) = finisher::channel();
        let shared = Arc::new(Shared {
            config,
            store: parts.store,
            clock: parts.clock,
            observer: Guarded(parts.observer),
            executors: parts.executors,
            finisher,
            live: Arc::default(),
            slots: Occupancy::new(),
            instants: Occupancy::new(),
            stale_finishes: AtomicU64::new(0),
            schedules_changed: Notify::new(),
            scheduler: SchedulerGauge {
                next_fire_at: AtomicI64::new(i64::MAX),
                ..SchedulerGauge::default()
            },
            random: Mutex::new(Random::from_os()),
            stopping: CancellationToken::new(),
            abandon: CancellationToken::new(),
        });
        let duties = vec![
            keep_alive(&shared, "scheduler", scheduler::run),
            keep_alive(&shared, "dispatcher", |shared| {
                dispatcher::run(shared, Lane::Slot)
            }),
            keep_alive(&shared, "dispatcher", |shared| {
                dispatcher::run(shared, Lane::Instant)
            }),
            keep_alive(&shared, "reaper", reaper::run),
        ];
        let finisher = tokio::spawn(finisher::run(shared.clone(), submissions));
        Arc::new(Engine {
            shared,
            duties: Mutex::new(duties),
            finisher: Mutex::new(Some(finisher)),
            stopped: tokio::sync::Mutex::new(false),
        })
    }

    /// To be called after a task was created, changed, paused, resumed or deleted.
    pub fn schedules_changed(&self) {
        self.shared.schedules_changed.notify_one();
    }

    /// Cancels a run: durably first, then its executor is asked to stop.
    ///
    /// # Errors
    /// As [`Store::cancel_run`].
    pub async fn cancel_run(
        &self,
        run: RunId,
        write: Write<Cancelled>,
    ) -> autom8_store::Result<Cancelled> {
        let cancelled = self.shared.store.cancel_run(run, write).await?;
        if cancelled == Cancelled::Requested {
            self.shared.live.cancel(run);
        }
        Ok(cancelled)
    }

    /// Asks running runs to stop whose cancel the store has recorded already: those of a deleted
    /// task, or those that a newer fire replaces.
    pub fn stop_runs(&self, runs: &[RunId]) {
        for run in runs {
            self.shared.live.cancel(*run);
        }
    }

    /// The output of a run that is running here now, until its outcome is stored.
    pub fn live_log(&self, run: RunId) -> Option<RunLog> {
        self.shared.live.log(run)
    }

    /// How far a run is that is running here now, if its executor tells.
    pub fn progress(&self, run: RunId) -> Option<ProgressReading> {
        self.shared.live.progress(run)
    }

    pub fn status(&self) -> EngineStatus {
        let shared = &self.shared;
        let next_fire_at = shared.scheduler.next_fire_at.load(Ordering::Relaxed);
        EngineStatus {
            scheduler_running: shared.scheduler.running.load(Ordering::Relaxed),
            schedules: shared.scheduler.schedules.load(Ordering::Relaxed),
            next_fire_at: (next_fire_at != i64::MAX)
                .then_some(Timestamp::from_micros(next_fire_at)),
            slots: shared.config.slots,
            slots_busy: shared.slots.runs(),
            instant_in_flight: shared.instants.runs(),
            stale_finishes: shared.stale_finishes.load(Ordering::Relaxed),
            stopping: shared.stopping.is_cancelled(),
        }
    }

    /// Stops: claims nothing more, gives the runs that are going on `grace` to end by themselves,
    /// then asks them to stop, and drops those that do not. A run that was stopped so is given
    /// back as after a crash: queued again while it has attempts left, or `interrupted` where its
    /// task says `on_crash: "fail"`. Returns once everything that ended is stored, at the latest
    /// about 17 s after the grace. To be called before the store is closed.
    pub async fn stop(&self, grace: Duration) {
        let mut stopped = self.stopped.lock().await;
        if *stopped {
            return;
        }
        let shared = &self.shared;
        shared.stopping.cancel();
        let duties = std::mem::take(&mut *self.duties.lock());
        let gone_quiet = async {
            // The dispatchers first: a claim under way may still bring runs.
            join_all(duties).await;
            shared.slots.wait_below(1).await;
            shared.instants.wait_below(1).await;
        };
        tokio::pin!(gone_quiet);
        let waits = [
            (grace, Next::AskToStop),
            (STOP_WIND_DOWN, Next::WaitForStore),
            (STOP_STORE_WAIT, Next::Abandon),
        ];
        for (wait, next) in waits {
            tokio::select! {
                () = &mut gone_quiet => break,
                () = timer::sleep(wait) => {}
            }
            match next {
                Next::AskToStop => shared.live.stop_all(),
                Next::WaitForStore => {}
                Next::Abandon => {
                    shared.observer.problem(
                        "engine",
                        "the store did not take the last outcomes in time; the next start settles their runs as after a crash",
                    );
                }
            }
        }
        shared.abandon.cancel();
        let finisher = self.finisher.lock().take();
        if let Some(finisher) = finisher {
            let _ = finisher.await;
        }
        *stopped = true;
    }
}

/// Starts a duty, and starts it again if a defect makes it panic: what it needs to know it reads
/// from the store.
fn keep_alive<R>(
    shared: &Arc<Shared>,
    name: &'static str,
    duty: impl Fn(Arc<Shared>) -> R + Send + 'static,
) -> JoinHandle<()>
where
    R: Future<Output = ()> + Send + 'static,
{
    let shared = shared.clone();
    tokio::spawn(async move {
        let mut backoff = Backoff::new();
        while let Err(panic) = AssertUnwindSafe(duty(shared.clone())).catch_unwind().await {
            let message = attempt::panic_message(panic.as_ref());
            shared
                .observer
                .problem(name, &format!("it panicked and starts again: {message}"));
            backoff.wait().await;
        }
    })
}

/// What a stop does when a wait of it is over.
enum Next {
    AskToStop,
    WaitForStore,
    Abandon,
}
