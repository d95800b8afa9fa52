//! What both caches are: shards behind locks, and one load at a time of a missing key.
//!
//! A key's load is a flight. Who misses first leads it and loads; who misses later waits for its
//! landing, as a thread or as a task. A flight is known to its shard only while its value would be
//! true: writing, invalidating and clearing let it go, so that it lands with those who waited, and
//! neither is kept nor joined any more. A leader that is cancelled or panics abandons its flight,
//! and one of those who waited leads the next.

use super::flight::{Flight, Landing};
use super::limits::CacheLimits;
use super::policy::Policy;
use super::shard::{Bounds, Entry, Left, Shard};
use super::{CacheStatistics, CacheVersion, LoadError};
use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;
use parking_lot::Mutex;
use std::borrow::Borrow;
use std::future::Future;
use std::hash::{BuildHasher as _, Hash};
use std::sync::{Arc, OnceLock};
use std::thread::ThreadId;

/// Alone in its cache lines, so that threads in different shards do not slow each other.
#[repr(align(128))]
struct Apart<K, V, E>(Mutex<Shard<K, V, E>>);

pub(super) struct Core<K, V, E> {
    hasher: SeedableRandomState,
    shards: Box<[Apart<K, V, E>]>,
    /// Of each shard.
    bounds: Bounds,
    weigh: fn(&K, &V) -> u64,
    policy: Policy,
}

/// How a caller gets its value.
enum Boarding<'c, K: Hash + Eq, V: Clone, E: Clone> {
    Hit(V),
    Lead(Lead<'c, K, V, E>),
    Wait(Arc<Flight<K, V, E>>),
}

/// The duty to load. Dropped before its end, it abandons the flight.
struct Lead<'c, K: Hash + Eq, V: Clone, E: Clone> {
    core: &'c Core<K, V, E>,
    hash: u64,
    flight: Arc<Flight<K, V, E>>,
    has_landed: bool,
}

impl<K, V, E> Core<K, V, E> {
    pub(super) fn new(limits: CacheLimits<K, V>, policy: Policy, seed: u64) -> Self {
        // The seeds that all hashers share have to live for ever, and must not be the well-known
        // ones: with those, keys can be made that collide under any seed.
        static SHARED: OnceLock<SharedSeed> = OnceLock::new();
        let shared = SHARED.get_or_init(|| SharedSeed::from_u64(seed));
        // Each shard has room for one entry at least, or none has.
        let shards = limits.shards.min(limits.entries_max).max(1);
        Self {
            hasher: SeedableRandomState::with_seed(seed, shared),
            shards: (0..shards)
                .map(|_| Apart(Mutex::new(Shard::new(policy))))
                .collect(),
            bounds: Bounds {
                // Places are numbers of 32 bits.
                entries_max: (limits.entries_max / shards).min(u32::MAX as usize - 1),
                weight_max: match limits.weight_max {
                    u64::MAX => u64::MAX,
                    weight_max => weight_max / shards as u64,
                },
            },
            weigh: limits.weigh,
            policy,
        }
    }

    pub(super) fn statistics(&self) -> CacheStatistics {
        let mut sum = CacheStatistics::default();
        for shard in &self.shards {
            let shard = shard.0.lock();
            sum.hits += shard.counts.hits;
            sum.misses += shard.counts.misses;
            sum.coalesced += shard.counts.coalesced;
            sum.evictions += shard.counts.evictions;
            sum.expirations += shard.counts.expirations;
            sum.stale_loads += shard.counts.stale_loads;
            sum.entries += shard.len();
            sum.weight += shard.weight();
        }
        sum
    }

    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.0.lock();
            let mut emptied = Shard::new(self.policy);
            emptied.version = shard.version + 1;
            emptied.counts = shard.counts;
            // What was in it is dropped after the lock.
            let emptied = std::mem::replace(&mut *shard, emptied);
            drop(shard);
            drop(emptied);
        }
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.shards.iter().map(|s| s.0.lock().places()).sum()
    }

    /// Not by the hash's highest and lowest bits, which its shard's table uses.
    fn shard(&self, hash: u64) -> &Mutex<Shard<K, V, E>> {
        let number = ((hash >> 32 & 0xffff) * self.shards.len() as u64) >> 16;
        &self.shards[number as usize].0
    }
}

