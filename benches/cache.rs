//! What do a hit and a miss cost, how often do the policies hit, and how does moka do?

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::hint::black_box;
use std::time::Duration;

use anyhow::Result;
use autom8_benches::machine::{self, now};
use autom8_benches::percentiles::median;
use autom8_benches::random::{Random, zipf};
use autom8_performance::cache::{CacheLimits, LruCache, TTL_DEFAULT, TtlCache};
use axum::body::Bytes;
use moka::policy::EvictionPolicy;

const CAPACITY: usize = 10_000;
const KEYS: usize = 200_000;
const OPERATIONS: usize = 500_000;
const ROUNDS: usize = 3;
/// An answer as the server keeps it: a clone is a count of references.
const VALUE: Bytes = Bytes::from_static(b"{\"id\":1,\"name\":\"Ada\"}");

/// What all four have.
trait Cache: Sync {
    fn get(&self, key: u64) -> Option<Bytes>;
    fn insert(&self, key: u64);
}

impl Cache for LruCache<u64, Bytes> {
    fn get(&self, key: u64) -> Option<Bytes> {
        LruCache::get(self, &key)
    }

    fn insert(&self, key: u64) {
        LruCache::insert(self, key, VALUE);
    }
}

/// With the clock that it asks for: the server reads one for each request anyway.
struct Timed(TtlCache<u64, Bytes>, std::time::Instant);

impl Timed {
    fn now_ns(&self) -> u64 {
        self.1.elapsed().as_nanos() as u64
    }
}

impl Cache for Timed {
    fn get(&self, key: u64) -> Option<Bytes> {
        self.0.get(&key, self.now_ns())
    }

    fn insert(&self, key: u64) {
        self.0.insert(key, VALUE, self.now_ns());
    }
}

impl Cache for moka::sync::Cache<u64, Bytes> {
    fn get(&self, key: u64) -> Option<Bytes> {
        moka::sync::Cache::get(self, &key)
    }

    fn insert(&self, key: u64) {
        moka::sync::Cache::insert(self, key, VALUE);
    }
}

type Build = Box<dyn Fn() -> Box<dyn Cache>>;

fn caches(capacity: usize) -> [(&'static str, Build); 4] {
    let moka = move |ttl: Option<Duration>, policy| {
        let builder = moka::sync::Cache::builder()
            .max_capacity(capacity as u64)
            .eviction_policy(policy);
        match ttl {
            Some(ttl) => builder.time_to_live(ttl).build(),
            None => builder.build(),
        }
    };
    [
        (
            "LruCache",
            Box::new(move || Box::new(LruCache::new(CacheLimits::entries(capacity), 7)) as _),
        ),
        (
            "moka, LRU",
            Box::new(move || Box::new(moka(None, EvictionPolicy::lru())) as _),
        ),
        (
            "TtlCache",
            Box::new(move || {
                let limits = CacheLimits::entries(capacity);
                Box::new(Timed(TtlCache::new(limits, TTL_DEFAULT, 7), now())) as _
            }),
        ),
        (
            "moka, TinyLFU, TTL",
            Box::new(move || Box::new(moka(Some(TTL_DEFAULT), EvictionPolicy::tiny_lfu())) as _),
        ),
    ]
}

fn main() -> Result<()> {
    machine::print_head(
        "a hit, a miss, and how often it is which",
        "nothing is written",
    );
    println!(
        "{CAPACITY} entries, {OPERATIONS} operations a thread, {ROUNDS} rounds in turns, medians in \
         ns an operation;\nratios are ours over moka's of the same kind. moka evicts on the \
         caller's thread as ours do.\n"
    );
    let mut random = Random::seeded(1);
    let hits: Vec<u64> = (0..OPERATIONS)
        .map(|_| random.below(CAPACITY as u64 * 9 / 10))
        .collect();
    let misses: Vec<u64> = (0..OPERATIONS as u64)
        .map(|key| KEYS as u64 + key)
        .collect();
    let skewed = zipf(&mut random, KEYS, 1.0, OPERATIONS);
    let flat = zipf(&mut random, KEYS, 0.8, OPERATIONS);
    // Every tenth asks for a page that nobody asked for before.
    let scanned: Vec<u64> = (0..)
        .zip(&skewed)
        .map(|(number, key)| {
            if number % 10 == 0 {
                KEYS as u64 + number
            } else {
                *key
            }
        })
        .collect();
    measure("hit", &hits, true);
    measure("miss and insert", &misses, false);
    measure("zipf 1.0 over 200 k keys", &skewed, false);
    measure("zipf 0.8 over 200 k keys", &flat, false);
    measure("zipf 1.0, every tenth once only", &scanned, false);
    Ok(())
}

fn measure(what: &str, trace: &[u64], is_filled: bool) {
    println!(
        "{what:<34} {:>10} {:>7} {:>10} {:>7} {:>10}",
        "1 thread", "ratio", "2 threads", "ratio", "hits %"
    );
    let caches = caches(CAPACITY);
    let mut times = [const { [const { Vec::new() }; 2] }; 4];
    let mut hit_percent = [0.0; 4];
    for _ in 0..ROUNDS {
        for (which, (_, build)) in caches.iter().enumerate() {
            for threads in [1, 2] {
                let cache = build();
                if is_filled {
                    (0..CAPACITY as u64 * 9 / 10).for_each(|key| cache.insert(key));
                }
                let (each, hits) = time(threads, trace, &*cache);
                times[which][threads - 1].push(each);
                if threads == 1 {
                    hit_percent[which] = 100.0 * hits as f64 / trace.len() as f64;
                }
            }
        }
    }
    let times = times.map(|of_cache| of_cache.map(median));
    for (which, (name, _)) in caches.iter().enumerate() {
        let [one, two] = times[which];
        let ratio = |threads: usize| match which % 2 {
            0 => format!("{:.2}", times[which][threads] / times[which + 1][threads]),
            _ => String::new(),
        };
        println!(
            "  {name:<32} {one:>10.1} {:>7} {two:>10.1} {:>7} {:>10.1}",
            ratio(0),
            ratio(1),
            hit_percent[which]
        );
    }
    println!();
}

/// Asks for each key and inserts what is missing; nanoseconds an operation, and hits.
fn time(threads: usize, trace: &[u64], cache: &dyn Cache) -> (f64, usize) {
    let walk = |thread: usize| {
        let (after, before) = trace.split_at(trace.len() / threads * thread);
        let mut hits = 0;
        for key in before.iter().chain(after) {
            match black_box(cache.get(*key)) {
                Some(_) => hits += 1,
                None => cache.insert(*key),
            }
        }
        hits
    };
    let started = now();
    let hits = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || walk(thread)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or(0))
            .sum()
    });
    (
        started.elapsed().as_nanos() as f64 / trace.len() as f64,
        hits,
    )
}
