//! A write that carries an `Idempotency-Key` happens once, however often it is sent.
//!
//! The answer is kept in the transaction of the write (see `autom8_store::write`), under principal,
//! method, path and key, for 24 hours. The same body is given that answer again, with
//! `Idempotency-Replayed: true`; another body is 422. While the first is under way, a second one
//! waits for it, and is 409 when that takes too long. What was refused is not kept: it changed
//! nothing, and is judged anew.
//!
//! Only requests with the header pay for any of it. Their body is read whole before the handler
//! sees it, since its hash decides.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use autom8_api::problem::{Problem, ProblemCode};
use autom8_engine::timer;
use autom8_model::limits;
use autom8_store::{IdempotencyKey, RememberedAnswer, Store};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tower::Service as _;

use super::body_limit::BATCH_BODY_BYTES_MAX;
use super::caller::Caller;
use crate::answer::Answer;
use crate::error::ApiProblem;
use crate::extract::json;

pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// How long a second request waits for the first: longer than any write of this server takes when
/// the disk is well.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Under what the store keeps the answer of a request; in its extensions.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    pub key: IdempotencyKey,
    pub fingerprint: [u8; 32],
}

/// Keys of requests that are under way in this process, and where their answers are kept.
pub struct Repeats {
    store: Arc<dyn Store>,
    under_way: Mutex<HashMap<IdempotencyKey, First>>,
}

/// A request that others with its key wait for.
struct First {
    fingerprint: [u8; 32],
    end: watch::Receiver<()>,
}

/// Holds a key until the answer is there, however that ends.
struct UnderWay<'a> {
    repeats: &'a Repeats,
    key: IdempotencyKey,
    _ended: watch::Sender<()>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.repeats.under_way.lock().remove(&self.key);
    }
}

/// Whether a request may come again.
pub(super) fn is_asked_for(request: &Request) -> bool {
    !request.method().is_safe() && request.headers().contains_key(IDEMPOTENCY_KEY)
}

impl Repeats {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Repeats {
            store,
            under_way: Mutex::default(),
        }
    }

    /// Answers a request that carries a key: from what is kept, or by its handler.
    pub(super) async fn answer(
        &self,
        request: Request,
        body_bytes_max: u64,
        mut route: Route,
    ) -> Response {
        match self.marked(request, body_bytes_max).await {
            Err(refused) => refused.into_response(),
            Ok((request, mark)) => {
                let under_way = match self.enter(mark).await {
                    Ok(under_way) => under_way,
                    Err(refused) => return refused.into_response(),
                };
                let answer = match self.kept(mark).await {
                    Ok(Some(kept)) => kept,
                    Ok(None) => {
                        let answer = match route.call(request).await {
                            Ok(answer) => answer,
                            Err(never) => match never {},
                        };
                        self.unless_done_elsewhere(mark, answer).await
                    }
                    Err(refused) => refused.into_response(),
                };
                drop(under_way);
                answer
            }
        }
    }

    /// The request with its body read and its mark in place.
    async fn marked(
        &self,
        request: Request,
        body_bytes_max: u64,
    ) -> Result<(Request, Mark), ApiProblem> {
        let given = key_of(request.headers())?;
        if body_bytes_max > BATCH_BODY_BYTES_MAX {
            let message = "is not taken here, where a body is too large to be read before it is \
                           done; leave the header out";
            return Err(Problem::invalid_at("Idempotency-Key", message).into());
        }
        let caller = request
            .extensions()
            .get::<Caller>()
            .ok_or_else(|| ApiProblem::internal("a write came past the middleware"))?;
        let principal = caller.principal.key_id().map_or(0, |key| key.0);
        let key = hash([
            &principal.to_be_bytes(),
            request.method().as_str().as_bytes(),
            request.uri().path().as_bytes(),
            request.uri().query().unwrap_or_default().as_bytes(),
            given.as_bytes(),
        ]);
        let (mut parts, body) = request.into_parts();
        let body = json::read(body, body_bytes_max).await?;
        let mark = Mark {
            key: IdempotencyKey(key),
            fingerprint: Sha256::digest(&body).into(),
        };
        parts.extensions.insert(mark);
        Ok((Request::from_parts(parts, Body::from(body)), mark))
    }

    /// Takes the key, after whoever has it now.
    async fn enter(&self, mark: Mark) -> Result<UnderWay<'_>, ApiProblem> {
        let (ended, end) = watch::channel(());
        let waited = async {
            loop {
                let mut other = {
                    let mut under_way = self.under_way.lock();
                    match under_way.get(&mark.key) {
                        None => {
                            let first = First {
                                fingerprint: mark.fingerprint,
                                end: end.clone(),
                            };
                            under_way.insert(mark.key, first);
                            return Ok(());
                        }
                        Some(first) if first.fingerprint != mark.fingerprint => {
                            return Err(reused());
                        }
                        Some(first) => first.end.clone(),
                    }
                };
                // It ends by being dropped, which is an error here.
                let _ = other.changed().await;
            }
        };
        tokio::select! {
            biased;
            entered = waited => entered?,
            () = timer::sleep(WAIT_MAX) => {
                let message = "a request with this Idempotency-Key is still under way; \
                               send it again in a moment";
                return Err(Problem::conflict(message).into());
            }
        }
        Ok(UnderWay {
            repeats: self,
            key: mark.key,
            _ended: ended,
        })
    }

    /// The answer that was kept, or that the key was used for something else.
    async fn kept(&self, mark: Mark) -> Result<Option<Response>, ApiProblem> {
        match self.store.remembered_answer(&mark.key).await? {
            None => Ok(None),
            Some(RememberedAnswer { fingerprint, .. }) if fingerprint != mark.fingerprint => {
                Err(reused())
            }
            Some(RememberedAnswer { answer, .. }) => {
                let mut response = Answer::from_stored(answer).into_response();
                response
                    .headers_mut()
                    .insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
                Ok(Some(response))
            }
        }
    }

    /// A conflict may be with the same request itself: sent before, its client gone, its write
    /// done in the meantime.
    async fn unless_done_elsewhere(&self, mark: Mark, answer: Response) -> Response {
        if answer.status() != StatusCode::CONFLICT {
            return answer;
        }
        match self.kept(mark).await {
            Ok(Some(kept)) => kept,
            _ => answer,
        }
    }
}

/// The client's key, if it is one.
fn key_of(headers: &HeaderMap) -> Result<String, ApiProblem> {
    let refused = |why: String| {
        let message = format!(
            "{why}: send one of 1 to {} visible ASCII characters, e.g. a UUID",
            limits::IDEMPOTENCY_KEY_CHARS_MAX
        );
        Err(Problem::invalid_at("Idempotency-Key", message).into())
    };
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (Some(key), None) = (given.next(), given.next()) else {
        return refused("is given more than once".to_owned());
    };
    let bytes = key.as_bytes();
    match std::str::from_utf8(bytes) {
        Ok(text)
            if (1..=limits::IDEMPOTENCY_KEY_CHARS_MAX).contains(&bytes.len())
                && bytes.iter().all(|byte| (0x20..0x7f).contains(byte)) =>
        {
            Ok(text.to_owned())
        }
        _ => refused(format!("has {} bytes that are not a key", bytes.len())),
    }
}

fn reused() -> ApiProblem {
    Problem::new(
        ProblemCode::IdempotencyKeyReused,
        "this Idempotency-Key was sent before with another body; take a new key for a new request",
    )
    .into()
}

/// Each part behind its length, so that no two lists of parts are the same bytes.
fn hash<const N: usize>(parts: [&[u8]; N]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
#[path = "idempotency_tests.rs"]
mod tests;
