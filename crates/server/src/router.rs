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
];

/// What `GET /` lists: methods, path, and what it is for.
pub(crate) const ENDPOINTS: &[(&str, &str, &str)] = &[
    ("GET", "/", "This list; for a browser, the status page"),
    ("GET", "/api/v1/health", "Whether the service answers"),
    ("GET", "/livez", "Alive, for a supervisor"),
    ("GET", "/readyz", "Ready for traffic, for a load balancer"),
    ("GET", "/api/v1/info", "Version, durability and security"),
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