impl<K: Hash + Eq, V, E> Core<K, V, E> {
    pub(super) fn get<Q, R>(
        &self,
        key: &Q,
        now_ns: u64,
        read: impl FnOnce(&V) -> Option<R>,
    ) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let mut left = Left::nothing();
        let mut shard = self.shard(hash).lock();
        let result = shard.get(hash, key, now_ns, &mut left, read);
        shard.counts.misses += u64::from(result.is_none());
        result
    }

    pub(super) fn version<Q>(&self, key: &Q) -> CacheVersion
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        CacheVersion(self.shard(self.hasher.hash_one(key)).lock().version)
    }

    pub(super) fn insert(&self, key: K, value: V, now_ns: u64, expires_at_ns: u64) -> bool {
        self.insert_at(key, value, now_ns, expires_at_ns, None)
    }

    /// Keeps the value unless something has been written, invalidated or cleared since `version`.
    pub(super) fn insert_if_current(
        &self,
        key: K,
        value: V,
        now_ns: u64,
        expires_at_ns: u64,
        version: CacheVersion,
    ) -> bool {
        self.insert_at(key, value, now_ns, expires_at_ns, Some(version))
    }

    fn insert_at(
        &self,
        key: K,
        value: V,
        now_ns: u64,
        expires_at_ns: u64,
        version: Option<CacheVersion>,
    ) -> bool {
        let hash = self.hasher.hash_one(&key);
        let weight = (self.weigh)(&key, &value);
        let entry = Entry::new(hash, key, value, weight, expires_at_ns);
        let mut left = Left::nothing();
        let mut shard = self.shard(hash).lock();
        if version.is_some_and(|version| version.0 != shard.version) {
            shard.counts.stale_loads += 1;
            left.push(entry);
            return false;
        }
        if version.is_none() {
            shard.version += 1;
            shard.let_go(hash, entry.key());
        }
        shard.insert(self.bounds, now_ns, entry, &mut left)
    }

    pub(super) fn invalidate<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let mut left = Left::nothing();
        let mut shard = self.shard(hash).lock();
        shard.version += 1;
        shard.let_go(hash, key);
        shard.remove(hash, key, &mut left)
    }

    pub(super) fn retain(&self, keep: impl Fn(&K) -> bool) {
        for shard in &self.shards {
            let mut left = Left::nothing();
            let mut shard = shard.0.lock();
            shard.version += 1;
            shard.flights.retain(|flight| keep(&flight.key));
            shard.retain(&keep, &mut left);
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone, E: Clone> Core<K, V, E> {
    pub(super) fn get_or_load(
        &self,
        key: K,
        now_ns: u64,
        expires_at_ns: u64,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, LoadError<E>> {
        let me = std::thread::current().id();
        loop {
            match self.board(&key, now_ns, Some(me)) {
                Boarding::Hit(value) => return Ok(value),
                Boarding::Lead(lead) => {
                    return lead
                        .land(now_ns, expires_at_ns, load())
                        .map_err(LoadError::Failed);
                }
                Boarding::Wait(flight) if flight.is_led_by(me) => {
                    return Err(LoadError::Reentrant);
                }
                Boarding::Wait(flight) => {
                    if let Landing::Loaded(result) = flight.wait() {
                        return result.map_err(LoadError::Failed);
                    }
                }
            }
        }
    }

    pub(super) async fn get_or_load_async<F: Future<Output = Result<V, E>>>(
        &self,
        key: K,
        now_ns: u64,
        expires_at_ns: u64,
        load: impl FnOnce() -> F,
    ) -> Result<V, E> {
        loop {
            match self.board(&key, now_ns, None) {
                Boarding::Hit(value) => return Ok(value),
                Boarding::Lead(lead) => {
                    let result = load().await;
                    return lead.land(now_ns, expires_at_ns, result);
                }
                Boarding::Wait(flight) => {
                    if let Landing::Loaded(result) = flight.landing().await {
                        return result;
                    }
                }
            }
        }
    }

    fn board(&self, key: &K, now_ns: u64, leader: Option<ThreadId>) -> Boarding<'_, K, V, E> {
        let hash = self.hasher.hash_one(key);
        let mut left = Left::nothing();
        let mut shard = self.shard(hash).lock();
        let hit = shard.get(hash, key, now_ns, &mut left, |value| Some(value.clone()));
        if let Some(value) = hit {
            return Boarding::Hit(value);
        }
        if let Some(flight) = shard.flight(hash, key) {
            let flight = Arc::clone(flight);
            shard.counts.coalesced += 1;
            return Boarding::Wait(flight);
        }
        shard.counts.misses += 1;
        let flight = Arc::new(Flight::new(hash, key.clone(), leader));
        shard
            .flights
            .insert_unique(hash, Arc::clone(&flight), |flight| flight.hash);
        Boarding::Lead(Lead {
            core: self,
            hash,
            flight,
            has_landed: false,
        })
    }
}

impl<K: Hash + Eq + Clone, V: Clone, E: Clone> Lead<'_, K, V, E> {
    /// Keeps what was loaded, if it still holds, and hands it to those who wait.
    fn land(mut self, now_ns: u64, expires_at_ns: u64, result: Result<V, E>) -> Result<V, E> {
        if let Ok(value) = &result {
            let core = self.core;
            let key = self.flight.key.clone();
            let weight = (core.weigh)(&key, value);
            let entry = Entry::new(self.hash, key, value.clone(), weight, expires_at_ns);
            let mut left = Left::nothing();
            let mut shard = core.shard(self.hash).lock();
            if shard.let_go_of(&self.flight) {
                shard.insert(core.bounds, now_ns, entry, &mut left);
            } else {
                shard.counts.stale_loads += 1;
                left.push(entry);
            }
        }
        self.finish(Landing::Loaded(result.clone()));
        result
    }
}

impl<K: Hash + Eq, V: Clone, E: Clone> Lead<'_, K, V, E> {
    fn finish(&mut self, landing: Landing<V, E>) {
        self.core.shard(self.hash).lock().let_go_of(&self.flight);
        self.flight.land(landing);
        self.has_landed = true;
    }
}

impl<K: Hash + Eq, V: Clone, E: Clone> Drop for Lead<'_, K, V, E> {
    fn drop(&mut self) {
        if !self.has_landed {
            self.finish(Landing::Abandoned);
        }
    }
}
