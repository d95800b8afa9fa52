//! What the server knows about itself: recorders, logs of the slow and the failed, the sampler.
//!
//! The hot path touches [`routes`] (requests) and [`statements`] (the store) only. Once a second
//! the [`sampler`]'s thread reads the probes and recorders and publishes finished bodies in
//! [`published`]; a monitoring request sends those and computes nothing.

pub mod rings;
pub mod routes;
pub mod statements;

use std::sync::Arc;

use autom8_api::telemetry::{ErrorEntry, SlowEntry};
use autom8_model::{Clock, RunId};
use autom8_performance::recorder::{ROUTE_THRESHOLD, Recorder};
use axum::http::Method;

pub use rings::{ErrorNote, SlowRequest};
pub use routes::{InFlight, InFlightGauge, RouteSeries};
pub use statements::StatementBook;

use rings::Ring;
use routes::RouteBook;

/// Everything that is measured. One for the life of the process.
pub struct Telemetry {
    clock: Arc<dyn Clock>,
    pub(crate) routes: RouteBook,
    pub(crate) statements: Arc<StatementBook>,
    pub in_flight: Arc<InFlightGauge>,
    slow: Arc<Ring<SlowEntry>>,
    errors: Ring<ErrorEntry>,
}

impl Telemetry {
    /// Made before the store is opened, so that its first statement is counted too.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let now_micros = clock.monotonic().as_micros();
        let slow = Arc::new(Ring::default());
        Arc::new(Telemetry {
            routes: RouteBook::new(
                Recorder::new(ROUTE_THRESHOLD, now_micros),
                crate::router::MONITORING_ROUTES,
            ),
            statements: Arc::new(StatementBook::new(Arc::clone(&clock), Arc::clone(&slow))),
            in_flight: Arc::default(),
            slow,
            errors: Ring::default(),
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
        self.slow.push(rings::slow_request(self.clock.now(), &slow, threshold));
    }

    pub fn note_slow_run(&self, task: &str, run: RunId, duration_ms: f64, threshold_ms: f64) {
        self.slow.push(rings::slow_run(self.clock.now(), task, run, duration_ms, threshold_ms));
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
}
