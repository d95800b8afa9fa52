//! How often a client may call: every request takes one from its client's bucket, and a request
//! that finds it empty is answered with 429 and the time to wait.
//!
//! The client is the valid key that was shown, and else the address: a made-up key is a request of
//! its address like any other, so that guessing keys is limited and buys no bucket. Monitoring is
//! exempt. The decision is [`autom8_performance::rate_limit`]'s; here are its clients, its headers
//! and its words.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use autom8_api::problem::{Problem, ProblemCode};
use autom8_model::{ApiKey, Clock, Monotonic};
use autom8_performance::rate_limit::{
    Decision, MEMORY_MAX_BYTES, Quota, RateLimitStatistics, RateLimiter,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::BytesMut;

use crate::error::ApiProblem;

/// Requests in the period of the limit.
pub const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
/// Requests that would be answered now.
pub const X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
/// When all of them would be, in seconds since 1970, rounded up.
pub const X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// draft-ietf-httpapi-ratelimit-headers-10, e.g. `"default";r=4999;t=1`.
pub const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The same, e.g. `"default";q=5000;w=60`.
pub const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Whoever comes through a Unix socket is one client. No connection has this address.
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The limits of one server and what its clients have used of them.
pub struct Limits {
    limiter: RateLimiter,
    default: Quota,
    default_headers: PolicyHeaders,
}

/// What does not change from answer to answer.
struct PolicyHeaders {
    limit: HeaderValue,
    policy: HeaderValue,
}

/// Whose bucket a request takes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Client<'a> {
    Key(&'a ApiKey),
    /// None for a Unix socket.
    Address(Option<IpAddr>),
}

/// What became of one request's charge, for its headers.
#[derive(Clone, Debug)]
pub(super) struct Charge {
    decision: Decision,
    reset_at_seconds: i64,
    /// Where it is not the server's own.
    of_key: Option<Quota>,
}

impl Limits {
    /// `seed` is a secret: who knows it can aim at other clients' buckets.
    pub fn new(default: Quota, seed: u64) -> Arc<Self> {
        Arc::new(Limits {
            limiter: RateLimiter::new(MEMORY_MAX_BYTES, seed),
            default_headers: PolicyHeaders::of(DEFAULT_POLICY, &default),
            default,
        })
    }

    pub(super) fn charge(&self, client: Client<'_>, now: Monotonic, clock: &dyn Clock) -> Charge {
        let (client, of_key) = match client {
            Client::Key(key) => {
                // Ids of keys are row numbers, which are positive.
                let client = self.limiter.client_of_key(key.id.0.unsigned_abs());
                (client, quota_of(key))
            }
            Client::Address(address) => {
                let address = address.unwrap_or(LOCAL);
                (self.limiter.client_of_address(address), None)
            }
        };
        let quota = of_key.as_ref().unwrap_or(&self.default);
        let now_ns = now.as_micros().saturating_mul(1_000);
        let decision = self.limiter.decide(client, quota, now_ns);
        let reset_at = clock.now().as_micros() + micros(decision.reset_after);
        Charge {
            decision,
            reset_at_seconds: reset_at.div_euclid(1_000_000)
                + i64::from(reset_at.rem_euclid(1_000_000) > 0),
            of_key,
        }
    }

    /// Says how the client stands, in parts of `text` that share its allocation.
    pub(super) fn add_headers(
        &self,
        headers: &mut HeaderMap,
        text: &mut BytesMut,
        charge: &Charge,
    ) {
        let own;
        let (name, quota, fixed) = match &charge.of_key {
            None => (DEFAULT_POLICY, &self.default, &self.default_headers),
            Some(quota) => {
                own = PolicyHeaders::of(KEY_POLICY, quota);
                (KEY_POLICY, quota, &own)
            }
        };
        let remaining = charge.decision.remaining.min(quota.requests().get());
        let reset_after = seconds_rounded_up(charge.decision.reset_after);
        let mut put = |header: HeaderName, written: std::fmt::Arguments<'_>| {
            // Writing into memory cannot fail, and digits are always a header value.
            let _ = text.write_fmt(written);
            if let Ok(value) = HeaderValue::from_maybe_shared(text.split().freeze()) {
                headers.insert(header, value);
            }
        };
        put(X_RATELIMIT_REMAINING, format_args!("{remaining}"));
        put(
            X_RATELIMIT_RESET,
            format_args!("{}", charge.reset_at_seconds),
        );
        put(
            RATELIMIT,
            format_args!("\"{name}\";r={remaining};t={reset_after}"),
        );
        headers.insert(X_RATELIMIT_LIMIT, fixed.limit.clone());
        headers.insert(RATELIMIT_POLICY, fixed.policy.clone());
    }

    /// The answer to a request that found its bucket empty.
    pub(super) fn refusal(&self, client: Client<'_>, charge: &Charge) -> Response {
        let quota = charge.of_key.as_ref().unwrap_or(&self.default);
        let wait_seconds = seconds_rounded_up(charge.decision.retry_after).max(1);
        let who = match client {
            Client::Key(key) => format!("the API key `{}`", key.name),
            Client::Address(Some(address)) => format!("the address {address}"),
            Client::Address(None) => "the Unix socket".to_owned(),
        };
        let message = format!(
            "{who} has used up its limit of {}; try again in {wait_seconds} s, and see \
             X-RateLimit-Remaining of each answer for how much is left",
            shown(quota)
        );
        let problem = Problem::new(ProblemCode::RateLimited, message);
        let mut response = ApiProblem::from(problem).into_response();
        let wait = HeaderValue::from(wait_seconds);
        response.headers_mut().insert(header::RETRY_AFTER, wait);
        response
    }

    /// E.g. `5000 per minute`.
    pub fn shown(&self) -> String {
        shown(&self.default)
    }

    pub(crate) fn statistics(&self) -> RateLimitStatistics {
        self.limiter.statistics()
    }

    /// Forgets who is idle; to be called about once a second.
    pub(crate) fn sweep(&self, now: Monotonic) {
        self.limiter.sweep(now.as_micros().saturating_mul(1_000));
    }
}

