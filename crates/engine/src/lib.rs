//! Schedule → queue → lease → run → log: the life of a run.
//!
//! The [`scheduler`] derives due fires and has the store enter them into the fire ledger, which
//! queues their runs. The [`dispatcher`] claims waiting runs into free slots; the claim is durable
//! before an [`executor`] starts. Each run is led by [`attempt`]: timeout, cancel, output captured
//! by [`run_log`], panics caught. What comes of it is decided by `autom8_model::transition` and
//! recorded in batches by the [`finisher`]. [`timer`] is the only place that sleeps.

pub mod executor;
pub mod executors;
pub mod run_log;
pub mod timer;

pub use executor::{Ended, Executor, RunContext};
pub use run_log::RunLog;
