//! The rate limit as clients see it, through the whole middleware and by a clock that stands still.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use autom8_model::api_key::{KeyLimit, Secret};
use autom8_model::{ApiKey, KeyId, ManualClock, Scope, Scopes, Timestamp};
use autom8_performance::rate_limit::Quota;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, header};
use axum::routing::get;
use tower::ServiceExt as _;

use super::*;
use crate::digest::sha256;
use crate::router::within;

/// A moment between two seconds, so that rounding shows.
const NOW_MICROS: i64 = 1_700_000_000_250_000;

struct Table(HashMap<[u8; 32], Arc<ApiKey>>);

impl Keys for Table {
    fn by_hash(&self, hash: &[u8; 32]) -> Option<Arc<ApiKey>> {
        self.0.get(hash).cloned()
    }

    fn exist(&self) -> bool {
        !self.0.is_empty()
    }
}

fn secret(seed: u64) -> String {
    let mut bits = [0; 32];
    bits[..8].copy_from_slice(&seed.to_le_bytes());
    Secret::new(bits).as_str().to_owned()
}

fn key(id: i64, limit: Option<KeyLimit>) -> ApiKey {
    ApiKey {
        id: KeyId(id),
        name: format!("key-{id}"),
        scopes: Scopes::of([Scope::Read]),
        shown: String::new(),
        limit,
        created_at: Timestamp::from_seconds(0),
        expires_at: None,
        last_used_at: None,
    }
}

/// A server with `requests` a minute, and keys 1 and 2, of which the second may do 3 an hour.
struct Limited {
    clock: Arc<ManualClock>,
    router: Router,
}

fn limited(requests: u32, burst: u32, reach: Reach) -> Limited {
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(NOW_MICROS)));
    let number = |number| NonZeroU32::new(number).unwrap();
    let quota = Quota::new(number(requests), Duration::from_secs(60), number(burst)).unwrap();
    let own = KeyLimit {
        requests: 3,
        period_s: 3_600,
    };
    let keys = [(1, key(1, None)), (2, key(2, Some(own)))];
    let keys = keys.map(|(seed, key)| (sha256(secret(seed).as_bytes()), Arc::new(key)));
    let edge = Edge {
        telemetry: Telemetry::new(clock.clone()),
        clock: clock.clone(),
        host_guard: HostGuard::Beyond,
        lanes: Lanes::new(8, 8),
        reach,
        keys: Box::new(Table(keys.into_iter().collect())),
        key_use: Arc::default(),
        limits: Some(Limits::new(quota, 1)),
        repeats: None,
        trusted_proxies: vec![Network::parse("10.0.0.0/8").unwrap()],
    };
    let routes = Router::new()
        .route("/api/v1/runs", get(|| async {}))
        .route("/api/v1/health", get(|| async {}))
        .route("/api/v1/metrics", get(|| async {}));
    Limited {
        clock,
        router: within(routes, Arc::new(edge)),
    }
}

struct Sent {
    status: u16,
    headers: HeaderMap,
    message: String,
}

