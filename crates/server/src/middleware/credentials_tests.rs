use std::collections::HashMap;

use autom8_model::{KeyId, ManualClock, Scopes};

use super::*;

/// Keys in a map, by the hash of their text.
#[derive(Default)]
struct Table(HashMap<[u8; 32], Arc<ApiKey>>);

impl Keys for Table {
    fn by_hash(&self, hash: &[u8; 32]) -> Option<Arc<ApiKey>> {
        self.0.get(hash).cloned()
    }

    fn exist(&self) -> bool {
        !self.0.is_empty()
    }
}

impl Table {
    fn add(&mut self, seed: u8, scopes: &[Scope], expires_at: Option<Timestamp>) -> String {
        let secret = Secret::new([seed; 32]);
        let key = ApiKey {
            id: KeyId(i64::from(seed)),
            name: format!("key-{seed}"),
            scopes: Scopes::of(scopes.iter().copied()),
            shown: secret.shown().to_owned(),
            limit: None,
            created_at: Timestamp::from_seconds(0),
            expires_at,
            last_used_at: None,
        };
        let text = secret.as_str().to_owned();
        self.0.insert(sha256(text.as_bytes()), Arc::new(key));
        text
    }
}

const NOW: i64 = 1_700_000_000;

fn try_with(keys: &Table, method: &Method, lines: &[&str]) -> Result<Principal, Refusal> {
    let clock = ManualClock::at(Timestamp::from_seconds(NOW));
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(header::AUTHORIZATION, line.parse().unwrap());
    }
    check(
        Access::Scope(Scope::Read),
        Reach::Local,
        keys,
        &clock,
        method,
        &headers,
    )
}

fn encoded(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

#[test]
fn a_key_is_taken_as_a_bearer_token_and_for_reading_as_a_password() {
    let mut keys = Table::default();
    let key = keys.add(1, &[Scope::Read], None);
    for line in [
        format!("Bearer {key}"),
        format!("bearer {key}"),
        format!("BEARER   {key}"),
        encoded(&format!("anybody:{key}")),
        encoded(&format!(":{key}")),
    ] {
        let principal = try_with(&keys, &Method::GET, &[&line]).unwrap();
        assert_eq!(principal.name(), "key-1", "{line}");
    }
    let refused = try_with(&keys, &Method::POST, &[&encoded(&format!("me:{key}"))]);
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("for reading only"), "{text}");
}

#[test]
fn a_wrong_credential_is_told_what_is_wrong_and_is_never_repeated() {
    let mut keys = Table::default();
    let known = keys.add(1, &[Scope::Read], None);
    let expired = keys.add(2, &[Scope::Read], Some(Timestamp::from_seconds(NOW)));
    let unknown = Secret::new([9; 32]).as_str().to_owned();
    let bearer = |text: &str| format!("Bearer {text}");
    let long = "a".repeat(10_000);
    for (line, why) in [
        (bearer("hunter2"), "begins with `a8_`"),
        (bearer("a8_hunter2"), "letters and digits"),
        (bearer(&long), "letters and digits"),
        (bearer(&unknown), "does not know this API key"),
        (bearer(&expired), "has expired"),
        (bearer(""), "begins with `a8_`"),
        (known.clone(), "not understood"),
        ("Bearer".to_owned(), "not understood"),
        (format!("Digest {known}"), "not understood"),
        ("Basic ???".to_owned(), "under any user name"),
        (encoded("no colon"), "under any user name"),
        (encoded("me:hunter2"), "begins with `a8_`"),
    ] {
        let refusal = try_with(&keys, &Method::GET, &[&line]).unwrap_err();
        assert!(matches!(refusal, Refusal::Wrong(_)));
        let text = refusal.to_string();
        assert!(text.contains(why), "{line}: {text}");
        assert!(
            !text.contains("hunter2") && !text.contains(&unknown),
            "{text}"
        );
    }
    let two = [bearer(&known), bearer(&known)];
    let refusal = try_with(&keys, &Method::GET, &[&two[0], &two[1]]).unwrap_err();
    assert!(refusal.to_string().contains("not several"));
}

#[test]
fn an_open_server_refuses_a_wrong_credential_all_the_same() {
    let keys = Table::default();
    assert!(matches!(
        try_with(&keys, &Method::GET, &[]),
        Ok(Principal::Open)
    ));
    let unknown = format!("Bearer {}", Secret::new([9; 32]).as_str());
    assert!(try_with(&keys, &Method::GET, &[&unknown]).is_err());
}

#[test]
fn a_key_expires_at_its_moment_and_not_before() {
    let mut keys = Table::default();
    let key = keys.add(1, &[Scope::Read], Some(Timestamp::from_seconds(NOW + 1)));
    let line = format!("Bearer {key}");
    assert!(try_with(&keys, &Method::GET, &[&line]).is_ok());
    let clock = ManualClock::at(Timestamp::from_seconds(NOW + 1));
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, line.parse().unwrap());
    let access = Access::Scope(Scope::Read);
    let later = check(access, Reach::Local, &keys, &clock, &Method::GET, &headers);
    assert!(matches!(later, Err(Refusal::Wrong(Wrong::Expired { .. }))));
}

#[test]
fn a_refusal_says_by_its_headers_how_to_authenticate() {
    let challenges = |refusal: &Refusal, method: Method, accept: Option<&str>| -> Vec<String> {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(header::ACCEPT, accept.parse().unwrap());
        }
        let response = refusal.answer(&method, &headers);
        assert_eq!(response.status(), 401);
        let found = response.headers().get_all(header::WWW_AUTHENTICATE);
        found
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    };
    let none = Refusal::NoKey {
        needed: Scope::Read,
    };
    let bearer = r#"Bearer realm="autom8""#;
    assert_eq!(challenges(&none, Method::GET, None), [bearer]);
    let browser = Some("text/html,application/xhtml+xml");
    assert_eq!(
        challenges(&none, Method::GET, browser),
        [bearer, r#"Basic realm="autom8", charset="UTF-8""#]
    );
    assert_eq!(challenges(&none, Method::POST, browser), [bearer]);
    assert_eq!(
        challenges(&Refusal::Wrong(Wrong::Unknown), Method::GET, None),
        [r#"Bearer realm="autom8", error="invalid_token""#]
    );
}

#[test]
fn a_missing_scope_is_named_with_the_command_that_makes_such_a_key() {
    let mut keys = Table::default();
    let key = keys.add(1, &[Scope::Read, Scope::Debug], None);
    let clock = ManualClock::at(Timestamp::from_seconds(NOW));
    let mut headers = HeaderMap::new();
    let line = format!("Bearer {key}");
    headers.insert(header::AUTHORIZATION, line.parse().unwrap());
    let access = Access::Scope(Scope::Run);
    let refusal = check(access, Reach::Local, &keys, &clock, &Method::POST, &headers).unwrap_err();
    assert_eq!(refusal.key().map(|key| key.name.as_str()), Some("key-1"));
    let response = refusal.answer(&Method::POST, &headers);
    assert_eq!(response.status(), 403);
    let problem = &response.extensions().get::<ApiProblem>().unwrap().problem;
    assert!(
        problem.message.contains("read, debug") && problem.message.contains("--scope run"),
        "{}",
        problem.message
    );
}
