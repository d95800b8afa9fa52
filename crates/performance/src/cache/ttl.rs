//! A cache that keeps what is young enough.

use super::core::Core;
use super::policy::Policy;
use super::{CacheLimits, CacheStatistics, CacheVersion, LoadError};
use std::borrow::Borrow;
use std::convert::Infallible;
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;

/// How long an entry lives where nothing else is said.
pub const TTL_DEFAULT: Duration = Duration::from_secs(300);

/// Keeps each entry for the same time, or until another has more use for its room. `E` is what a
/// load may fail with.
pub struct TtlCache<K, V, E = Infallible> {
    pub(super) core: Core<K, V, E>,
    ttl_ns: u64,
}

impl<K, V, E> TtlCache<K, V, E> {
    /// The seed keeps those who choose keys from choosing ones that collide.
    pub fn new(limits: CacheLimits<K, V>, ttl: Duration, seed: u64) -> Self {
        Self {
            core: Core::new(limits, Policy::Sieve, seed),
            ttl_ns: u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    pub fn ttl(&self) -> Duration {
        Duration::from_nanos(self.ttl_ns)
    }

    pub fn statistics(&self) -> CacheStatistics {
        self.core.statistics()
    }

    /// Forgets everything, loads under way included.
    pub fn clear(&self) {
        self.core.clear();
    }

    /// From `now`: a loaded value is as old as its load.
    fn expires_at_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_add(self.ttl_ns)
    }
}

impl<K: Hash + Eq, V, E> TtlCache<K, V, E> {
    pub fn get<Q>(&self, key: &Q, now_ns: u64) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.get_with(key, now_ns, |value| Some(value.clone()))
    }

    /// The value, if there is one and `is_valid` says that it still holds; a miss otherwise.
    pub fn get_if<Q>(&self, key: &Q, now_ns: u64, is_valid: impl FnOnce(&V) -> bool) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.get_with(key, now_ns, |value| is_valid(value).then(|| value.clone()))
    }

    /// What `read` makes of the value, under the shard's lock; a miss if that is nothing.
    pub fn get_with<Q, R>(
        &self,
        key: &Q,
        now_ns: u64,
        read: impl FnOnce(&V) -> Option<R>,
    ) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.core.get(key, now_ns, read)
    }

    /// Says whether the entry is kept: one that is heavier than a shard's bound is not.
    pub fn insert(&self, key: K, value: V, now_ns: u64) -> bool {
        let expires_at_ns = self.expires_at_ns(now_ns);
        self.core.insert(key, value, now_ns, expires_at_ns)
    }

    /// To be asked before a value is read from behind the cache, for [`Self::insert_if_current`].
    pub fn version<Q>(&self, key: &Q) -> CacheVersion
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.core.version(key)
    }

    /// Inserts unless anything was inserted, invalidated or cleared in the key's shard since: the
    /// value may be older than that.
    pub fn insert_if_current(&self, key: K, value: V, now_ns: u64, version: CacheVersion) -> bool {
        let expires_at_ns = self.expires_at_ns(now_ns);
        self.core
            .insert_if_current(key, value, now_ns, expires_at_ns, version)
    }

    /// Forgets a key and the load of it under way, and says whether there was an entry.
    pub fn invalidate<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.core.invalidate(key)
    }

    /// Forgets the keys, and the loads of them under way, that are not to be kept.
    pub fn retain(&self, keep: impl Fn(&K) -> bool) {
        self.core.retain(keep);
    }
}

impl<K: Hash + Eq + Clone, V: Clone, E: Clone> TtlCache<K, V, E> {
    /// The value, loaded by the first of all threads and tasks that miss it. A load that fails is
    /// not kept; who waited gets the same error. A load that panics takes its own thread with it,
    /// and one of those who waited loads instead.
    pub fn get_or_load(
        &self,
        key: K,
        now_ns: u64,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, LoadError<E>> {
        let expires_at_ns = self.expires_at_ns(now_ns);
        self.core.get_or_load(key, now_ns, expires_at_ns, load)
    }

    /// As [`Self::get_or_load`], on any runtime: the load is driven by the first caller's task, and
    /// by another's if that task is cancelled. A load must not await its own key.
    pub async fn get_or_load_async<F: Future<Output = Result<V, E>>>(
        &self,
        key: K,
        now_ns: u64,
        load: impl FnOnce() -> F,
    ) -> Result<V, E> {
        let expires_at_ns = self.expires_at_ns(now_ns);
        self.core
            .get_or_load_async(key, now_ns, expires_at_ns, load)
            .await
    }
}
