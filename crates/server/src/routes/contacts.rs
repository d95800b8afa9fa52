//! `/api/v1/contacts`: records that automations act on.

use std::sync::Arc;

use autom8_api::contact::{ContactBatchResult, ContactBatchResults, ContactDeleted};
use autom8_api::problem::{Problem, ProblemCode};
use autom8_model::{Contact, ContactId, Invalid};
use autom8_store::StoreError;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use bytes::Bytes;

use crate::answer::Answer;
use crate::error::ApiProblem;
use crate::extract::contact_batch::{self, Form, Items};
use crate::extract::contact_query::{ContactListQuery, ContactLookup};
use crate::extract::path::{ContactPath, no_contact};
use crate::extract::{Query, Writing, contact, json};
use crate::middleware::body_limit::{BATCH_BODY_BYTES_MAX, BODY_BYTES_MAX};
use crate::state::AppState;

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/contacts", get(list).post(create))
        .route("/api/v1/contacts/lookup", get(lookup))
        .route("/api/v1/contacts/batch", post(create_batch))
        .route(
            "/api/v1/contacts/{id}",
            get(show).put(replace).patch(change).delete(delete),
        )
}

async fn list(
    State(state): State<AppState>,
    Query(query): Query<ContactListQuery>,
) -> Result<Response, ApiProblem> {
    let now_ns = state.clock.monotonic().as_micros().saturating_mul(1_000);
    let body = state.contacts.list(&*state.store, &query, now_ns).await?;
    Ok(json_of(body))
}

async fn show(
    State(state): State<AppState>,
    ContactPath(id): ContactPath,
    _: Query<()>,
) -> Result<Response, ApiProblem> {
    match state.contacts.contact(&*state.store, id).await? {
        Some(body) => Ok(json_of(body)),
        None => Err(no_contact(&id.to_string())),
    }
}

fn json_of(body: Bytes) -> Response {
    let content_type = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}

async fn lookup(
    State(state): State<AppState>,
    Query(lookup): Query<ContactLookup>,
) -> Result<Answer, ApiProblem> {
    let (found, what) = match lookup {
        ContactLookup::Phone(phone) => {
            (state.store.contact_by_phone(&phone).await?, "phone number")
        }
        ContactLookup::Email(email) => (
            state.store.contact_by_email(&email).await?,
            "e-mail address",
        ),
        ContactLookup::Nobody => (None, "key"),
    };
    // Whom somebody looked for is not to stand in a log.
    let missing = || Problem::new(ProblemCode::NotFound, format!("no contact has this {what}"));
    Ok(shown(&found.ok_or_else(missing)?))
}

async fn create(
    State(state): State<AppState>,
    _: Query<()>,
    writing: Writing,
    request: Request,
) -> Result<Answer, ApiProblem> {
    let body = json::read_json(request, BODY_BYTES_MAX).await?;
    let draft = contact::draft(&body)?;
    let answer =
        |contact: &Contact| Answer::created(format!("/api/v1/contacts/{}", contact.id), contact);
    let write = writing.answering(answer);
    Ok(answer(&state.store.create_contact(draft, write).await?))
}

/// PUT: the fields given take the place of the old ones, `attributes` as a whole.
async fn replace(
    State(state): State<AppState>,
    ContactPath(id): ContactPath,
    _: Query<()>,
    writing: Writing,
    request: Request,
) -> Result<Answer, ApiProblem> {
    update(&state, id, writing, request, false).await
}

/// PATCH: the same, but `attributes` are merged.
async fn change(
    State(state): State<AppState>,
    ContactPath(id): ContactPath,
    _: Query<()>,
    writing: Writing,
    request: Request,
) -> Result<Answer, ApiProblem> {
    update(&state, id, writing, request, true).await
}

async fn update(
    state: &AppState,
    id: ContactId,
    writing: Writing,
    request: Request,
    merge: bool,
) -> Result<Answer, ApiProblem> {
    let body = json::read_json(request, BODY_BYTES_MAX).await?;
    let patch = contact::patch(&body, merge)?;
    if patch.is_empty() {
        // No write: its time of change stays, too.
        let contact = state.store.contact(id).await?;
        let contact = contact.ok_or_else(|| no_contact(&id.to_string()))?;
        return Ok(shown(&contact));
    }
    let write = writing.answering(shown);
    Ok(shown(&state.store.update_contact(id, patch, write).await?))
}

