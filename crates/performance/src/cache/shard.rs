//! The entries of one shard: found by hash, ordered by the policy, within the shard's bounds.
//!
//! Nothing that leaves is dropped here. It goes to [`Left`], which the caller drops after unlocking:
//! a value's destructor is not ours, and may well ask this very cache.

use super::flight::Flight;
use super::policy::{Order, Policy};
use hashbrown::HashTable;
use std::borrow::Borrow;
use std::sync::Arc;

pub(super) struct Entry<K, V> {
    hash: u64,
    key: K,
    value: V,
    weight: u64,
    expires_at_ns: u64,
}

impl<K, V> Entry<K, V> {
    pub(super) fn new(hash: u64, key: K, value: V, weight: u64, expires_at_ns: u64) -> Self {
        Self {
            hash,
            key,
            value,
            weight,
            expires_at_ns,
        }
    }

    pub(super) fn key(&self) -> &K {
        &self.key
    }

    fn is_expired(&self, now_ns: u64) -> bool {
        self.expires_at_ns <= now_ns
    }
}

/// What is to be dropped after unlocking: as a rule one entry, for which nothing is allocated.
pub(super) struct Left<K, V> {
    first: Option<Entry<K, V>>,
    others: Vec<Entry<K, V>>,
}

impl<K, V> Left<K, V> {
    pub(super) fn nothing() -> Self {
        Left {
            first: None,
            others: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, entry: Entry<K, V>) {
        match &self.first {
            None => self.first = Some(entry),
            Some(_) => self.others.push(entry),
        }
    }
}

/// Since the start.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) coalesced: u64,
    pub(super) evictions: u64,
    pub(super) expirations: u64,
    pub(super) stale_loads: u64,
}

/// What a shard may hold.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) entries_max: usize,
    pub(super) weight_max: u64,
}

/// Expired entries that an insertion clears away at the old end: more than it adds, so that they
/// never pile up, and few enough to cost it nothing.
const CLEARED_PER_INSERT: usize = 2;

pub(super) struct Shard<K, V, E> {
    places: HashTable<u32>,
    /// By place.
    entries: Vec<Option<Entry<K, V>>>,
    vacant: Vec<u32>,
    order: Order,
    weight: u64,
    /// Raised by whatever makes an older value untrue.
    pub(super) version: u64,
    pub(super) flights: HashTable<Arc<Flight<K, V, E>>>,
    pub(super) counts: Counts,
}

impl<K, V, E> Shard<K, V, E> {
    pub(super) fn new(policy: Policy) -> Self {
        Self {
            places: HashTable::new(),
            entries: Vec::new(),
            vacant: Vec::new(),
            order: Order::new(policy),
            weight: 0,
            version: 0,
            flights: HashTable::new(),
            counts: Counts::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Of entries, past ones included.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// What `read` makes of the key's value; none if there is no value, if it has expired, or if
    /// `read` has no use for it. Counts a hit, and leaves it to the caller to count a miss.
    pub(super) fn get<Q, R>(
        &mut self,
        hash: u64,
        key: &Q,
        now_ns: u64,
        left: &mut Left<K, V>,
        read: impl FnOnce(&V) -> Option<R>,
    ) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let place = self.place(hash, key)?;
        let entry = self.entries[place as usize].as_ref()?;
        if entry.is_expired(now_ns) {
            self.counts.expirations += 1;
            self.take(place, left);
            return None;
        }
        let result = read(&entry.value)?;
        self.order.touch(place);
        self.counts.hits += 1;
        Some(result)
    }

    /// Puts an entry in, in place of an older one, and makes room for it. Says whether it is kept.
    pub(super) fn insert(
        &mut self,
        bounds: Bounds,
        now_ns: u64,
        entry: Entry<K, V>,
        left: &mut Left<K, V>,
    ) -> bool
    where
        K: Eq,
    {
        let older = self.place(entry.hash, &entry.key);
        let is_marked = older.is_some_and(|place| self.take(place, left));
        if entry.weight > bounds.weight_max || bounds.entries_max == 0 {
            left.push(entry);
            return false;
        }
        for _ in 0..CLEARED_PER_INSERT {
            let oldest = self.order.oldest();
            let Some(place) = oldest.filter(|place| self.is_expired(*place, now_ns)) else {
                break;
            };
            self.counts.expirations += 1;
            self.take(place, left);
        }
        while self.len() >= bounds.entries_max
            || self.weight.saturating_add(entry.weight) > bounds.weight_max
        {
            let Some(place) = self.order.victim() else {
                break;
            };
            if self.is_expired(place, now_ns) {
                self.counts.expirations += 1;
            } else {
                self.counts.evictions += 1;
            }
            self.take(place, left);
        }
        self.put(entry, is_marked);
        true
    }

    pub(super) fn remove<Q>(&mut self, hash: u64, key: &Q, left: &mut Left<K, V>) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let place = self.place(hash, key);
        place.inspect(|place| _ = self.take(*place, left)).is_some()
    }

