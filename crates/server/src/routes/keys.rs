//! `/api/v1/keys`: who may call, and what for. A key is shown when it is made and never again.

use autom8_api::key::{KeyCreated, KeyDeleted, KeyList, KeyRequest, KeyView};
use autom8_api::page::PageMeta;
use autom8_api::problem::Problem;
use autom8_model::api_key::Secret;
use autom8_model::{ApiKey, Invalid, KeyId, Scope, Scopes, Timestamp, limits, random};
use autom8_store::NewKey;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::routing::{delete, get};
use axum::{Extension, Json, Router};
use tokio::sync::Mutex;

use crate::digest::sha256;
use crate::error::ApiProblem;
use crate::extract::path::KeyPath;
use crate::extract::{FromQuery, JsonBody, Parameters, Query};
use crate::middleware::caller::Caller;
use crate::state::AppState;

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/keys", get(list).post(create))
        .route("/api/v1/keys/{id}", delete(remove))
}

/// Two changes at once could each leave the other's key as the last one. This process is the only
/// one that has the store open, and changes are rare and short.
static CHANGES: Mutex<()> = Mutex::const_new(());

struct ListQuery {
    after: Option<KeyId>,
    limit: usize,
}

impl FromQuery for ListQuery {
    fn take(parameters: &mut Parameters) -> Self {
        ListQuery {
            after: parameters.cursor(|text| text.parse().ok().map(KeyId)),
            limit: parameters.page_limit(),
        }
    }
}

async fn list(State(state): State<AppState>, Query(query): Query<ListQuery>) -> Json<KeyList> {
    let mut keys = state.store.keys();
    keys.retain(|key| query.after.is_none_or(|after| key.id > after));
    let more = keys.len() > query.limit;
    keys.truncate(query.limit);
    let last = keys.last().filter(|_| more);
    let next_cursor = last.map(|key| key.id.to_string());
    Json(KeyList {
        keys: keys.iter().map(|key| KeyView::from(&**key)).collect(),
        meta: PageMeta { next_cursor },
    })
}

async fn create(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    _: Query<()>,
    JsonBody(request): JsonBody<KeyRequest>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<KeyCreated>), ApiProblem> {
    let scopes = check(&request, state.clock.now())?;
    let _alone = CHANGES.lock().await;
    let is_first = !state.store.has_keys();
    if is_first && !scopes.permit(Scope::Admin) {
        return Err(Problem::invalid_at(
            "/scopes",
            "the first key has to have `admin`: from then on every call needs a key, and nobody \
             could make another",
        )
        .into());
    }
    // No `Idempotency-Key` is kept for this write: the kept answer would hold the key. A repeated
    // request finds the name taken.
    let bits = random::secret_bits()
        .map_err(|error| ApiProblem::internal(format!("no entropy for a key: {error}")))?;
    let secret = Secret::new(bits);
    let new = NewKey {
        name: request.name,
        scopes,
        hash: sha256(secret.as_str().as_bytes()),
        shown: secret.shown().to_owned(),
        limit: request.rate_limit,
        expires_at: request.expires_at,
    };
    let made = state.store.create_key(new, caller.write()).await?;
    let message = match is_first {
        true => {
            "Keep this key: it is not shown again. It is the first one, so from now on every call \
             needs a key"
        }
        false => "Keep this key: it is not shown again",
    };
    let location = format!("/api/v1/keys/{}", made.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(KeyCreated {
            view: KeyView::from(&*made),
            key: secret.as_str().to_owned(),
            message: message.to_owned(),
        }),
    ))
}

/// What a key may be called, and that it can be used at all.
fn check(request: &KeyRequest, now: Timestamp) -> Result<Scopes, ApiProblem> {
    let mut faults = Vec::new();
    let name = &request.name;
    if name.trim() != name || name.is_empty() || name.chars().any(char::is_control) {
        faults.push(Invalid::new(
            "/name",
            "must be a text without control characters and without spaces at its ends",
        ));
    }
    if name.chars().count() > limits::API_KEY_NAME_CHARS_MAX {
        let max = limits::API_KEY_NAME_CHARS_MAX;
        faults.push(Invalid::new(
            "/name",
            format!("is longer than {max} characters"),
        ));
    }
    let scopes = Scopes::of(request.scopes.iter().copied());
    if scopes.is_empty() {
        faults.push(Invalid::new(
            "/scopes",
            "is empty: use read, run, admin or debug",
        ));
    }
    if request.expires_at.is_some_and(|at| at <= now) {
        faults.push(Invalid::new("/expires_at", "is not in the future"));
    }
    match faults.is_empty() {
        true => Ok(scopes),
        false => Err(Problem::invalid(faults).into()),
    }
}

async fn remove(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    KeyPath(id): KeyPath,
    _: Query<()>,
) -> Result<Json<KeyDeleted>, ApiProblem> {
    let _alone = CHANGES.lock().await;
    let now = state.clock.now();
    let keys = state.store.keys();
    let administers = |key: &ApiKey| key.scopes.permit(Scope::Admin) && !key.is_expired(now);
    let is_last = keys.iter().any(|key| key.id == id && administers(key))
        && !keys.iter().any(|key| key.id != id && administers(key));
    if is_last {
        return Err(Problem::conflict(
            "this is the last key with `admin`, and without it nobody could make another: make one \
             first, or stop the server and delete it with `autom8 keys rm`",
        )
        .into());
    }
    state.store.delete_key(id, caller.write()).await?;
    Ok(Json(KeyDeleted {
        message: "Key deleted".to_owned(),
    }))
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
