//! The objectives as they stand: counts of the recorders, judged by `performance::slo`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use autom8_api::telemetry::{SloCounts, SloState, SloView};
use autom8_performance::probes::reading::round;
use autom8_performance::recorder::window::Slice;
use autom8_performance::slo::timeslices::Timeslices;
use autom8_performance::slo::{Counts, Objective, State, Threshold};

use super::series::{SeriesFigures, rounded};

const FIVE_MINUTES_MICROS: u64 = 300_000_000;
const HOUR_MICROS: u64 = 3_600_000_000;

/// Which events of a series are bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    Slow,
    Failed,
}

/// What an objective is judged by.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    recent: Counts,
    hour: Counts,
    since_start: Counts,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
}

impl Evidence {
    /// All events of several series, counted exactly on their raw durations.
    pub(super) fn of<'a>(series: impl Iterator<Item = &'a SeriesFigures>, bad: Bad) -> Self {
        let mut evidence = Evidence::default();
        let mut hour = Slice::default();
        for figures in series {
            let in_slice = |slice: &Slice| Counts {
                total: slice.histogram.count(),
                bad: if bad == Bad::Slow {
                    slice.over_threshold
                } else {
                    slice.errors
                },
            };
            let totals = figures.totals;
            add(&mut evidence.recent, in_slice(&figures.recent));
            add(&mut evidence.hour, in_slice(&figures.hour));
            add(
                &mut evidence.since_start,
                Counts {
                    total: totals.count,
                    bad: if bad == Bad::Slow {
                        totals.over_threshold
                    } else {
                        totals.errors
                    },
                },
            );
            hour.merge_series(&figures.hour);
        }
        if bad == Bad::Slow {
            evidence.p95_ms = rounded(hour.histogram.quantile_ms(0.95));
            evidence.p99_ms = rounded(hour.histogram.quantile_ms(0.99));
        }
        evidence
    }

    pub(super) fn of_minutes(minutes: &Timeslices, now_micros: u64) -> Self {
        Evidence {
            recent: minutes.counts(now_micros, FIVE_MINUTES_MICROS),
            hour: minutes.counts(now_micros, HOUR_MICROS),
            since_start: minutes.since_start(),
            ..Evidence::default()
        }
    }
}

fn add(sum: &mut Counts, one: Counts) {
    sum.total += one.total;
    // A duration and its count are written one after the other; between them a count may lag.
    sum.bad += one.bad.min(one.total);
}

/// `uptime_s` bounds what the window can have covered.
pub(super) fn view(objective: &Objective, evidence: &Evidence, uptime_s: f64) -> SloView {
    let hour = objective.judge(evidence.hour);
    let recent = objective.judge(evidence.recent);
    let (threshold_ms, baseline_ms, threshold_percent, baseline_percent) = match objective.threshold
    {
        Threshold::LatencyMs { limit, baseline } => (Some(limit), baseline, None, None),
        Threshold::UtilisationPercent { limit, baseline } => {
            (None, None, Some(limit), Some(baseline))
        }
        Threshold::Failure => (None, None, None, None),
    };
    SloView {
        id: Cow::Borrowed(objective.id),
        description: Cow::Borrowed(objective.description),
        objective_percent: objective.objective_percent,
        threshold_ms,
        threshold_percent,
        baseline_ms,
        baseline_percent,
        state: match hour.state {
            State::Met => SloState::Met,
            State::AtRisk => SloState::AtRisk,
            State::Breached => SloState::Breached,
            State::InsufficientData => SloState::InsufficientData,
        },
        window: Cow::Borrowed("1h"),
        covered_s: round(uptime_s.min(3_600.0), 3),
        total: evidence.hour.total,
        bad: evidence.hour.bad,
        sli_percent: hour.sli_percent,
        p95_ms: evidence.p95_ms,
        p99_ms: evidence.p99_ms,
        budget_total: hour.budget_total,
        budget_remaining_percent: hour.budget_remaining_percent,
        burn: BTreeMap::from([
            (Cow::Borrowed("5m"), recent.burn),
            (Cow::Borrowed("1h"), hour.burn),
        ]),
        since_start: SloCounts {
            total: evidence.since_start.total,
            bad: evidence.since_start.bad,
        },
    }
}

/// An objective without events, for tests to alter.
#[cfg(test)]
pub(super) fn view_for_tests() -> SloView {
    view(
        &autom8_performance::slo::API_LATENCY,
        &Evidence::default(),
        1.0,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::series::SeriesReader;
    use autom8_performance::recorder::{ROUTE_THRESHOLD, Recorder};
    use autom8_performance::slo::{API_AVAILABILITY, API_LATENCY};

    #[test]
    fn slow_and_failed_events_are_counted_over_all_series_and_exactly() {
        let recorder = Recorder::new(ROUTE_THRESHOLD, 0);
        let (one, other) = (recorder.series("one"), recorder.series("other"));
        (0..60).for_each(|_| one.record(150_000, false));
        (0..40).for_each(|_| other.record(150_001, true));
        let mut reader = SeriesReader::default();
        let figures = [reader.read(&one, 1_000_000), reader.read(&other, 1_000_000)];

        let slow = view(&API_LATENCY, &Evidence::of(figures.iter(), Bad::Slow), 1.0);
        assert_eq!(
            (slow.total, slow.bad, slow.state),
            (100, 40, SloState::Breached)
        );
        assert_eq!((slow.sli_percent, slow.burn["5m"]), (Some(60.0), Some(8.0)));
        assert_eq!(
            slow.since_start,
            SloCounts {
                total: 100,
                bad: 40
            }
        );
        assert!(slow.p95_ms.is_some());
        let failed = view(
            &API_AVAILABILITY,
            &Evidence::of(figures.iter(), Bad::Failed),
            1.0,
        );
        assert_eq!(
            (failed.bad, failed.threshold_ms, failed.p95_ms),
            (40, None, None)
        );
    }
}
