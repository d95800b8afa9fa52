//! Values that are dear to come by, kept in bounded memory, loaded once.
//!
//! In reading order: [`limits`] bound a cache by entries and by weight; [`policy`] says who leaves;
//! [`shard`] keeps the entries; [`flight`] is one load and those who wait for it; [`core`] puts these
//! together; [`LruCache`] and [`TtlCache`] are it under two policies. The time is an argument, in
//! nanoseconds of a monotonic clock.
//!
//! Two policies, since they are good at different things, as `benches/cache.rs` measures. SIEVE hits
//! more: 72 % of a Zipf law's requests where LRU hits 68 %, and 64 % against 59 % when a tenth of
//! them is never repeated. It also leaves the entries in the order of their insertion, which in a
//! cache of one lifetime is the order in which they expire, so that one list serves both: hence
//! [`TtlCache`]. LRU forgets in the order that a reader of the code foresees, to the last entry, and
//! that is what a small [`LruCache`] promises. TinyLFU hits about 1 % more than SIEVE, and moka,
//! which has it, takes six times as long for an operation, and more.
//!
//! A shard is behind a lock that is held for some dozen nanoseconds: keys and values of any kind
//! without `unsafe`, and counts that add up. What a caller's `Hash`, `Eq` and `Clone` do there must
//! be as short, and must not come back to the cache; a destructor may.

mod core;
mod flight;
mod limits;
mod lru;
mod policy;
mod shard;
#[cfg(test)]
mod tests;
mod ttl;

pub use limits::CacheLimits;
pub use lru::LruCache;
pub use ttl::{TTL_DEFAULT, TtlCache};

/// Since the start, except for the last two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatistics {
    pub hits: u64,
    /// Lookups that found nothing, each load's first included.
    pub misses: u64,
    /// Lookups that waited for a load that somebody else had begun.
    pub coalesced: u64,
    /// Entries that left for want of room.
    pub evictions: u64,
    pub expirations: u64,
    /// Loads that were out of date when they ended, and were not kept.
    pub stale_loads: u64,
    /// Entries held. One that has expired is held until it is asked for or makes room.
    pub entries: usize,
    /// Their weights, summed.
    pub weight: u64,
}

/// The state of a cache before something is read from behind it; see `insert_if_current`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheVersion(u64);

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError<E> {
    /// What the load said; everybody who waited for it gets the same.
    #[error(transparent)]
    Failed(E),
    /// The load of a key asked for this very key, and would have waited for itself.
    #[error("the load of a key asks the cache for the same key: break the circle")]
    Reentrant,
}
