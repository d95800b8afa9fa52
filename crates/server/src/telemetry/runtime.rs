//! How busy the threads are that answer requests and drive runs.

use std::sync::Arc;
use std::time::Duration;

use autom8_api::telemetry::{LagView, RuntimeView};
use autom8_model::{Clock, Monotonic};
use autom8_performance::probes::reading::{percent, round};
use autom8_performance::recorder::{Recorder, RecorderSeries, Window};
use tokio::runtime::Handle;

use super::gaps::Gaps;

/// A task that is ready should run at once; this is far too late.
const LAG_THRESHOLD: Duration = Duration::from_millis(10);

/// Watches the tokio runtime that it was made on, if it was made on one.
pub(super) struct RuntimeProbe {
    clock: Arc<dyn Clock>,
    handle: Option<Handle>,
    lags: Recorder,
    lag: Arc<RecorderSeries>,
    sampled: Option<(Monotonic, Vec<Duration>)>,
}

impl RuntimeProbe {
    pub(super) fn here(clock: Arc<dyn Clock>) -> Self {
        let lags = Recorder::new(LAG_THRESHOLD, clock.monotonic().as_micros());
        let lag = lags.series("scheduler_lag");
        RuntimeProbe {
            handle: Handle::try_current().ok(),
            lags,
            lag,
            sampled: None,
            clock,
        }
    }

    /// Reads the counters, and sends one task on its way: the time until it runs is the lag that
    /// the next samples show. One a second costs nothing and needs no timer.
    pub(super) fn sample(&mut self, now: Monotonic, gaps: &mut Gaps) -> RuntimeView {
        let Some(handle) = &self.handle else {
            gaps.note(
                "runtime",
                "the sampler was started outside of the server's runtime",
            );
            return RuntimeView::default();
        };
        self.lags.rotate(now.as_micros());
        let (clock, lag, sent) = (Arc::clone(&self.clock), Arc::clone(&self.lag), now);
        handle.spawn(async move {
            let late = clock.monotonic().since(sent);
            lag.record(u64::try_from(late.as_micros()).unwrap_or(u64::MAX), false);
        });

        let metrics = handle.metrics();
        let workers = metrics.num_workers();
        let busy: Vec<Duration> = (0..workers)
            .map(|worker| metrics.worker_total_busy_duration(worker))
            .collect();
        let busy_percent = self.sampled.as_ref().and_then(|(before, past)| {
            let passed = now.since(*before).as_secs_f64();
            let share = |(now, past): (&Duration, &Duration)| {
                percent(now.saturating_sub(*past).as_secs_f64(), passed).min(100.0)
            };
            (passed > 0.0).then(|| busy.iter().zip(past).map(share).collect())
        });
        if busy_percent.is_none() {
            gaps.note("runtime.busy_percent", "needs two samples");
        }
        self.sampled = Some((now, busy));
        let lag = self.lag.window(Window::FiveMinutes, now.as_micros());
        let scheduler_lag_ms = lag.p50_ms.zip(lag.p99_ms).map(|(p50, p99)| LagView {
            p50: round(p50, 3),
            p99: round(p99, 3),
        });
        if scheduler_lag_ms.is_none() {
            gaps.note("runtime.scheduler_lag_ms", "needs two samples");
        }
        RuntimeView {
            workers: Some(workers as u64),
            busy_percent,
            alive_tasks: Some(metrics.num_alive_tasks() as u64),
            global_queue_depth: Some(metrics.global_queue_depth() as u64),
            scheduler_lag_ms,
        }
    }
}
