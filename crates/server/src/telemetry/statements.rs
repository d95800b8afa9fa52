//! What each statement of the store and each commit leaves behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use autom8_api::telemetry::SlowEntry;
use autom8_model::Clock;
use autom8_performance::recorder::{Recorder, RecorderSeries, STATEMENT_THRESHOLD};
use autom8_store::{Statement, StoreObserver};

use super::rings::{self, Ring};

/// Durations by statement, of the writer's commits, and how many commands wait for it.
pub struct StatementBook {
    clock: Arc<dyn Clock>,
    pub(crate) recorder: Recorder,
    /// In the order of [`Statement::ALL`]: a statement finds its series without a lock.
    series: Vec<(Statement, Arc<RecorderSeries>)>,
    /// Commits live in a recorder of their own: they are parts of statements, not statements.
    commits: Recorder,
    commit: Arc<RecorderSeries>,
    rows_total: AtomicU64,
    waiting: AtomicU64,
    slow: Arc<Ring<SlowEntry>>,
}

impl StatementBook {
    pub(crate) fn new(clock: Arc<dyn Clock>, slow: Arc<Ring<SlowEntry>>) -> Self {
        let now_micros = clock.monotonic().as_micros();
        let recorder = Recorder::new(STATEMENT_THRESHOLD, now_micros);
        let commits = Recorder::new(STATEMENT_THRESHOLD, now_micros);
        StatementBook {
            series: Statement::ALL
                .into_iter()
                .map(|statement| (statement, recorder.series(statement.name())))
                .collect(),
            commit: commits.series("commit"),
            recorder,
            commits,
            rows_total: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            slow,
            clock,
        }
    }

    pub(crate) fn rotate(&self, now_micros: u64) {
        self.recorder.rotate(now_micros);
        self.commits.rotate(now_micros);
    }

    pub(crate) fn series(&self) -> &[(Statement, Arc<RecorderSeries>)] {
        &self.series
    }

    /// One sample a commit, its sync included: the write latency that users feel.
    pub(crate) fn commit_series(&self) -> &RecorderSeries {
        &self.commit
    }

    /// Rows committed since the start.
    pub(crate) fn rows_total(&self) -> u64 {
        self.rows_total.load(Relaxed)
    }

    /// Commands that waited as the latest commit group started.
    pub(crate) fn waiting_commands(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    /// A claim waits for work and a backup takes as long as the file is large: neither is slow
    /// because it takes long.
    pub(crate) fn counts_for_latency(statement: Statement) -> bool {
        !matches!(
            statement,
            Statement::RunsClaim | Statement::Backup | Statement::RetentionApply
        )
    }
}

impl StoreObserver for StatementBook {
    fn statement(&self, statement: Statement, duration_micros: u64, failed: bool) {
        let Some((_, series)) = self.series.get(statement as usize) else {
            return;
        };
        series.record(duration_micros, failed);
        let threshold = self.recorder.threshold_micros();
        if duration_micros > threshold && Self::counts_for_latency(statement) {
            let now = self.clock.now();
            let name = statement.name();
            self.slow
                .push(rings::slow_statement(now, name, duration_micros, threshold));
        }
    }

    fn commit(&self, duration_micros: u64, rows: usize) {
        self.commit.record(duration_micros, false);
        self.rows_total.fetch_add(rows as u64, Relaxed);
    }

    fn waiting(&self, commands: usize) {
        self.waiting.store(commands as u64, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autom8_model::{ManualClock, Timestamp};

    fn book() -> StatementBook {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_000)));
        StatementBook::new(clock, Arc::default())
    }

    #[test]
    fn every_statement_finds_its_own_series() {
        let book = book();
        for (index, statement) in Statement::ALL.into_iter().enumerate() {
            assert_eq!(statement as usize, index);
            StoreObserver::statement(&book, statement, 10, false);
            assert_eq!(book.recorder.series(statement.name()).totals().count, 1);
        }
    }

    #[test]
    fn only_statements_that_should_be_quick_enter_the_slow_log() {
        let book = book();
        StoreObserver::statement(&book, Statement::RunGet, 30_000, false);
        StoreObserver::statement(&book, Statement::RunsClaim, 5_000_000, false);
        StoreObserver::statement(&book, Statement::RunGet, 30_001, false);
        let slow = book.slow.latest(10);
        assert_eq!(slow.len(), 1);
        assert_eq!(
            (slow[0].name.as_str(), slow[0].duration_ms),
            ("run_get", 30.001)
        );
    }
}
