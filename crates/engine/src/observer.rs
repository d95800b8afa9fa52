//! How the engine reports what it does, without knowing who listens.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use autom8_model::transition::Decision;
use autom8_model::{RunId, TaskName, TaskType};

/// Whoever wants to know. Called on the threads that do the work, for up to hundreds of thousands
/// of runs a second: it must be cheap, and it must not block.
pub trait EngineObserver: Send + Sync + 'static {
    /// An attempt begins; its claim is durable.
    fn run_started(&self, started: &RunStarted<'_>);

    /// What became of an attempt is stored. A finish that the store refused as stale is not
    /// reported here, but counted in [`crate::EngineStatus::stale_finishes`].
    fn run_settled(&self, settled: &RunSettled<'_>);

    /// Something needs a person, or will heal by itself: the store is not reachable, the disk is
    /// full, an executor panicked. `source` is the engine's part, e.g. `finisher`.
    fn problem(&self, source: &str, message: &str);
}

#[derive(Clone, Copy, Debug)]
pub struct RunStarted<'a> {
    pub run: RunId,
    pub task: &'a TaskName,
    pub task_type: TaskType,
    /// The first is 1.
    pub attempt: u16,
    /// From due to start; `None` for a retry, whose backoff is no wait for a slot.
    pub wait_micros: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub struct RunSettled<'a> {
    pub run: RunId,
    pub task: &'a TaskName,
    pub task_type: TaskType,
    /// The first is 1.
    pub attempt: u16,
    pub decision: Decision,
    /// From due to start; `None` for a retry, whose backoff is no wait for a slot.
    pub wait_micros: Option<u64>,
    /// Of this attempt alone, monotonic.
    pub duration_micros: u64,
    /// From due to the end of this attempt, backoffs included.
    pub total_micros: u64,
    pub error: Option<&'a str>,
}

/// Nobody listens.
#[derive(Debug, Default)]
pub struct Unobserved;

impl EngineObserver for Unobserved {
    fn run_started(&self, _: &RunStarted<'_>) {}
    fn run_settled(&self, _: &RunSettled<'_>) {}
    fn problem(&self, _: &str, _: &str) {}
}

/// A listener whose panic stays its own: it must not cost a run its outcome, or the engine a duty.
#[derive(Clone)]
pub(crate) struct Guarded(pub(crate) Arc<dyn EngineObserver>);

impl Guarded {
    fn tell(&self, tell: impl FnOnce(&dyn EngineObserver)) {
        if catch_unwind(AssertUnwindSafe(|| tell(self.0.as_ref()))).is_err() {
            tracing::error!("the engine's observer panicked");
        }
    }
}

impl EngineObserver for Guarded {
    fn run_started(&self, started: &RunStarted<'_>) {
        self.tell(|observer| observer.run_started(started));
    }

    fn run_settled(&self, settled: &RunSettled<'_>) {
        self.tell(|observer| observer.run_settled(settled));
    }

    fn problem(&self, source: &str, message: &str) {
        self.tell(|observer| observer.problem(source, message));
    }
}
