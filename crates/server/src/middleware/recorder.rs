//! Duration, status and presence of each request, for the metrics, the slow log and the recent
//! errors.

use std::sync::Arc;

use autom8_model::Monotonic;
use axum::http::Method;

use crate::endpoints::Traits;
use crate::telemetry::{ErrorNote, InFlight, RouteSeries, SlowRequest};

use super::Edge;
use super::request_id::RequestId;

/// One request being measured.
pub(super) struct Recording {
    series: Arc<RouteSeries>,
    started: Monotonic,
    _in_flight: InFlight,
}

impl Recording {
    pub(super) fn start(edge: &Edge, method: &Method, template: Option<&str>) -> Self {
        Recording {
            series: edge.telemetry.request_series(method, template),
            started: edge.clock.monotonic(),
            _in_flight: edge.telemetry.in_flight.enter(),
        }
    }

    pub(super) fn traits(&self) -> &Traits {
        self.series.traits()
    }

    pub(super) fn started(&self) -> Monotonic {
        self.started
    }

    /// Counts the answer and returns its duration in microseconds. A stream counts until its
    /// first byte: how long a client follows a log is not our latency.
    pub(super) fn end(
        &mut self,
        edge: &Edge,
        status: u16,
        request_id: &RequestId,
        cause: Option<&str>,
    ) -> u64 {
        let duration = edge.clock.monotonic().since(self.started);
        let duration_micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.series.record(duration_micros, status);
        if duration_micros > edge.telemetry.slow_request_micros() {
            edge.telemetry.note_slow_request(SlowRequest {
                route: self.series.key(),
                status,
                duration_micros,
                request_id: request_id.as_str(),
            });
        }
        if status == 500 || cause.is_some() {
            let message = cause.unwrap_or("answered without a cause");
            tracing::error!(
                http.route = self.series.key(),
                http.status = status,
                request.id = request_id.as_str(),
                error = message,
                "request failed"
            );
            edge.telemetry.note_error(ErrorNote {
                source: self.series.key(),
                message,
                request_id: Some(request_id.as_str()),
            });
        }
        duration_micros
    }
}
