//! Numbers that rise with every change of a contact, by which a kept answer is told from an
//! outdated one.
//!
//! A stamp is read before the row. Whoever keeps what was read under it may use it for as long as
//! the stamp stays: a change moves the stamp after its commit and before its answer, so that
//! whoever has heard of the change never sees the old state again. Nothing is invalidated by hand,
//! and no read that began earlier can bring something stale back.

use std::sync::atomic::{AtomicU64, Ordering};

use autom8_model::ContactId;

/// Contacts share stamps: a change of one makes 1 in 4,096 of the others be read once more.
const STAMPS: usize = 4_096;

pub(crate) struct ContactStamps {
    of_contact: Box<[AtomicU64]>,
    of_all: AtomicU64,
}

impl Default for ContactStamps {
    fn default() -> Self {
        ContactStamps {
            of_contact: (0..STAMPS).map(|_| AtomicU64::new(0)).collect(),
            of_all: AtomicU64::new(0),
        }
    }
}

impl ContactStamps {
    pub(crate) fn of(&self, id: ContactId) -> u64 {
        self.of_contact
            .get(place(id))
            .map_or(0, |stamp| stamp.load(Ordering::Acquire))
    }

    pub(crate) fn of_all(&self) -> u64 {
        self.of_all.load(Ordering::Acquire)
    }

    pub(crate) fn changed(&self, ids: &[ContactId]) {
        for id in ids {
            if let Some(stamp) = self.of_contact.get(place(*id)) {
                stamp.fetch_add(1, Ordering::Release);
            }
        }
        if !ids.is_empty() {
            self.of_all.fetch_add(1, Ordering::Release);
        }
    }
}

fn place(id: ContactId) -> usize {
    (id.0.unsigned_abs() as usize) % STAMPS
}
