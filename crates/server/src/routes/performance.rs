//! `GET /api/v1/performance/{stats,system,health}` and `POST /api/v1/performance/cache/clear`.

use autom8_api::telemetry::CacheCleared;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};

use super::metrics::published_json;
use crate::contact_cache;
use crate::state::AppState;

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/performance/stats", get(stats))
        .route("/api/v1/performance/system", get(system))
        .route("/api/v1/performance/health", get(health))
        .route("/api/v1/performance/cache/clear", post(clear_cache))
}

async fn stats(State(state): State<AppState>) -> Response {
    published_json(&state, |sample| &sample.stats)
}

/// The same as `/api/v1/metrics/system`.
async fn system(State(state): State<AppState>) -> Response {
    published_json(&state, |sample| &sample.system)
}

async fn health(State(state): State<AppState>) -> Response {
    published_json(&state, |sample| &sample.health)
}

/// Names the layers it emptied.
async fn clear_cache(State(state): State<AppState>) -> Json<CacheCleared> {
    state.contacts.clear();
    Json(CacheCleared {
        cleared: contact_cache::LAYERS.map(str::to_owned).to_vec(),
    })
}
