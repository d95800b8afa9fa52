//! Objectives: how many events were good, how many must be, and what that says.
//!
//! An event is judged when it happens, on its exact duration, and only counted here; no percentile
//! is turned back into a share. [`Objective::judge`] is pure: counts of a window in, standing out.
//! [`timeslices`] makes events of a utilisation, one a minute.

pub mod timeslices;

use crate::probes::reading::round;

/// What is promised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    pub id: &'static str,
    pub description: &'static str,
    /// Share of events that must be good.
    pub objective_percent: f64,
    pub threshold: Threshold,
    /// Below this many events a window proves nothing good, and a few bad ones prove nothing bad:
    /// one would overspend the budget.
    pub events_min: u64,
}

/// When an event is bad.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// It took longer; the baseline is the usual 95th percentile.
    LatencyMs { limit: f64, baseline: Option<f64> },
    /// A minute's mean was not below it; the baseline is the usual mean.
    UtilisationPercent { limit: f64, baseline: f64 },
    /// It failed.
    Failure,
}

/// 95 % of requests within 150 ms, monitoring left out.
pub const API_LATENCY: Objective = Objective {
    id: "api-latency",
    description: "requests answered within 150 ms",
    objective_percent: 95.0,
    threshold: Threshold::LatencyMs {
        limit: 150.0,
        baseline: Some(45.0),
    },
    events_min: 20,
};
/// 99 % of statements within 30 ms, their wait and sync included.
pub const DB_LATENCY: Objective = Objective {
    id: "db-latency",
    description: "statements done within 30 ms, a write's queue and sync included",
    objective_percent: 99.0,
    threshold: Threshold::LatencyMs {
        limit: 30.0,
        baseline: Some(8.0),
    },
    events_min: 100,
};
/// 99.9 % of requests without a fault of the server.
pub const API_AVAILABILITY: Objective = Objective {
    id: "api-availability",
    description: "requests answered without a server error (5xx)",
    objective_percent: 99.9,
    threshold: Threshold::Failure,
    events_min: 1_000,
};
/// 99 % of minutes below 60 % of the CPU granted.
pub const CPU: Objective = Objective {
    id: "cpu",
    description: "minutes with less than 60 % of the granted CPU in use",
    objective_percent: 99.0,
    threshold: Threshold::UtilisationPercent {
        limit: 60.0,
        baseline: 15.0,
    },
    // An hour has fewer minutes than one bad one of a hundred needs; five tell a lasting load.
    events_min: 5,
};
/// 99 % of due runs start within a second.
pub const TASK_START: Objective = Objective {
    id: "task-start",
    description: "runs started within 1 s of being due",
    objective_percent: 99.0,
    threshold: Threshold::LatencyMs {
        limit: 1_000.0,
        baseline: None,
    },
    events_min: 100,
};

/// Fewer bad events than these are a risk and never a breach, however few the good ones: the first
/// request after a start may be slow.
const BAD_MIN: u64 = 5;

/// Below this many events, or the fewer that an objective asks for, not even bad ones tell enough.
/// An outage is told long before there are the thousand events that good availability takes.
const EVENTS_MIN_TO_BREACH: u64 = 20;

/// Events of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub total: u64,
    pub bad: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Met,
    /// More bad events than allowed, but so few events that it may be chance.
    AtRisk,
    Breached,
    /// Too few events to say anything.
    InsufficientData,
}

/// How an objective stands in a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    pub state: State,
    /// Good share of the events; none without events.
    pub sli_percent: Option<f64>,
    /// Bad events allowed among those counted.
    pub budget_total: f64,
    /// Below zero when overspent; none with too few events, where one bad event would be many
    /// times the budget.
    pub budget_remaining_percent: Option<f64>,
    /// Speed at which the budget is spent: at 1 the window spends exactly all of it. None with too
    /// few events.
    pub burn: Option<f64>,
}

impl Objective {
    /// Share of events that may be bad.
    fn allowed_share(&self) -> f64 {
        1.0 - self.objective_percent / 100.0
    }

    pub fn judge(&self, counts: Counts) -> Standing {
        let Counts { total, bad } = counts;
        let budget_total = round(total as f64 * self.allowed_share(), 3);
        if total == 0 {
            let state = State::InsufficientData;
            let (sli_percent, budget_remaining_percent, burn) = (None, None, None);
            return Standing {
                state,
                sli_percent,
                budget_total,
                budget_remaining_percent,
                burn,
            };
        }
        let bad_share = bad as f64 / total as f64;
        let burn = bad_share / self.allowed_share();
        // Rounded to what the objective itself tells apart, or 99.9 % would not equal itself.
        let is_within = burn <= 1.0 + 1e-9;
        let is_proven_bad = bad >= BAD_MIN
            && total >= self.events_min.min(EVENTS_MIN_TO_BREACH)
            && wilson_lower(bad, total) > self.allowed_share();
        let state = if is_proven_bad {
            State::Breached
        } else if total < self.events_min {
            State::InsufficientData
        } else if is_within {
            State::Met
        } else {
            State::AtRisk
        };
        let is_telling = state != State::InsufficientData;
        Standing {
            state,
            sli_percent: Some(floor_percent(1.0 - bad_share, bad)),
            budget_total,
            budget_remaining_percent: is_telling.then(|| round(100.0 * (1.0 - burn), 2)),
            burn: is_telling.then(|| round(burn, 3)),
        }
    }
}

