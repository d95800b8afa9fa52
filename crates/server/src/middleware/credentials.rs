//! Who may do what: the key that a request shows, and what its route asks for.
//!
//! Keys are looked up by the SHA-256 of their text, in memory. There is no comparison whose time
//! could tell an attacker how much of a guess is right: equal hashes are equal keys, and an almost
//! right key has a hash that says nothing.
//!
//! A wrong key is refused even where none is asked for. A client that believes to be known has to
//! learn that it is not, and not on the day on which the first key is made. Monitoring alone looks
//! at no key while it is open to everybody.

use std::sync::Arc;

use autom8_api::problem::{Problem, ProblemCode};
use autom8_config::Config;
use autom8_model::api_key::{NotAKey, Secret};
use autom8_model::{ApiKey, Clock, Scope, Timestamp};
use autom8_store::Store;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::caller::Principal;
use crate::digest::sha256;
use crate::endpoints::Access;
use crate::error::ApiProblem;
use crate::telemetry::AuthenticationFailure;

/// A header longer than this holds no key, and is not decoded.
const CREDENTIAL_BYTES_MAX: usize = 1_024;

/// The keys of a server, in memory.
pub trait Keys: Send + Sync {
    fn by_hash(&self, hash: &[u8; 32]) -> Option<Arc<ApiKey>>;

    /// Whether there is any: from the first one on, calls need one.
    fn exist(&self) -> bool;
}

/// The keys of a store.
pub struct StoredKeys(pub Arc<dyn Store>);

impl Keys for StoredKeys {
    fn by_hash(&self, hash: &[u8; 32]) -> Option<Arc<ApiKey>> {
        self.0.key_by_hash(hash)
    }

    fn exist(&self) -> bool {
        self.0.has_keys()
    }
}

/// What stands open without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Only programs of this machine can connect: open until the first key is made, and
    /// monitoring also after that.
    Local,
    /// Other machines can connect.
    Beyond { monitoring_open: bool },
}

impl Reach {
    pub fn of(config: &Config) -> Self {
        match config.server.listen.is_local() {
            true => Reach::Local,
            false => Reach::Beyond {
                monitoring_open: config.security.monitoring_open,
            },
        }
    }

    /// Whether calls need a key.
    pub fn asks_for_keys(self, any_exist: bool) -> bool {
        any_exist || self != Reach::Local
    }

    /// Whether everybody may read the metrics.
    pub fn opens_monitoring(self) -> bool {
        match self {
            Reach::Local => true,
            Reach::Beyond { monitoring_open } => monitoring_open,
        }
    }
}

/// Why a request is not answered.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    NoKey { needed: Scope },
    Wrong(Wrong),
    ScopeMissing { key: Arc<ApiKey>, needed: Scope },
}

/// What is wrong with a credential.
#[derive(Clone, Debug)]
pub(super) enum Wrong {
    Several,
    Scheme,
    Basic,
    BasicForWrite,
    NotAKey(NotAKey),
    Unknown,
    Expired { name: String, at: Timestamp },
}

