//! What the caches promise, on a clock that is a number.

mod bounds;
mod flights;
mod histories;
mod times;

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

const SECOND_NS: u64 = 1_000_000_000;

fn lru<V>(entries_max: usize) -> LruCache<u64, V, String> {
    LruCache::new(CacheLimits::entries(entries_max), 7)
}

/// A value that counts how many of its kind there are.
#[derive(Clone)]
struct Counted {
    alive: Arc<AtomicUsize>,
}

impl Counted {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, SeqCst);
        Self {
            alive: Arc::clone(alive),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, SeqCst);
    }
}
