//! Durations, kept as counts in exponential buckets: bounded memory, ±1.1 % at any value.
//!
//! [`Histogram`] is the plain one: merge it, subtract an earlier one, send it, ask it for
//! quantiles. [`AtomicHistogram`] is the one that many threads record into; its `snapshot` is a
//! [`Histogram`]. The bucket layout is in [`layout`].

mod atomic;
pub mod layout;

pub use atomic::AtomicHistogram;

use layout::{
    BUCKETS, INDEX_MIN, MICROS_MAX, SCALE, index_of_slot, lower_bound_seconds,
    representative_micros, slot_of_micros,
};
use serde::{Deserialize, Serialize};

/// A histogram of durations in microseconds.
///
/// Counts are kept only for the span of buckets that has been touched, so an empty histogram
/// allocates nothing and a typical route takes 1 to 2 KB.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "HistogramWire", try_from = "HistogramWire")]
pub struct Histogram {
    /// Slot of `counts[0]`.
    first_slot: usize,
    counts: Vec<u64>,
    count: u64,
    sum_micros: u64,
    min_micros: u64,
    max_micros: u64,
    overflow: u64,
}

/// One bucket that has been touched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// OTLP index at scale 5 in seconds; the Prometheus schema-5 index is one more.
    pub index: i32,
    /// Exclusive lower bound in seconds.
    pub lower_seconds: f64,
    /// Inclusive upper bound in seconds.
    pub upper_seconds: f64,
    pub count: u64,
}

impl Histogram {
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one duration.
    pub fn record(&mut self, micros: u64) {
        self.record_many(micros, 1);
    }

    /// Counts the same duration `times` times.
    pub fn record_many(&mut self, micros: u64, times: u64) {
        if times == 0 {
            return;
        }
        let slot = slot_of_micros(micros);
        self.cover(slot, slot + 1);
        self.counts[slot - self.first_slot] += times;
        let extremes = (micros, micros);
        self.add_totals(times, micros.saturating_mul(times), extremes, 0);
        if micros > MICROS_MAX {
            self.overflow += times;
        }
    }

    /// Adds everything another histogram has counted.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.cover(other.first_slot, other.first_slot + other.counts.len());
        let shift = other.first_slot - self.first_slot;
        for (mine, theirs) in self.counts[shift..].iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        let extremes = (other.min_micros, other.max_micros);
        self.add_totals(other.count, other.sum_micros, extremes, other.overflow);
    }

    /// What was counted since `earlier`, an older snapshot of the same histogram.
    ///
    /// The extremes of the part in between are not known exactly. They are told from the outermost
    /// buckets, within the bounds of this histogram's own; a caller that keeps an exact maximum
    /// sets it with [`Histogram::with_max_micros`].
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.counts.clone();
        for (i, &past) in earlier.counts.iter().enumerate() {
            let slot = earlier.first_slot + i;
            if let Some(now) = slot
                .checked_sub(self.first_slot)
                .and_then(|at| counts.get_mut(at))
            {
                *now = now.saturating_sub(past);
            }
        }
        let sum_micros = self.sum_micros.saturating_sub(earlier.sum_micros);
        let overflow = self.overflow.saturating_sub(earlier.overflow);
        let bounds = (self.min_micros, self.max_micros);
        Self::from_counts(self.first_slot, &counts, sum_micros, bounds, overflow)
    }

    /// Replaces the maximum by one that the caller has kept exactly beside the histogram.
    ///
    /// A maximum outside the last bucket is ignored: it belongs to a duration recorded while the
    /// snapshot was taken, and the estimate is the better figure.
    #[must_use]
    pub fn with_max_micros(mut self, max_micros: u64) -> Self {
        if self.count > 0 && slot_of_micros(max_micros) + 1 == self.first_slot + self.counts.len() {
            self.max_micros = max_micros;
            self.min_micros = self.min_micros.min(max_micros);
        }
        self
    }

    /// Number of durations counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Sum of the durations in microseconds, exact.
    pub fn sum_micros(&self) -> u64 {
        self.sum_micros
    }

    /// Shortest duration in microseconds; none when empty.
    pub fn min_micros(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min_micros)
    }

    /// Longest duration in microseconds; none when empty.
    pub fn max_micros(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max_micros)
    }

    /// Arithmetic mean in microseconds, exact; none when empty.
    pub fn mean_micros(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_micros as f64 / self.count as f64)
    }

    /// How many durations were longer than the last bucket reaches (64 s).
    pub fn overflow(&self) -> u64 {
        self.overflow
    }

    /// The duration in microseconds that a share `q` (0 to 1) of all durations does not exceed, by
    /// the nearest-rank definition, within 1.1 %. None when empty or when `q` is not in 0..=1.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.count == 0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        let rank = ((q * self.count as f64).ceil() as u64).clamp(1, self.count);
        // The extremes are known exactly, and beyond the last bucket only the maximum is known.
        if rank == self.count || rank > self.count - self.overflow {
            return Some(self.max_micros as f64);
        }
        if rank == 1 {
            return Some(self.min_micros as f64);
        }
        let mut seen = 0;
        for (i, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                let told = representative_micros(self.first_slot + i);
                return Some(told.clamp(self.min_micros as f64, self.max_micros as f64));
            }
        }
        Some(self.max_micros as f64)
    }

    /// [`Histogram::quantile`] in milliseconds, the unit of the HTTP answers.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        self.quantile(q).map(|micros| micros / 1000.0)
    }

    /// The buckets that have counts, in ascending order.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(i, &count)| {
                let index = index_of_slot(self.first_slot + i);
                Bucket {
                    index,
                    lower_seconds: lower_bound_seconds(index),
                    upper_seconds: lower_bound_seconds(index + 1),
                    count,
                }
            })
    }

    /// How many durations were at most `le_seconds`, as a classic Prometheus bucket asks.
    ///
    /// Exact where `le_seconds` is a bucket boundary; within one bucket the count is shared out in
    /// proportion. Where an exact count is owed (an SLO threshold) the recorder keeps one.
    pub fn cumulative_count(&self, le_seconds: f64) -> u64 {
        if le_seconds * 1e6 >= self.max_micros as f64 {
            return self.count;
        }
        let mut below = 0;
        for bucket in self.buckets() {
            if bucket.upper_seconds <= le_seconds {
                below += bucket.count;
                continue;
            }
            if bucket.lower_seconds < le_seconds {
                let width = bucket.upper_seconds - bucket.lower_seconds;
                let share = (le_seconds - bucket.lower_seconds) / width;
                below += (bucket.count as f64 * share) as u64;
            }
            break;
        }
        below
    }

    /// Builds a histogram from counts that start at `first_slot`, trimming the empty ends. The
    /// extremes are those of the outermost buckets, drawn into `bounds` (minimum, maximum).
    fn from_counts(
        first_slot: usize,
        counts: &[u64],
        sum_micros: u64,
        bounds: (u64, u64),
        overflow: u64,
    ) -> Self {
        let Some(first) = counts.iter().position(|&count| count > 0) else {
            return Self::default();
        };
        let last = counts.iter().rposition(|&count| count > 0).unwrap_or(first);
        let counts = counts[first..=last].to_vec();
        let count = counts.iter().sum();
        let extreme = |slot| (representative_micros(slot).round() as u64).clamp(bounds.0, bounds.1);
        let max_micros = if overflow > 0 {
            bounds.1
        } else {
            extreme(first_slot + last).min(MICROS_MAX)
        };
        Self {
            first_slot: first_slot + first,
            min_micros: extreme(first_slot + first),
            max_micros,
            counts,
            count,
            sum_micros,
            overflow: overflow.min(count),
        }
    }

    /// Widens the counts so that they cover the slots `from..to`.
    fn cover(&mut self, from: usize, to: usize) {
        if self.counts.is_empty() {
            self.first_slot = from;
            self.counts = vec![0; to - from];
            return;
        }
        if from < self.first_slot {
            let missing = self.first_slot - from;
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.first_slot = from;
        }
        if to > self.first_slot + self.counts.len() {
            self.counts.resize(to - self.first_slot, 0);
        }
    }

    fn add_totals(&mut self, count: u64, sum_micros: u64, extremes: (u64, u64), overflow: u64) {
        let (min_micros, max_micros) = extremes;
        self.min_micros = if self.count == 0 {
            min_micros
        } else {
            self.min_micros.min(min_micros)
        };
        self.max_micros = self.max_micros.max(max_micros);
        self.count += count;
        self.sum_micros = self.sum_micros.saturating_add(sum_micros);
        self.overflow += overflow;
    }
}

