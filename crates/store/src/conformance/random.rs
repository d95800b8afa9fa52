//! Choices by chance that can be repeated: every one follows from a seed that a failure names.

use autom8_model::random;

#[derive(Debug)]
pub(crate) struct Random(random::Random);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Random(random::Random::seeded(seed))
    }

    /// A seed that no run before has had.
    pub(crate) fn fresh_seed() -> u64 {
        random::Random::from_os().next_u64()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        (self.0.next_u64() >> 56) as u8
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.0.next_u64() % end as u64) as usize
    }

    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        (!from.is_empty()).then(|| &from[self.below(from.len())])
    }
}
