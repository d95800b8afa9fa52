//! What each statement of the store and each commit leaves behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use autom8_api::telemetry::SlowEntry;
use autom8_model::Clock;
use autom8_performance::recorder::{Recorder, RecorderSeries, STATEMENT_THRESHOLD};
use autom8_store::{Statement, StoreObserver};

use super::rings::{self, Ring};

/// Durations by statement, of the writer's commits, and how many commands wait for it.
pub struct StatementBook {
    clock: Arc<dyn Clock>,
    /// Of what is to be quick.
    pub(crate) recorder: Recorder,
    /// Of what takes its time and is not slow for it: no threshold, so nothing is over it.
    unhurried: Recorder,
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
        let unhurried = Recorder::new(Duration::MAX, now_micros);
        let commits = Recorder::new(STATEMENT_THRESHOLD, now_micros);
        StatementBook {
            series: Statement::ALL
                .into_iter()
                .map(|statement| {
                    let recorder = match Self::is_to_be_quick(statement) {
                        true => &recorder,
                        false => &unhurried,
                    };
                    (statement, recorder.series(statement.name()))
                })
                .collect(),
            commit: commits.series("commit"),
            recorder,
            unhurried,
            commits,
            rows_total: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            slow,
            clock,
        }
    }

    pub(crate) fn rotate(&self, now_micros: u64) {
        self.recorder.rotate(now_micros);
        self.unhurried.rotate(now_micros);
        self.commits.rotate(now_micros);
    }

    /// All but the claims, whose durations are waits.
    pub(crate) fn series(&self) -> impl Iterator<Item = (Statement, &RecorderSeries)> {
        let all = self.series.iter();
        all.filter(|(statement, _)| *statement != Statement::RunsClaim)
            .map(|(statement, series)| (*statement, &**series))
    }

    /// From asking for work to a durable claim, or to giving up because there is none: at rest it
    /// is as long as a claim may wait, and says nothing about the store.
    pub(crate) fn claims(&self) -> &RecorderSeries {
        &self.series[Statement::RunsClaim as usize].1
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
    /// because it takes long, and neither counts for the objective.
    pub(crate) fn is_to_be_quick(statement: Statement) -> bool {
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
        if duration_micros > threshold && Self::is_to_be_quick(statement) {
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
            let (found, series) = &book.series[index];
            assert_eq!((*found, series.key()), (statement, statement.name()));
            assert_eq!(series.totals().count, 1);
        }
    }

    #[test]
    fn a_wait_for_work_is_no_slow_statement() {
        let book = book();
        StoreObserver::statement(&book, Statement::RunsClaim, 5_000_000, false);
        StoreObserver::statement(&book, Statement::Backup, 5_000_000, false);
        StoreObserver::statement(&book, Statement::RunGet, 5_000_000, false);
        let over = |name: &str| {
            let mut all = book.series();
            all.find(|(statement, _)| statement.name() == name)
                .map(|(_, series)| (series.totals().count, series.totals().over_threshold))
        };
        assert_eq!(over("runs_claim"), None);
        assert_eq!(
            (over("backup"), over("run_get")),
            (Some((1, 0)), Some((1, 1)))
        );
        assert_eq!(book.claims().totals().count, 1);
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
