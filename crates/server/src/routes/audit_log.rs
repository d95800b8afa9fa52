//! `GET /api/v1/audit_log`: which write was made, by whom and when, newest first.

use autom8_api::audit::AuditLog;
use autom8_api::page::PageMeta;
use autom8_model::AuditId;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};

use crate::error::ApiProblem;
use crate::extract::{FromQuery, Parameters, Query};
use crate::state::AppState;

pub fn routes() -> Router<AppState> {
    Router::new().route("/api/v1/audit_log", get(list))
}

struct ListQuery {
    before: Option<AuditId>,
    limit: usize,
}

impl FromQuery for ListQuery {
    fn take(parameters: &mut Parameters) -> Self {
        ListQuery {
            before: parameters.cursor_id().map(AuditId),
            limit: parameters.page_limit(),
        }
    }
}

async fn list(
    State(state): State<AppState>,
    Query(query): Query<ListQuery>,
) -> Result<Json<AuditLog>, ApiProblem> {
    // One more than asked for tells whether there is a next page.
    let mut entries = state.store.audit_log(query.before, query.limit + 1).await?;
    let more = entries.len() > query.limit;
    entries.truncate(query.limit);
    let last = entries.last().filter(|_| more);
    let next_cursor = last.map(|entry| entry.id.to_string());
    Ok(Json(AuditLog {
        audit_log: entries.into_iter().map(Into::into).collect(),
        meta: PageMeta { next_cursor },
    }))
}
