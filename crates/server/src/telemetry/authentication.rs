//! Tries at a key that failed: each is counted, and the log gets a line of them now and then.
//!
//! Whoever guesses keys must be seen, and must not be able to fill the log with it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use autom8_model::Monotonic;

/// The least time between two lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Why a request was not believed, as the metrics tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationFailure {
    /// It showed no key where one was needed, as a browser's first request does.
    Missing,
    /// What it showed is no key, or was not shown in a way that is taken.
    Malformed,
    Unknown,
    Expired,
}

impl AuthenticationFailure {
    pub(super) const ALL: [AuthenticationFailure; 4] = [
        AuthenticationFailure::Missing,
        AuthenticationFailure::Malformed,
        AuthenticationFailure::Unknown,
        AuthenticationFailure::Expired,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            AuthenticationFailure::Missing => "missing",
            AuthenticationFailure::Malformed => "malformed",
            AuthenticationFailure::Unknown => "unknown",
            AuthenticationFailure::Expired => "expired",
        }
    }
}

/// All of them since the start.
#[derive(Debug, Default)]
pub struct AuthenticationFailures {
    by_reason: [AtomicU64; AuthenticationFailure::ALL.len()],
    /// Those that no line has told of.
    untold: AtomicU64,
    /// Before this moment no line is due.
    next_line_micros: AtomicU64,
}

impl AuthenticationFailures {
    /// Counts one, and answers how many there were since the last line if another line is due.
    /// A request without a key calls for none: nobody has tried one.
    pub(crate) fn note(&self, reason: AuthenticationFailure, now: Monotonic) -> Option<u64> {
        self.by_reason[reason as usize].fetch_add(1, Relaxed);
        if reason == AuthenticationFailure::Missing {
            return None;
        }
        self.untold.fetch_add(1, Relaxed);
        let due = self.next_line_micros.load(Relaxed);
        if now.as_micros() < due {
            return None;
        }
        let next = now.plus(LINE_EVERY).as_micros();
        // Of those that come at once, one writes.
        self.next_line_micros
            .compare_exchange(due, next, Relaxed, Relaxed)
            .ok()
            .map(|_| self.untold.swap(0, Relaxed))
    }

    pub(super) fn counts(&self) -> [(&'static str, u64); AuthenticationFailure::ALL.len()] {
        AuthenticationFailure::ALL.map(|reason| {
            (
                reason.as_str(),
                self.by_reason[reason as usize].load(Relaxed),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_guesses_is_counted_whole_and_told_in_a_line_every_ten_seconds() {
        let failures = AuthenticationFailures::default();
        let mut lines = Vec::new();
        for tenth in 0..=200 {
            let now = Monotonic::from_micros(5_000_000 + tenth * 100_000);
            lines.extend(failures.note(AuthenticationFailure::Unknown, now));
        }
        assert_eq!(lines, [1, 100, 100]);
        assert_eq!(failures.counts()[2], ("unknown", 201));
    }

    #[test]
    fn a_request_without_a_key_is_counted_and_makes_no_line() {
        let failures = AuthenticationFailures::default();
        let now = Monotonic::from_micros(1);
        assert_eq!(failures.note(AuthenticationFailure::Missing, now), None);
        assert_eq!(failures.counts()[0], ("missing", 1));
        assert_eq!(failures.note(AuthenticationFailure::Expired, now), Some(1));
        assert_eq!(failures.note(AuthenticationFailure::Malformed, now), None);
    }
}
