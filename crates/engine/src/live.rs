//! The runs that run here now: their logs to follow, and the means to stop them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use autom8_model::RunId;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio_util::sync::CancellationToken;

use crate::progress::{Progress, ProgressReading};
use crate::run_log::RunLog;

/// Cancels that came before their run had registered. A claim and its start are less than a
/// millisecond apart, so only the latest few can still be waited for.
const EARLY_CANCELS_MAX: usize = 1_024;

/// Runs of the instant lane are not listed: they are over before anyone could ask.
#[derive(Debug, Default)]
pub(crate) struct LiveRuns {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    runs: FxHashMap<RunId, Arc<LiveRun>>,
    early_cancels: VecDeque<RunId>,
    /// The engine's grace is over: whatever registers now is to stop at once.
    stopping: bool,
}

#[derive(Debug)]
pub(crate) struct LiveRun {
    run: RunId,
    pub(crate) log: RunLog,
    pub(crate) progress: Progress,
    /// Fires when the run is to stop, whatever the reason.
    pub(crate) stop: CancellationToken,
    cancel_requested: AtomicBool,
}

impl LiveRun {
    /// A cancel of this run was asked for, by a person or by the rules of its task.
    pub(crate) fn is_cancel_requested(&self) -> bool {
        self.cancel_requested.load(Ordering::Acquire)
    }

    fn cancel(&self) {
        self.cancel_requested.store(true, Ordering::Release);
        self.stop.cancel();
    }
}

impl LiveRuns {
    pub(crate) fn register(self: &Arc<Self>, run: RunId) -> Registration {
        let live = Arc::new(LiveRun {
            run,
            log: RunLog::new(),
            progress: Progress::default(),
            stop: CancellationToken::new(),
            cancel_requested: AtomicBool::new(false),
        });
        let mut inner = self.inner.lock();
        if let Some(early) = inner.early_cancels.iter().position(|early| *early == run) {
            inner.early_cancels.remove(early);
            live.cancel();
        }
        if inner.stopping {
            live.stop.cancel();
        }
        inner.runs.insert(run, live.clone());
        Registration {
            runs: self.clone(),
            live,
        }
    }

    /// Asks a run to stop because of a cancel. One that has not registered yet will find it.
    pub(crate) fn cancel(&self, run: RunId) {
        let mut inner = self.inner.lock();
        if let Some(live) = inner.runs.get(&run) {
            live.cancel();
            return;
        }
        if inner.early_cancels.len() == EARLY_CANCELS_MAX {
            inner.early_cancels.pop_front();
        }
        inner.early_cancels.push_back(run);
    }

    /// Asks every run, from now on too, to stop because the engine does; that is no cancel.
    pub(crate) fn stop_all(&self) {
        let mut inner = self.inner.lock();
        inner.stopping = true;
        for live in inner.runs.values() {
            live.stop.cancel();
        }
    }

    pub(crate) fn progress(&self, run: RunId) -> Option<ProgressReading> {
        let progress = self.inner.lock().runs.get(&run)?.progress.clone();
        progress.read()
    }

    pub(crate) fn log(&self, run: RunId) -> Option<RunLog> {
        self.inner
            .lock()
            .runs
            .get(&run)
            .map(|live| live.log.clone())
    }
}

/// A run's place among the live ones, until its outcome is stored.
#[derive(Debug)]
pub(crate) struct Registration {
    runs: Arc<LiveRuns>,
    live: Arc<LiveRun>,
}

impl std::ops::Deref for Registration {
    type Target = LiveRun;

    fn deref(&self) -> &LiveRun {
        &self.live
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut inner = self.runs.inner.lock();
        // A later attempt may have taken the place already.
        if inner
            .runs
            .get(&self.live.run)
            .is_some_and(|live| Arc::ptr_eq(live, &self.live))
        {
            inner.runs.remove(&self.live.run);
        }
        drop(inner);
        self.live.log.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_reaches_a_run_that_registers_after_it() {
        let runs = Arc::new(LiveRuns::default());
        runs.cancel(RunId(7));
        assert!(!runs.register(RunId(6)).is_cancel_requested());
        let seventh = runs.register(RunId(7));
        assert!(seventh.is_cancel_requested() && seventh.stop.is_cancelled());
        drop(seventh);
        assert!(
            !runs.register(RunId(7)).is_cancel_requested(),
            "it counts once"
        );
    }

    #[test]
    fn stopping_is_not_cancelling() {
        let runs = Arc::new(LiveRuns::default());
        let run = runs.register(RunId(1));
        runs.stop_all();
        assert!(run.stop.is_cancelled() && !run.is_cancel_requested());
        assert!(
            runs.register(RunId(2)).stop.is_cancelled(),
            "one that comes too late as well"
        );
    }

    #[test]
    fn a_log_is_live_until_the_outcome_is_stored_and_its_followers_learn_the_end() {
        let runs = Arc::new(LiveRuns::default());
        let registration = runs.register(RunId(1));
        let log = runs.log(RunId(1)).unwrap();
        assert!(!log.has_ended());
        drop(registration);
        assert!(runs.log(RunId(1)).is_none());
        assert!(log.has_ended());
    }
}
