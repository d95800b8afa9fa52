//! How long a value is true.

use super::*;
use std::time::Duration;

fn ttl(entries_max: usize, seconds: u64) -> TtlCache<u64, u64, String> {
    let limits = CacheLimits::entries(entries_max);
    TtlCache::new(limits, Duration::from_secs(seconds), 7)
}

#[test]
fn an_entry_lives_for_its_time_to_the_nanosecond() {
    let cache = ttl(10, 300);
    cache.insert(1, 10, SECOND_NS);
    let end_ns = 301 * SECOND_NS;
    assert_eq!(cache.get(&1, end_ns - 1), Some(10));
    assert_eq!(cache.get(&1, end_ns), None);
    assert_eq!(cache.statistics().expirations, 1);
    assert_eq!(
        cache.statistics().entries,
        0,
        "it is not kept once it is seen"
    );
}

#[test]
fn being_read_prolongs_nothing_and_being_written_does() {
    let cache = ttl(10, 10);
    cache.insert(1, 10, 0);
    assert_eq!(cache.get(&1, 9 * SECOND_NS), Some(10));
    assert_eq!(cache.get(&1, 10 * SECOND_NS), None);
    cache.insert(1, 11, 10 * SECOND_NS);
    cache.insert(1, 12, 15 * SECOND_NS);
    assert_eq!(cache.get(&1, 24 * SECOND_NS), Some(12));
}

#[test]
fn a_loaded_value_is_as_old_as_its_load() {
    let cache = ttl(10, 10);
    assert_eq!(cache.get_or_load(1, 0, || Ok(10)), Ok(10));
    assert_eq!(cache.get_or_load(1, 9 * SECOND_NS, || Ok(11)), Ok(10));
    assert_eq!(cache.get_or_load(1, 10 * SECOND_NS, || Ok(12)), Ok(12));
}

#[test]
fn the_expired_leave_before_anything_that_is_still_true() {
    let cache = ttl(4, 10);
    for key in 0..3 {
        cache.insert(key, key, 0);
    }
    cache.insert(3, 3, 5 * SECOND_NS);
    for key in 4..7 {
        cache.insert(key, key, 12 * SECOND_NS);
    }
    assert_eq!(cache.get(&3, 12 * SECOND_NS), Some(3));
    let statistics = cache.statistics();
    assert_eq!((statistics.evictions, statistics.expirations), (0, 3));
}

#[test]
fn what_is_asked_for_outlives_what_was_asked_for_once() {
    let cache = ttl(100, 300);
    for key in 0..50 {
        cache.insert(key, key, 0);
        cache.get(&key, 0);
    }
    // A scan ten times as long as the cache.
    for key in 1_000..2_000 {
        cache.insert(key, key, 0);
        if key % 50 == 0 {
            (0..50).for_each(|key| _ = cache.get(&key, 0));
        }
    }
    let kept = (0..50).filter(|key| cache.get(key, 0).is_some()).count();
    assert_eq!(kept, 50);
}
