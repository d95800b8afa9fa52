//! When a request is sent again.
//!
//! A server that refuses because of its limits has done nothing, so any request may come again
//! once the time is up that it names. After a connection that broke, nobody knows what has been
//! done: reads may be repeated, and writes that carry an `Idempotency-Key`, by which the server
//! knows them again. Everything else is left to the caller.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use autom8_model::Random;
use reqwest::{Method, Request};

use super::{Client, ClientError};

pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// How often one request is sent again after a 429. Only others of the same client can still be
/// in the way the second time.
const LIMITED_REPEATS_MAX: u32 = 4;
/// A server that names a longer time, as one does whose limit is by the hour or the day, is not
/// waited for.
const LIMITED_PAUSE_MAX: Duration = Duration::from_secs(60);
/// For a 429 that names no time.
const LIMITED_PAUSE_DEFAULT: Duration = Duration::from_secs(1);
/// Before each repetition after a connection that broke.
const BROKEN_PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

/// Lets time pass between two tries, and may tell somebody why. A client without it asks once.
pub trait Patience: fmt::Debug + Send + Sync {
    fn wait<'a>(
        &'a self,
        why: &'a ClientError,
        pause: Duration,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

/// No answer to one try.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) error: ClientError,
    /// What the server names, on a refusal because of its limits.
    pub(super) limited: Option<Limited>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limited {
    pub(super) retry_after: Option<Duration>,
}

impl From<ClientError> for Unanswered {
    fn from(error: ClientError) -> Self {
        Unanswered {
            error,
            limited: None,
        }
    }
}

/// How often one request was sent in vain.
#[derive(Debug, Default)]
pub(super) struct Tries {
    limited: u32,
    broken: usize,
}

impl Tries {
    /// Waits for the time of the next try, and gives the request to send then. `copy` is one of the
    /// request that failed; a body that is streamed has none.
    ///
    /// # Errors
    /// The failure itself, when there is to be no other try.
    pub(super) async fn next(
        &mut self,
        client: &Client,
        failure: Unanswered,
        copy: Option<Request>,
    ) -> Result<Request, ClientError> {
        let (Some(patience), Some(request)) = (&client.patience, copy) else {
            return Err(failure.error);
        };
        match self.pause(&failure, is_known_again(&request)) {
            Some(pause) => {
                patience.wait(&failure.error, pause).await;
                Ok(request)
            }
            None => Err(failure.error),
        }
    }

    fn pause(&mut self, failure: &Unanswered, is_known_again: bool) -> Option<Duration> {
        if let Some(limited) = failure.limited {
            self.limited += 1;
            let pause = limited.retry_after.unwrap_or(LIMITED_PAUSE_DEFAULT);
            return (self.limited <= LIMITED_REPEATS_MAX && pause <= LIMITED_PAUSE_MAX)
                .then_some(pause);
        }
        if !matches!(failure.error, ClientError::Interrupted { .. }) || !is_known_again {
            return None;
        }
        self.broken += 1;
        BROKEN_PAUSES.get(self.broken - 1).copied()
    }
}

/// Whether nothing is done twice when it is sent twice.
fn is_known_again(request: &Request) -> bool {
    *request.method() == Method::GET || request.headers().contains_key(IDEMPOTENCY_KEY)
}

/// By which the server knows a write again.
pub(super) fn idempotency_key() -> String {
    let mut random = Random::from_os();
    format!(
        "autom8-{:016x}{:016x}",
        random.next_u64(),
        random.next_u64()
    )
}