/// Checks a request against its route.
pub(super) fn check(
    access: Access,
    reach: Reach,
    keys: &dyn Keys,
    clock: &dyn Clock,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Principal, Refusal> {
    let needed = match access {
        Access::Open => return Ok(Principal::Open),
        Access::Monitoring if reach.opens_monitoring() => return Ok(Principal::Open),
        Access::Monitoring => Scope::Read,
        Access::Scope(scope) => scope,
    };
    match presented(keys, clock, method, headers).map_err(Refusal::Wrong)? {
        None if !reach.asks_for_keys(keys.exist()) => Ok(Principal::Open),
        None => Err(Refusal::NoKey { needed }),
        Some(key) if key.scopes.permit(needed) => Ok(Principal::Key(key)),
        Some(key) => Err(Refusal::ScopeMissing { key, needed }),
    }
}

/// The valid key that a request shows, if it shows anything.
fn presented(
    keys: &dyn Keys,
    clock: &dyn Clock,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Option<Arc<ApiKey>>, Wrong> {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = shown.next() else {
        return Ok(None);
    };
    if shown.next().is_some() {
        return Err(Wrong::Several);
    }
    let text = value.to_str().map_err(|_| Wrong::Scheme)?;
    let (scheme, credential) = text.split_once(' ').ok_or(Wrong::Scheme)?;
    let credential = credential.trim_start_matches(' ');
    if credential.len() > CREDENTIAL_BYTES_MAX {
        return Err(Wrong::NotAKey(NotAKey::Length));
    }
    let key = if scheme.eq_ignore_ascii_case("bearer") {
        known(keys, credential)?
    } else if scheme.eq_ignore_ascii_case("basic") {
        // A browser sends a password that it has been told with whatever any page asks of it.
        if !method.is_safe() {
            return Err(Wrong::BasicForWrite);
        }
        known(keys, &password(credential).ok_or(Wrong::Basic)?)?
    } else {
        return Err(Wrong::Scheme);
    };
    if key.expires_at.is_some() {
        let now = clock.now();
        if let Some(at) = key.expires_at.filter(|_| key.is_expired(now)) {
            let name = key.name.clone();
            return Err(Wrong::Expired { name, at });
        }
    }
    Ok(Some(key))
}

fn known(keys: &dyn Keys, text: &str) -> Result<Arc<ApiKey>, Wrong> {
    let secret: Secret = text.parse().map_err(Wrong::NotAKey)?;
    let hash = sha256(secret.as_str().as_bytes());
    keys.by_hash(&hash).ok_or(Wrong::Unknown)
}

/// What follows the first colon (RFC 7617, section 2); the name before it may be any.
fn password(encoded: &str) -> Option<String> {
    let bytes = STANDARD.decode(encoded).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (_, password) = text.split_once(':')?;
    Some(password.to_owned())
}

impl Refusal {
    /// The key that was shown, where it was a valid one.
    pub(super) fn key(&self) -> Option<&Arc<ApiKey>> {
        match self {
            Refusal::ScopeMissing { key, .. } => Some(key),
            Refusal::NoKey { .. } | Refusal::Wrong(_) => None,
        }
    }

    /// Why the client was not believed; none where it was, and may only not do this.
    pub(super) fn failure(&self) -> Option<AuthenticationFailure> {
        match self {
            Refusal::NoKey { .. } => Some(AuthenticationFailure::Missing),
            Refusal::Wrong(Wrong::Unknown) => Some(AuthenticationFailure::Unknown),
            Refusal::Wrong(Wrong::Expired { .. }) => Some(AuthenticationFailure::Expired),
            Refusal::Wrong(_) => Some(AuthenticationFailure::Malformed),
            Refusal::ScopeMissing { .. } => None,
        }
    }

    /// The answer, which says how to get on.
    pub(super) fn answer(&self, method: &Method, headers: &HeaderMap) -> Response {
        if let Refusal::ScopeMissing { key, needed } = self {
            let message = format!(
                "the API key `{}` has {}, and this needs `{needed}`: \
                 `autom8 keys add NAME --scope {needed}` makes a key that has it",
                key.name,
                match key.scopes.is_empty() {
                    true => "no scope".to_owned(),
                    false => format!("the scope {}", key.scopes),
                },
            );
            return problem(ProblemCode::Forbidden, message);
        }
        let mut response = problem(ProblemCode::Unauthenticated, self.to_string());
        let challenges = response.headers_mut();
        challenges.append(header::WWW_AUTHENTICATE, self.challenge());
        // Only a person at a browser can be asked for a password, and only to read.
        if method.is_safe() && accepts_html(headers) {
            challenges.append(header::WWW_AUTHENTICATE, BASIC);
        }
        response
    }

    fn challenge(&self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Refusal::Wrong(_) => r#"Bearer realm="autom8", error="invalid_token""#,
            _ => r#"Bearer realm="autom8""#,
        })
    }
}

const BASIC: HeaderValue = HeaderValue::from_static(r#"Basic realm="autom8", charset="UTF-8""#);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::NoKey { needed } => write!(
                f,
                "this needs an API key with the scope `{needed}`: send `Authorization: Bearer \
                 a8_…`; `autom8 keys add NAME --scope {needed}` on the server makes one"
            ),
            Refusal::Wrong(wrong) => wrong.fmt(f),
            Refusal::ScopeMissing { needed, .. } => write!(f, "this needs `{needed}`"),
        }
    }
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Wrong::Several => f.write_str("send one header Authorization, not several"),
            Wrong::Scheme => f.write_str(
                "the header Authorization is not understood: send `Authorization: Bearer a8_…`",
            ),
            Wrong::Basic => f.write_str(
                "the header Authorization is not understood: as a password, send the API key, \
                 under any user name",
            ),
            Wrong::BasicForWrite => f.write_str(
                "a password is taken for reading only, since a browser would send it for any \
                 page: to change something, send `Authorization: Bearer a8_…`",
            ),
            Wrong::NotAKey(why) => write!(f, "{why}: {ANOTHER}"),
            Wrong::Unknown => write!(
                f,
                "this server does not know this API key: it was deleted, or belongs to another \
                 server; {ANOTHER}"
            ),
            Wrong::Expired { name, at } => {
                write!(f, "the API key `{name}` has expired at {at}: {ANOTHER}")
            }
        }
    }
}

const ANOTHER: &str = "`autom8 keys ls` on the server lists its keys, and `autom8 keys add NAME` \
                       makes another";

fn problem(code: ProblemCode, message: String) -> Response {
    ApiProblem::from(Problem::new(code, message)).into_response()
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let accept: HeaderName = header::ACCEPT;
    headers
        .get(accept)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