    /// Takes out every entry whose key is not to be kept.
    pub(super) fn retain(&mut self, keep: impl Fn(&K) -> bool, left: &mut Left<K, V>) {
        for place in 0..self.entries.len() {
            let goes = |entry: &Entry<K, V>| !keep(&entry.key);
            if self.entries[place].as_ref().is_some_and(goes) {
                self.take(place as u32, left);
            }
        }
    }

    /// The load of a key that may still be joined.
    pub(super) fn flight<Q>(&self, hash: u64, key: &Q) -> Option<&Arc<Flight<K, V, E>>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let is_it = |flight: &Arc<Flight<K, V, E>>| flight.key.borrow() == key;
        self.flights.find(hash, is_it)
    }

    /// Lets the load of a key go: what it brings will be out of date.
    pub(super) fn let_go<Q>(&mut self, hash: u64, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let is_it = |flight: &Arc<Flight<K, V, E>>| flight.key.borrow() == key;
        if let Ok(found) = self.flights.find_entry(hash, is_it) {
            found.remove();
        }
    }

    /// Lets this load go, and says whether it had not been let go before.
    pub(super) fn let_go_of(&mut self, flight: &Arc<Flight<K, V, E>>) -> bool {
        let is_it = |candidate: &Arc<Flight<K, V, E>>| Arc::ptr_eq(candidate, flight);
        let found = self.flights.find_entry(flight.hash, is_it);
        found.map(|found| _ = found.remove()).is_ok()
    }

    fn place<Q>(&self, hash: u64, key: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let is_it = |place: &u32| {
            self.entries[*place as usize]
                .as_ref()
                .is_some_and(|entry| entry.hash == hash && entry.key.borrow() == key)
        };
        self.places.find(hash, is_it).copied()
    }

    fn is_expired(&self, place: u32, now_ns: u64) -> bool {
        self.entries[place as usize]
            .as_ref()
            .is_some_and(|entry| entry.is_expired(now_ns))
    }

    fn put(&mut self, entry: Entry<K, V>, is_marked: bool) {
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.entries.push(None);
            // The bound on entries is far below four billion.
            (self.entries.len() - 1) as u32
        });
        let entries = &self.entries;
        self.places.insert_unique(entry.hash, place, |place| {
            entries[*place as usize]
                .as_ref()
                .map_or(0, |entry| entry.hash)
        });
        self.order.add(place, is_marked);
        self.weight += entry.weight;
        self.entries[place as usize] = Some(entry);
    }

    /// Takes the entry out of a place, and says whether it was marked.
    fn take(&mut self, place: u32, left: &mut Left<K, V>) -> bool {
        let Some(entry) = self.entries[place as usize].take() else {
            return false;
        };
        let found = self
            .places
            .find_entry(entry.hash, |candidate| *candidate == place);
        if let Ok(found) = found {
            found.remove();
        }
        self.vacant.push(place);
        self.weight -= entry.weight;
        left.push(entry);
        self.order.remove(place)
    }
}
