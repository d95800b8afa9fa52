//! How many requests a client may make: a decision of about a hundred nanoseconds from one number a
//! client, in bounded memory.
//!
//! In reading order: a [`quota`] is the limit; [`gcra`] decides, purely; [`client`] says who is
//! limited; [`table`] keeps a number for each client. The quota is given with each decision, so that
//! keys may have limits of their own and a changed limit holds at once. `now` is an argument, in
//! nanoseconds of a monotonic clock.
//!
//! The table is sharded behind locks that are held for a few dozen nanoseconds. A lock and not an
//! atomic number a client: the state is wider than 64 bits, and counting, growing and forgetting
//! want the shard still. A bound that is reached lets clients go, so that nobody is refused by it.

mod client;
mod gcra;
mod quota;
mod table;
#[cfg(test)]
mod tests;

pub use client::ClientId;
pub use gcra::Decision;
pub use quota::{Quota, QuotaError, REFILL_MAX};

use client::Naming;
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use table::{BLOCK_BYTES, Shard, Tag};

/// Everything that a limiter holds, by default: four million clients that are live at once.
pub const MEMORY_MAX_BYTES: usize = 64 * 1024 * 1024;

/// A shard as large as this is doubled within a fraction of a millisecond; more shards follow from
/// more memory.
const SHARD_BYTES_MAX: usize = 1024 * 1024;
/// Of a smaller one too much would go into [`SHARD_OVERHEAD_BYTES`]; also the least that a limiter
/// holds.
const SHARD_BYTES_MIN: usize = 16 * 1024;
/// Enough that threads rarely meet.
const SHARDS_WISHED: usize = 64;
/// Of the lock, the list of segments and the allocator's own words.
const SHARD_OVERHEAD_BYTES: usize = 768;

/// Alone in its cache lines, so that threads in different shards do not slow each other.
#[derive(Default)]
#[repr(align(128))]
struct Apart(Mutex<Shard>);

/// Who has asked how often. Shared by all threads that serve.
pub struct RateLimiter {
    naming: Naming,
    shards: Box<[Apart]>,
    blocks_max: usize,
    next_swept: AtomicUsize,
}

/// Since the start, except for the last two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimitStatistics {
    pub allowed_total: u64,
    pub limited_total: u64,
    /// Clients forgotten before they were idle, for want of memory; each began anew with a full
    /// bucket.
    pub evicted_live_total: u64,
    /// Clients kept; who is idle is among them until [`RateLimiter::sweep`] comes by.
    pub clients: usize,
    pub memory_bytes: usize,
}

impl RateLimiter {
    /// Holds at most `memory_max_bytes`, and next to nothing before the first client. The seed is a
    /// secret: who knows it can aim at other clients' buckets.
    pub fn new(memory_max_bytes: usize, seed: u64) -> Self {
        let wished = memory_max_bytes / SHARDS_WISHED;
        let wished = wished.clamp(SHARD_BYTES_MIN, SHARD_BYTES_MAX);
        // Doubling ends at a power of two.
        let blocks_max = 1 << (wished / BLOCK_BYTES).ilog2();
        let shard_bytes = blocks_max * BLOCK_BYTES + SHARD_OVERHEAD_BYTES;
        let shards = (memory_max_bytes / shard_bytes).max(1);
        Self {
            naming: Naming::seeded(seed),
            shards: (0..shards).map(|_| Apart::default()).collect(),
            blocks_max,
            next_swept: AtomicUsize::new(0),
        }
    }

    /// Who calls with this key.
    pub fn client_of_key(&self, key_id: u64) -> ClientId {
        self.naming.of_key(key_id)
    }

    /// Who calls from this address: an IPv4 address, or an IPv6 network of 64 bits.
    pub fn client_of_address(&self, address: IpAddr) -> ClientId {
        self.naming.of_address(address)
    }

    /// Takes one request from the client's bucket, or refuses it.
    pub fn decide(&self, client: ClientId, quota: &Quota, now_ns: u64) -> Decision {
        let mut shard = self.shard(client).lock();
        let decision = shard.update(Tag::of(client.0), now_ns, self.blocks_max, |tat| {
            gcra::decide(tat, quota, now_ns)
        });
        if decision.allowed {
            shard.allowed += 1;
        } else {
            shard.limited += 1;
        }
        decision
    }

    /// What [`RateLimiter::decide`] would say; takes and counts nothing, and makes nobody known.
    pub fn peek(&self, client: ClientId, quota: &Quota, now_ns: u64) -> Decision {
        let tat = self.shard(client).lock().read(Tag::of(client.0), now_ns);
        gcra::peek(tat, quota, now_ns)
    }

    /// Takes `requests` from the client's bucket, or all that is in it, for something that has
    /// happened already, such as a failed authentication. Counts as neither allowed nor limited.
    pub fn charge(&self, client: ClientId, quota: &Quota, requests: u32, now_ns: u64) -> Decision {
        let mut shard = self.shard(client).lock();
        shard.update(Tag::of(client.0), now_ns, self.blocks_max, |tat| {
            gcra::charge(tat, quota, requests, now_ns)
        })
    }

    /// Forgets who is idle in the next shard, and gives its memory back where it is mostly unused.
    /// Called once a second, a minute goes round; never called, nothing is lost but memory.
    pub fn sweep(&self, now_ns: u64) {
        let next = self.next_swept.fetch_add(1, Relaxed) % self.shards.len();
        self.shards[next].0.lock().sweep(now_ns);
    }

    pub fn statistics(&self) -> RateLimitStatistics {
        let mut sum = RateLimitStatistics {
            memory_bytes: size_of_val(&*self.shards),
            ..RateLimitStatistics::default()
        };
        for shard in &self.shards {
            let shard = shard.0.lock();
            sum.allowed_total += shard.allowed;
            sum.limited_total += shard.limited;
            sum.evicted_live_total += shard.evicted_live;
            sum.clients += shard.entries();
            sum.memory_bytes += shard.bytes();
        }
        sum
    }

    /// By the hash's high bits, which its tag leaves out.
    fn shard(&self, client: ClientId) -> &Mutex<Shard> {
        let number = ((client.0 >> 48) * self.shards.len() as u64) >> 16;
        &self.shards[number as usize].0
    }
}

impl std::fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimiter")
            .field("shards", &self.shards.len())
            .field("blocks_max", &self.blocks_max)
            .finish_non_exhaustive()
    }
}
