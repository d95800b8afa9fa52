//! Reads recorder series once a second, and spares those in which nothing happened: a snapshot of
//! one series visits up to 3,328 counters, and a server at rest has dozens of them.

use std::collections::HashMap;
use std::sync::Arc;

use autom8_api::telemetry::LatencyView;
use autom8_performance::histogram::Histogram;
use autom8_performance::probes::reading::round;
use autom8_performance::recorder::window::Slice;
use autom8_performance::recorder::{RecorderSeries, SeriesTotals, Window};

use super::runs::seconds_of;

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

impl SeriesReader {
    pub(super) fn read(&mut self, series: &RecorderSeries, now_micros: u64) -> SeriesFigures {
        let totals = series.totals();
        let known = self
            .known
            .get(series.key())
            .filter(|(known, _)| known.totals == totals);
        let window = |window: Window, pick: fn(&SeriesFigures) -> &Arc<Slice>| match known {
            // Nothing was in it and nothing has come: it is empty still, only longer.
            Some((known, read_at)) if pick(known).histogram.is_empty() => {
                let passed_micros = now_micros.saturating_sub(*read_at);
                let length_micros = seconds_of(window) * 1_000_000;
                let covered_micros = pick(known).covered_micros + passed_micros;
                let covered_micros = covered_micros.min(length_micros);
                Arc::new(Slice {
                    covered_micros,
                    ..Slice::default()
                })
            }
            _ => Arc::new(series.window_slice(window, now_micros)),
        };
        let recent = window(Window::FiveMinutes, |known| &known.recent);
        let hour = window(Window::OneHour, |known| &known.hour);
        let lifetime = match known {
            Some((known, _)) => Arc::clone(&known.lifetime),
            None => Arc::new(series.lifetime()),
        };
        let figures = SeriesFigures {
            totals,
            lifetime,
            recent,
            hour,
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

    const SECOND: u64 = 1_000_000;

    #[test]
    fn reading_sparingly_tells_the_same_as_reading_all() {
        let recorder = Recorder::new(ROUTE_THRESHOLD, 0);
        let series = recorder.series("GET /");
        let mut reader = SeriesReader::default();
        for second in 1..=4_500 {
            recorder.rotate(second * SECOND);
            // A burst, a rest longer than both windows, and a single one at the end.
            if second < 20 || second == 4_490 {
                series.record(second * 1_000, second % 2 == 0);
            }
            let figures = reader.read(&series, second * SECOND);
            if second % 50 == 0 || second > 4_485 {
                let recent = series.window_slice(Window::FiveMinutes, second * SECOND);
                let hour = series.window_slice(Window::OneHour, second * SECOND);
                assert_eq!(
                    figures.recent.histogram, recent.histogram,
                    "second {second}"
                );
                assert_eq!(figures.hour.histogram, hour.histogram, "second {second}");
                assert_eq!(figures.recent.errors, recent.errors);
                assert_eq!(*figures.lifetime, series.lifetime());
            }
        }
    }
}
