//! How far a run has come, as its executor tells and others read: two numbers, and no lock that a
//! reader could hold up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::RwLock;

/// What an executor says about how far it is. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    done: AtomicU64,
    /// Set once or twice in a run: in what it counts, and how much there is in all.
    scale: RwLock<Option<(&'static str, Option<u64>)>>,
}

/// One look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgressReading {
    pub done: u64,
    /// `None` where nobody knows.
    pub total: Option<u64>,
    pub unit: &'static str,
}

impl Progress {
    /// Says what is counted, such as `bytes`, and how much of it there is.
    pub fn expect(&self, total: Option<u64>, unit: &'static str) {
        *self.inner.scale.write() = Some((unit, total));
    }

    pub fn set(&self, done: u64) {
        self.inner.done.store(done, Relaxed);
    }

    /// `None` for an executor that says nothing, as most do.
    pub fn read(&self) -> Option<ProgressReading> {
        let (unit, total) = (*self.inner.scale.read())?;
        Some(ProgressReading {
            done: self.inner.done.load(Relaxed),
            total,
            unit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_until_it_is_known_what_counts() {
        let progress = Progress::default();
        progress.set(3);
        assert_eq!(progress.read(), None);
        let reader = progress.clone();
        progress.expect(Some(10), "bytes");
        let reading = ProgressReading {
            done: 3,
            total: Some(10),
            unit: "bytes",
        };
        assert_eq!(reader.read(), Some(reading));
    }
}
