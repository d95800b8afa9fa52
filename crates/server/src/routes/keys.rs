//! `/api/v1/keys`: who may call, and what for. A key is shown when it is made and never again.

use autom8_api::key::{KeyCreated, KeyDeleted, KeyList, KeyRequest, KeyView};
use autom8_api::page::PageMeta;
use autom8_api::problem::Problem;
use autom8_model::KeyId;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::routing::{delete, get};
use axum::{Json, Router};
use tokio::sync::Mutex;

use crate::answer::Answer;
use crate::error::ApiProblem;
use crate::extract::path::KeyPath;
use crate::extract::{FromQuery, JsonBody, Parameters, Query, Writing};
use crate::key_rules;
use crate::state::AppState;
use crate::to_the_end::to_the_end;

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/keys", get(list).post(create))
        .route("/api/v1/keys/{id}", delete(remove))
}

/// Two changes at once could each leave the other's key as the last one; so a change holds this to
/// its end, also if its client leaves. This process is the only one that has the store open, and
/// changes are rare and short.
static CHANGES: Mutex<()> = Mutex::const_new(());

struct ListQuery {
    after: Option<KeyId>,
    limit: usize,
}

impl FromQuery for ListQuery {
    fn take(parameters: &mut Parameters) -> Self {
        ListQuery {
            after: parameters.cursor_id().map(KeyId),
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

/// 201 with where the key is, and the key.
type Made = (StatusCode, [(HeaderName, String); 1], Json<KeyCreated>);

async fn create(
    State(state): State<AppState>,
    _: Query<()>,
    writing: Writing,
    JsonBody(request): JsonBody<KeyRequest>,
) -> Result<Made, ApiProblem> {
    to_the_end(async move { make(&state, request, writing).await }).await
}

async fn make(state: &AppState, request: KeyRequest, writing: Writing) -> Result<Made, ApiProblem> {
    let _alone = CHANGES.lock().await;
    let is_first = !state.store.has_keys();
    key_rules::check(&request, is_first, state.clock.now())?;
    let (secret, new) = key_rules::make(request)?;
    // The kept answer would hold the key. A repeated request finds the name taken.
    let write = writing.unrepeatable();
    let made = state.store.create_key(new, write).await?;
    let location = format!("/api/v1/keys/{}", made.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(KeyCreated {
            view: KeyView::from(&*made),
            key: secret.as_str().to_owned(),
            message: key_rules::message(is_first),
        }),
    ))
}

async fn remove(
    State(state): State<AppState>,
    KeyPath(id): KeyPath,
    _: Query<()>,
    writing: Writing,
) -> Result<Answer, ApiProblem> {
    to_the_end(async move { remove_unless_last(&state, id, writing).await }).await
}

async fn remove_unless_last(
    state: &AppState,
    id: KeyId,
    writing: Writing,
) -> Result<Answer, ApiProblem> {
    let _alone = CHANGES.lock().await;
    let keys = state.store.keys();
    if key_rules::is_last_admin(keys.iter().map(|key| &**key), id, state.clock.now()) {
        return Err(Problem::conflict(
            "this is the last key with `admin`, not counting those that expire, and without it \
             nobody could make another: make one first, or stop the server and delete it with \
             `autom8 keys rm --force`",
        )
        .into());
    }
    let answer = |(): &()| {
        Answer::ok(&KeyDeleted {
            message: "Key deleted".to_owned(),
        })
    };
    let write = writing.answering(answer);
    state.store.delete_key(id, write).await?;
    Ok(answer(&()))
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
