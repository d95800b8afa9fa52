//! Reads recorder series once a second, and spares those in which nothing happened: a snapshot of
//! one series visits up to 3,328 counters, and a server at rest has dozens of them.

use std::collections::HashMap;
use std::sync::Arc;

use autom8_api::telemetry::LatencyView;
use autom8_performance::histogram::Histogram;
use autom8_performance::probes::reading::round;
use autom8_performance::recorder::window::Slice;
use autom8_performance::recorder::{RecorderSeries, SeriesTotals, Window};

/// One series at one moment.
#[derive(Clone, Debug)]
pub(super) struct SeriesFigures {
    pub(super) totals: SeriesTotals,
    pub(super) lifetime: Arc<Histogram>,
    /// The last five minutes.
    pub(super) recent: Arc<Slice>,
    pub(super) hour: Arc<Slice>,
}

/// The figures of the series of one recorder as they were last read.
#[derive(Debug, Default)]
pub(super) struct SeriesReader {
    /// With the monotonic time at which they were read.
    known: HashMap<Box<str>, (SeriesFigures, u64)>,
}

/// Windows of a series in which nothing happens are formed again this often only. Until then they
/// keep what has left them, less than the slice that a window may reach back too far anyway.
const REST_MICROS: u64 = 10_000_000;

/// Length of the short window.
const GROWN_MICROS: u64 = 300_000_000;

impl SeriesReader {
    pub(super) fn read(&mut self, series: &RecorderSeries, now_micros: u64) -> SeriesFigures {
        let totals = series.totals();
        let known = self
            .known
            .get(series.key())
            .filter(|(known, _)| known.totals == totals);
        if let Some((figures, read_at)) = known {
            // While the short window still grows, its rates fall with every second.
            let is_grown = figures.recent.covered_micros >= GROWN_MICROS
                || figures.recent.histogram.is_empty();
            if is_grown && now_micros.saturating_sub(*read_at) < REST_MICROS {
                return figures.clone();
            }
        }
        let lifetime = match known {
            Some((known, _)) => Arc::clone(&known.lifetime),
            None => Arc::new(series.lifetime()),
        };
        let figures = SeriesFigures {
            totals,
            lifetime,
            recent: Arc::new(series.window_slice(Window::FiveMinutes, now_micros)),
            hour: Arc::new(series.window_slice(Window::OneHour, now_micros)),
        };
        self.known
            .insert(series.key().into(), (figures.clone(), now_micros));
        figures
    }
}

impl SeriesFigures {
    pub(super) fn latency(&self) -> LatencyView {
        let recent = self.recent.summary();
        LatencyView {
            count: self.totals.count,
            over_slo_total: self.totals.over_threshold,
            errors_total: self.totals.errors,
            rate_per_s: round(recent.rate_per_s, 3),
            p50_ms: rounded(recent.p50_ms),
            p95_ms: rounded(recent.p95_ms),
            p99_ms: rounded(recent.p99_ms),
            max_ms: rounded(recent.max_ms),
        }
    }
}

/// Milliseconds to the microsecond, the unit they were measured in.
pub(super) fn rounded(ms: Option<f64>) -> Option<f64> {
    ms.map(|ms| round(ms, 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use autom8_performance::recorder::{ROUTE_THRESHOLD, Recorder};

    use std::collections::VecDeque;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn reading_sparingly_lags_by_seconds_and_only_at_rest() {
        let recorder = Recorder::new(ROUTE_THRESHOLD, 0);
        let series = recorder.series("GET /");
        let mut reader = SeriesReader::default();
        let mut latest_truths = VecDeque::new();
        for second in 1..=4_500 {
            recorder.rotate(second * SECOND);
            // A burst, a rest longer than both windows, and a single one at the end.
            let is_busy = second < 20 || second == 4_490;
            if is_busy {
                series.record(second * 1_000, second.is_multiple_of(2));
            }
            let told = reader.read(&series, second * SECOND);
            let windows = [Window::FiveMinutes, Window::OneHour];
            let truth = windows.map(|window| series.window_slice(window, second * SECOND));
            if is_busy {
                assert_eq!(
                    [&*told.recent, &*told.hour],
                    [&truth[0], &truth[1]],
                    "at {second}"
                );
            }
            latest_truths.push_front(truth);
            latest_truths.truncate(11);
            let was_true = latest_truths
                .iter()
                .any(|truth| [&*told.recent, &*told.hour] == [&truth[0], &truth[1]]);
            assert!(was_true, "at {second}");
            assert_eq!(told.totals, series.totals());
        }
        assert!(
            reader
                .read(&series, 4_501 * SECOND)
                .recent
                .histogram
                .count()
                == 1
        );
    }
}
