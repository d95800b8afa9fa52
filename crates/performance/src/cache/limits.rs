//! How much a cache may hold.

/// Shards of a cache that is large enough for them: more than the threads that serve, so that two
/// rarely want the same one.
const SHARDS: usize = 16;
/// A shard with less evicts by chance and not by use.
const SHARD_ENTRIES_MIN: usize = 256;
/// A shard with less refuses values that the whole cache would have room for.
const SHARD_WEIGHT_MIN: u64 = 1024 * 1024;

/// The bounds of a cache. Each of its shards has an equal part of them.
#[derive(Debug)]
pub struct CacheLimits<K, V> {
    pub(super) entries_max: usize,
    pub(super) weight_max: u64,
    pub(super) weigh: fn(&K, &V) -> u64,
    pub(super) shards: usize,
}

impl<K, V> Clone for CacheLimits<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for CacheLimits<K, V> {}

impl<K, V> CacheLimits<K, V> {
    /// By number alone. Below 512 entries there is one shard, and the order of eviction is exact.
    pub fn entries(entries_max: usize) -> Self {
        Self {
            entries_max,
            weight_max: u64::MAX,
            weigh: |_, _| 0,
            shards: (entries_max / SHARD_ENTRIES_MIN).clamp(1, SHARDS),
        }
    }

    /// By number, and by the sum of what `weigh` says of each entry, say its bytes. An entry heavier
    /// than a shard's part is not kept.
    pub fn weighed(entries_max: usize, weight_max: u64, weigh: fn(&K, &V) -> u64) -> Self {
        let by_number = Self::entries(entries_max);
        let by_weight = usize::try_from(weight_max / SHARD_WEIGHT_MIN).unwrap_or(SHARDS);
        Self {
            weight_max,
            weigh,
            shards: by_weight.clamp(1, by_number.shards),
            ..by_number
        }
    }

    /// Overrides the number of shards: one where the order of eviction must be exact, or where one
    /// thread asks at a time anyway.
    pub fn with_shards(self, shards: usize) -> Self {
        Self {
            shards: shards.max(1),
            ..self
        }
    }
}
