//! `GET /api/v1/logs/errors`: what went wrong inside the server lately, newest first.

use autom8_api::telemetry::ErrorLog;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};

use super::slow_log::Latest;
use crate::extract::Query;
use crate::state::AppState;

pub fn routes() -> Router<AppState> {
    Router::new().route("/api/v1/logs/errors", get(list))
}

async fn list(State(state): State<AppState>, Query(latest): Query<Latest>) -> Json<ErrorLog> {
    Json(ErrorLog {
        errors: state.telemetry.recent_errors(latest.limit),
    })
}
