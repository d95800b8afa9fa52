//! Every route on one page.

use std::sync::Arc;

use autom8_api::problem::{Problem, ProblemCode};
use axum::Router;
use axum::http::{Method, Uri};

use crate::error::ApiProblem;
use crate::middleware::{Edge, EdgeLayer};
use crate::routes;
use crate::state::AppState;

/// The whole API behind its middleware.
pub fn router(state: AppState, edge: Arc<Edge>) -> Router {
    within(api(), edge).with_state(state)
}

/// Every route, without middleware.
pub(crate) fn api() -> Router<AppState> {
    Router::new()
        .merge(routes::root::routes())
        .merge(routes::health::routes())
        .merge(routes::info::routes())
        .merge(routes::openapi::routes())
        .merge(routes::docs::routes())
        .merge(routes::contacts::routes())
        .merge(routes::contact_imports::routes())
        .merge(routes::contact_exports::routes())
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
        .merge(routes::keys::routes())
        .merge(routes::audit_log::routes())
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
