use super::*;
use crate::test_random::Random;

/// The exact percentile by nearest rank, the definition that `quantile` claims to follow.
fn exact_percentile(sorted: &[u64], q: f64) -> u64 {
    let rank = ((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
    sorted[rank - 1]
}

fn distributions() -> Vec<(&'static str, Vec<u64>)> {
    let mut random = Random::seeded(7);
    let mut draw = |n: usize, f: &mut dyn FnMut(f64) -> f64| -> Vec<u64> {
        (0..n).map(|_| f(random.unit()) as u64).collect()
    };
    vec![
        ("uniform to 1 ms", draw(50_000, &mut |u| u * 1_000.0)),
        (
            "exponential, mean 20 ms",
            draw(50_000, &mut |u| -20_000.0 * (1.0 - u).ln()),
        ),
        (
            "Pareto, from 100 µs",
            draw(50_000, &mut |u| 100.0 / (1.0 - u).powf(0.8)),
        ),
        (
            "two peaks",
            draw(50_000, &mut |u| {
                if u < 0.94 { 900.0 + u } else { 148_000.0 + u }
            }),
        ),
        ("a few values", draw(100, &mut |u| u * 60_000_000.0)),
        ("one value", vec![30_001]),
        ("constant", vec![150_000; 1_000]),
    ]
}

#[test]
fn quantiles_match_exact_percentiles_within_one_and_a_tenth_percent() {
    for (name, values) in distributions() {
        let mut histogram = Histogram::new();
        values.iter().for_each(|&micros| histogram.record(micros));
        let mut sorted = values;
        sorted.sort_unstable();
        for q in [
            0.0, 0.001, 0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0,
        ] {
            let exact = exact_percentile(&sorted, q) as f64;
            let told = histogram.quantile(q).unwrap();
            assert!(
                (told - exact).abs() <= 0.011 * exact,
                "{name}, q {q}: {told} for {exact}"
            );
        }
    }
}

#[test]
fn count_sum_and_extremes_are_exact() {
    let mut histogram = Histogram::new();
    for micros in [1, 30_000, 30_001, 70_000_000] {
        histogram.record(micros);
    }
    assert_eq!(histogram.count(), 4);
    assert_eq!(histogram.sum_micros(), 70_060_002);
    assert_eq!(
        (histogram.min_micros(), histogram.max_micros()),
        (Some(1), Some(70_000_000))
    );
    assert_eq!(histogram.overflow(), 1);
    assert_eq!(histogram.quantile(1.0), Some(70_000_000.0));
}

#[test]
fn an_empty_histogram_answers_nothing() {
    let histogram = Histogram::new();
    assert_eq!(histogram.quantile(0.5), None);
    assert_eq!(histogram.min_micros(), None);
    assert_eq!(histogram.mean_micros(), None);
    assert_eq!(histogram.buckets().count(), 0);
    assert_eq!(histogram.cumulative_count(1.0), 0);
}

#[test]
fn a_quantile_outside_zero_to_one_is_refused() {
    let mut histogram = Histogram::new();
    histogram.record(10);
    for q in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert_eq!(histogram.quantile(q), None);
    }
}

#[test]
fn merging_equals_recording_into_one() {
    let (mut left, mut right, mut whole) = (Histogram::new(), Histogram::new(), Histogram::new());
    let mut random = Random::seeded(11);
    for _ in 0..10_000 {
        let micros = random.below(100_000_000);
        whole.record(micros);
        if micros.is_multiple_of(3) {
            left.record(micros)
        } else {
            right.record(micros)
        }
    }
    left.merge(&right);
    left.merge(&Histogram::new());
    assert_eq!(left, whole);
}

#[test]
fn the_part_since_an_earlier_snapshot_has_only_later_durations() {
    let mut histogram = Histogram::new();
    histogram.record_many(5, 1_000);
    histogram.record_many(2_000_000, 10);
    let earlier = histogram.clone();
    assert!(histogram.since(&earlier).is_empty());
    histogram.record_many(45_000, 99);

    let later = histogram.since(&earlier);
    assert_eq!(later.count(), 99);
    assert_eq!(later.sum_micros(), 99 * 45_000);
    let p95 = later.quantile(0.95).unwrap();
    assert!((p95 - 45_000.0).abs() <= 0.011 * 45_000.0, "{p95}");
    assert_eq!(
        later.clone().with_max_micros(45_000).max_micros(),
        Some(45_000)
    );
    assert!(later.with_max_micros(0).max_micros() > Some(44_000));
}

#[test]
fn cumulative_counts_are_exact_at_bucket_boundaries_and_monotone_between() {
    let mut histogram = Histogram::new();
    for micros in 1..=100_000 {
        histogram.record(micros);
    }
    assert_eq!(histogram.cumulative_count(0.015625), 15_625);
    assert_eq!(histogram.cumulative_count(0.0625), 62_500);
    assert_eq!(histogram.cumulative_count(f64::INFINITY), 100_000);
    let mut before = 0;
    for step in 1..=1_000 {
        let le_seconds = f64::from(step) * 0.0001;
        let now = histogram.cumulative_count(le_seconds);
        assert!(now >= before);
        let exact = f64::from(step) * 100.0;
        assert!(
            (now as f64 - exact).abs() <= 2.0 + 0.01 * exact,
            "le {le_seconds}: {now}"
        );
        before = now;
    }
}

#[test]
fn buckets_carry_every_count_with_otlp_indices() {
    let mut histogram = Histogram::new();
    histogram.record_many(1_000_000, 3);
    histogram.record(1_000_001);
    let buckets: Vec<_> = histogram
        .buckets()
        .map(|bucket| (bucket.index, bucket.count))
        .collect();
    assert_eq!(buckets, [(-1, 3), (0, 1)]);
}

#[test]
fn a_histogram_survives_serialisation() {
    let mut histogram = Histogram::new();
    for micros in [0, 1, 999, 150_000, 80_000_000] {
        histogram.record(micros);
    }
    for original in [histogram, Histogram::new()] {
        let text = serde_json::to_string(&original).unwrap();
        let back: Histogram = serde_json::from_str(&text).unwrap();
        assert_eq!(back, original);
    }
}

#[test]
fn contradictory_serialised_histograms_are_refused() {
    let good = r#"{"scale":5,"offset":0,"counts":[1],"sum_micros":1,"min_micros":1,"max_micros":1,"overflow":0}"#;
    assert!(serde_json::from_str::<Histogram>(good).is_ok());
    for (part, bad) in [
        (r#""scale":5"#, r#""scale":4"#),
        (r#""offset":0"#, r#""offset":192"#),
        (r#""offset":0"#, r#""offset":-641"#),
        (r#""offset":0"#, r#""offset":-2147483648"#),
        (r#""counts":[1]"#, r#""counts":[18446744073709551615,1]"#),
        (r#""counts":[1]"#, r#""counts":[]"#),
        (r#""min_micros":1"#, r#""min_micros":2"#),
        (r#""min_micros":1"#, r#""min_micros":null"#),
        (r#""overflow":0"#, r#""overflow":2"#),
    ] {
        let text = good.replace(part, bad);
        assert!(serde_json::from_str::<Histogram>(&text).is_err(), "{text}");
    }
}
