//! How much is held, who leaves, and that what leaves is gone.

use super::*;

#[test]
fn what_was_used_longest_ago_leaves_first() {
    let cache = lru(2);
    cache.insert(1, "one");
    cache.insert(2, "two");
    assert_eq!(cache.get(&1), Some("one"));
    cache.insert(3, "three");
    assert_eq!((cache.get(&1), cache.get(&2)), (Some("one"), None));
    // A look that finds the value out of date is no use of it.
    assert_eq!(cache.get_if(&3, |_| true), Some("three"));
    assert_eq!(cache.get_if(&1, |_| false), None);
    cache.insert(4, "four");
    assert_eq!((cache.get(&1), cache.get(&3)), (None, Some("three")));
    let statistics = cache.statistics();
    assert_eq!((statistics.hits, statistics.misses), (4, 3));
    assert_eq!((statistics.evictions, statistics.entries), (2, 2));
}

#[test]
fn weights_are_bounded_and_an_entry_heavier_than_everything_is_not_kept() {
    let limits = CacheLimits::weighed(100, 10, |_, value: &Vec<u8>| value.len() as u64);
    let cache: LruCache<u64, Vec<u8>> = LruCache::new(limits, 7);
    for key in 0..3 {
        assert!(cache.insert(key, vec![0; 4]));
    }
    assert_eq!(cache.statistics().weight, 8);
    assert_eq!(cache.get(&0), None);
    assert!(cache.insert(1, vec![0; 10]));
    assert_eq!(
        (cache.statistics().weight, cache.statistics().entries),
        (10, 1)
    );
    // What it would have replaced is out of date all the same.
    assert!(!cache.insert(1, vec![0; 11]));
    assert_eq!(
        (cache.statistics().weight, cache.statistics().entries),
        (0, 0)
    );
}

#[test]
fn a_cache_of_nothing_keeps_nothing_and_still_loads() {
    let cache = lru(0);
    assert!(!cache.insert(1, 1));
    assert_eq!(cache.get_or_load(1, || Ok(2)), Ok(2));
    assert_eq!(cache.get(&1), None);
}

#[test]
fn more_shards_than_entries_still_keep_them() {
    let cache: LruCache<u64, u64> = LruCache::new(CacheLimits::entries(3).with_shards(16), 7);
    for key in 0..100 {
        assert!(cache.insert(key, key));
    }
    assert!((1..=3).contains(&cache.statistics().entries));
}

#[test]
fn millions_of_operations_leave_no_more_behind_than_the_bound() {
    let alive = Arc::new(AtomicUsize::new(0));
    let cache: TtlCache<u64, Arc<Counted>> =
        TtlCache::new(CacheLimits::entries(1_000), TTL_DEFAULT, 7);
    let mut most_places = 0;
    for step in 0..1_000_000_u64 {
        let now_ns = step * SECOND_NS / 10;
        let key = step * 7_919 % 50_021;
        match step % 16 {
            0..8 => _ = cache.insert(key, Arc::new(Counted::new(&alive)), now_ns),
            8 => _ = cache.invalidate(&(key / 2)),
            9 if step % 50_000 == 9 => cache.clear(),
            _ => _ = cache.get(&(key / 3), now_ns),
        }
        let entries = cache.core.places();
        most_places = most_places.max(entries);
        if step % 1_000 == 0 {
            assert_eq!(alive.load(SeqCst), cache.statistics().entries);
            assert!(cache.statistics().entries <= 1_000);
        }
    }
    assert!(
        most_places <= 1_000,
        "no place is left unused: {most_places}"
    );
    cache.clear();
    assert_eq!(alive.load(SeqCst), 0);
}

/// Asks the cache it is in when it is dropped.
struct Curious(Arc<LruCache<u64, Arc<Curious>>>);

impl Drop for Curious {
    fn drop(&mut self) {
        _ = self.0.get(&1);
    }
}

#[test]
fn a_destructor_may_ask_the_cache_that_its_value_leaves() {
    let cache = Arc::new(LruCache::new(CacheLimits::entries(2), 7));
    let value = || Arc::new(Curious(Arc::clone(&cache)));
    for key in 0..10 {
        cache.insert(key, value());
    }
    cache.insert(9, value());
    cache.invalidate(&9);
    cache.retain(|_| false);
    cache.insert(1, value());
    cache.clear();
    assert_eq!(cache.statistics().entries, 0);
}

#[test]
fn large_caches_are_sharded_and_hold_what_they_are_bounded_by() {
    let cache = lru(10_000);
    for key in 0..100_000 {
        cache.insert(key, key);
    }
    assert_eq!(cache.statistics().entries, 10_000);
    let kept = (0..100_000).filter(|key| cache.get(key).is_some()).count();
    assert_eq!(kept, 10_000);
    cache.retain(|key| key % 2 == 0);
    assert!((0..100_000).all(|key| cache.get(&key).is_none_or(|_| key % 2 == 0)));
}
