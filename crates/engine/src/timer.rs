//! The only place that sleeps.
//!
//! Waits are monotonic, and a wait for a wall-clock time is cut into ticks, so that a clock step
//! is noticed within one tick instead of a day later.

use std::time::Duration;

use autom8_model::{Clock, Timestamp};

/// The longest uninterrupted wait for a wall-clock time.
pub const TICK: Duration = Duration::from_secs(1);

/// Sleeps for `duration` of monotonic time.
#[allow(clippy::disallowed_methods, reason = "this module is the one that sleeps")]
pub async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Sleeps until the wall clock says `at`, or for one [`TICK`], whichever comes first.
pub async fn sleep_towards(at: Timestamp, clock: &dyn Clock) {
    sleep(at.since(clock.now()).min(TICK)).await;
}
