//! A name for each request, which its answer, its problem and the log share.

use std::cell::RefCell;

use autom8_model::{Clock, Random, Timestamp};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A client's own id may be this long; beyond it, a new one is made.
const CLIENT_ID_CHARS_MAX: usize = 64;

/// The client's id if it is one a log line can carry, else a UUIDv7 of the time of arrival.
#[derive(Clone, Debug)]
pub struct RequestId(HeaderValue);

impl RequestId {
    pub(super) fn of(headers: &HeaderMap, clock: &dyn Clock) -> Self {
        match headers.get(X_REQUEST_ID) {
            Some(given) if is_sane(given.as_bytes()) => RequestId(given.clone()),
            _ => RequestId::new(clock.now(), random_bits()),
        }
    }

    fn new(now: Timestamp, (high, low): (u64, u64)) -> Self {
        // Hexadecimal digits and hyphens are always a header value.
        let value = HeaderValue::from_bytes(&uuid_v7(now, high, low));
        RequestId(value.unwrap_or(HeaderValue::from_static("unknown")))
    }

    pub fn as_str(&self) -> &str {
        // Both sources are ASCII.
        self.0.to_str().unwrap_or_default()
    }

    pub(super) fn as_header(&self) -> &HeaderValue {
        &self.0
    }
}

/// Letters, digits and the punctuation of ids: nothing that could break a log line or a page.
fn is_sane(id: &[u8]) -> bool {
    (1..=CLIENT_ID_CHARS_MAX).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte))
}

/// RFC 9562, section 5.7: 48 bits of milliseconds, the version, 12 random bits, the variant, 62
/// random bits.
fn uuid_v7(now: Timestamp, high: u64, low: u64) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let millis = u64::try_from(now.as_micros() / 1_000).unwrap_or(0);
    let upper = (millis << 16) | 0x7000 | (high & 0x0fff);
    let lower = (0b10 << 62) | (low >> 2);
    let bits = (u128::from(upper) << 64) | u128::from(lower);
    let mut text = [b'-'; 36];
    let mut shift = 128;
    for (at, place) in text.iter_mut().enumerate() {
        if !matches!(at, 8 | 13 | 18 | 23) {
            shift -= 4;
            *place = DIGITS[(bits >> shift) as usize & 0xf];
        }
    }
    text
}

/// Two numbers of this thread's own sequence: threads that share one would wait for each other.
fn random_bits() -> (u64, u64) {
    thread_local! {
        static RANDOM: RefCell<Random> = RefCell::new(Random::from_os());
    }
    RANDOM.with_borrow_mut(|random| (random.next_u64(), random.next_u64()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use autom8_model::ManualClock;

    #[test]
    fn the_example_of_rfc_9562_comes_out_as_printed() {
        let now = Timestamp::from_micros(0x017F_22E2_79B0 * 1_000);
        // rand_b of the example, in the upper 62 bits of ours.
        let text = uuid_v7(now, 0xCC3, 0x18C4_DC0C_0C07_398F << 2);
        assert_eq!(
            std::str::from_utf8(&text).unwrap(),
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
        );
    }

    #[test]
    fn a_sane_client_id_is_kept_and_any_other_replaced() {
        let clock = ManualClock::at(Timestamp::from_seconds(1_700_000_000));
        let of = |given: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(given).unwrap());
            RequestId::of(&headers, &clock).as_str().to_owned()
        };
        assert_eq!(of(b"order-7/retry.2"), "order-7/retry.2");
        for bad in [
            &b""[..],
            b"two words",
            b"<script>",
            b"\xff\xfe",
            &[b'a'; 65],
        ] {
            let made = of(bad);
            assert_eq!(made.len(), 36, "{made}");
            assert!(made.starts_with("018bcfe5-6800-7"), "{made}");
        }
    }

    #[test]
    fn ids_differ() {
        let clock = ManualClock::at(Timestamp::from_seconds(0));
        let ids: std::collections::HashSet<String> = (0..10_000)
            .map(|_| RequestId::of(&HeaderMap::new(), &clock).as_str().to_owned())
            .collect();
        assert_eq!(ids.len(), 10_000);
    }
}
