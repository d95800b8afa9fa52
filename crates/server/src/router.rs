//! Every route on one page.

use std::sync::Arc;

use autom8_api::problem::{Problem, ProblemCode};
use axum::Router;
use axum::http::{Method, Uri};

use crate::error::ApiProblem;
use crate::middleware::{Edge, EdgeLayer};
use crate::routes;
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
    "/tasklogs/stats",
];

/// What `GET /` lists: methods, path, and what it is for.
pub(crate) const ENDPOINTS: &[(&str, &str, &str)] = &[
    ("GET", "/", "This list; for a browser, the status page"),
    ("GET", "/api/v1/health", "Whether the service answers"),
    ("GET", "/livez", "Alive, for a supervisor"),
    ("GET", "/readyz", "Ready for traffic, for a load balancer"),
    ("GET", "/api/v1/info", "Version, durability and security"),
    ("GET POST", "/api/v1/tasks", "List tasks; define one"),
    (
        "GET PATCH DELETE",
        "/api/v1/tasks/{name}",
        "Show, change or delete a task",
    ),
    (
        "POST",
        "/api/v1/tasks/{name}/run",
        "Run a task now, with an input",
    ),
    (
        "POST",
        "/api/v1/tasks/{name}/pause",
        "Stop its schedule and hold its queued runs",
    ),
    ("POST", "/api/v1/tasks/{name}/resume", "Go on from now"),
    ("PUT", "/api/v1/tasks/{name}/toggle", "Pause or resume"),
    ("GET", "/api/v1/tasks/{name}/next", "When it fires next"),
    ("GET", "/api/v1/runs", "List runs, newest first"),
    (
        "POST",
        "/api/v1/runs/batch",
        "Run a task once for each of up to 10,000 inputs",
    ),
    ("GET", "/api/v1/runs/{id}", "Show a run"),
    (
        "POST",
        "/api/v1/runs/{id}/cancel",
        "Cancel a run that has not ended",
    ),
    (
        "POST",
        "/api/v1/runs/{id}/retry",
        "Run again what has ended",
    ),
    (
        "GET",
        "/api/v1/runs/{id}/log",
        "What a run printed; follow=1 streams it",
    ),
    ("GET", "/api/v1/task_logs", "Runs as task logs"),
    (
        "GET",
        "/api/v1/task_logs/stats",
        "Totals, rates and percentiles of runs",
    ),
    ("GET", "/api/v1/tasklogs", "The same as /api/v1/task_logs"),
    (
        "GET",
        "/api/v1/tasklogs/stats",
        "The same as /api/v1/task_logs/stats",
    ),
    ("GET", "/tasklogs", "The same as /api/v1/task_logs"),
    (
        "GET",
        "/tasklogs/stats",
        "The same as /api/v1/task_logs/stats",
    ),
    (
        "GET",
        "/api/v1/scheduler/status",
        "The scheduled tasks and their next times",
    ),
    (
        "POST",
        "/api/v1/scheduler/jobs/{name}/run",
        "The same as running the task",
    ),
    (
        "POST",
        "/api/v1/scheduler/jobs/{name}/pause",
        "The same as pausing the task",
    ),
    (
        "POST",
        "/api/v1/scheduler/jobs/{name}/resume",
        "The same as resuming the task",
    ),
    (
        "GET",
        "/api/v1/metrics",
        "Health and performance report; text by Accept",
    ),
    (
        "GET",
        "/api/v1/metrics/system",
        "Hardware, as this process may use it",
    ),
    (
        "GET",
        "/api/v1/metrics/stream",
        "The report each second, as events",
    ),
    ("GET", "/metrics", "For Prometheus"),
    ("GET", "/api/v1/performance/stats", "Request percentiles"),
    (
        "GET",
        "/api/v1/performance/system",
        "The same as /api/v1/metrics/system",
    ),
    (
        "GET",
        "/api/v1/performance/health",
        "Verdict, issues and what to do",
    ),
    (
        "POST",
        "/api/v1/performance/cache/clear",
        "Empty the server's caches",
    ),
    ("GET", "/api/v1/slo", "Objectives, budgets and burn"),
    (
        "GET",
        "/api/v1/slow_log",
        "Slow requests, statements and runs",
    ),
    ("GET", "/api/v1/logs/errors", "Recent errors"),
];

/// The whole API behind its middleware.
pub fn router(state: AppState, edge: Arc<Edge>) -> Router {
    within(api(), edge).with_state(state)
}

/// Every route, without middleware.
fn api() -> Router<AppState> {
    Router::new()
        .merge(routes::root::routes())
        .merge(routes::health::routes())
        .merge(routes::info::routes())
        .merge(routes::tasks::routes())
        .merge(routes::runs::routes())
        .merge(routes::run_log::routes())
        .merge(routes::task_logs::routes())
        .merge(routes::scheduler::routes())
        .merge(routes::metrics::routes())
        .merge(routes::performance::routes())
        .merge(routes::slo::routes())
        .merge(routes::slow_log::routes())
        .merge(routes::error_log::routes())
}

/// Gives routes their fallbacks and their middleware.
pub(crate) fn within<S: Clone + Send + Sync + 'static>(
    routes: Router<S>,
    edge: Arc<Edge>,
) -> Router<S> {
    routes
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(EdgeLayer(edge))
}

async fn no_such_route(uri: Uri) -> ApiProblem {
    let path: String = uri.path().chars().take(100).collect();
    Problem::new(
        ProblemCode::NotFound,
        format!("there is no {path} here; GET / lists the endpoints"),
    )
    .into()
}

/// axum adds `Allow` with the methods that the route has.
async fn no_such_method(method: Method, uri: Uri) -> ApiProblem {
    let path: String = uri.path().chars().take(100).collect();
    Problem::new(
        ProblemCode::MethodNotAllowed,
        format!("{path} does not take {method}; the header Allow names what it takes"),
    )
    .into()
}
