//! Who asks for a write, and under which idempotency key: what the store keeps beside it.

use autom8_model::Author;
use autom8_store::{Idempotency, Write};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::answer::Answer;
use crate::error::ApiProblem;
use crate::middleware::caller::Caller;
use crate::middleware::idempotency::Mark;

/// The writer of a request. Every handler that changes something takes one.
#[derive(Debug)]
pub struct Writing {
    author: Author,
    mark: Option<Mark>,
}

impl<S: Sync> FromRequestParts<S> for Writing {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiProblem> {
        let caller = parts
            .extensions
            .get::<Caller>()
            .ok_or_else(|| ApiProblem::internal("a write came past the middleware"))?;
        Ok(Writing {
            author: caller.author(),
            mark: parts.extensions.get::<Mark>().copied(),
        })
    }
}

impl Writing {
    /// A write whose answer must not be kept, such as one that shows a secret. Sent again, it is
    /// done again, or refused for what it has done before.
    pub fn unrepeatable<T>(self) -> Write<T> {
        Write::by(self.author)
    }

    /// The write whose answer `answer` makes. It is called within the transaction, and only for a
    /// request that may come again; the handler calls the same for what it sends.
    pub fn answering<T>(self, answer: impl FnOnce(&T) -> Answer + Send + 'static) -> Write<T> {
        Write {
            author: Some(self.author),
            idempotency: self.mark.map(|mark| Idempotency {
                key: mark.key,
                fingerprint: mark.fingerprint,
                answer: Box::new(move |made| answer(made).into_stored()),
            }),
        }
    }
}
