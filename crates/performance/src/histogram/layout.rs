//! Which bucket a duration belongs to, and what a bucket stands for.
//!
//! The layout is the base-2 exponential one of scale 5: bucket `i` holds the durations in
//! `(2^(i/32), 2^((i+1)/32)]` **seconds**. That is bucket `i` of an OTLP `ExponentialHistogram` of
//! scale 5 and bucket `i + 1` of a Prometheus native histogram of schema 5, both in seconds, so an
//! export copies counts and loses nothing. Recording takes whole microseconds; the boundaries stay
//! in seconds because a microsecond boundary would line up with neither format.
//!
//! A bucket is 2.19 % wide, hence its geometric middle is within 1.09 % of every value in it.

/// Buckets per doubling are `2^SCALE`.
pub const SCALE: i32 = 5;

/// Buckets per doubling of the duration.
const BUCKETS_PER_DOUBLING: usize = 1 << SCALE;

/// Lowest duration told apart is just above `2^-20` s = 0.954 µs, so 1 µs has a bucket of its own.
const EXPONENT_MIN: i32 = -20;

/// Highest duration told apart is `2^6` s = 64 s: above the minute that a request may take.
const EXPONENT_MAX: i32 = 6;

/// Number of buckets kept: 26 doublings of 32.
pub const BUCKETS: usize = (EXPONENT_MAX - EXPONENT_MIN) as usize * BUCKETS_PER_DOUBLING;

/// OTLP index of the first bucket kept.
pub const INDEX_MIN: i32 = EXPONENT_MIN * BUCKETS_PER_DOUBLING as i32;

/// Longest duration that has a bucket; anything longer counts in the last one and as overflow.
pub const MICROS_MAX: u64 = (1 << EXPONENT_MAX) * 1_000_000;

const _: () = assert!(BUCKETS == 832 && MICROS_MAX == 64_000_000);

/// Bits of an `f64` below its exponent.
const MANTISSA_BITS: u32 = 52;
const MANTISSA_MASK: u64 = (1 << MANTISSA_BITS) - 1;
const EXPONENT_BIAS: i32 = 1023;

/// The mantissa is cut into cells of 1/64 by its first six bits. A bucket is at least
/// `2^(1/32) - 1` = 0.0219 wide there, more than a cell's 0.0156, so a cell meets at most one
/// boundary and one comparison decides.
const CELL_BITS: u32 = 6;
const CELLS: usize = 1 << CELL_BITS;

/// Mantissa bits of `2^(j/32)` rounded down, for j = 0..=32 (the last one is a full doubling).
static BOUNDARIES: [u64; BUCKETS_PER_DOUBLING + 1] = boundaries();

/// For each cell, the bucket in which its first value lies.
static CELL_STARTS: [u8; CELLS] = cell_starts(&boundaries());

/// Computes `2^(j/32)` in fixed point by five integer square roots and repeated multiplication,
/// so that the table needs neither literals nor floating-point functions at run time.
const fn boundaries() -> [u64; BUCKETS_PER_DOUBLING + 1] {
    const FRACTION_BITS: u32 = 62;
    let one: u128 = 1 << FRACTION_BITS;
    let mut ratio = 2 * one;
    let mut halvings = 0;
    while halvings < SCALE {
        ratio = (ratio << FRACTION_BITS).isqrt();
        halvings += 1;
    }

    let mut table = [0; BUCKETS_PER_DOUBLING + 1];
    let mut power = one;
    let mut j = 0;
    while j < BUCKETS_PER_DOUBLING {
        table[j] = ((power - one) >> (FRACTION_BITS - MANTISSA_BITS)) as u64;
        power = (power * ratio) >> FRACTION_BITS;
        j += 1;
    }
    table[BUCKETS_PER_DOUBLING] = 1 << MANTISSA_BITS;
    table
}

const fn cell_starts(boundaries: &[u64; BUCKETS_PER_DOUBLING + 1]) -> [u8; CELLS] {
    let mut starts = [0; CELLS];
    let mut bucket = 0;
    let mut cell = 0;
    while cell < CELLS {
        let first = (cell as u64) << (MANTISSA_BITS - CELL_BITS);
        while boundaries[bucket + 1] <= first {
            bucket += 1;
        }
        starts[cell] = bucket as u8;
        cell += 1;
    }
    starts
}

