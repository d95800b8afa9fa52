//! Exact percentiles of what fits in memory, and medians of rounds.

/// Durations in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    micros: Vec<u32>,
    sorted: bool,
}

impl Samples {
    pub fn with_capacity(capacity: usize) -> Self {
        Samples {
            micros: Vec::with_capacity(capacity),
            sorted: false,
        }
    }

    /// Beyond 71 minutes it is held at that.
    pub fn push(&mut self, duration: std::time::Duration) {
        self.micros
            .push(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX));
        self.sorted = false;
    }

    pub fn append(&mut self, mut other: Samples) {
        self.micros.append(&mut other.micros);
        self.sorted = false;
    }

    pub fn len(&self) -> usize {
        self.micros.len()
    }

    pub fn is_empty(&self) -> bool {
        self.micros.is_empty()
    }

    /// The smallest value that at least `percent` of all reach, in milliseconds; NaN of nothing.
    pub fn percentile_ms(&mut self, percent: f64) -> f64 {
        if !self.sorted {
            self.micros.sort_unstable();
            self.sorted = true;
        }
        let rank = (percent / 100.0 * self.micros.len() as f64).ceil() as usize;
        self.micros
            .get(rank.saturating_sub(1))
            .map_or(f64::NAN, |us| f64::from(*us) / 1_000.0)
    }
}

/// The middle of a few rounds; of an even count the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn percentiles_are_exact_and_medians_in_the_middle() {
        let mut samples = Samples::default();
        for micros in (1..=1_000).rev() {
            samples.push(Duration::from_micros(micros));
        }
        assert_eq!(samples.percentile_ms(50.0), 0.5);
        assert_eq!(samples.percentile_ms(99.0), 0.99);
        assert_eq!(samples.percentile_ms(100.0), 1.0);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 2.5);
        assert!(median(vec![]).is_nan() && Samples::default().percentile_ms(50.0).is_nan());
    }
}
