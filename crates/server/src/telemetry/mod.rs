//! What the server knows about itself: recorders, logs of the slow and the failed, the sampler.
//!
//! The hot path touches [`routes`] (requests), [`statements`] (the store) and [`runs`] (the engine)
//! only. Once a second the [`sampler`]'s thread has [`collect`] read the probes and recorders, the
//! [`verdict`] judge them, and [`report`] and [`families`] write finished bodies, which are
//! [`published`]; a monitoring request sends those and computes nothing.

mod authentication;
mod collect;
mod exposition;
mod families;
mod gaps;
mod objectives;
pub mod published;
mod report;
pub mod rings;
pub mod routes;
pub mod runs;
mod runtime;
pub mod sampler;
mod series;
pub mod statements;
mod system;
mod verdict;

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use autom8_api::task_log::RunWindow;
use autom8_api::telemetry::{ErrorEntry, SlowEntry};
use autom8_model::{Clock, Monotonic};
use autom8_performance::recorder::{ROUTE_THRESHOLD, Recorder, Window};
use autom8_store::Store;
use axum::http::Method;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::contact_cache::ContactCache;
use crate::middleware::rate_limit::Limits;

pub use authentication::{AuthenticationFailure, AuthenticationFailures};
pub use published::Published;
pub use rings::{ErrorNote, SlowRequest};
pub use routes::{InFlight, InFlightGauge, RouteSeries};
pub use runs::RunBook;
pub use sampler::SamplerGuard;
pub use statements::StatementBook;

use rings::Ring;
use routes::RouteBook;

/// Everything that is measured. One for the life of the process.
pub struct Telemetry {
    clock: Arc<dyn Clock>,
    pub(crate) routes: RouteBook,
    pub(crate) statements: Arc<StatementBook>,
    pub in_flight: Arc<InFlightGauge>,
    pub authentication: AuthenticationFailures,
    pub(crate) runs: Arc<RunBook>,
    slow: Arc<Ring<SlowEntry>>,
    errors: Arc<Ring<ErrorEntry>>,
    limits: OnceLock<Arc<Limits>>,
    contacts: OnceLock<Arc<ContactCache>>,
    started: Monotonic,
    published: ArcSwapOption<Published>,
    /// Wakes the streams; none once the sampler has stopped.
    samples: Mutex<Option<watch::Sender<u64>>>,
}

impl Telemetry {
    /// Made before the store is opened, so that its first statement is counted too.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let started = clock.monotonic();
        let now_micros = started.as_micros();
        let (slow, errors) = (Arc::new(Ring::default()), Arc::new(Ring::default()));
        Arc::new(Telemetry {
            routes: RouteBook::new(Recorder::new(ROUTE_THRESHOLD, now_micros)),
            statements: Arc::new(StatementBook::new(Arc::clone(&clock), Arc::clone(&slow))),
            runs: Arc::new(RunBook::new(
                Arc::clone(&clock),
                Arc::clone(&slow),
                Arc::clone(&errors),
            )),
            in_flight: Arc::default(),
            authentication: AuthenticationFailures::default(),
            limits: OnceLock::new(),
            contacts: OnceLock::new(),
            slow,
            errors,
            started,
            published: ArcSwapOption::empty(),
            samples: Mutex::new(Some(watch::Sender::new(0))),
            clock,
        })
    }

    /// The series of `GET /api/v1/tasks/{name}` and the like. Fetch it once and keep it.
    pub fn route(&self, method_route: &str) -> Arc<RouteSeries> {
        self.routes.series(method_route)
    }

    /// The series of a request, found by its method and its `MatchedPath` for the cost of a hash.
    pub fn request_series(&self, method: &Method, matched_path: Option<&str>) -> Arc<RouteSeries> {
        self.routes.find(method, matched_path)
    }

    /// Requests that take longer belong into the slow log.
    pub fn slow_request_micros(&self) -> u64 {
        self.routes.recorder.threshold_micros()
    }

    pub fn note_slow_request(&self, slow: SlowRequest<'_>) {
        let threshold = self.slow_request_micros();
        self.slow
            .push(rings::slow_request(self.clock.now(), &slow, threshold));
    }

    pub fn note_error(&self, note: ErrorNote<'_>) {
        self.errors.push(rings::error(self.clock.now(), &note));
    }

    /// The slow log, newest first.
    pub fn slow_log(&self, limit: usize) -> Vec<SlowEntry> {
        self.slow.latest(limit)
    }

    /// Recent errors, newest first.
    pub fn recent_errors(&self, limit: usize) -> Vec<ErrorEntry> {
        self.errors.latest(limit)
    }

    /// What the store reports to.
    pub fn store_observer(&self) -> Arc<StatementBook> {
        Arc::clone(&self.statements)
    }

    /// What the engine reports to.
    pub fn engine_observer(&self) -> Arc<RunBook> {
        Arc::clone(&self.runs)
    }

    /// Tells of the rate limit from now on. There is one for the life of the process.
    pub fn watch_limits(&self, limits: Arc<Limits>) {
        // A second one could only come from a second server with the same telemetry.
        let _ = self.limits.set(limits);
    }

    /// Tells of the answers that are kept from now on, likewise.
    pub(crate) fn watch_contacts(&self, contacts: Arc<ContactCache>) {
        let _ = self.contacts.set(contacts);
    }

    /// Starts to sample and publish every `period`, until the guard is dropped. Call it on the
    /// server's runtime, which is then watched too. `data_directory` must exist.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start_sampler(
        self: &Arc<Self>,
        store: Arc<dyn Store>,
        data_directory: &Path,
        period: Duration,
    ) -> io::Result<SamplerGuard> {
        sampler::start(self, store, data_directory, period)
    }

    /// The latest sample's bodies; none before the sampler has started.
    pub fn published(&self) -> Option<Arc<Published>> {
        self.published.load_full()
    }

    /// Age of a sample in milliseconds.
    pub fn age_ms(&self, published: &Published) -> u64 {
        let age = self.clock.monotonic().since(published.sampled_at);
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }

    /// Runs that ended in the last five minutes, as of the latest sample; none if none did.
    pub fn run_window(&self) -> Option<RunWindow> {
        self.published
            .load()
            .as_ref()
            .and_then(|published| published.run_window)
    }

    /// Runs that ended in the last hour, to compare the latest minutes with. It merges histograms
    /// (about 100 µs), so it is not for every request.
    pub fn run_hour(&self) -> Option<RunWindow> {
        self.runs
            .window(Window::OneHour, self.clock.monotonic().as_micros())
    }

    /// Wakes at each new sample; none when there will be no more.
    pub(crate) fn samples(&self) -> Option<watch::Receiver<u64>> {
        self.samples.lock().as_ref().map(watch::Sender::subscribe)
    }

    fn publish(&self, published: Published) {
        let sequence = published.sequence;
        self.published.store(Some(Arc::new(published)));
        if let Some(samples) = self.samples.lock().as_ref() {
            samples.send_replace(sequence);
        }
    }

    /// Streams end when their sender is gone.
    fn close_streams(&self) {
        self.samples.lock().take();
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry")
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
