//! How long to wait before the next attempt.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::human_duration::HumanDuration;
use crate::invalid::Invalid;
use crate::limits;

/// Exponential backoff: `backoff`, twice that, four times, … up to `max_backoff`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    #[cfg_attr(feature = "schema", schema(schema_with = crate::schema::max_attempts))]
    pub max_attempts: u16,
    #[cfg_attr(feature = "schema", schema(schema_with = crate::schema::backoff))]
    pub backoff: HumanDuration,
    #[cfg_attr(feature = "schema", schema(schema_with = crate::schema::max_backoff))]
    pub max_backoff: HumanDuration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            max_attempts: 3,
            backoff: HumanDuration(Duration::from_secs(1)),
            max_backoff: HumanDuration(Duration::from_secs(300)),
        }
    }
}

impl RetryPolicy {
    /// The wait after attempt number `attempt` (1 is the first) failed.
    ///
    /// `jitter` lies in `0.0..1.0`. It is added *after* the floor, as up to half of the step
    /// again: jitter that may shorten the wait lets a crowd come back early together.
    pub fn delay(&self, attempt: u16, jitter: f64) -> Duration {
        let doublings = u32::from(attempt.saturating_sub(1)).min(31);
        let step = self
            .backoff
            .0
            .saturating_mul(1 << doublings)
            .min(self.max_backoff.0);
        step + step.mul_f64(jitter.clamp(0.0, 1.0) / 2.0)
    }

    pub(crate) fn validate(&self, found: &mut Vec<Invalid>) {
        if !(1..=limits::ATTEMPTS_MAX).contains(&self.max_attempts) {
            found.push(Invalid::new(
                "/retry/max_attempts",
                format!(
                    "is {}: use 1 (no retry) to {}",
                    self.max_attempts,
                    limits::ATTEMPTS_MAX
                ),
            ));
        }
        for (path, wait) in [
            ("/retry/backoff", &self.backoff),
            ("/retry/max_backoff", &self.max_backoff),
        ] {
            if wait.0 > limits::BACKOFF_MAX {
                found.push(Invalid::new(path, "is longer than 7d"));
            }
        }
        if self.max_backoff.0 < self.backoff.0 {
            found.push(Invalid::new(
                "/retry/max_backoff",
                "is shorter than `backoff`",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_the_cap_and_never_falls_below_its_step() {
        let policy = RetryPolicy::default();
        let seconds: Vec<u64> = (1..=10).map(|n| policy.delay(n, 0.0).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(policy.delay(1, 1.0), Duration::from_millis(1500));
        assert_eq!(policy.delay(u16::MAX, 0.0), Duration::from_secs(300));
    }
}
