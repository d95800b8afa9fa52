//! What may become of API keys, whoever asks: a request, or the command line on the data directory.

use autom8_api::key::KeyRequest;
use autom8_api::problem::Problem;
use autom8_model::api_key::Secret;
use autom8_model::{ApiKey, Invalid, KeyId, Scope, Scopes, Timestamp, limits, random};
use autom8_store::NewKey;

use crate::digest::sha256;
use crate::error::ApiProblem;

/// Why nobody is left without a way in.
const FIRST_NEEDS_ADMIN: &str = "the first key has to have `admin`: from then on every call needs \
                                 a key, and nobody could make another";

/// Judges a key that is asked for.
///
/// # Errors
/// What it may not be called, that it could not be used, and that a first key has no `admin`.
pub(crate) fn check(request: &KeyRequest, is_first: bool, now: Timestamp) -> Result<(), Problem> {
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
    } else if is_first && !scopes.permit(Scope::Admin) {
        faults.push(Invalid::new("/scopes", FIRST_NEEDS_ADMIN));
    }
    if request.expires_at.is_some_and(|at| at <= now) {
        faults.push(Invalid::new("/expires_at", "is not in the future"));
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(Problem::invalid(faults)),
    }
}

/// A key of its own, and what the store is to know of it.
///
/// # Errors
/// The system has no entropy.
pub(crate) fn make(request: KeyRequest) -> Result<(Secret, NewKey), ApiProblem> {
    let bits = random::secret_bits()
        .map_err(|error| ApiProblem::internal(format!("no entropy for a key: {error}")))?;
    let secret = Secret::new(bits);
    let new = NewKey {
        name: request.name,
        scopes: Scopes::of(request.scopes),
        hash: sha256(secret.as_str().as_bytes()),
        shown: secret.shown().to_owned(),
        limit: request.rate_limit,
        expires_at: request.expires_at,
    };
    Ok((secret, new))
}

/// What a person has to know of a key that was just made.
pub(crate) fn message(is_first: bool) -> String {
    match is_first {
        true => {
            "Keep this key: it is not shown again. It is the first one, so from now on every call \
             needs a key"
        }
        false => "Keep this key: it is not shown again",
    }
    .to_owned()
}

/// Whether without this key nobody could make another.
pub(crate) fn is_last_admin<'a>(
    keys: impl Iterator<Item = &'a ApiKey> + Clone,
    id: KeyId,
    now: Timestamp,
) -> bool {
    let mut administrators =
        keys.filter(|key| key.scopes.permit(Scope::Admin) && !key.is_expired(now));
    let others = administrators.clone().any(|key| key.id != id);
    administrators.any(|key| key.id == id) && !others
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str, scopes: &[Scope]) -> KeyRequest {
        KeyRequest {
            name: name.to_owned(),
            scopes: scopes.to_vec(),
            rate_limit: None,
            expires_at: None,
        }
    }

    #[test]
    fn every_fault_is_told_at_once_and_only_a_first_key_needs_admin() {
        let now = Timestamp::from_seconds(100);
        let mut bad = request(" x", &[]);
        bad.expires_at = Some(now);
        let problem = check(&bad, false, now).unwrap_err();
        let paths: Vec<_> = problem.errors.iter().map(|error| &*error.path).collect();
        assert_eq!(paths, ["/name", "/scopes", "/expires_at"]);
        let run = request("ci", &[Scope::Run]);
        assert!(check(&run, false, now).is_ok());
        let first = check(&run, true, now).unwrap_err().to_string();
        assert!(first.contains("the first key"), "{first}");
        assert!(check(&request("ops", &[Scope::Admin, Scope::Debug]), true, now).is_ok());
    }

    #[test]
    fn an_expired_administrator_is_none() {
        let key = |id: i64, scope: Scope, expires_at: Option<i64>| ApiKey {
            id: KeyId(id),
            name: format!("key-{id}"),
            scopes: Scopes::of([scope]),
            shown: "a8_abcdef".to_owned(),
            limit: None,
            created_at: Timestamp::from_seconds(0),
            expires_at: expires_at.map(Timestamp::from_seconds),
            last_used_at: None,
        };
        let now = Timestamp::from_seconds(100);
        let keys = [
            key(1, Scope::Admin, None),
            key(2, Scope::Run, None),
            key(3, Scope::Admin, Some(100)),
        ];
        assert!(is_last_admin(keys.iter(), KeyId(1), now));
        assert!(!is_last_admin(keys.iter(), KeyId(2), now));
        assert!(!is_last_admin(keys.iter(), KeyId(3), now));
        let before = Timestamp::from_seconds(99);
        assert!(!is_last_admin(keys.iter(), KeyId(1), before));
    }
}
