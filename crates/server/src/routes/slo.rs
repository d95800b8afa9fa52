//! `GET /api/v1/slo`: the objectives, and how they stand.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::metrics::published_json;
use crate::state::AppState;

pub fn routes() -> Router<AppState> {
    Router::new().route("/api/v1/slo", get(list))
}

async fn list(State(state): State<AppState>) -> Response {
    published_json(&state, |sample| &sample.slo)
}
