//! Random histories, against something simple that is known to be right.

use super::*;
use crate::test_random::Random;
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Step {
    Get(u64),
    Insert(u64, u64),
    Load(u64, u64),
    Invalidate(u64),
    Clear,
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0_u64..12;
    let step = prop_oneof![
        8 => key.clone().prop_map(Step::Get),
        8 => (key.clone(), 0_u64..6).prop_map(|(key, weight)| Step::Insert(key, weight)),
        4 => (key.clone(), 0_u64..6).prop_map(|(key, weight)| Step::Load(key, weight)),
        2 => key.prop_map(Step::Invalidate),
        1 => Just(Step::Clear),
        4 => (0_u64..8).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..200)
}

/// LRU as it is in the books: the first was used last.
struct Model {
    entries: Vec<(u64, u64)>,
    entries_max: usize,
    weight_max: u64,
}

impl Model {
    fn get(&mut self, key: u64) -> Option<u64> {
        let at = self.entries.iter().position(|entry| entry.0 == key)?;
        let entry = self.entries.remove(at);
        self.entries.insert(0, entry);
        Some(entry.1)
    }

    fn insert(&mut self, key: u64, weight: u64) {
        self.entries.retain(|entry| entry.0 != key);
        if weight > self.weight_max {
            return;
        }
        self.entries.insert(0, (key, weight));
        while self.entries.len() > self.entries_max || self.weight() > self.weight_max {
            self.entries.pop();
        }
    }

    fn weight(&self) -> u64 {
        self.entries.iter().map(|entry| entry.1).sum()
    }
}

proptest! {
    #[test]
    fn an_lru_cache_is_the_one_of_the_books(
        steps in steps(), entries_max in 1_usize..8, weight_max in 1_u64..20,
    ) {
        let limits = CacheLimits::weighed(entries_max, weight_max, |_, weight: &u64| *weight);
        let cache: LruCache<u64, u64> = LruCache::new(limits, 7);
        let mut model = Model { entries: Vec::new(), entries_max, weight_max };
        for step in steps {
            match step {
                Step::Get(key) => prop_assert_eq!(cache.get(&key), model.get(key)),
                Step::Insert(key, weight) => {
                    cache.insert(key, weight);
                    model.insert(key, weight);
                }
                Step::Load(key, weight) => {
                    let expected = model.get(key).unwrap_or_else(|| {
                        model.insert(key, weight);
                        weight
                    });
                    prop_assert_eq!(cache.get_or_load(key, || Ok(weight)), Ok(expected));
                }
                Step::Invalidate(key) => {
                    let before = model.entries.len();
                    model.entries.retain(|entry| entry.0 != key);
                    prop_assert_eq!(cache.invalidate(&key), before > model.entries.len());
                }
                Step::Clear => {
                    cache.clear();
                    model.entries.clear();
                }
                Step::Pass(_) => {}
            }
            prop_assert_eq!(cache.statistics().entries, model.entries.len());
            prop_assert_eq!(cache.statistics().weight, model.weight());
        }
    }

    /// With room for all keys it is a map in which values expire; with less it forgets some, and
    /// never says anything else than that map.
    #[test]
    fn a_ttl_cache_is_a_map_in_which_values_expire(steps in steps(), entries_max in 1_usize..20) {
        const TTL: u64 = 10;
        let limits = CacheLimits::entries(entries_max);
        let cache: TtlCache<u64, u64> = TtlCache::new(limits, Duration::from_nanos(TTL), 7);
        let mut model: HashMap<u64, (u64, u64)> = HashMap::new();
        let mut now = 0;
        for (value, step) in (0..).zip(steps) {
            model.retain(|_, (_, since)| now < *since + TTL);
            match step {
                Step::Get(key) => {
                    let known = model.get(&key).map(|entry| entry.0);
                    let got = cache.get(&key, now);
                    prop_assert!(got == known || (got.is_none() && entries_max < 12));
                }
                Step::Insert(key, _) => {
                    cache.insert(key, value, now);
                    model.insert(key, (value, now));
                }
                Step::Load(key, _) => {
                    let known = model.get(&key).map(|entry| entry.0);
                    let got = cache.get_or_load(key, now, || Ok(value));
                    if got != Ok(known.unwrap_or(value)) {
                        prop_assert!(entries_max < 12);
                        prop_assert_eq!(&got, &Ok(value));
                    }
                    if got == Ok(value) {
                        model.insert(key, (value, now));
                    }
                }
                Step::Invalidate(key) => {
                    cache.invalidate(&key);
                    model.remove(&key);
                }
                Step::Clear => {
                    cache.clear();
                    model.clear();
                }
                Step::Pass(time) => now += time,
            }
            prop_assert!(cache.statistics().entries <= entries_max);
        }
    }
}

#[test]
fn moka_keeps_and_forgets_the_same_keys_by_recency() {
    let mut random = Random::seeded(11);
    let ours = lru(64);
    let theirs = moka::sync::Cache::builder()
        .max_capacity(64)
        .eviction_policy(moka::policy::EvictionPolicy::lru())
        .build();
    let mut hits = 0;
    for step in 0..20_000_u64 {
        let key = random.below(8) * random.below(40);
        let got = ours.get(&key);
        assert_eq!(got, theirs.get(&key), "step {step}");
        // moka does its housekeeping now and then; for a comparison it has to be done.
        theirs.run_pending_tasks();
        match got {
            Some(_) => hits += 1,
            None => {
                ours.insert(key, step);
                theirs.insert(key, step);
                theirs.run_pending_tasks();
            }
        }
    }
    assert!((5_000..19_000).contains(&hits), "{hits}");
}

#[test]
fn threads_never_see_the_value_of_another_key() {
    let cache: TtlCache<u64, u64> =
        TtlCache::new(CacheLimits::entries(2_000), Duration::from_nanos(500), 7);
    let work = |seed: u64| {
        let mut random = Random::seeded(seed);
        for step in 0..40_000_u64 {
            let key = random.below(4_000);
            let now_ns = step / 20;
            let value = match random.below(8) {
                0 => {
                    cache.insert(key, key * 3, now_ns);
                    continue;
                }
                1 if step % 64 == 0 => {
                    cache.invalidate(&key);
                    continue;
                }
                2..5 => cache.get_or_load(key, now_ns, || Ok(key * 3)).ok(),
                _ => cache.get(&key, now_ns),
            };
            assert!(value.is_none_or(|value| value == key * 3));
        }
    };
    std::thread::scope(|scope| {
        (0..4).for_each(|seed| _ = scope.spawn(move || work(seed)));
    });
    assert!(cache.statistics().entries <= 2_000);
    assert!(cache.statistics().hits > 0 && cache.statistics().evictions > 0);
}