/// The serialised form: OTLP's `scale`, `offset` and `bucket_counts` (in seconds) with the exact
/// totals in microseconds beside them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HistogramWire {
    scale: i32,
    offset: i32,
    counts: Vec<u64>,
    sum_micros: u64,
    min_micros: Option<u64>,
    max_micros: Option<u64>,
    overflow: u64,
}

/// Why serialised text is not a histogram of this layout.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HistogramFormatError {
    #[error("histogram has scale {0}, expected {SCALE}")]
    Scale(i32),
    #[error("histogram buckets {offset}..{end} lie outside {INDEX_MIN}..192", end = i64::from(*offset) + *length as i64)]
    Span { offset: i32, length: usize },
    #[error("histogram totals contradict its buckets")]
    Totals,
}

impl From<Histogram> for HistogramWire {
    fn from(histogram: Histogram) -> Self {
        Self {
            scale: SCALE,
            offset: index_of_slot(histogram.first_slot),
            min_micros: histogram.min_micros(),
            max_micros: histogram.max_micros(),
            sum_micros: histogram.sum_micros,
            overflow: histogram.overflow,
            counts: histogram.counts,
        }
    }
}

impl TryFrom<HistogramWire> for Histogram {
    type Error = HistogramFormatError;

    fn try_from(wire: HistogramWire) -> Result<Self, Self::Error> {
        if wire.scale != SCALE {
            return Err(HistogramFormatError::Scale(wire.scale));
        }
        let length = wire.counts.len();
        let first_slot = usize::try_from(i64::from(wire.offset) - i64::from(INDEX_MIN))
            .ok()
            .filter(|first| first.checked_add(length).is_some_and(|end| end <= BUCKETS))
            .ok_or(HistogramFormatError::Span {
                offset: wire.offset,
                length,
            })?;
        let count = wire
            .counts
            .iter()
            .try_fold(0u64, |sum, &count| sum.checked_add(count))
            .ok_or(HistogramFormatError::Totals)?;
        let (min_micros, max_micros) = match (wire.min_micros, wire.max_micros) {
            (Some(min), Some(max)) if count > 0 && min <= max => (min, max),
            (None, None) if count == 0 => (0, 0),
            _ => return Err(HistogramFormatError::Totals),
        };
        if wire.overflow > count {
            return Err(HistogramFormatError::Totals);
        }
        Ok(Self {
            first_slot,
            counts: wire.counts,
            count,
            sum_micros: wire.sum_micros,
            min_micros,
            max_micros,
            overflow: wire.overflow,
        })
    }
}

#[cfg(test)]
mod tests;
