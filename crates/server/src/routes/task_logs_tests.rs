use super::*;
use autom8_api::task_log::Percentiles;

fn window(count: u64, failed: u64, run_p95_ms: f64, wait_p95_ms: f64) -> RunWindow {
    let of = |p95_ms| Percentiles {
        p50_ms: p95_ms,
        p95_ms,
        p99_ms: p95_ms,
    };
    RunWindow {
        seconds: 300,
        count,
        failed,
        wait: of(wait_p95_ms),
        run: of(run_p95_ms),
        total: of(run_p95_ms),
    }
}

fn totals(completed: u64, failed: u64) -> Totals {
    let http = TypeTotals {
        completed,
        failed,
        interrupted: 1,
        cancelled: 2,
        running: 3,
    };
    Totals {
        by_type: vec![(TaskType::Http, http)],
        ..Totals::default()
    }
}

#[test]
fn an_interrupted_run_counts_as_failed_and_the_sum_is_what_was_executed() {
    let stats = stats_of(&totals(7, 1), None, || None);
    let counts = &stats.counts;
    assert_eq!(
        (
            counts.completed,
            counts.failed,
            counts.cancelled,
            counts.running
        ),
        (7, 2, 2, 3)
    );
    assert_eq!(counts.total_executions, 14);
    assert_eq!(counts.success_rate, 77.78);
    assert_eq!(stats.by_type[0].counts, *counts);
    assert!(stats.anomalies.is_empty() && stats.window.is_none());
}

#[test]
fn only_what_differs_from_before_is_an_anomaly() {
    use AnomalyKind::{FailureShare, RunTime, WaitTime};
    let hour = window(1_000, 10, 40.0, 1.0);
    let calm = window(100, 1, 40.0, 1.0);
    for (name, totals, window, expected) in [
        ("as ever", totals(10_000, 100), calm, vec![]),
        (
            "many failures",
            totals(10_000, 100),
            window(100, 30, 40.0, 1.0),
            vec![FailureShare],
        ),
        (
            "they always fail",
            totals(5_000, 5_000),
            window(100, 55, 40.0, 1.0),
            vec![],
        ),
        (
            "the first runs ever, all failing",
            totals(0, 29),
            window(30, 30, 40.0, 1.0),
            vec![FailureShare],
        ),
        (
            "too few to say",
            totals(10_000, 100),
            window(19, 19, 900.0, 9_000.0),
            vec![],
        ),
        (
            "slower",
            totals(10_000, 100),
            window(100, 1, 81.0, 1.0),
            vec![RunTime],
        ),
        (
            "a little slower",
            totals(10_000, 100),
            window(100, 1, 79.0, 1.0),
            vec![],
        ),
        (
            "no free slots",
            totals(10_000, 100),
            window(100, 1, 40.0, 5_001.0),
            vec![WaitTime],
        ),
        (
            "all at once",
            totals(10_000, 100),
            window(100, 30, 99.0, 5_001.0),
            vec![FailureShare, RunTime, WaitTime],
        ),
    ] {
        let stats = stats_of(&totals, Some(window), || Some(hour));
        let kinds: Vec<AnomalyKind> = stats.anomalies.iter().map(|anomaly| anomaly.kind).collect();
        assert_eq!(kinds, expected, "{name}");
    }
}

#[test]
fn run_times_are_compared_only_with_an_hour_that_has_more_in_it() {
    let slow = window(100, 0, 500.0, 1.0);
    assert!(
        stats_of(&totals(100, 0), Some(slow), || None)
            .anomalies
            .is_empty()
    );
    let barely_more = window(110, 0, 100.0, 1.0);
    assert!(
        stats_of(&totals(110, 0), Some(slow), || Some(barely_more))
            .anomalies
            .is_empty()
    );
}
