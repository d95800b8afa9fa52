//! Memory: how it grows, whom it forgets, and that nobody's state is lost or mixed up in it.

use super::*;
use crate::rate_limit::gcra::{self, Tat};
use crate::test_random::Random;
use std::collections::HashMap;

/// At the contract's rate the state of one request is live for this long.
const INTERVAL_NS: u64 = 12_000_000;

#[test]
fn clients_share_nothing_and_nobody_is_forgotten_while_there_is_room() {
    let limiter = RateLimiter::new(16 * 1024 * 1024, 7);
    let quota = quota(1, MINUTE, 2);
    // Of 300,000 clients each asks twice, and is refused the third time.
    for expected in [true, true, false] {
        for key in 0..300_000 {
            let client = limiter.client_of_key(key);
            assert_eq!(limiter.decide(client, &quota, START_NS).allowed, expected);
        }
    }
    let statistics = limiter.statistics();
    assert_eq!(statistics.clients, 300_000);
    assert_eq!(statistics.evicted_live_total, 0);
    assert!(statistics.memory_bytes <= 16 * 1024 * 1024);
}

#[test]
fn the_bound_holds_whatever_it_is_and_a_busy_client_outlives_a_flood() {
    for memory_max_bytes in [64 * 1024, 1_000_000, 4 * 1024 * 1024] {
        let limiter = RateLimiter::new(memory_max_bytes, 7);
        let quota = five_thousand_a_minute();
        let known = limiter.client_of_address("192.0.2.1".parse().unwrap());
        for _ in 0..5_000 {
            limiter.decide(known, &quota, START_NS);
        }
        // All at the same instant, so that all are live.
        for key in 0..500_000 {
            let decision = limiter.decide(limiter.client_of_key(key), &quota, START_NS);
            assert!(decision.allowed, "a full table refuses nobody");
        }
        let statistics = limiter.statistics();
        assert!(
            statistics.memory_bytes <= memory_max_bytes,
            "{statistics:?}"
        );
        let held = statistics.clients as u64;
        assert_eq!(held + statistics.evicted_live_total, 500_001);
        // Sixteen bytes a client, and no more than a quarter of the room left over.
        assert!(
            held * 16 * 4 >= memory_max_bytes as u64 * 3,
            "{statistics:?}"
        );
        assert!(
            !limiter.decide(known, &quota, START_NS).allowed,
            "it is still known"
        );
    }
}

#[test]
fn ten_million_clients_fit_the_default_bound_by_its_arithmetic() {
    let limiter = roomy();
    assert!(
        limiter.statistics().memory_bytes < 64 * 1024,
        "before the first client"
    );
    let full = limiter.shards.len() * (limiter.blocks_max * BLOCK_BYTES + SHARD_OVERHEAD_BYTES);
    assert!(full <= MEMORY_MAX_BYTES);
    assert!(
        full >= MEMORY_MAX_BYTES / 10 * 9,
        "and the bound is made use of"
    );
}

#[test]
fn idle_clients_make_room_free_of_loss() {
    let limiter = RateLimiter::new(1024 * 1024, 7);
    let quota = five_thousand_a_minute();
    // Ten times the clients that fit, never more than 20,000 of them live.
    for key in 0..600_000 {
        let now_ns = START_NS + key * INTERVAL_NS / 20_000;
        assert!(
            limiter
                .decide(limiter.client_of_key(key), &quota, now_ns)
                .allowed
        );
    }
    let statistics = limiter.statistics();
    assert_eq!(statistics.evicted_live_total, 0);
    assert!(statistics.memory_bytes <= 1024 * 1024);
}

#[test]
fn a_sweep_forgets_who_is_idle_and_gives_memory_back() {
    let (limiter, quota) = (roomy(), five_thousand_a_minute());
    for key in 0..100_000 {
        limiter.decide(limiter.client_of_key(key), &quota, START_NS);
    }
    let busy = limiter.client_of_key(1);
    for _ in 0..4_999 {
        limiter.decide(busy, &quota, START_NS);
    }
    let full = limiter.statistics();
    assert_eq!(full.clients, 100_000);
    let later = START_NS + SECOND_NS;
    (0..limiter.shards.len()).for_each(|_| limiter.sweep(later));
    let swept = limiter.statistics();
    assert_eq!(swept.clients, 1);
    assert!(swept.memory_bytes * 3 < full.memory_bytes, "{swept:?}");
    assert_eq!(
        limiter.peek(busy, &quota, later).remaining,
        83,
        "1 s earns 83"
    );
    // The way back up.
    for key in 0..100_000 {
        limiter.decide(limiter.client_of_key(key), &quota, later);
    }
    assert_eq!(limiter.statistics().clients, 100_000);
    assert_eq!(limiter.statistics().evicted_live_total, 0);
}

#[test]
fn a_table_that_grows_forgets_and_sweeps_knows_what_a_plain_map_knows() {
    let quotas = [quota(7, MINUTE, 3), five_thousand_a_minute()];
    for seed in 0..8 {
        let limiter = RateLimiter::new(8 * 1024 * 1024, seed);
        let mut model: HashMap<u64, Tat> = HashMap::new();
        let mut random = Random::seeded(seed);
        let mut now_ns = START_NS;
        for step in 0..60_000_u64 {
            now_ns += random.below(2_000_000);
            // More and more clients, then few again.
            let key = random.below(1 + step % 20_000);
            let quota = quotas[random.below(2) as usize];
            let client = limiter.client_of_key(key);
            let tat = model.entry(key).or_default();
            let (expected, decision) = match random.below(10) {
                0 => (
                    gcra::peek(*tat, &quota, now_ns),
                    limiter.peek(client, &quota, now_ns),
                ),
                1 => {
                    let (next, expected) = gcra::charge(*tat, &quota, 2, now_ns);
                    *tat = next;
                    (expected, limiter.charge(client, &quota, 2, now_ns))
                }
                _ => {
                    let (next, expected) = gcra::decide(*tat, &quota, now_ns);
                    *tat = next;
                    (expected, limiter.decide(client, &quota, now_ns))
                }
            };
            assert_eq!(decision, expected, "seed {seed}, step {step}");
            if random.below(50) == 0 {
                limiter.sweep(now_ns);
            }
        }
        assert_eq!(limiter.statistics().evicted_live_total, 0);
    }
}