impl Charge {
    pub(super) fn is_allowed(&self) -> bool {
        self.decision.allowed
    }
}

const DEFAULT_POLICY: &str = "default";
/// A key with a limit of its own.
const KEY_POLICY: &str = "key";

impl PolicyHeaders {
    fn of(name: &str, quota: &Quota) -> Self {
        let (requests, window) = (quota.requests(), quota.period().as_secs());
        let policy = format!("\"{name}\";q={requests};w={window}");
        PolicyHeaders {
            limit: HeaderValue::from(requests.get()),
            // A quoted name and numbers are always a header value.
            policy: HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("")),
        }
    }
}

/// A key's own limit. One that could not be kept to is not made, and one that an older version
/// might have stored counts as none.
fn quota_of(key: &ApiKey) -> Option<Quota> {
    let limit = key.limit?;
    let requests = NonZeroU32::new(limit.requests)?;
    let period = Duration::from_secs(u64::from(limit.period_s));
    Quota::new(requests, period, requests).ok()
}

pub(crate) fn shown(quota: &Quota) -> String {
    let requests = quota.requests();
    match quota.period().as_secs() {
        1 => format!("{requests} per second"),
        60 => format!("{requests} per minute"),
        3_600 => format!("{requests} per hour"),
        86_400 => format!("{requests} per day"),
        seconds => format!("{requests} per {seconds} s"),
    }
}

/// Up, so that who waits as told is served.
fn seconds_rounded_up(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_nanos().div_ceil(1_000)).unwrap_or(i64::MAX)
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits")
            .field("limit", &self.shown())
            .field("limiter", &self.limiter)
            .finish_non_exhaustive()
    }
}
