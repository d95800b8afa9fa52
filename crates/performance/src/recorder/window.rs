//! Sliding windows over a series: the last five minutes and the last hour.
//!
//! The hot path writes one cumulative histogram only. A slice of a window is the difference between
//! two snapshots of it, taken by whoever rotates, so windows cost a request nothing. Ten slices of
//! 30 s make the short window, twelve of 5 min the long one; the slice still open is always
//! included, hence a window reaches back its length and up to one slice more.

use crate::histogram::Histogram;
use serde::Serialize;
use std::collections::VecDeque;

const SECOND_MICROS: u64 = 1_000_000;
const FINE_SLICE_MICROS: u64 = 30 * SECOND_MICROS;
const FINE_SLICES_MAX: usize = 10;
const COARSE_SLICE_MICROS: u64 = 300 * SECOND_MICROS;
const COARSE_SLICES_MAX: usize = 12;

const _: () = assert!(FINE_SLICE_MICROS * FINE_SLICES_MAX as u64 == COARSE_SLICE_MICROS);

/// How far back to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Window {
    #[serde(rename = "5m")]
    FiveMinutes,
    #[serde(rename = "1h")]
    OneHour,
}

impl Window {
    /// The name in queries and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::OneHour => "1h",
        }
    }
}

/// What was recorded in a stretch of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slice {
    pub histogram: Histogram,
    pub over_threshold: u64,
    pub errors: u64,
    /// Length of the stretch in microseconds.
    pub covered_micros: u64,
}

impl Slice {
    /// Appends a stretch that follows or precedes this one in time.
    fn append(&mut self, other: &Self) {
        self.merge(other);
        self.covered_micros += other.covered_micros;
    }

    /// Adds what another series recorded in the **same** stretch of time.
    pub fn merge_series(&mut self, other: &Self) {
        self.merge(other);
        self.covered_micros = self.covered_micros.max(other.covered_micros);
    }

    fn merge(&mut self, other: &Self) {
        self.histogram.merge(&other.histogram);
        self.over_threshold += other.over_threshold;
        self.errors += other.errors;
    }

    /// The figures that answers and reports print.
    pub fn summary(&self) -> WindowSummary {
        let covered_s = self.covered_micros as f64 / SECOND_MICROS as f64;
        let per_second = |count: u64| {
            if covered_s > 0.0 {
                count as f64 / covered_s
            } else {
                0.0
            }
        };
        WindowSummary {
            covered_s,
            count: self.histogram.count(),
            errors: self.errors,
            over_threshold: self.over_threshold,
            rate_per_s: per_second(self.histogram.count()),
            errors_per_s: per_second(self.errors),
            mean_ms: self.histogram.mean_micros().map(|micros| micros / 1000.0),
            p50_ms: self.histogram.quantile_ms(0.50),
            p95_ms: self.histogram.quantile_ms(0.95),
            p99_ms: self.histogram.quantile_ms(0.99),
            max_ms: self
                .histogram
                .max_micros()
                .map(|micros| micros as f64 / 1000.0),
        }
    }
}

/// Figures of one window. Percentiles are within 1.1 %, all else is exact; percentiles of nothing
/// are none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WindowSummary {
    /// Seconds actually covered: less than the window's length after a start.
    pub covered_s: f64,
    pub count: u64,
    pub errors: u64,
    /// Durations strictly above the recorder's threshold.
    pub over_threshold: u64,
    pub rate_per_s: f64,
    pub errors_per_s: f64,
    pub mean_ms: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub max_ms: Option<f64>,
}

/// Cumulative figures of a series at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct SliceTotals {
    pub(super) histogram: Histogram,
    pub(super) over_threshold: u64,
    pub(super) errors: u64,
}

/// The rings of one series.
#[derive(Debug)]
pub(super) struct Windows {
    opened_at_micros: u64,
    /// The totals when the open slice began.
    opened_with: SliceTotals,
    fine: Ring,
    coarse: Ring,
    /// Closed fine slices on their way to become a coarse one.
    coarse_open: Slice,
}

impl Windows {
    pub(super) fn new(now_micros: u64) -> Self {
        Self {
            opened_at_micros: now_micros,
            opened_with: SliceTotals::default(),
            fine: Ring::new(FINE_SLICES_MAX, FINE_SLICE_MICROS),
            coarse: Ring::new(COARSE_SLICES_MAX, COARSE_SLICE_MICROS),
            coarse_open: Slice::default(),
        }
    }

    pub(super) fn is_due(&self, now_micros: u64) -> bool {
        now_micros.saturating_sub(self.opened_at_micros) >= FINE_SLICE_MICROS
    }

    /// Ends the open slice at `now_micros` with the totals of that moment.
    pub(super) fn close_slice(&mut self, now_micros: u64, totals: SliceTotals, max_micros: u64) {
        let slice = self.open_slice(now_micros, &totals, max_micros);
        self.coarse_open.append(&slice);
        self.fine.push(now_micros, slice);
        if self.coarse_open.covered_micros >= COARSE_SLICE_MICROS {
            self.coarse
                .push(now_micros, std::mem::take(&mut self.coarse_open));
        }
        self.opened_at_micros = now_micros;
        self.opened_with = totals;
    }

    /// Everything in the window that ends at `now_micros`.
    pub(super) fn read(
        &self,
        window: Window,
        now_micros: u64,
        totals: &SliceTotals,
        max_micros: u64,
    ) -> Slice {
        let mut whole = self.open_slice(now_micros, totals, max_micros);
        match window {
            Window::FiveMinutes => self.fine.add_to(&mut whole, now_micros),
            Window::OneHour => {
                whole.append(&self.coarse_open);
                self.coarse.add_to(&mut whole, now_micros);
            }
        }
        whole
    }

    fn open_slice(&self, now_micros: u64, totals: &SliceTotals, max_micros: u64) -> Slice {
        let began = &self.opened_with;
        Slice {
            histogram: totals
                .histogram
                .since(&began.histogram)
                .with_max_micros(max_micros),
            over_threshold: totals.over_threshold.saturating_sub(began.over_threshold),
            errors: totals.errors.saturating_sub(began.errors),
            covered_micros: now_micros.saturating_sub(self.opened_at_micros),
        }
    }
}

/// Closed slices, newest last, each with the time at which it ended.
#[derive(Debug)]
struct Ring {
    slices: VecDeque<(u64, Slice)>,
    slices_max: usize,
    reach_micros: u64,
}

impl Ring {
    fn new(slices_max: usize, slice_micros: u64) -> Self {
        let reach_micros = slices_max as u64 * slice_micros;
        Self {
            slices: VecDeque::new(),
            slices_max,
            reach_micros,
        }
    }

    fn push(&mut self, ended_at_micros: u64, slice: Slice) {
        if self.slices.len() == self.slices_max {
            self.slices.pop_front();
        }
        self.slices.push_back((ended_at_micros, slice));
    }

    /// Adds the slices that end within the window. A slice is judged by its age and not by its
    /// place, so that a pause of the caller (a suspended machine) does not stretch the window.
    fn add_to(&self, whole: &mut Slice, now_micros: u64) {
        for (ended_at_micros, slice) in &self.slices {
            if now_micros.saturating_sub(*ended_at_micros) < self.reach_micros {
                whole.append(slice);
            }
        }
    }
}
