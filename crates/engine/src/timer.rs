//! The only place that sleeps.
//!
//! Waits are monotonic, and a wait for a wall-clock time is cut into ticks, so that a clock step
//! is noticed within one tick instead of a day later.

use std::time::Duration;

use autom8_model::{Clock, Random, Timestamp};

/// The longest uninterrupted wait for a wall-clock time.
pub const TICK: Duration = Duration::from_secs(1);

/// Sleeps for `duration` of monotonic time.
#[allow(
    clippy::disallowed_methods,
    reason = "this module is the one that sleeps"
)]
pub async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Sleeps until the wall clock says `at`, or for one [`TICK`], whichever comes first.
pub async fn sleep_towards(at: Timestamp, clock: &dyn Clock) {
    sleep(at.since(clock.now()).min(TICK)).await;
}

/// Waits between tries of something that heals by itself: 50 ms, doubled up to 5 s, plus up to
/// half of that again, so that several who wait for the same thing do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    tries: u32,
    random: Random,
}

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

impl Backoff {
    pub(crate) fn new() -> Self {
        Backoff {
            tries: 0,
            random: Random::from_os(),
        }
    }

    /// It worked: the next trouble starts with a short wait.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }

    pub(crate) async fn wait(&mut self) {
        sleep(self.next()).await;
    }

    fn next(&mut self) -> Duration {
        let step = BACKOFF_MIN
            .saturating_mul(1 << self.tries.min(16))
            .min(BACKOFF_MAX);
        self.tries = self.tries.saturating_add(1);
        step + step.mul_f64(self.random.next_fraction() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_met_with_growing_but_bounded_waits() {
        let mut backoff = Backoff {
            tries: 0,
            random: Random::seeded(1),
        };
        let waits: Vec<Duration> = (0..100).map(|_| backoff.next()).collect();
        assert!(waits[0] >= BACKOFF_MIN && waits[0] < BACKOFF_MIN * 2);
        assert!(waits.iter().all(|wait| *wait <= BACKOFF_MAX * 3 / 2));
        assert!(waits[99] >= BACKOFF_MAX);
        backoff.reset();
        assert!(backoff.next() < BACKOFF_MIN * 2);
    }
}
