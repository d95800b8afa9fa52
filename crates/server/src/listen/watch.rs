//! What each connection waits for, and since when.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::limits::ListenLimits;

/// Where a connection is between two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Accepted, nothing read yet.
    Fresh,
    /// A request's head has begun to arrive.
    Head,
    /// The answer is being made or sent: our time, not the peer's.
    Serving,
    /// A handler reads the request's body.
    Body,
    /// An answer is out, the next request has not begun.
    Idle,
}

const PHASES: [Phase; 5] = [
    Phase::Fresh,
    Phase::Head,
    Phase::Serving,
    Phase::Body,
    Phase::Idle,
];

/// One connection's place, written by its own task and read by the sweep.
///
/// Relaxed throughout: a sweep that sees a state one step old judges it one tick later.
#[derive(Debug)]
pub(super) struct Watch {
    ticks: Arc<AtomicU32>,
    /// The phase in the upper half, the tick in which it began in the lower.
    place: AtomicU64,
    /// Bytes read in the present [`Phase::Body`].
    body_bytes: AtomicU64,
    /// The tick since which the peer takes no more of the answer, plus one; zero if it does.
    stalled: AtomicU32,
}

impl Watch {
    fn new(ticks: Arc<AtomicU32>) -> Self {
        let watch = Watch {
            ticks,
            place: AtomicU64::new(0),
            body_bytes: AtomicU64::new(0),
            stalled: AtomicU32::new(0),
        };
        watch.enter(Phase::Fresh);
        watch
    }

    pub(super) fn enter(&self, phase: Phase) {
        let place = place_of(phase, self.ticks.load(Relaxed));
        self.place.store(place, Relaxed);
    }

    pub(super) fn phase(&self) -> Phase {
        phase_and_tick(self.place.load(Relaxed)).0
    }

    /// `bytes` came in.
    pub(super) fn read(&self, bytes: usize) {
        match self.phase() {
            Phase::Fresh | Phase::Idle => self.enter(Phase::Head),
            Phase::Body => {
                self.body_bytes.fetch_add(bytes as u64, Relaxed);
            }
            Phase::Head | Phase::Serving => {}
        }
    }

    /// A handler asks for the body.
    pub(super) fn body_wanted(&self) {
        if self.phase() != Phase::Body {
            self.body_bytes.store(0, Relaxed);
            self.enter(Phase::Body);
        }
    }

    /// The kernel takes no more of the answer, or takes some again.
    pub(super) fn write_stalled(&self, stalled: bool) {
        match (self.stalled.load(Relaxed), stalled) {
            (0, true) => self
                .stalled
                .store(self.ticks.load(Relaxed).wrapping_add(1).max(1), Relaxed),
            (1.., false) => self.stalled.store(0, Relaxed),
            _ => {}
        }
    }

    fn is_overdue(&self, now: u32, limits: &ListenLimits) -> bool {
        let place = self.place.load(Relaxed);
        let (phase, since) = phase_and_tick(place);
        let stalled = match self.stalled.load(Relaxed) {
            0 => None,
            since => Some(waited(since.wrapping_sub(1), now, limits.tick)),
        };
        let body_bytes = self.body_bytes.load(Relaxed);
        let waited = waited(since, now, limits.tick);
        let overdue = overdue(phase, waited, body_bytes, stalled, limits);
        if phase == Phase::Body && waited >= limits.body_grace && !overdue {
            // The next stretch is judged by itself: what came fast at first buys no time to hold
            // on to it. If the phase has just changed, there is nothing to begin anew.
            let anew = place_of(Phase::Body, now);
            if self
                .place
                .compare_exchange(place, anew, Relaxed, Relaxed)
                .is_ok()
            {
                self.body_bytes.store(0, Relaxed);
            }
        }
        overdue
    }
}

fn place_of(phase: Phase, tick: u32) -> u64 {
    ((phase as u64) << 32) | u64::from(tick)
}

fn phase_and_tick(place: u64) -> (Phase, u32) {
    let phase = PHASES
        .get((place >> 32) as usize)
        .copied()
        .unwrap_or(Phase::Serving);
    (phase, place as u32)
}

/// Time that has certainly passed since some moment within the tick `since`.
fn waited(since: u32, now: u32, tick: Duration) -> Duration {
    tick.saturating_mul(now.wrapping_sub(since).saturating_sub(1))
}

