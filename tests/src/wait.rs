//! How a test waits: for a condition, with a deadline, never for a time that should do.

use std::time::{Duration, Instant};

/// A local request under a loaded two-core machine.
pub const PROMPT: Duration = Duration::from_secs(10);
/// A start, a restart with recovery, a run of a child process.
pub const PATIENT: Duration = Duration::from_secs(30);

const POLL_FIRST: Duration = Duration::from_millis(1);
const POLL_LAST: Duration = Duration::from_millis(50);

/// Asks until the answer is there, and fails the test with `what` when the deadline is.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, ask: impl FnMut() -> Option<T>) -> T {
    match within(limit, ask) {
        Some(answer) => answer,
        None => panic!("{what}: not within {limit:?}"),
    }
}

/// Asks until the answer is there or the time is over.
pub fn within<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let started = now();
    let mut pause = POLL_FIRST;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if started.elapsed() >= limit {
            return None;
        }
        pause_for(pause);
        pause = (pause * 2).min(POLL_LAST);
    }
}

/// The pause between two polls, and the pacing of a load.
#[allow(
    clippy::disallowed_methods,
    reason = "the one pause of the tests: between two looks at a condition, or two requests of a load"
)]
pub fn pause_for(time: Duration) {
    std::thread::sleep(time);
}

#[allow(
    clippy::disallowed_methods,
    reason = "the test's own clock, apart from the product's"
)]
pub fn now() -> Instant {
    Instant::now()
}
