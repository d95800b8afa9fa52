//! `GET /api/v1/slow_log`: requests, statements and runs beyond their thresholds, newest first.

use autom8_api::telemetry::SlowLog;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};

use crate::extract::{FromQuery, Parameters, Query};
use crate::state::AppState;
use crate::telemetry::rings::ENTRIES_MAX;

pub fn routes() -> Router<AppState> {
    Router::new().route("/api/v1/slow_log", get(list))
}

/// How many entries of a log in memory.
pub(crate) struct Latest {
    pub(crate) limit: usize,
}

impl FromQuery for Latest {
    fn take(parameters: &mut Parameters) -> Self {
        Latest {
            limit: parameters.number("limit", LIMIT_DEFAULT, ENTRIES_MAX),
        }
    }
}

/// A screen full.
pub(crate) const LIMIT_DEFAULT: usize = 50;

async fn list(State(state): State<AppState>, Query(latest): Query<Latest>) -> Json<SlowLog> {
    Json(SlowLog {
        slow_log: state.telemetry.slow_log(latest.limit),
    })
}
