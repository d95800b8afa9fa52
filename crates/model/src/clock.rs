//! The one place that reads time.
//!
//! Wall-clock time is an `i64` of microseconds since 1970-01-01T00:00:00Z, so that it is the same
//! number in memory, in a row and in a comparison. Durations that decide anything (timeouts,
//! leases, latencies) come from the monotonic reading, which no clock step can bend.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in wall-clock time, in microseconds since the Unix epoch, UTC.
///
/// In JSON it is an RFC 3339 string in UTC, e.g. `"2026-12-24T18:00:00Z"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const UNIX_EPOCH: Timestamp = Timestamp(0);
    /// The latest time that RFC 3339 can say: 9999-12-31T23:59:59.999999Z.
    pub const MAX: Timestamp = Timestamp(253_402_300_799_999_999);

    pub const fn from_micros(micros: i64) -> Self {
        Timestamp(micros)
    }

    pub const fn from_seconds(seconds: i64) -> Self {
        Timestamp(seconds * 1_000_000)
    }

    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded towards minus infinity.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Later by `duration`, held at [`Timestamp::MAX`].
    pub fn plus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Timestamp(self.0.saturating_add(micros).min(Self::MAX.0))
    }

    /// Earlier by `duration`.
    pub fn minus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Timestamp(self.0.saturating_sub(micros))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Milliseconds from `earlier` to `self` with their fraction, never negative.
    pub fn millis_since(self, earlier: Timestamp) -> f64 {
        self.since(earlier).as_micros() as f64 / 1_000.0
    }

    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }

    pub fn from_jiff(at: jiff::Timestamp) -> Self {
        Timestamp(at.as_microsecond())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_jiff().fmt(f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Timestamp>()
            .map(Timestamp::from_jiff)
            .map_err(|_| TimestampError {
                text: text.chars().take(40).collect(),
            })
    }
}

/// Text that is not an RFC 3339 time with an offset.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a time: write RFC 3339 with an offset, e.g. 2026-12-24T18:00:00Z")]
pub struct TimestampError {
    text: String,
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A reading of the monotonic clock: microseconds since an arbitrary start of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Monotonic(u64);

impl Monotonic {
    pub const fn from_micros(micros: u64) -> Self {
        Monotonic(micros)
    }

    pub const fn as_micros(self) -> u64 {
        self.0
    }

    pub fn plus(self, duration: Duration) -> Self {
        Monotonic(
            self.0
                .saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)),
        )
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Monotonic) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Where time comes from: the system in production, a hand-moved one in tests.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time; it may step backwards.
    fn now(&self) -> Timestamp;
    /// Monotonic time; it never steps.
    fn monotonic(&self) -> Monotonic;
}

/// The system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this module is the one reader of time"
    )]
    pub fn new() -> Self {
        SystemClock {
            started: std::time::Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this module is the one reader of time"
    )]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Timestamp(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock {
    now: AtomicI64,
    monotonic: AtomicU64,
}

impl ManualClock {
    pub fn at(now: Timestamp) -> Self {
        ManualClock {
            now: AtomicI64::new(now.0),
            monotonic: AtomicU64::new(0),
        }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.monotonic.fetch_add(micros, Ordering::SeqCst);
        self.now
            .fetch_add(i64::try_from(micros).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Steps the wall clock alone, as an administrator or NTP would.
    pub fn step_wall(&self, to: Timestamp) {
        self.now.store(to.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.monotonic.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_its_text() {
        for text in [
            "2026-12-24T18:00:00Z",
            "1969-12-31T23:59:59.999999Z",
            "2026-11-24T03:04:05.123456Z",
        ] {
            let at: Timestamp = text.parse().unwrap();
            assert_eq!(at.to_string(), text);
        }
    }

    #[test]
    fn arithmetic_stops_at_the_last_sayable_time() {
        assert_eq!(Timestamp::MAX.plus(Duration::MAX), Timestamp::MAX);
        assert_eq!(
            Timestamp::from_seconds(5).since(Timestamp::from_seconds(9)),
            Duration::ZERO
        );
    }

    #[test]
    fn a_wall_clock_step_leaves_monotonic_time_alone() {
        let clock = ManualClock::at(Timestamp::from_seconds(1_000));
        let before = clock.monotonic();
        clock.step_wall(Timestamp::from_seconds(10));
        assert_eq!(clock.monotonic(), before);
        clock.advance(Duration::from_secs(3));
        assert_eq!(clock.monotonic().since(before), Duration::from_secs(3));
    }
}
