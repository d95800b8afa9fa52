//! The measuring blocks: what server, load generator and Python package count and probe with.
//!
//! In reading order: a [`histogram`] keeps durations within 1.1 % in bounded memory; a [`recorder`]
//! gives each route, statement or task type one of them, with exact counts beyond a threshold and
//! sliding windows; [`slo`] judges such counts against an objective; [`probes`] read the machine
//! and this process once a second. Nothing here reads the time: `now` is always an argument.

pub mod cache;
pub mod histogram;
pub mod probes;
pub mod rate_limit;
pub mod recorder;
pub mod slo;
#[cfg(test)]
mod test_random;
