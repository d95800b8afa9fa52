//! What a task, schedule, fire, run and lease *are*: pure, no async, no I/O.

pub mod clock;
pub mod cron;
pub mod schedule;
