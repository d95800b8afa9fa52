//! Seeded numbers, so that both sides of a comparison see the same ones, and runs can be repeated.

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn seeded(seed: u64) -> Self {
        Random(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in `0..bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// `length` keys of `0..keys`, the key of rank r with a probability in proportion to `1 / r^s`.
pub fn zipf(random: &mut Random, keys: usize, s: f64, length: usize) -> Vec<u64> {
    let mut sums = Vec::with_capacity(keys);
    let mut sum = 0.0;
    for rank in 1..=keys {
        sum += (rank as f64).powf(-s);
        sums.push(sum);
    }
    let draw = |_| {
        let at = random.unit() * sum;
        sums.partition_point(|until| *until <= at) as u64
    };
    (0..length).map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_zipf_law_comes_as_often_as_it_should() {
        let trace = zipf(&mut Random::seeded(3), 1_000, 1.0, 100_000);
        let of = |key: u64| trace.iter().filter(|other| **other == key).count() as f64;
        // 1 / (1 + 1/2 + … + 1/1000) is 0.1336.
        assert!((of(0) / 100_000.0 - 0.1336).abs() < 0.01);
        assert!((of(0) / of(1) - 2.0).abs() < 0.2);
        assert!(trace.iter().all(|key| *key < 1_000));
    }
}
