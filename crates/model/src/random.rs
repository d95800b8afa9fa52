//! Random numbers: a small generator that is a pure function of its seed, and the functions that
//! take entropy from the operating system.
//!
//! The generator is good for jitter, samples and names of boots. Never for secrets: three outputs
//! give the rest away. Those take [`secret_bits`].

use std::hash::{BuildHasher as _, Hasher as _};

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): one
/// addition and three mixing steps a number, period 2^64, and any seed is as good as another.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

/// 2^64 divided by the golden ratio, made odd: the step that spreads consecutive states furthest.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The same seed gives the same numbers, on every machine.
    pub fn seeded(seed: u64) -> Self {
        Random { state: seed }
    }

    /// Seeded by the operating system: two processes, or two calls, do not share their numbers.
    ///
    /// The keys of the standard library's hash maps come from the system's entropy; hashing
    /// nothing under them yields 64 bits without a dependency and without reading a device.
    #[allow(
        clippy::disallowed_methods,
        reason = "this module is the one reader of entropy"
    )]
    pub fn from_os() -> Self {
        Random::seeded(std::hash::RandomState::new().build_hasher().finish())
    }

    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Evenly in `0.0..1.0`.
    pub fn next_fraction(&mut self) -> f64 {
        // 53 bits are all that a double holds exactly.
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Bits that nobody can guess, each of them from the system.
///
/// # Errors
/// The system has no entropy source that this process may use.
pub fn secret_bits() -> Result<[u8; 32], getrandom::Error> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)?;
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_all_that_follows() {
        // The reference implementation's first numbers for seed 1234567.
        let mut random = Random::seeded(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.next_u64()).collect();
        assert_eq!(
            first,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn fractions_lie_below_one_and_are_spread() {
        let mut random = Random::seeded(7);
        let mut tenths = [0_u32; 10];
        for _ in 0..10_000 {
            let fraction = random.next_fraction();
            assert!((0.0..1.0).contains(&fraction));
            tenths[(fraction * 10.0) as usize] += 1;
        }
        assert!(
            tenths.iter().all(|count| (800..1_200).contains(count)),
            "{tenths:?}"
        );
    }

    #[test]
    fn the_system_never_gives_the_same_seed_twice() {
        assert_ne!(Random::from_os().next_u64(), Random::from_os().next_u64());
    }
}
