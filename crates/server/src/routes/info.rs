//! `GET /api/v1/info`: what runs here, and how safe it is set up to be.

use autom8_api::info::{Info, SecuritySummary, StorageSummary};
use autom8_config::Listen;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};

use crate::middleware::credentials::Reach;
use crate::state::AppState;

pub fn routes() -> Router<AppState> {
    Router::new().route("/api/v1/info", get(info))
}

async fn info(State(state): State<AppState>) -> Json<Info> {
    let config = &state.config;
    let store = state.store.describe();
    let (reachable_from, host_guard) = match &config.server.listen {
        listen if !listen.is_local() => ("network", true),
        Listen::Tcp { .. } => ("loopback", true),
        Listen::Unix(_) => ("unix_socket", false),
    };
    let reach = Reach::of(config);
    Json(Info {
        name: "Autom8".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        environment: config.server.environment.clone(),
        durability: store.durability.to_owned(),
        storage: StorageSummary {
            kind: store.kind.to_owned(),
            library_version: store.library_version,
            schema_version: store.schema_version,
        },
        security: SecuritySummary {
            reachable_from: reachable_from.to_owned(),
            api_key_required: reach.asks_for_keys(state.store.has_keys()),
            monitoring_open: reach.opens_monitoring(),
            host_guard,
            rate_limit: state.limits.as_ref().map(|limits| limits.shown()),
            process_tasks: config.executors.process.enabled,
        },
        docs: "/docs".to_owned(),
    })
}
