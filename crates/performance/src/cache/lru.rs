//! A cache that keeps what was used last.

use super::core::Core;
use super::policy::Policy;
use super::{CacheLimits, CacheStatistics, CacheVersion, LoadError};
use std::borrow::Borrow;
use std::convert::Infallible;
use std::future::Future;
use std::hash::Hash;

/// Entries never expire here.
const NEVER_NS: u64 = u64::MAX;
/// Before [`NEVER_NS`]: no time passes in this cache.
const NOW_NS: u64 = 0;

/// Keeps the entries that were used last, each until it is the one used longest ago. `E` is what a
/// load may fail with.
pub struct LruCache<K, V, E = Infallible>(Core<K, V, E>);

impl<K, V, E> LruCache<K, V, E> {
    /// The seed keeps those who choose keys from choosing ones that collide.
    pub fn new(limits: CacheLimits<K, V>, seed: u64) -> Self {
        Self(Core::new(limits, Policy::Recency, seed))
    }

    pub fn statistics(&self) -> CacheStatistics {
        self.0.statistics()
    }

    /// Forgets everything, loads under way included.
    pub fn clear(&self) {
        self.0.clear();
    }
}

impl<K: Hash + Eq, V, E> LruCache<K, V, E> {
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.get_with(key, |value| Some(value.clone()))
    }

    /// The value, if there is one and `is_valid` says that it still holds; a miss otherwise.
    pub fn get_if<Q>(&self, key: &Q, is_valid: impl FnOnce(&V) -> bool) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.get_with(key, |value| is_valid(value).then(|| value.clone()))
    }

    /// What `read` makes of the value, under the shard's lock; a miss if that is nothing.
    pub fn get_with<Q, R>(&self, key: &Q, read: impl FnOnce(&V) -> Option<R>) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(key, NOW_NS, read)
    }

    /// Says whether the entry is kept: one that is heavier than a shard's bound is not.
    pub fn insert(&self, key: K, value: V) -> bool {
        self.0.insert(key, value, NOW_NS, NEVER_NS)
    }

    /// To be asked before a value is read from behind the cache, for [`Self::insert_if_current`].
    pub fn version<Q>(&self, key: &Q) -> CacheVersion
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.version(key)
    }

    /// Inserts unless anything was inserted, invalidated or cleared in the key's shard since: the
    /// value may be older than that.
    pub fn insert_if_current(&self, key: K, value: V, version: CacheVersion) -> bool {
        self.0
            .insert_if_current(key, value, NOW_NS, NEVER_NS, version)
    }

    /// Forgets a key and the load of it under way, and says whether there was an entry.
    pub fn invalidate<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.invalidate(key)
    }

    /// Forgets the keys, and the loads of them under way, that are not to be kept.
    pub fn retain(&self, keep: impl Fn(&K) -> bool) {
        self.0.retain(keep);
    }
}

impl<K: Hash + Eq + Clone, V: Clone, E: Clone> LruCache<K, V, E> {
    /// The value, loaded by the first of all threads and tasks that miss it.
    pub fn get_or_load(
        &self,
        key: K,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, LoadError<E>> {
        self.0.get_or_load(key, NOW_NS, NEVER_NS, load)
    }

    /// As [`Self::get_or_load`]; see [`super::TtlCache::get_or_load_async`].
    pub async fn get_or_load_async<F: Future<Output = Result<V, E>>>(
        &self,
        key: K,
        load: impl FnOnce() -> F,
    ) -> Result<V, E> {
        self.0.get_or_load_async(key, NOW_NS, NEVER_NS, load).await
    }
}
