//! What the server knows about itself. These answers are copies of memory and look at no query.

use autom8_api::telemetry::{
    CacheCleared, ErrorLog, HealthVerdict, PerformanceStats, Report, SloList, SlowLog, SystemReport,
};
use axum::http::StatusCode;
use utoipa::ToSchema;

use crate::openapi::operation::{Operation, get, post};
use crate::openapi::parameters::{count, event, in_query, text};
use crate::routes::slow_log::LIMIT_DEFAULT;
use crate::telemetry::rings::ENTRIES_MAX;

const OPEN_METRICS: &str = "application/openmetrics-text";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        sample::<Report>("/api/v1/metrics", "getReport", "The report.")
            .describe("Negotiated by `Accept`: JSON, OpenMetrics or the text format of Prometheus.")
            .or_as(OPEN_METRICS, text())
            .or_as("text/plain", text()),
        sample::<SystemReport>("/api/v1/metrics/system", "getSystem", "The figures.").describe(
            "What cannot be known is `null`, with its reason in `unavailable`; it is never zero.",
        ),
        get("/api/v1/metrics/stream", "streamReport")
            .describe(
                "Events named `report`, each with the report as `GET /api/v1/metrics` answers it.",
            )
            .answers_as(
                StatusCode::OK,
                "Events, until either side ends it.",
                "text/event-stream",
                event(),
            ),
        get("/metrics", "getMetrics")
            .answers_as(StatusCode::OK, "All metrics.", "text/plain", text())
            .or_as(OPEN_METRICS, text())
            .with_header("X-Sample-Age-Ms"),
        sample::<PerformanceStats>(
            "/api/v1/performance/stats",
            "getPerformanceStats",
            "Requests of the last five minutes, monitoring left out.",
        ),
        sample::<SystemReport>(
            "/api/v1/performance/system",
            "getPerformanceSystem",
            "The figures.",
        ),
        sample::<HealthVerdict>(
            "/api/v1/performance/health",
            "getPerformanceHealth",
            "The verdict; 200 also when it is bad.",
        ),
        post("/api/v1/performance/cache/clear", "clearCaches")
            .answers::<CacheCleared>(StatusCode::OK, "The layers that were emptied.")
            .unrepeatable(),
        sample::<SloList>(
            "/api/v1/slo",
            "listObjectives",
            "The objectives, and how they stand.",
        ),
        get("/api/v1/slow_log", "listSlow")
            .takes(latest())
            .answers::<SlowLog>(StatusCode::OK, "What was slow, newest first."),
        get("/api/v1/logs/errors", "listErrors")
            .takes(latest())
            .answers::<ErrorLog>(StatusCode::OK, "What went wrong inside, newest first."),
    ]
}

/// A body of the latest sample.
fn sample<T: ToSchema>(path: &'static str, id: &'static str, what: &'static str) -> Operation {
    get(path, id)
        .answers::<T>(StatusCode::OK, what)
        .with_header("X-Sample-Age-Ms")
}

fn latest() -> crate::openapi::operation::Parameter {
    in_query(
        "limit",
        "How many of the latest.",
        count(LIMIT_DEFAULT, ENTRIES_MAX),
    )
}
