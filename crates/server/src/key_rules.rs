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

/// An expiry would lock the server by itself, on a day when nobody thinks of it.
const FIRST_STAYS: &str = "has to be absent for the first key: once it had expired, nobody could \
                           make another; make the first without it, and one that expires after that";

/// Judges a key that is asked for.
///
/// # Errors
/// What it may not be called, that it could not be used, and that a first key has no `admin` or
/// does not stay.
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
    } else if is_first && request.expires_at.is_some() {
        faults.push(Invalid::new("/expires_at", FIRST_STAYS));
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

/// Whether without this key nobody could make another, now or once those that expire have done so.
/// One that expires itself is missed only if there is no other at all.
pub(crate) fn is_last_admin<'a>(
    keys: impl Iterator<Item = &'a ApiKey> + Clone,
    id: KeyId,
    now: Timestamp,
) -> bool {
    let mut administrators =
        keys.filter(|key| key.scopes.permit(Scope::Admin) && !key.is_expired(now));
    let Some(gone) = administrators.clone().find(|key| key.id == id) else {
        return false;
    };
    let replaces = |other: &ApiKey| other.expires_at.is_none() || gone.expires_at.is_some();
    !administrators.any(|other| other.id != id && replaces(other))
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
    fn a_first_key_stays_and_others_may_expire() {
        let now = Timestamp::from_seconds(100);
        let mut ops = request("ops", &[Scope::Admin]);
        ops.expires_at = Some(Timestamp::from_seconds(200));
        let first = check(&ops, true, now).unwrap_err();
        assert_eq!(first.errors[0].path, "/expires_at");
        assert!(check(&ops, false, now).is_ok());
    }

    #[test]
    fn only_an_administrator_that_stays_replaces_one_that_stays() {
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
            key(4, Scope::Admin, Some(200)),
            key(5, Scope::Admin, None),
        ];
        let is_last = |keys: &[ApiKey], id: i64| is_last_admin(keys.iter(), KeyId(id), now);
        assert!(is_last(&keys[..4], 1), "3 has expired, and 4 will");
        for id in [2, 3, 4, 9] {
            assert!(!is_last(&keys[..4], id), "{id}");
        }
        assert!(!is_last(&keys, 1) && !is_last(&keys, 5));
        assert!(is_last(&keys[1..4], 4), "nobody at all is left");
    }
}
