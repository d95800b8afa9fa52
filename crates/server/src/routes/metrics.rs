//! `GET /api/v1/metrics`, `GET /api/v1/metrics/system`, `GET /metrics` and
//! `GET /api/v1/metrics/stream`: the latest sample, in the format that is asked for.
//!
//! The bodies were written when the sample was taken. A request costs a look at its `Accept` and a
//! reference to bytes, whatever the history and however many ask.

mod negotiation;
mod stream;

use autom8_api::problem::{Problem, ProblemCode};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;

use crate::error::ApiProblem;
use crate::state::AppState;
use crate::telemetry::Published;
use negotiation::Format;

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/metrics", get(report))
        .route("/api/v1/metrics/system", get(system))
        .route("/api/v1/metrics/stream", get(stream::stream))
        .route("/metrics", get(exposition))
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const BY_ACCEPT: HeaderValue = HeaderValue::from_static("accept");

/// How old the figures were as they were sent, in milliseconds.
pub(crate) const SAMPLE_AGE: HeaderName = HeaderName::from_static("x-sample-age-ms");

async fn report(State(state): State<AppState>, headers: HeaderMap) -> Response {
    match negotiation::choose(
        &headers,
        &[Format::Json, Format::OpenMetrics, Format::Prometheus],
    ) {
        Format::Json => negotiated(published(&state, JSON, |sample| &sample.report)),
        Format::OpenMetrics => negotiated(published(&state, OPEN_METRICS, |s| &s.open_metrics)),
        Format::Prometheus => negotiated(published(&state, PROMETHEUS, |s| &s.prometheus)),
    }
}

async fn system(State(state): State<AppState>) -> Response {
    published(&state, JSON, |sample| &sample.system)
}

/// Text always; OpenMetrics for those who prefer it.
async fn exposition(State(state): State<AppState>, headers: HeaderMap) -> Response {
    match negotiation::choose(&headers, &[Format::Prometheus, Format::OpenMetrics]) {
        Format::OpenMetrics => negotiated(published(&state, OPEN_METRICS, |s| &s.open_metrics)),
        Format::Json | Format::Prometheus => {
            negotiated(published(&state, PROMETHEUS, |sample| &sample.prometheus))
        }
    }
}

/// One body of the latest sample.
pub(crate) fn published(
    state: &AppState,
    content_type: HeaderValue,
    body: fn(&Published) -> &Bytes,
) -> Response {
    let Some(sample) = state.telemetry.published() else {
        return no_sample().into_response();
    };
    let age = HeaderValue::from(state.telemetry.age_ms(&sample));
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, NO_STORE),
        (SAMPLE_AGE, age),
    ];
    (headers, body(&sample).clone()).into_response()
}

/// One JSON body of the latest sample.
pub(crate) fn published_json(state: &AppState, body: fn(&Published) -> &Bytes) -> Response {
    published(state, JSON, body)
}

fn negotiated(mut response: Response) -> Response {
    response.headers_mut().insert(header::VARY, BY_ACCEPT);
    response
}

pub(crate) fn no_sample() -> ApiProblem {
    Problem::new(
        ProblemCode::Unavailable,
        "nothing has been measured yet; the first sample is taken as the server starts",
    )
    .into()
}

#[cfg(test)]
mod tests;
