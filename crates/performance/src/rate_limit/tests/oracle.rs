//! Another implementation of the algorithm says the same.

use super::*;
use crate::test_random::Random;
use governor::clock::{Clock as _, FakeRelativeClock};
use std::collections::HashMap;

#[test]
fn governor_decides_alike_and_names_the_same_wait() {
    for seed in 0..40 {
        let mut random = Random::seeded(seed);
        // Of whole nanoseconds, which are governor's unit.
        let interval_ns = 1 + random.below(100_000_000);
        let burst = 1 + random.below(20) as u32;
        let ours = quota(1, Duration::from_nanos(interval_ns), burst);
        let theirs = governor::Quota::with_period(Duration::from_nanos(interval_ns))
            .unwrap()
            .allow_burst(NonZeroU32::new(burst).unwrap());
        let clock = FakeRelativeClock::default();
        let limiter = roomy();
        let mut governors = HashMap::new();
        let mut now_ns = 0;
        let mut refused = 0;
        for _ in 0..2_000 {
            let gap_ns = match random.below(5) {
                0..=2 => 0,
                3 => random.below(interval_ns),
                _ => random.below(interval_ns * 2),
            };
            now_ns += gap_ns;
            clock.advance(Duration::from_nanos(gap_ns));
            let key = random.below(3);
            let governor = governors
                .entry(key)
                .or_insert_with(|| governor::RateLimiter::direct_with_clock(theirs, clock.clone()));
            let decision = limiter.decide(limiter.client_of_key(key), &ours, now_ns);
            match governor.check() {
                Ok(()) => assert!(decision.allowed),
                Err(not_until) => {
                    assert!(!decision.allowed);
                    assert_eq!(decision.retry_after, not_until.wait_time_from(clock.now()));
                    refused += 1;
                }
            }
        }
        assert!(
            (1..2_000).contains(&refused),
            "seed {seed} tests one side only"
        );
    }
}