/// A share in percent with three decimals; a single bad event never rounds up to 100.
fn floor_percent(share: f64, bad: u64) -> f64 {
    let told = round(100.0 * share, 3);
    if bad > 0 { told.min(99.999) } else { told }
}

/// The lower end of Wilson's score interval for a share, at 97.5 % one-sided confidence
/// (E. B. Wilson, 1927): one bad event of two must not alarm, seventy of a hundred must.
fn wilson_lower(bad: u64, total: u64) -> f64 {
    const Z: f64 = 1.96;
    let (n, share) = (total as f64, bad as f64 / total as f64);
    let centre = share + Z * Z / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    (centre - spread) / (1.0 + Z * Z / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(objective: &Objective, bad: u64, total: u64) -> State {
        objective.judge(Counts { total, bad }).state
    }

    #[test]
    fn states_by_counts() {
        use State::*;
        for (objective, bad, total, expected) in [
            (API_LATENCY, 0, 0, InsufficientData),
            (API_LATENCY, 0, 19, InsufficientData),
            (API_LATENCY, 0, 20, Met),
            (API_LATENCY, 1, 20, Met),
            (API_LATENCY, 1, 2, InsufficientData),
            (API_LATENCY, 19, 19, InsufficientData),
            (API_LATENCY, 5, 20, Breached),
            (API_LATENCY, 4, 20, AtRisk),
            (DB_LATENCY, 2, 13, InsufficientData),
            (DB_LATENCY, 13, 13, InsufficientData),
            (DB_LATENCY, 2, 99, InsufficientData),
            (DB_LATENCY, 2, 100, AtRisk),
            (DB_LATENCY, 1, 100, Met),
            (DB_LATENCY, 6, 60, Breached),
            (API_LATENCY, 51, 1_000, AtRisk),
            (API_LATENCY, 50, 1_000, Met),
            (API_LATENCY, 70, 1_000, Breached),
            (API_AVAILABILITY, 1, 1_000, Met),
            (API_AVAILABILITY, 0, 999, InsufficientData),
            (API_AVAILABILITY, 2, 1_000, AtRisk),
            (API_AVAILABILITY, 1, 100, InsufficientData),
            (API_AVAILABILITY, 5, 19, InsufficientData),
            (API_AVAILABILITY, 5, 20, Breached),
            (API_AVAILABILITY, 100, 100, Breached),
            (API_AVAILABILITY, 10, 1_000, Breached),
            (CPU, 0, 5, Met),
            (CPU, 0, 4, InsufficientData),
            (CPU, 4, 4, InsufficientData),
            (CPU, 4, 5, AtRisk),
            (CPU, 5, 5, Breached),
        ] {
            assert_eq!(
                state(&objective, bad, total),
                expected,
                "{} {bad}/{total}",
                objective.id
            );
        }
    }

    #[test]
    fn budget_and_burn_are_those_of_the_counts() {
        let standing = API_LATENCY.judge(Counts {
            total: 1_000,
            bad: 25,
        });
        assert_eq!(
            (standing.sli_percent, standing.budget_total),
            (Some(97.5), 50.0)
        );
        assert_eq!(
            (standing.budget_remaining_percent, standing.burn),
            (Some(50.0), Some(0.5))
        );
        let overspent = API_LATENCY.judge(Counts {
            total: 100,
            bad: 10,
        });
        assert_eq!(
            (overspent.budget_remaining_percent, overspent.burn),
            (Some(-100.0), Some(2.0))
        );
        let nothing = API_LATENCY.judge(Counts::default());
        assert_eq!((nothing.sli_percent, nothing.burn), (None, None));
    }

    #[test]
    fn too_few_events_have_a_share_and_no_budget() {
        let few = DB_LATENCY.judge(Counts { total: 13, bad: 2 });
        assert_eq!(few.sli_percent, Some(84.615));
        assert_eq!((few.budget_remaining_percent, few.burn), (None, None));
    }

    #[test]
    fn one_bad_event_among_millions_is_not_rounded_away() {
        let standing = API_AVAILABILITY.judge(Counts {
            total: 10_000_000,
            bad: 1,
        });
        assert_eq!(standing.sli_percent, Some(99.999));
    }

    #[test]
    fn the_lower_bound_is_below_the_share_and_nears_it() {
        assert!(wilson_lower(0, 10).abs() < 1e-12);
        let few = wilson_lower(1, 2);
        assert!(few > 0.05 && few < 0.15, "{few}");
        let many = wilson_lower(5_000, 10_000);
        assert!((0.48..0.5).contains(&many), "{many}");
    }
}
