//! The decision itself: the generic cell rate algorithm, of which one number a client is the state.
//!
//! That number is the theoretical arrival time (TAT): when the bucket is full again. Each request
//! moves it on by one interval; a request that would move it further than the bucket's depth into
//! the future is refused and does not. Whoever is idle has a TAT in the past, which says
//! nothing: such a state may be forgotten free of loss, and [`Tat::default`] stands for it.

use super::quota::{FRACTION_BITS, Quota};
use std::time::Duration;

/// When the bucket is full again. In nanoseconds of any monotonic clock, and parts of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tat {
    pub(super) ns: u64,
    pub(super) fraction: u16,
}

impl Tat {
    pub(super) fn is_idle(self, now_ns: u64) -> bool {
        self <= Tat {
            ns: now_ns,
            fraction: 0,
        }
    }

    /// What is spent and not yet earned back, in parts of a nanosecond: never more than the depth.
    /// A state left by a larger quota counts as an empty bucket of this one, so that nobody waits
    /// out a limit that is no longer theirs.
    fn backlog(self, quota: &Quota, now_ns: u64) -> u64 {
        if self.is_idle(now_ns) {
            return 0;
        }
        let whole = self.ns - now_ns;
        if whole >= 1 << (u64::BITS - FRACTION_BITS) {
            return quota.depth();
        }
        ((whole << FRACTION_BITS) + u64::from(self.fraction)).min(quota.depth())
    }

    fn after(now_ns: u64, backlog: u64) -> Self {
        Tat {
            ns: now_ns.saturating_add(backlog >> FRACTION_BITS),
            fraction: (backlog & ((1 << FRACTION_BITS) - 1)) as u16,
        }
    }
}

/// The answer to one request, and what its headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// Further requests that would be allowed at this instant.
    pub remaining: u32,
    /// Until the bucket is full again.
    pub reset_after: Duration,
    /// Until one more request would be allowed; zero if one would be now.
    pub retry_after: Duration,
}

impl Decision {
    fn of(quota: &Quota, backlog: u64, allowed: bool) -> Self {
        let room = quota.depth() - backlog;
        // The depth is `burst` intervals, so that the quotient fits.
        let remaining = (room / quota.interval()) as u32;
        Decision {
            allowed,
            remaining,
            reset_after: rounded_up(backlog),
            retry_after: rounded_up(quota.interval().saturating_sub(room)),
        }
    }
}

/// Up, so that who waits as told is served.
fn rounded_up(parts: u64) -> Duration {
    let whole = parts >> FRACTION_BITS;
    let is_broken = parts & ((1 << FRACTION_BITS) - 1) != 0;
    Duration::from_nanos(whole + u64::from(is_broken))
}

/// Takes one request from the bucket if it is there.
pub(super) fn decide(tat: Tat, quota: &Quota, now_ns: u64) -> (Tat, Decision) {
    let backlog = tat.backlog(quota, now_ns);
    let allowed = quota.depth() - backlog >= quota.interval();
    let backlog = backlog + if allowed { quota.interval() } else { 0 };
    (
        Tat::after(now_ns, backlog),
        Decision::of(quota, backlog, allowed),
    )
}

/// What [`decide`] would say, with nothing taken.
pub(super) fn peek(tat: Tat, quota: &Quota, now_ns: u64) -> Decision {
    let backlog = tat.backlog(quota, now_ns);
    let allowed = quota.depth() - backlog >= quota.interval();
    Decision::of(quota, backlog, allowed)
}

/// Takes `requests` from the bucket, or all that is in it: for what has happened already.
/// `allowed` says whether they all were there.
pub(super) fn charge(tat: Tat, quota: &Quota, requests: u32, now_ns: u64) -> (Tat, Decision) {
    let backlog = tat.backlog(quota, now_ns);
    let cost = quota.interval().saturating_mul(u64::from(requests));
    let room = quota.depth() - backlog;
    let backlog = backlog + cost.min(room);
    (
        Tat::after(now_ns, backlog),
        Decision::of(quota, backlog, cost <= room),
    )
}