impl Sent {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Limited {
    async fn send(&self, path: &str, peer: &str, headers: &[(&str, &str)]) -> Sent {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = path.parse().unwrap();
        for (name, value) in headers {
            let name: header::HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        if !peer.is_empty() {
            request
                .extensions_mut()
                .insert(Peer(Some(peer.parse().unwrap())));
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 10_000).await.unwrap();
        let problem: Option<Problem> = serde_json::from_slice(&bytes).ok();
        Sent {
            status: parts.status.as_u16(),
            headers: parts.headers,
            message: problem.map(|problem| problem.message).unwrap_or_default(),
        }
    }

    async fn by_key(&self, seed: u64, peer: &str) -> Sent {
        let bearer = format!("Bearer {}", secret(seed));
        self.send("/api/v1/runs", peer, &[("authorization", &bearer)])
            .await
    }

    async fn status(&self, peer: &str, headers: &[(&str, &str)]) -> u16 {
        self.send("/api/v1/runs", peer, headers).await.status
    }
}

/// Without a key the tests below would all be 401: they watch addresses, so that is what passes.
const PASSED: u16 = 401;

#[tokio::test]
async fn of_5001_requests_at_one_instant_exactly_one_is_refused() {
    let server = limited(5_000, 5_000, Reach::Local);
    let mut refused = Vec::new();
    for number in 1..=5_001 {
        let sent = server.by_key(1, "192.0.2.7").await;
        match sent.status {
            200 => assert_eq!(
                sent.header("x-ratelimit-remaining"),
                (5_000 - number).to_string()
            ),
            _ => refused.push(sent),
        }
    }
    let [refused] = &refused[..] else {
        panic!("{} refused", refused.len());
    };
    assert_eq!(refused.status, 429);
    // 12 ms, in whole seconds.
    assert_eq!(refused.header("retry-after"), "1");
    assert!(
        refused.message.contains("`key-1`") && refused.message.contains("5000 per minute"),
        "{}",
        refused.message
    );
    server.clock.advance(Duration::from_micros(11_999));
    assert_eq!(server.by_key(1, "192.0.2.7").await.status, 429);
    server.clock.advance(Duration::from_micros(1));
    assert_eq!(server.by_key(1, "192.0.2.7").await.status, 200);
    assert_eq!(server.by_key(1, "192.0.2.7").await.status, 429);
}

#[tokio::test]
async fn each_limited_answer_says_how_the_client_stands() {
    let server = limited(60, 60, Reach::Local);
    let first = server.by_key(1, "192.0.2.7").await;
    let stands = |sent: &Sent| {
        [
            "x-ratelimit-limit",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
            "ratelimit",
            "ratelimit-policy",
        ]
        .map(|name| sent.header(name).to_owned())
    };
    // Full again a second after a quarter past, told in whole seconds.
    let expected = |left: &str, reset: &str, after: u32| {
        [
            "60".to_owned(),
            left.to_owned(),
            reset.to_owned(),
            format!("\"default\";r={left};t={after}"),
            "\"default\";q=60;w=60".to_owned(),
        ]
    };
    assert_eq!(stands(&first), expected("59", "1700000002", 1));
    server.by_key(1, "192.0.2.7").await;
    server.clock.advance(Duration::from_millis(500));
    let third = server.by_key(1, "192.0.2.7").await;
    assert_eq!(stands(&third), expected("57", "1700000004", 3));
    // Refusals of every kind say it too, and what does not exist takes from the limit.
    let refused = server.send("/api/v1/runs", "192.0.2.8", &[]).await;
    assert_eq!(
        (refused.status, refused.header("x-ratelimit-remaining")),
        (401, "59")
    );
    let bearer = format!("Bearer {}", secret(1));
    let missing = server
        .send("/nowhere", "192.0.2.7", &[("authorization", &bearer)])
        .await;
    assert_eq!(
        (missing.status, missing.header("x-ratelimit-remaining")),
        (404, "56")
    );
}

#[tokio::test]
async fn what_may_be_saved_up_is_shown_up_to_the_limit_and_granted_up_to_the_burst() {
    let server = limited(60, 100, Reach::Local);
    assert_eq!(
        server.by_key(1, "").await.header("x-ratelimit-remaining"),
        "60"
    );
    for _ in 1..100 {
        assert_eq!(server.by_key(1, "").await.status, 200);
    }
    assert_eq!(server.by_key(1, "").await.status, 429);
}

#[tokio::test]
async fn random_bearer_tokens_do_not_escape_the_bucket_of_their_address() {
    let server = limited(50, 50, Reach::Local);
    for seed in 0..50 {
        let sent = server.by_key(1_000 + seed, "192.0.2.7").await;
        assert_eq!(sent.status, 401, "{}", sent.message);
    }
    let limited = server.by_key(5_000, "192.0.2.7").await;
    assert_eq!(limited.status, 429);
    assert!(limited.message.contains("192.0.2.7"), "{}", limited.message);
    for line in ["Bearer hunter2", "Digest x", "Basic OmE4Xw=="] {
        let sent = server.status("192.0.2.7", &[("authorization", line)]).await;
        assert_eq!(sent, 429, "{line}");
    }
    assert_eq!(server.status("192.0.2.7", &[]).await, 429);
    // Who has a key is not locked out by a neighbour that guesses, and nor are other addresses.
    assert_eq!(server.by_key(1, "192.0.2.7").await.status, 200);
    assert_eq!(server.status("192.0.2.8", &[]).await, PASSED);
}

#[tokio::test]
async fn a_key_is_one_client_wherever_it_calls_from_and_its_own_limit_holds() {
    let server = limited(5, 5, Reach::Local);
    for host in 1..=5 {
        let sent = server.by_key(1, &format!("192.0.2.{host}")).await;
        assert_eq!(sent.status, 200);
    }
    assert_eq!(server.by_key(1, "192.0.2.6").await.status, 429);
    for left in ["2", "1", "0"] {
        let sent = server.by_key(2, "192.0.2.6").await;
        assert_eq!(sent.header("x-ratelimit-limit"), "3");
        assert_eq!(sent.header("x-ratelimit-remaining"), left);
    }
    let refused = server.by_key(2, "192.0.2.6").await;
    assert_eq!(refused.header("retry-after"), "1200");
    assert!(
        refused.message.contains("3 per hour"),
        "{}",
        refused.message
    );
}

#[tokio::test]
async fn monitoring_is_never_limited_and_a_try_at_a_key_there_is() {
    let server = limited(5, 5, Reach::Local);
    let wrong = [("authorization", "Bearer hunter2")];
    for _ in 0..50 {
        for path in ["/api/v1/health", "/api/v1/metrics"] {
            for headers in [&[][..], &wrong[..]] {
                let sent = server.send(path, "192.0.2.7", headers).await;
                assert_eq!(sent.status, 200);
                assert!(!sent.headers.contains_key("x-ratelimit-limit"));
            }
        }
    }
    let beyond = Reach::Beyond {
        monitoring_open: false,
    };
    let server = limited(5, 5, beyond);
    let bearer = format!("Bearer {}", secret(1));
    for _ in 0..50 {
        let right = [("authorization", &*bearer)];
        assert_eq!(
            server
                .send("/api/v1/metrics", "192.0.2.7", &right)
                .await
                .status,
            200
        );
        assert_eq!(
            server
                .send("/api/v1/health", "192.0.2.7", &wrong)
                .await
                .status,
            200
        );
    }
    for _ in 0..5 {
        let sent = server.send("/api/v1/metrics", "192.0.2.7", &wrong).await;
        assert_eq!(sent.status, 401);
    }
    let sent = server.send("/api/v1/metrics", "192.0.2.7", &wrong).await;
    assert_eq!(sent.status, 429);
}

#[tokio::test]
async fn what_was_read_with_a_key_is_kept_by_no_browser() {
    let server = limited(60, 60, Reach::Local);
    let with_key = server.by_key(1, "192.0.2.7").await;
    assert_eq!(
        (with_key.status, with_key.header("cache-control")),
        (200, "no-store")
    );
    let without = server.send("/api/v1/health", "192.0.2.7", &[]).await;
    assert_eq!((without.status, without.header("cache-control")), (200, ""));
}

/// Where the log goes.
#[derive(Clone, Default)]
struct Lines(Arc<parking_lot::Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn guesses_at_keys_are_told_by_address_and_number_and_never_by_the_key() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // This test and all it awaits run on one thread.
    let _here = tracing::subscriber::set_default(subscriber);
    let server = limited(5, 5, Reach::Local);
    let guessed = secret(77);
    let bearer = format!("Bearer {guessed}");
    let wrong = [("authorization", &*bearer)];
    server.status("192.0.2.7", &[]).await;
    assert_eq!(lines.0.lock().len(), 0);
    // Beyond the limit they are counted, too.
    for _ in 0..9 {
        server.status("192.0.2.7", &wrong).await;
    }
    server.clock.advance(Duration::from_secs(10));
    server.status("198.51.100.1", &wrong).await;
    let text = String::from_utf8(lines.0.lock().clone()).unwrap();
    let told: Vec<&str> = text.lines().collect();
    let [first, second] = told[..] else {
        panic!("{text}");
    };
    for (line, address, count) in [
        (first, "192.0.2.7", "count=1"),
        (second, "198.51.100.1", "count=9"),
    ] {
        for part in ["WARN", address, "reason=\"unknown\"", count] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
    assert!(!text.contains(&guessed[3..]), "{text}");
}

#[tokio::test]
async fn a_client_is_told_by_its_address_as_far_as_proxies_can_be_trusted() {
    let used_up = async |peer: &str, headers: &[(&str, &str)]| {
        let server = limited(1, 1, Reach::Local);
        assert_eq!(server.status(peer, headers).await, PASSED);
        assert_eq!(server.status(peer, headers).await, 429);
        server
    };
    // An IPv6 network of 64 bits is one client, and an IPv4 address however it is written.
    let server = used_up("2001:db8:0:1::1", &[]).await;
    assert_eq!(server.status("2001:db8:0:1:ffff::9", &[]).await, 429);
    assert_eq!(server.status("2001:db8:0:2::1", &[]).await, PASSED);
    let server = used_up("::ffff:192.0.2.7", &[]).await;
    assert_eq!(server.status("192.0.2.7", &[]).await, 429);
    // Nobody gets another bucket by a header, unless a trusted proxy says it.
    let server = used_up("192.0.2.7", &[]).await;
    let forwarded = [("x-forwarded-for", "198.51.100.1")];
    assert_eq!(server.status("192.0.2.7", &forwarded).await, 429);
    let server = used_up("10.0.0.1", &forwarded).await;
    let made_up = [("x-forwarded-for", "203.0.113.5, 198.51.100.1")];
    assert_eq!(server.status("10.0.0.2", &made_up).await, 429);
    let other = [("x-forwarded-for", "198.51.100.2")];
    assert_eq!(server.status("10.0.0.1", &other).await, PASSED);
    // Whoever comes through a Unix socket is one client.
    let server = used_up("", &[]).await;
    assert_eq!(server.status("", &other).await, 429);
    assert_eq!(server.status("127.0.0.1", &[]).await, PASSED);
}
