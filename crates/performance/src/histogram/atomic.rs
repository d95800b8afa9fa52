//! The histogram that many threads record into at once.

use super::Histogram;
use super::layout::{BUCKETS, MICROS_MAX, slot_of_micros};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Shards per histogram. Threads take shards in turn, so up to this many record without sharing a
/// cache line; more still count correctly, only slower.
const SHARDS: usize = 4;

/// Hands every thread its shard, in order of first use.
static NEXT_SHARD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SHARD: usize = NEXT_SHARD.fetch_add(1, Relaxed) % SHARDS;
}

/// A concurrent histogram of durations in microseconds.
///
/// `record` costs two relaxed additions and two comparisons. The number of durations is not kept
/// apart: it is the sum of the buckets, which saves an addition and can never contradict them. A
/// shard (6.7 KB) is allocated when a thread first records into it, so a histogram that is never
/// used takes a few words. Counts have 64 bits: 32 would wrap within a day at full load.
#[derive(Debug, Default)]
pub struct AtomicHistogram {
    shards: [OnceLock<Box<Shard>>; SHARDS],
}

#[derive(Debug)]
struct Shard {
    sum_micros: AtomicU64,
    min_micros: AtomicU64,
    max_micros: AtomicU64,
    overflow: AtomicU64,
    counts: [AtomicU64; BUCKETS],
}

impl AtomicHistogram {
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one duration.
    #[inline]
    pub fn record(&self, micros: u64) {
        let shard = SHARD.with(|shard| *shard);
        self.shards[shard].get_or_init(Shard::boxed).record(micros);
    }

    /// What has been counted so far.
    ///
    /// Durations recorded while the snapshot is taken are in it or in the next one; the sum may
    /// run ahead of or behind the counts by those few, never by more.
    pub fn snapshot(&self) -> Histogram {
        let mut whole = Histogram::new();
        for shard in self.shards.iter().filter_map(OnceLock::get) {
            whole.merge(&shard.snapshot());
        }
        whole
    }

    /// Number of durations counted so far.
    pub fn count(&self) -> u64 {
        let counts = self
            .shards
            .iter()
            .filter_map(OnceLock::get)
            .flat_map(|shard| &shard.counts);
        counts.map(|count| count.load(Relaxed)).sum()
    }
}

impl Shard {
    #[cold]
    fn boxed() -> Box<Self> {
        Box::new(Self {
            sum_micros: AtomicU64::new(0),
            min_micros: AtomicU64::new(u64::MAX),
            max_micros: AtomicU64::new(0),
            overflow: AtomicU64::new(0),
            counts: [const { AtomicU64::new(0) }; BUCKETS],
        })
    }

    #[inline]
    fn record(&self, micros: u64) {
        self.counts[slot_of_micros(micros)].fetch_add(1, Relaxed);
        self.sum_micros.fetch_add(micros, Relaxed);
        // New extremes are rare, so a load spares the costly exchange.
        if micros < self.min_micros.load(Relaxed) {
            self.min_micros.fetch_min(micros, Relaxed);
        }
        if micros > self.max_micros.load(Relaxed) {
            self.max_micros.fetch_max(micros, Relaxed);
        }
        if micros > MICROS_MAX {
            self.overflow.fetch_add(1, Relaxed);
        }
    }

    fn snapshot(&self) -> Histogram {
        let counts: Vec<u64> = self
            .counts
            .iter()
            .map(|count| count.load(Relaxed))
            .collect();
        let min_micros = self.min_micros.load(Relaxed);
        let max_micros = self.max_micros.load(Relaxed);
        let mut histogram = Histogram::from_counts(
            0,
            &counts,
            self.sum_micros.load(Relaxed),
            (min_micros.min(max_micros), max_micros),
            self.overflow.load(Relaxed),
        );
        if histogram.count > 0 {
            histogram.min_micros = min_micros.min(max_micros);
            histogram.max_micros = max_micros;
        }
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_random::Random;

    #[test]
    fn recording_atomically_equals_recording_plainly() {
        let (atomic, mut plain) = (AtomicHistogram::new(), Histogram::new());
        let mut random = Random::seeded(3);
        for _ in 0..20_000 {
            let micros = random.below(90_000_000);
            atomic.record(micros);
            plain.record(micros);
        }
        assert_eq!(atomic.snapshot(), plain);
        assert_eq!(atomic.count(), 20_000);
    }

    #[test]
    fn no_duration_is_lost_between_threads() {
        const THREADS: u64 = 8;
        const EACH: u64 = 25_000;
        let histogram = AtomicHistogram::new();
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let histogram = &histogram;
                scope.spawn(move || (0..EACH).for_each(|i| histogram.record(thread + i)));
            }
        });
        let whole = histogram.snapshot();
        let expected_sum: u64 = (0..THREADS)
            .map(|t| (0..EACH).map(|i| t + i).sum::<u64>())
            .sum();
        assert_eq!(whole.count(), THREADS * EACH);
        assert_eq!(whole.sum_micros(), expected_sum);
        assert_eq!(whole.max_micros(), Some(THREADS - 1 + EACH - 1));
    }

    #[test]
    fn a_histogram_never_used_has_no_shard() {
        let histogram = AtomicHistogram::new();
        assert!(histogram.snapshot().is_empty());
        assert!(histogram.shards.iter().all(|shard| shard.get().is_none()));
        histogram.record(1);
        assert_eq!(
            histogram
                .shards
                .iter()
                .filter(|shard| shard.get().is_some())
                .count(),
            1
        );
    }
}
