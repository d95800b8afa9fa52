//! What every request and every statement leaves behind: a recorder of series by key.
//!
//! A route or statement asks for its [`RecorderSeries`] once, when it is wired, and records into it
//! without a lock. Once a second the sampler calls [`Recorder::rotate`], which moves what has been
//! recorded into the windows (see [`window`]). The number of series is bounded, so that no key
//! taken from a request can fill the memory.

pub mod window;

pub use window::{Window, WindowSummary};

use crate::histogram::{AtomicHistogram, Histogram};
use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use window::{Slice, SliceTotals, Windows};

/// Series told apart; every further key shares the series [`OVERFLOW_KEY`]. At most about 100 KB
/// each when every bucket of every window is touched, typically 25 KB.
pub const SERIES_MAX: usize = 256;

/// The series of all keys beyond [`SERIES_MAX`].
pub const OVERFLOW_KEY: &str = "__other__";

/// The latency objective for HTTP routes.
pub const ROUTE_THRESHOLD: Duration = Duration::from_millis(150);

/// The latency objective for database statements.
pub const STATEMENT_THRESHOLD: Duration = Duration::from_millis(30);

/// A bounded set of series that share one threshold.
#[derive(Debug)]
pub struct Recorder {
    threshold_micros: u64,
    /// Monotonic time at which the windows were last moved, for series that are made later.
    rotated_at_micros: AtomicU64,
    series: RwLock<BTreeMap<Arc<str>, Arc<RecorderSeries>>>,
}

impl Recorder {
    /// An empty recorder. Durations above `threshold` are counted exactly, to the microsecond.
    pub fn new(threshold: Duration, now_monotonic_micros: u64) -> Self {
        Self {
            threshold_micros: u64::try_from(threshold.as_micros()).unwrap_or(u64::MAX),
            rotated_at_micros: AtomicU64::new(now_monotonic_micros),
            series: RwLock::default(),
        }
    }

    /// The threshold in microseconds.
    pub fn threshold_micros(&self) -> u64 {
        self.threshold_micros
    }

    /// The series of `key`, made on first use. Fetch it once and keep it: this takes a lock.
    pub fn series(&self, key: &str) -> Arc<RecorderSeries> {
        if let Some(series) = self.series.read().get(key) {
            return Arc::clone(series);
        }
        let mut all = self.series.write();
        let is_full = all.len() >= SERIES_MAX && !all.contains_key(key);
        let key = if is_full { OVERFLOW_KEY } else { key };
        if let Some(series) = all.get(key) {
            return Arc::clone(series);
        }
        let now_micros = self.rotated_at_micros.load(Relaxed);
        let series = Arc::new(RecorderSeries::new(key, self.threshold_micros, now_micros));
        all.insert(Arc::clone(&series.key), Arc::clone(&series));
        series
    }

    /// All series in the order of their keys.
    pub fn all(&self) -> Vec<Arc<RecorderSeries>> {
        self.series.read().values().cloned().collect()
    }

    /// Closes the window slices that are due. Called once a second by the sampler; costs a
    /// comparison per series except when a slice of 30 s ends.
    pub fn rotate(&self, now_monotonic_micros: u64) {
        self.rotated_at_micros.store(now_monotonic_micros, Relaxed);
        for series in self.all() {
            series.rotate(now_monotonic_micros);
        }
    }
}

/// Everything kept about one route or statement.
#[derive(Debug)]
pub struct RecorderSeries {
    key: Arc<str>,
    threshold_micros: u64,
    histogram: AtomicHistogram,
    over_threshold: AtomicU64,
    errors: AtomicU64,
    /// The longest duration in the open slice: the one figure that a difference of two snapshots
    /// cannot give exactly.
    slice_max_micros: AtomicU64,
    windows: Mutex<Windows>,
}

impl RecorderSeries {
    fn new(key: &str, threshold_micros: u64, now_monotonic_micros: u64) -> Self {
        Self {
            key: Arc::from(key),
            threshold_micros,
            histogram: AtomicHistogram::new(),
            over_threshold: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            slice_max_micros: AtomicU64::new(0),
            windows: Mutex::new(Windows::new(now_monotonic_micros)),
        }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// Counts one request, statement or run. No lock, no allocation after a thread's first call.
    #[inline]
    pub fn record(&self, duration_micros: u64, is_error: bool) {
        self.histogram.record(duration_micros);
        if duration_micros > self.threshold_micros {
            self.over_threshold.fetch_add(1, Relaxed);
        }
        if is_error {
            self.errors.fetch_add(1, Relaxed);
        }
        if duration_micros > self.slice_max_micros.load(Relaxed) {
            self.slice_max_micros.fetch_max(duration_micros, Relaxed);
        }
    }

    /// Lifetime counts, without the cost of a histogram snapshot.
    pub fn totals(&self) -> SeriesTotals {
        // The subsets are read first, so that they never exceed the count that contains them.
        let over_threshold = self.over_threshold.load(Relaxed);
        let errors = self.errors.load(Relaxed);
        SeriesTotals {
            count: self.histogram.count(),
            over_threshold,
            errors,
        }
    }

    /// Everything recorded since the start.
    pub fn lifetime(&self) -> Histogram {
        self.histogram.snapshot()
    }

    /// Percentiles, maximum, counts and rates of the window that ends now.
    pub fn window(&self, window: Window, now_monotonic_micros: u64) -> WindowSummary {
        self.window_slice(window, now_monotonic_micros).summary()
    }

    /// The window's durations and counts themselves, for merging series (an SLO over all routes).
    pub fn window_slice(&self, window: Window, now_monotonic_micros: u64) -> Slice {
        let windows = self.windows.lock();
        let max_micros = self.slice_max_micros.load(Relaxed);
        windows.read(
            window,
            now_monotonic_micros,
            &self.slice_totals(),
            max_micros,
        )
    }

    fn rotate(&self, now_monotonic_micros: u64) {
        let mut windows = self.windows.lock();
        if windows.is_due(now_monotonic_micros) {
            let max_micros = self.slice_max_micros.swap(0, Relaxed);
            windows.close_slice(now_monotonic_micros, self.slice_totals(), max_micros);
        }
    }

    fn slice_totals(&self) -> SliceTotals {
        SliceTotals {
            over_threshold: self.over_threshold.load(Relaxed),
            errors: self.errors.load(Relaxed),
            histogram: self.histogram.snapshot(),
        }
    }
}

/// Exact lifetime counts of a series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SeriesTotals {
    pub count: u64,
    /// Durations strictly above the recorder's threshold.
    pub over_threshold: u64,
    pub errors: u64,
}

#[cfg(test)]
mod tests;