fn overdue(
    phase: Phase,
    waited: Duration,
    body_bytes: u64,
    stalled: Option<Duration>,
    limits: &ListenLimits,
) -> bool {
    if stalled.is_some_and(|stalled| stalled >= limits.answer_stalled_max) {
        return true;
    }
    match phase {
        Phase::Fresh => waited >= limits.first_byte_within,
        Phase::Head => waited >= limits.head_within,
        Phase::Idle => waited >= limits.idle_max,
        Phase::Serving => false,
        Phase::Body => {
            waited >= limits.body_grace
                && (body_bytes as f64)
                    < waited.as_secs_f64() * limits.body_bytes_per_second_min as f64
        }
    }
}

/// All connections of one listener.
#[derive(Debug)]
pub(super) struct Connections {
    limits: ListenLimits,
    ticks: Arc<AtomicU32>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next_id: u64,
    by_id: HashMap<u64, Entry>,
    by_peer: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Entry {
    watch: Arc<Watch>,
    /// Absent for the moment between admission and the start of the connection's task.
    task: Option<AbortHandle>,
}

/// Why a connection is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Total,
    Peer,
}

impl Connections {
    pub(super) fn new(limits: ListenLimits) -> Arc<Self> {
        Arc::new(Connections {
            limits,
            ticks: Arc::default(),
            open: Mutex::default(),
        })
    }

    pub(super) fn limits(&self) -> &ListenLimits {
        &self.limits
    }

    /// Counts one connection in until its [`Admission`] is dropped. `peer` is absent for a Unix
    /// socket.
    pub(super) fn admit(self: &Arc<Self>, peer: Option<IpAddr>) -> Result<Admission, Full> {
        let counted = peer
            .filter(|peer| !peer.to_canonical().is_loopback())
            .map(counted_as);
        let mut open = self.open.lock();
        if open.by_id.len() >= self.limits.connections_max {
            return Err(Full::Total);
        }
        if let Some(peer) = counted {
            let count = open.by_peer.entry(peer).or_default();
            if *count >= self.limits.connections_per_peer_max {
                return Err(Full::Peer);
            }
            *count += 1;
        }
        let id = open.next_id;
        open.next_id += 1;
        let watch = Arc::new(Watch::new(Arc::clone(&self.ticks)));
        open.by_id.insert(
            id,
            Entry {
                watch: Arc::clone(&watch),
                task: None,
            },
        );
        Ok(Admission {
            connections: Arc::clone(self),
            id,
            peer: counted,
            watch,
        })
    }

    /// From now on the connection can be closed by the sweep, unless it has ended already.
    pub(super) fn attach(&self, id: u64, task: AbortHandle) {
        if let Some(entry) = self.open.lock().by_id.get_mut(&id) {
            entry.task = Some(task);
        }
    }

    /// Lets one tick pass and closes what is overdue. Returns how many those were.
    pub(super) fn tick(&self) -> usize {
        let now = self.ticks.fetch_add(1, Relaxed).wrapping_add(1);
        let overdue: Vec<AbortHandle> = self
            .open
            .lock()
            .by_id
            .values()
            .filter(|entry| entry.watch.is_overdue(now, &self.limits))
            .filter_map(|entry| entry.task.clone())
            .collect();
        for task in &overdue {
            task.abort();
        }
        overdue.len()
    }

    /// Closes everything. Returns how many there were.
    pub(super) fn abort_all(&self) -> usize {
        let tasks: Vec<AbortHandle> = self
            .open
            .lock()
            .by_id
            .values()
            .filter_map(|entry| entry.task.clone())
            .collect();
        for task in &tasks {
            task.abort();
        }
        tasks.len()
    }
}

