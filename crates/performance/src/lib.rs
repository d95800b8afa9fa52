//! The building blocks of a server that knows how it does: what server, load generator and Python
//! package measure, limit and cache with.
//!
//! In reading order: a [`histogram`] keeps durations within 1.1 % in bounded memory; a [`recorder`]
//! gives each route, statement or task type one of them, with exact counts beyond a threshold and
//! sliding windows; [`slo`] judges such counts against an objective; [`probes`] read the machine
//! and this process once a second; [`rate_limit`] decides who may ask now; a [`cache`] keeps what is
//! dear to come by. Nothing here reads the time: `now` is always an argument.

pub mod cache;
pub mod histogram;
pub mod probes;
pub mod rate_limit;
pub mod recorder;
pub mod slo;
#[cfg(test)]
mod test_random;
