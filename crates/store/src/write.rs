//! What a write carries beside its data: who makes it, and under which idempotency key.
//!
//! Both are kept in the transaction of the write itself. An audit entry without its write, or a
//! write that a repeated request does not know of, cannot be.

use std::fmt;

use autom8_model::Author;

/// Who writes, and what is to be remembered of the answer. `T` is what the operation returns.
pub struct Write<T> {
    /// `None` for what the server does by itself: it leaves no audit entry.
    pub author: Option<Author>,
    pub idempotency: Option<Idempotency<T>>,
}

impl<T> Write<T> {
    /// A write of the server itself, of a test or a benchmark: nobody asked for it.
    pub fn unattended() -> Self {
        Write {
            author: None,
            idempotency: None,
        }
    }

    pub fn by(author: Author) -> Self {
        Write {
            author: Some(author),
            idempotency: None,
        }
    }
}

impl<T> fmt::Debug for Write<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write")
            .field("author", &self.author)
            .field("idempotent", &self.idempotency.is_some())
            .finish()
    }
}

/// The answer to keep for a request that may come again. Only a write that happened is kept: a
/// refusal has changed nothing, and is judged anew.
pub struct Idempotency<T> {
    pub key: IdempotencyKey,
    /// SHA-256 of the request's body: the same key with another body is a mistake of the client.
    pub fingerprint: [u8; 32],
    /// Makes the answer of what was done, within the transaction.
    pub answer: Box<dyn FnOnce(&T) -> StoredAnswer + Send>,
}

/// SHA-256 of principal, method, path and the client's own key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(pub [u8; 32]);

/// An answer as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    pub status: u16,
    pub location: Option<String>,
    /// JSON.
    pub body: Vec<u8>,
}

/// What is known of an earlier request with the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RememberedAnswer {
    pub fingerprint: [u8; 32],
    pub answer: StoredAnswer,
}
