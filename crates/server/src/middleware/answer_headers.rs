//! What each answer says about itself: its id, how long it took, and what is left of the limit.

use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::BytesMut;

use super::rate_limit::{Charge, Limits};
use super::request_id::{RequestId, X_REQUEST_ID};

/// The time in the server in milliseconds, e.g. `0.184ms`.
pub const X_RESPONSE_TIME: HeaderName = HeaderName::from_static("x-response-time");
/// The same in the form that browsers draw, e.g. `total;dur=0.184`.
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

pub(super) fn add(
    headers: &mut HeaderMap,
    request_id: &RequestId,
    duration_micros: u64,
    limit: Option<(&Limits, &Charge)>,
) {
    let (whole, fraction) = (duration_micros / 1_000, duration_micros % 1_000);
    // All values share one allocation.
    let mut text = BytesMut::with_capacity(128);
    // Writing into memory cannot fail.
    let _ = write!(text, "{whole}.{fraction:03}ms");
    let response_time = text.split().freeze();
    let _ = write!(text, "total;dur={whole}.{fraction:03}");
    let timing = text.split().freeze();
    headers.reserve(if limit.is_some() { 8 } else { 3 });
    for (name, value) in [(X_RESPONSE_TIME, response_time), (SERVER_TIMING, timing)] {
        if let Ok(value) = HeaderValue::from_maybe_shared(value) {
            headers.insert(name, value);
        }
    }
    headers.insert(X_REQUEST_ID, request_id.as_header().clone());
    if let Some((limits, charge)) = limit {
        limits.add_headers(headers, &mut text, charge);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autom8_model::{ManualClock, Timestamp};

    #[test]
    fn the_time_is_in_milliseconds_with_microseconds() {
        let clock = ManualClock::at(Timestamp::from_seconds(0));
        for (micros, response_time, timing) in [
            (0, "0.000ms", "total;dur=0.000"),
            (184, "0.184ms", "total;dur=0.184"),
            (12_005, "12.005ms", "total;dur=12.005"),
        ] {
            let mut headers = HeaderMap::new();
            add(
                &mut headers,
                &RequestId::of(&HeaderMap::new(), &clock),
                micros,
                None,
            );
            assert_eq!(headers[X_RESPONSE_TIME], response_time);
            assert_eq!(headers[SERVER_TIMING], timing);
            assert!(headers.contains_key(X_REQUEST_ID));
        }
    }
}