/// The slot, `0..BUCKETS`, in which a duration of `micros` microseconds is counted.
///
/// Zero goes to slot 0, which no other whole microsecond reaches; more than [`MICROS_MAX`] goes to
/// the last slot.
#[inline]
pub fn slot_of_micros(micros: u64) -> usize {
    if micros == 0 {
        return 0;
    }
    // The division is correctly rounded, so 15,625 µs is exactly 2^-6 s and falls on its boundary.
    // Upper bounds are inclusive: one unit in the last place less turns "above lower, up to upper"
    // into the "from lower, below upper" that comparing bits answers.
    let bits = (micros as f64 / 1e6).to_bits() - 1;
    let exponent = (bits >> MANTISSA_BITS) as i32 - EXPONENT_BIAS;
    let mantissa = bits & MANTISSA_MASK;
    let start = CELL_STARTS[(mantissa >> (MANTISSA_BITS - CELL_BITS)) as usize] as usize;
    let within = start + usize::from(mantissa >= BOUNDARIES[start + 1]);
    let doubling = (exponent - EXPONENT_MIN) as usize;
    (doubling * BUCKETS_PER_DOUBLING + within).min(BUCKETS - 1)
}

/// The OTLP index of a slot.
pub fn index_of_slot(slot: usize) -> i32 {
    INDEX_MIN + slot as i32
}

/// Exclusive lower bound of bucket `index` in seconds; also the inclusive upper bound of the
/// bucket before.
pub fn lower_bound_seconds(index: i32) -> f64 {
    (f64::from(index) / BUCKETS_PER_DOUBLING as f64).exp2()
}

/// The value that stands for everything in a slot, in microseconds: its geometric middle, drawn
/// into the whole microseconds the slot can hold. Below about 46 µs a slot holds one whole
/// microsecond at most, so small durations are told exactly.
pub fn representative_micros(slot: usize) -> f64 {
    if slot == 0 {
        return 0.0;
    }
    let index = index_of_slot(slot);
    let lower = lower_bound_seconds(index) * 1e6;
    let upper = lower_bound_seconds(index + 1) * 1e6;
    let first_whole = lower.floor() + 1.0;
    let last_whole = upper.floor();
    let middle = (lower * upper).sqrt();
    if first_whole <= last_whole {
        middle.clamp(first_whole, last_whole)
    } else {
        middle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_equal_powers_of_two_to_the_32nd_part() {
        for (j, &mantissa) in BOUNDARIES[..BUCKETS_PER_DOUBLING].iter().enumerate() {
            let expected = (j as f64 / 32.0).exp2().to_bits() & MANTISSA_MASK;
            assert!(
                mantissa.abs_diff(expected) <= 1,
                "boundary {j}: {mantissa} {expected}"
            );
        }
    }

    #[test]
    fn every_duration_lies_within_the_bounds_of_its_slot() {
        let exhaustive = 1..200_000;
        let sparse = (0..20_000).map(|i| 200_000 + i * 3_187);
        for micros in exhaustive.chain(sparse) {
            let index = index_of_slot(slot_of_micros(micros));
            let seconds = micros as f64 / 1e6;
            let lower = lower_bound_seconds(index);
            let upper = lower_bound_seconds(index + 1);
            assert!(
                lower < seconds && seconds <= upper,
                "{micros} µs not in ({lower}, {upper}]"
            );
        }
    }

    #[test]
    fn powers_of_two_seconds_belong_to_the_bucket_that_ends_with_them() {
        for (micros, index) in [
            (15_625, -193),
            (250_000, -65),
            (1_000_000, -1),
            (2_000_000, 31),
        ] {
            assert_eq!(index_of_slot(slot_of_micros(micros)), index);
            assert_eq!(index_of_slot(slot_of_micros(micros + 1)), index + 1);
        }
    }

    #[test]
    fn the_ends_are_clamped() {
        assert_eq!(slot_of_micros(0), 0);
        assert!(slot_of_micros(1) > 0);
        assert_eq!(slot_of_micros(MICROS_MAX), BUCKETS - 1);
        assert_eq!(slot_of_micros(MICROS_MAX + 1), BUCKETS - 1);
        assert_eq!(slot_of_micros(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_representative_is_within_one_and_a_tenth_percent() {
        for micros in (1..300_000).chain((0..5_000).map(|i| 300_000 + i * 12_739)) {
            let told = representative_micros(slot_of_micros(micros));
            let error = (told - micros as f64).abs() / micros as f64;
            assert!(error <= 0.011, "{micros} µs told as {told}");
        }
        for micros in 0..46 {
            assert_eq!(representative_micros(slot_of_micros(micros)), micros as f64);
        }
    }
}
