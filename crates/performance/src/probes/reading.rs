//! A measured value, or the reason why there is none. A probe that cannot know a figure says why;
//! it never answers zero.

use std::borrow::Cow;

/// A value, or why it is absent.
pub type Reading<T> = Result<T, Absence>;

/// Why a value cannot be known, in words for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Absence(Cow<'static, str>);

impl Absence {
    /// A rate or difference needs an earlier sample.
    pub const FIRST_SAMPLE: Self = Self::because("needs two samples");
    /// Two samples bear the same time, so nothing can be divided by what passed between them.
    pub const NO_TIME_PASSED: Self = Self::because("no time passed since the last sample");
    /// A cumulative counter fell: the device or group behind it was replaced.
    pub const COUNTER_RESET: Self = Self::because("the counter was reset");

    pub const fn because(reason: &'static str) -> Self {
        Self(Cow::Borrowed(reason))
    }

    pub fn explained(reason: String) -> Self {
        Self(Cow::Owned(reason))
    }

    pub fn reason(&self) -> &str {
        &self.0
    }
}

/// The time between two samples.
#[derive(Debug, Clone, Copy)]
pub struct Interval {
    micros: u64,
}

impl Interval {
    /// From the previous sample, if there was one, to now.
    pub fn between(earlier_micros: Option<u64>, now_micros: u64) -> Reading<Self> {
        let earlier_micros = earlier_micros.ok_or(Absence::FIRST_SAMPLE)?;
        match now_micros.saturating_sub(earlier_micros) {
            0 => Err(Absence::NO_TIME_PASSED),
            micros => Ok(Self { micros }),
        }
    }

    pub fn millis(self) -> f64 {
        self.micros as f64 / 1e3
    }

    pub fn seconds(self) -> f64 {
        self.micros as f64 / 1e6
    }
}

/// A cumulative counter of the kernel, watched for its increase from sample to sample.
#[derive(Debug, Default)]
pub struct Counter {
    last: Option<u64>,
}

impl Counter {
    /// The increase since the last call.
    pub fn advance(&mut self, now: Reading<u64>) -> Reading<u64> {
        let now = now.inspect_err(|_| self.last = None)?;
        let earlier = self.last.replace(now).ok_or(Absence::FIRST_SAMPLE)?;
        increase(earlier, now).ok_or(Absence::COUNTER_RESET)
    }

    /// The increase a second since the last call.
    pub fn per_second(&mut self, now: Reading<u64>, interval: &Reading<Interval>) -> Reading<f64> {
        let increase = self.advance(now)?;
        Ok(increase as f64 / interval.clone()?.seconds())
    }
}

/// From `earlier` to `now`, across one wrap at 32 bits. The kernel prints some counters (the
/// milliseconds of diskstats) as 32-bit numbers on every machine. A fall that would mean an
/// increase of more than half the range is no wrap but a reset: none.
pub fn increase(earlier: u64, now: u64) -> Option<u64> {
    const RANGE: u64 = 1 << 32;
    if now >= earlier {
        return Some(now - earlier);
    }
    let wrapped = (now + RANGE).checked_sub(earlier)?;
    (wrapped < RANGE / 2).then_some(wrapped)
}

/// Rounds to the decimals worth printing, so that JSON has `12.35` instead of sixteen digits.
pub fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}

/// `part` of `whole` in percent, two decimals; nothing of nothing is none of it.
pub fn percent(part: f64, whole: f64) -> f64 {
    if whole <= 0.0 {
        0.0
    } else {
        round(100.0 * part / whole, 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_increase_survives_a_wrap_at_32_bits_but_not_a_reset() {
        let top = u64::from(u32::MAX);
        assert_eq!(increase(5, 12), Some(7));
        assert_eq!(increase(top - 1, 3), Some(5));
        assert_eq!(increase(top, 0), Some(1));
        assert_eq!(increase(1_000, 3), None);
        assert_eq!(increase(1 << 40, 3), None);
    }

    #[test]
    fn a_counter_needs_two_samples_and_starts_anew_after_a_failure() {
        let mut counter = Counter::default();
        assert_eq!(counter.advance(Ok(10)), Err(Absence::FIRST_SAMPLE));
        assert_eq!(counter.advance(Ok(15)), Ok(5));
        assert_eq!(counter.advance(Ok(1)), Err(Absence::COUNTER_RESET));
        assert_eq!(counter.advance(Ok(2)), Ok(1));
        let gone = Absence::because("gone");
        assert_eq!(counter.advance(Err(gone.clone())), Err(gone));
        assert_eq!(counter.advance(Ok(50)), Err(Absence::FIRST_SAMPLE));
    }

    #[test]
    fn an_interval_needs_two_different_times() {
        assert_eq!(
            Interval::between(None, 5).unwrap_err(),
            Absence::FIRST_SAMPLE
        );
        assert_eq!(
            Interval::between(Some(5), 5).unwrap_err(),
            Absence::NO_TIME_PASSED
        );
        assert_eq!(
            Interval::between(Some(9), 5).unwrap_err(),
            Absence::NO_TIME_PASSED
        );
        assert_eq!(Interval::between(Some(5), 1_505).unwrap().millis(), 1.5);
    }
}
