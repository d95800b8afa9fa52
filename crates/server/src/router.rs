//! Every route on one page.

use axum::Router;

use crate::state::AppState;

/// GETs that cost a copy of memory: exempt from the rate limit, in a lane of their own, and left
/// out of the latency SLO.
pub const MONITORING_ROUTES: &[&str] = &[
    "/livez",
    "/readyz",
    "/metrics",
    "/api/v1/health",
    "/api/v1/info",
    "/api/v1/metrics",
    "/api/v1/metrics/system",
    "/api/v1/metrics/stream",
    "/api/v1/performance/stats",
    "/api/v1/performance/system",
    "/api/v1/performance/health",
    "/api/v1/slo",
    "/api/v1/task_logs/stats",
    "/api/v1/tasklogs/stats",
];

/// The whole API, without middleware.
pub fn router(state: AppState) -> Router {
    Router::new().with_state(state)
}