fn shown(contact: &Contact) -> Answer {
    Answer::ok(contact)
}

async fn delete(
    State(state): State<AppState>,
    ContactPath(id): ContactPath,
    _: Query<()>,
    writing: Writing,
) -> Result<Answer, ApiProblem> {
    let answer = |(): &()| {
        Answer::ok(&ContactDeleted {
            message: "Contact deleted".to_owned(),
        })
    };
    let write = writing.answering(answer);
    state.store.delete_contact(id, write).await?;
    Ok(answer(&()))
}

/// Bytes of a batch that are read where the request is handled: a millisecond of work.
const READ_INLINE_BYTES_MAX: usize = 128 * 1024;

async fn create_batch(
    State(state): State<AppState>,
    _: Query<()>,
    writing: Writing,
    request: Request,
) -> Result<Answer, ApiProblem> {
    let (body, form) = contact_batch::receive(request, BATCH_BODY_BYTES_MAX).await?;
    let items = read_batch(body, form).await?;
    let mut drafts = Vec::with_capacity(items.len());
    let mut refused: Vec<Option<String>> = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Ok(draft) => {
                drafts.push(draft);
                refused.push(None);
            }
            Err(faults) => refused.push(Some(joined(&faults))),
        }
    }
    let refused: Arc<[Option<String>]> = refused.into();
    let answer = move |made: &Vec<Result<ContactId, StoreError>>| {
        Answer::ok(&ContactBatchResults {
            results: results(&refused, made),
        })
    };
    if drafts.is_empty() {
        return Ok(answer(&Vec::new()));
    }
    let write = writing.answering(answer.clone());
    let made = state.store.create_contacts(drafts, write).await?;
    Ok(answer(&made))
}

async fn read_batch(body: Bytes, form: Form) -> Result<Items, ApiProblem> {
    if body.len() <= READ_INLINE_BYTES_MAX {
        return Ok(contact_batch::read(&body, form)?);
    }
    let read = tokio::task::spawn_blocking(move || contact_batch::read(&body, form)).await;
    let read = read.map_err(|error| ApiProblem::internal(format!("reading a batch: {error}")))?;
    Ok(read?)
}

/// What became of each item: `refused` has what is wrong with those that never came to the store,
/// and `made` what became of the others.
fn results(
    refused: &[Option<String>],
    made: &[Result<ContactId, StoreError>],
) -> Vec<ContactBatchResult> {
    let mut made = made.iter();
    let mut results = Vec::with_capacity(refused.len());
    for (index, refused) in refused.iter().enumerate() {
        let (status, id, error) = match refused {
            Some(error) => (400, None, Some(error.clone())),
            None => match made.next() {
                Some(Ok(id)) => (201, Some(*id), None),
                Some(Err(error)) => {
                    let (status, error) = refusal(index, error);
                    (status, None, Some(error))
                }
                None => (500, None, Some("nothing is known of it".to_owned())),
            },
        };
        results.push(ContactBatchResult {
            index,
            status,
            id,
            error,
        });
    }
    results
}

/// What the store said of one item, as the answer to a request with it alone would say it.
fn refusal(index: usize, error: &StoreError) -> (u16, String) {
    let problem = ApiProblem::from(error.clone()).problem;
    if problem.errors.is_empty() {
        return (problem.status(), problem.message);
    }
    let at_item = |fault: &Invalid| Invalid::new(format!("/{index}{}", fault.path), &fault.message);
    let faults: Vec<Invalid> = problem.errors.iter().map(at_item).collect();
    (problem.status(), joined(&faults))
}

fn joined(faults: &[Invalid]) -> String {
    let faults: Vec<String> = faults.iter().map(Invalid::to_string).collect();
    faults.join("; ")
}

#[cfg(test)]
#[path = "contacts_tests.rs"]
mod tests;
