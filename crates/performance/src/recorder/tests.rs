use super::*;

const SECOND: u64 = 1_000_000;

fn recorder() -> Recorder {
    Recorder::new(ROUTE_THRESHOLD, 0)
}

fn rotate_every_second(recorder: &Recorder, seconds: std::ops::RangeInclusive<u64>) {
    seconds.for_each(|second| recorder.rotate(second * SECOND));
}

#[test]
fn the_threshold_is_counted_exactly_on_the_raw_duration() {
    let recorder = recorder();
    let series = recorder.series("GET /");
    for micros in [149_999, 150_000, 150_001, 151_000] {
        series.record(micros, false);
    }
    series.record(1, true);
    assert_eq!(
        series.totals(),
        SeriesTotals {
            count: 5,
            over_threshold: 2,
            errors: 1
        }
    );
}

#[test]
fn a_window_tells_percentiles_maximum_and_rate() {
    let recorder = recorder();
    let series = recorder.series("GET /");
    for i in 1..=1_000 {
        series.record(i * 100, i % 100 == 0);
    }
    rotate_every_second(&recorder, 1..=10);
    let summary = series.window(Window::FiveMinutes, 10 * SECOND);
    assert_eq!((summary.count, summary.errors), (1_000, 10));
    assert_eq!((summary.rate_per_s, summary.errors_per_s), (100.0, 1.0));
    assert_eq!(summary.max_ms, Some(100.0));
    for (told, exact) in [
        (summary.p50_ms, 50.0),
        (summary.p95_ms, 95.0),
        (summary.p99_ms, 99.0),
    ] {
        assert!(
            (told.unwrap() - exact).abs() <= 0.011 * exact,
            "{told:?} for {exact}"
        );
    }
}

#[test]
fn a_window_forgets_what_the_lifetime_keeps() {
    let recorder = recorder();
    let series = recorder.series("GET /");
    series.record(60_000_000, true);
    rotate_every_second(&recorder, 1..=100);
    series.record(1_000, false);
    rotate_every_second(&recorder, 101..=340);

    let short = series.window(Window::FiveMinutes, 340 * SECOND);
    assert_eq!((short.count, short.errors, short.over_threshold), (1, 0, 0));
    assert_eq!(short.max_ms, Some(1.0));
    let long = series.window(Window::OneHour, 340 * SECOND);
    assert_eq!((long.count, long.errors, long.over_threshold), (2, 1, 1));
    assert_eq!(long.max_ms, Some(60_000.0));

    rotate_every_second(&recorder, 341..=4_300);
    assert_eq!(series.window(Window::FiveMinutes, 4_300 * SECOND).count, 0);
    assert_eq!(series.window(Window::OneHour, 4_300 * SECOND).p95_ms, None);
    assert_eq!(series.totals().count, 2);
}

#[test]
fn windows_cover_their_length_and_at_most_one_slice_more() {
    let recorder = recorder();
    let series = recorder.series("GET /");
    for second in 1..=9_000 {
        series.record(10, false);
        recorder.rotate(second * SECOND);
        let now = second * SECOND;
        let short = series.window(Window::FiveMinutes, now);
        let expected = second.min(300)..=second.min(330);
        assert!(
            expected.contains(&short.count),
            "second {second}: {}",
            short.count
        );
        assert_eq!(short.count as f64, short.covered_s);
        if second % 97 == 0 {
            let long = series.window(Window::OneHour, now).count;
            assert!(
                (second.min(3_600)..=second.min(3_900)).contains(&long),
                "{second}: {long}"
            );
        }
    }
}

#[test]
fn a_pause_of_the_sampler_does_not_stretch_a_window() {
    let recorder = recorder();
    let series = recorder.series("GET /");
    series.record(10, false);
    rotate_every_second(&recorder, 1..=31);
    recorder.rotate(10_000 * SECOND);
    recorder.rotate(10_030 * SECOND);
    recorder.rotate(10_310 * SECOND);
    assert_eq!(series.window(Window::FiveMinutes, 10_310 * SECOND).count, 0);
}

#[test]
fn the_same_key_is_the_same_series() {
    let recorder = recorder();
    let series = recorder.series("GET /");
    assert!(Arc::ptr_eq(&series, &recorder.series("GET /")));
    assert_eq!(series.key(), "GET /");
}

#[test]
fn keys_beyond_the_bound_share_one_series() {
    let recorder = recorder();
    for i in 0..SERIES_MAX + 50 {
        recorder.series(&format!("route {i}")).record(10, false);
    }
    assert_eq!(recorder.all().len(), SERIES_MAX + 1);
    assert_eq!(recorder.series(OVERFLOW_KEY).totals().count, 50);
    assert_eq!(recorder.series("route 0").totals().count, 1);
    assert_eq!(recorder.series("route 300").key(), OVERFLOW_KEY);
}

#[test]
fn a_series_made_late_does_not_claim_the_time_before() {
    let recorder = recorder();
    rotate_every_second(&recorder, 1..=100);
    let series = recorder.series("late");
    series.record(10, false);
    let summary = series.window(Window::FiveMinutes, 102 * SECOND);
    assert_eq!((summary.covered_s, summary.rate_per_s), (2.0, 0.5));
}

#[test]
fn slices_of_several_series_merge_into_one_percentile() {
    let recorder = recorder();
    let (fast, slow) = (recorder.series("fast"), recorder.series("slow"));
    (0..90).for_each(|_| fast.record(1_000, false));
    (0..10).for_each(|_| slow.record(200_000, true));
    let now = 5 * SECOND;
    let mut whole = fast.window_slice(Window::FiveMinutes, now);
    whole.merge_series(&slow.window_slice(Window::FiveMinutes, now));
    let summary = whole.summary();
    assert_eq!(
        (summary.count, summary.errors, summary.over_threshold),
        (100, 10, 10)
    );
    assert_eq!((summary.covered_s, summary.rate_per_s), (5.0, 20.0));
    assert!((summary.p95_ms.unwrap() - 200.0).abs() <= 2.2);
}

#[test]
fn windows_are_exact_while_other_threads_record() {
    const EACH: u64 = 50_000;
    let recorder = recorder();
    let series = recorder.series("busy");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let series = &series;
            scope.spawn(move || (0..EACH).for_each(|i| series.record(i, i % 2 == 0)));
        }
        (1..=9).for_each(|slice| recorder.rotate(slice * 30 * SECOND));
    });
    let summary = series.window(Window::FiveMinutes, 271 * SECOND);
    assert_eq!((summary.count, summary.errors), (4 * EACH, 2 * EACH));
}
