//! The only place that decides what becomes of a run: pure, so that every case is a row of a
//! table in the test below.

use std::time::Duration;

use crate::Timestamp;
use crate::retry::RetryPolicy;
use crate::run::RunState;
use crate::task::OnCrash;

/// How one attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum AttemptEnd {
    Completed,
    /// The executor's work failed.
    Failed(RetryAdvice),
    /// The attempt was still going on at its deadline.
    TimedOut,
    /// The executor stopped because a cancel was asked for.
    Cancelled,
    /// Its worker is gone: the process died, or the lease ran out.
    Lost,
}

/// What an executor knows about trying again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RetryAdvice {
    /// As the task's policy says.
    Policy,
    /// Not before this long, e.g. a `Retry-After`.
    After(Duration),
    /// Never: the same input will fail the same way.
    Never,
}

/// What to record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    /// Append the outcome; the run is over for good.
    End(RunState),
    /// Queue it again, claimable from this time on.
    RetryAt(Timestamp),
}

/// What the decision rests on besides the attempt itself.
#[derive(Clone, Debug)]
pub struct Circumstances<'a> {
    /// The attempt that ended; the first is 1.
    pub attempt: u16,
    pub retry: &'a RetryPolicy,
    pub on_crash: OnCrash,
    /// A cancel was asked for and is durable.
    pub cancel_requested: bool,
    pub now: Timestamp,
    /// A random number in `0.0..1.0`.
    pub jitter: f64,
}

/// Decides what an ended attempt makes of its run.
///
/// Success wins over a cancel that came too late: the effect has happened. Any other end of a run
/// whose cancel is asked for is `cancelled`, a crash included.
pub fn settle(end: &AttemptEnd, given: &Circumstances<'_>) -> Decision {
    let advice = match end {
        AttemptEnd::Completed => return Decision::End(RunState::Completed),
        _ if given.cancel_requested => return Decision::End(RunState::Cancelled),
        AttemptEnd::Cancelled => return Decision::End(RunState::Cancelled),
        AttemptEnd::Lost if given.on_crash == OnCrash::Fail => {
            return Decision::End(RunState::Interrupted);
        }
        AttemptEnd::Failed(RetryAdvice::Never) => return Decision::End(RunState::Failed),
        AttemptEnd::Failed(advice) => *advice,
        AttemptEnd::TimedOut => RetryAdvice::Policy,
        // A dead worker says nothing about the task: its next attempt need not wait.
        AttemptEnd::Lost => RetryAdvice::After(Duration::ZERO),
    };
    if given.attempt >= given.retry.max_attempts {
        return Decision::End(RunState::Failed);
    }
    let wait = match (end, advice) {
        (AttemptEnd::Lost, _) => Duration::ZERO,
        (_, RetryAdvice::After(floor)) => given.retry.delay(given.attempt, given.jitter).max(floor),
        _ => given.retry.delay(given.attempt, given.jitter),
    };
    Decision::RetryAt(given.now.plus(wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_under_every_circumstance_has_its_decision() {
        use AttemptEnd::{Cancelled, Completed, Failed, Lost, TimedOut};
        use RetryAdvice::{After, Never, Policy};
        let now = Timestamp::from_seconds(1_000);
        let end = Decision::End;
        let at = |seconds: i64| Decision::RetryAt(Timestamp::from_seconds(1_000 + seconds));
        // (end, attempt of 3, on_crash, cancel asked for) → decision
        let table = [
            (
                Completed,
                1,
                OnCrash::Retry,
                false,
                end(RunState::Completed),
            ),
            (Completed, 1, OnCrash::Retry, true, end(RunState::Completed)),
            (Failed(Policy), 1, OnCrash::Retry, false, at(1)),
            (Failed(Policy), 2, OnCrash::Retry, false, at(2)),
            (
                Failed(Policy),
                3,
                OnCrash::Retry,
                false,
                end(RunState::Failed),
            ),
            (
                Failed(Policy),
                1,
                OnCrash::Retry,
                true,
                end(RunState::Cancelled),
            ),
            (
                Failed(Never),
                1,
                OnCrash::Retry,
                false,
                end(RunState::Failed),
            ),
            (
                Failed(After(Duration::from_secs(60))),
                1,
                OnCrash::Retry,
                false,
                at(60),
            ),
            (
                Failed(After(Duration::ZERO)),
                1,
                OnCrash::Retry,
                false,
                at(1),
            ),
            (TimedOut, 1, OnCrash::Fail, false, at(1)),
            (TimedOut, 3, OnCrash::Fail, false, end(RunState::Failed)),
            (
                Cancelled,
                1,
                OnCrash::Retry,
                false,
                end(RunState::Cancelled),
            ),
            (Lost, 1, OnCrash::Retry, false, at(0)),
            (Lost, 3, OnCrash::Retry, false, end(RunState::Failed)),
            (Lost, 1, OnCrash::Fail, false, end(RunState::Interrupted)),
            (Lost, 1, OnCrash::Fail, true, end(RunState::Cancelled)),
            (Lost, 1, OnCrash::Retry, true, end(RunState::Cancelled)),
        ];
        for (ended, attempt, on_crash, cancel_requested, expected) in table {
            let given = Circumstances {
                attempt,
                retry: &RetryPolicy::default(),
                on_crash,
                cancel_requested,
                now,
                jitter: 0.0,
            };
            assert_eq!(settle(&ended, &given), expected, "{ended:?} {given:?}");
        }
    }
}
