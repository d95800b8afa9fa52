//! A limit as a type: so many requests in so much time, and how many of them at once.

use std::num::NonZeroU32;
use std::time::Duration;

/// Binary places below the nanosecond. 60 s / 7 has no end in any base; cut off here, a bucket
/// gains one nanosecond on the exact limit every 65,536 requests, and always in the client's favour.
/// 60 s / 5,000 is exact.
pub(super) const FRACTION_BITS: u32 = 16;

/// A bucket that takes longer to refill is refused: the parts of a nanosecond in it would not fit
/// into 64 bits.
pub const REFILL_MAX: Duration = Duration::from_secs(3 * 24 * 3_600);

/// What a client may do: `burst` requests at once, and `requests` in each `period` ever after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    requests: NonZeroU32,
    period: Duration,
    burst: NonZeroU32,
    /// The time that earns one request, in parts of a nanosecond; rounded down.
    interval: u64,
    /// `burst` intervals.
    depth: u64,
}

/// Why a limit cannot be kept to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    #[error("more than one request in 2^-16 ns is no limit: lengthen the period")]
    TooFast,
    #[error("a bucket of {burst} would take more than {REFILL_MAX:?} to refill: lessen the burst")]
    TooDeep { burst: NonZeroU32 },
}

impl Quota {
    /// With a `burst` of at least `requests`, whoever stays within `requests` in every window of
    /// one `period` is never refused.
    pub fn new(
        requests: NonZeroU32,
        period: Duration,
        burst: NonZeroU32,
    ) -> Result<Self, QuotaError> {
        let too_deep = QuotaError::TooDeep { burst };
        let interval = (period.as_nanos() << FRACTION_BITS) / u128::from(requests.get());
        let depth = interval
            .checked_mul(u128::from(burst.get()))
            .filter(|depth| *depth <= REFILL_MAX.as_nanos() << FRACTION_BITS)
            .ok_or(too_deep)?;
        if interval == 0 {
            return Err(QuotaError::TooFast);
        }
        Ok(Self {
            requests,
            period,
            burst,
            interval: u64::try_from(interval).map_err(|_| too_deep)?,
            depth: u64::try_from(depth).map_err(|_| too_deep)?,
        })
    }

    pub fn requests(&self) -> NonZeroU32 {
        self.requests
    }

    pub fn period(&self) -> Duration {
        self.period
    }

    pub fn burst(&self) -> NonZeroU32 {
        self.burst
    }

    pub(super) fn interval(&self) -> u64 {
        self.interval
    }

    pub(super) fn depth(&self) -> u64 {
        self.depth
    }
}