/// One client: a whole /64 belongs to one subscriber.
fn counted_as(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

/// A place among the connections; held by the connection's task.
#[derive(Debug)]
pub(super) struct Admission {
    connections: Arc<Connections>,
    pub(super) id: u64,
    peer: Option<IpAddr>,
    pub(super) watch: Arc<Watch>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock();
        open.by_id.remove(&self.id);
        if let Some(peer) = self.peer
            && let Some(count) = open.by_peer.get_mut(&peer)
        {
            *count -= 1;
            if *count == 0 {
                open.by_peer.remove(&peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(total: usize, per_peer: usize) -> Arc<Connections> {
        Connections::new(ListenLimits {
            connections_max: total,
            connections_per_peer_max: per_peer,
            ..ListenLimits::default()
        })
    }

    fn peer(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_peer_is_held_to_its_share_and_the_loopback_only_to_the_total() {
        let connections = connections(8, 2);
        let held: Vec<_> = (0..2)
            .map(|_| connections.admit(peer("192.0.2.1")).unwrap())
            .collect();
        assert_eq!(
            connections.admit(peer("192.0.2.1")).unwrap_err(),
            Full::Peer
        );
        assert_eq!(
            connections.admit(peer("::ffff:192.0.2.1")).unwrap_err(),
            Full::Peer
        );
        let local: Vec<_> = (0..6)
            .map(|_| connections.admit(peer("127.0.0.1")).unwrap())
            .collect();
        assert_eq!(
            connections.admit(peer("127.0.0.1")).unwrap_err(),
            Full::Total
        );
        drop((held, local));
        assert!(connections.open.lock().by_peer.is_empty());
        connections.admit(peer("192.0.2.1")).unwrap();
    }

    #[test]
    fn a_slash_64_is_one_peer() {
        let connections = connections(8, 1);
        let _held = connections.admit(peer("2001:db8:0:1::1")).unwrap();
        assert_eq!(
            connections.admit(peer("2001:db8:0:1:ffff::2")).unwrap_err(),
            Full::Peer
        );
        connections.admit(peer("2001:db8:0:2::1")).unwrap();
    }

    #[test]
    fn each_phase_has_its_own_deadline() {
        let limits = ListenLimits::default();
        let seconds = Duration::from_secs;
        for (phase, waited, bytes, expected) in [
            (Phase::Fresh, seconds(9), 0, false),
            (Phase::Fresh, seconds(10), 0, true),
            (Phase::Head, seconds(10), 0, true),
            (Phase::Idle, seconds(59), 0, false),
            (Phase::Idle, seconds(60), 0, true),
            (Phase::Serving, seconds(3_600), 0, false),
            (Phase::Body, seconds(9), 0, false),
            (Phase::Body, seconds(10), 10 * 1024 - 1, true),
            (Phase::Body, seconds(10), 10 * 1024, false),
            (Phase::Body, seconds(100), 100 * 1024 - 1, true),
        ] {
            let found = overdue(phase, waited, bytes, None, &limits);
            assert_eq!(found, expected, "{phase:?} {waited:?} {bytes}");
        }
        assert!(overdue(
            Phase::Serving,
            seconds(0),
            0,
            Some(seconds(30)),
            &limits
        ));
        assert!(!overdue(
            Phase::Serving,
            seconds(0),
            0,
            Some(seconds(29)),
            &limits
        ));
    }

    #[test]
    fn a_deadline_is_never_early() {
        let tick = Duration::from_secs(1);
        // Something that began late in tick 5 has waited for no full second when tick 6 begins.
        assert_eq!(waited(5, 5, tick), Duration::ZERO);
        assert_eq!(waited(5, 6, tick), Duration::ZERO);
        assert_eq!(waited(5, 7, tick), tick);
        assert_eq!(waited(u32::MAX, 1, tick), tick);
    }

    #[test]
    fn what_a_body_brought_fast_buys_no_time_later() {
        let limits = ListenLimits::default();
        let ticks = Arc::new(AtomicU32::new(0));
        let watch = Watch::new(Arc::clone(&ticks));
        watch.enter(Phase::Serving);
        watch.body_wanted();
        watch.read(16 * 1024 * 1024);
        let overdue_after = |seconds: u32| {
            let now = ticks.load(Relaxed) + seconds;
            (ticks.load(Relaxed)..now).any(|_| {
                let now = ticks.fetch_add(1, Relaxed) + 1;
                watch.is_overdue(now, &limits)
            })
        };
        assert!(!overdue_after(11), "16 MiB in ten seconds are enough");
        watch.read(10 * 1024);
        assert!(!overdue_after(11), "and so is a slow but steady rest");
        assert!(overdue_after(11), "but not silence");
    }

    #[test]
    fn bytes_and_answers_move_a_connection_through_its_phases() {
        let watch = Watch::new(Arc::default());
        assert_eq!(watch.phase(), Phase::Fresh);
        watch.read(1);
        assert_eq!(watch.phase(), Phase::Head);
        watch.enter(Phase::Serving);
        watch.body_wanted();
        watch.read(100);
        watch.body_wanted();
        assert_eq!(
            (watch.phase(), watch.body_bytes.load(Relaxed)),
            (Phase::Body, 100)
        );
        watch.enter(Phase::Idle);
        watch.read(1);
        assert_eq!(watch.phase(), Phase::Head);
    }
}
