//! What the limiter promises, on a clock that is a number.

mod contract;
mod oracle;
mod table;

use super::*;
use std::num::NonZeroU32;
use std::time::Duration;

const SECOND_NS: u64 = 1_000_000_000;
const MINUTE: Duration = Duration::from_secs(60);
/// Any time: clocks do not begin at zero.
const START_NS: u64 = 123_456_789_012_345;

fn quota(requests: u32, period: Duration, burst: u32) -> Quota {
    let number = |number| NonZeroU32::new(number).unwrap();
    Quota::new(number(requests), period, number(burst)).unwrap()
}

/// The contract of the interface.
fn five_thousand_a_minute() -> Quota {
    quota(5_000, MINUTE, 5_000)
}

fn roomy() -> RateLimiter {
    RateLimiter::new(MEMORY_MAX_BYTES, 7)
}
