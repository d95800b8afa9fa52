//! `GET /api/v1/health`, `/livez`, `/readyz`: is it alive, and should traffic be sent to it?

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use autom8_engine::timer;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;

use crate::lifecycle::Stage;
use crate::state::AppState;

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/health", get(health))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
}

const JSON: (HeaderName, HeaderValue) = (
    header::CONTENT_TYPE,
    HeaderValue::from_static("application/json"),
);

async fn health(State(state): State<AppState>) -> Response {
    ([JSON], state.health.at(state.uptime_seconds())).into_response()
}

/// The process answers: that is all it says. A supervisor that restarts on anything more would
/// make an outage of a full disk.
async fn live() -> Response {
    ([JSON], Bytes::from_static(br#"{"status":"alive"}"#)).into_response()
}

/// How long the store's writer may be busy before it counts as gone: far beyond its longest
/// commit group, and short of the patience of a load balancer.
const WRITER_ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// 503 while starting, when the store no longer writes, and from the moment a stop is asked for:
/// a load balancer then sends its requests elsewhere while those in flight are answered.
async fn ready(State(state): State<AppState>) -> Response {
    let (status, body) = match state.lifecycle.stage() {
        Stage::Ready if writer_answers(&state).await => {
            (StatusCode::OK, &br#"{"status":"ready"}"#[..])
        }
        Stage::Ready => {
            let body = br#"{"status":"unavailable","reason":"the store does not write"}"#;
            (StatusCode::SERVICE_UNAVAILABLE, &body[..])
        }
        Stage::Starting => (
            StatusCode::SERVICE_UNAVAILABLE,
            &br#"{"status":"starting"}"#[..],
        ),
        Stage::Draining => (
            StatusCode::SERVICE_UNAVAILABLE,
            &br#"{"status":"draining"}"#[..],
        ),
    };
    (status, [JSON], Bytes::from_static(body)).into_response()
}

/// No fires for the ledger: that goes all the way through the writer, and changes and syncs
/// nothing.
async fn writer_answers(state: &AppState) -> bool {
    tokio::select! {
        answered = state.store.record_fires(Vec::new()) => answered.is_ok(),
        () = timer::sleep(WRITER_ANSWERS_WITHIN) => false,
    }
}

/// The health answer, written once a second of uptime and not once a request.
#[derive(Debug)]
pub struct HealthBody {
    before_uptime: String,
    current: ArcSwap<(u64, Bytes)>,
}

impl HealthBody {
    pub fn new(environment: &str) -> Self {
        // The environment is letters, digits, `-`, `_` and `.`, as the configuration checks.
        let before_uptime = format!(
            r#"{{"status":"healthy","service":"Autom8","version":"{}","environment":"{environment}","uptime_s":"#,
            env!("CARGO_PKG_VERSION"),
        );
        let first = written(&before_uptime, 0);
        HealthBody {
            before_uptime,
            current: ArcSwap::from_pointee((0, first)),
        }
    }

    fn at(&self, uptime_seconds: u64) -> Bytes {
        let current = self.current.load();
        if current.0 == uptime_seconds {
            return current.1.clone();
        }
        // Several requests may write the same second's body: they write the same.
        let body = written(&self.before_uptime, uptime_seconds);
        self.current.store(Arc::new((uptime_seconds, body.clone())));
        body
    }
}

fn written(before_uptime: &str, uptime_seconds: u64) -> Bytes {
    Bytes::from(format!("{before_uptime}{uptime_seconds}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_json_and_follows_the_uptime() {
        let body = HealthBody::new("staging");
        for uptime in [0, 1, 1, 86_400] {
            let json: serde_json::Value = serde_json::from_slice(&body.at(uptime)).unwrap();
            let expected = serde_json::json!({
                "status": "healthy",
                "service": "Autom8",
                "version": env!("CARGO_PKG_VERSION"),
                "environment": "staging",
                "uptime_s": uptime,
            });
            assert_eq!(json, expected);
        }
        assert_eq!(
            body.at(7).as_ptr(),
            body.at(7).as_ptr(),
            "written once for each second"
        );
    }
}
