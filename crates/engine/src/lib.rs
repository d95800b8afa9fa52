//! Schedule → queue → lease → run → log: the life of a run.
//!
//! The [`engine`] is made of five duties. The [`scheduler`] derives due fires and has the store
//! enter them into the fire ledger, which queues their runs. The [`dispatcher`] claims waiting
//! runs into the free places of a lane, as [`occupancy`] counts them; the claim is durable before
//! an [`executor`] starts. Each run is led by [`attempt`]: timeout, stop, panics caught, output
//! captured by [`run_log`], [`progress`] told, followed through [`live`]. What comes of it is decided by
//! `autom8_model::transition` and recorded in batches by the [`finisher`]. The [`reaper`] takes
//! back what dead workers held. An [`observer`] is told; [`timer`] is the only place that sleeps.

mod attempt;
mod dispatcher;
pub mod engine;
pub mod executor;
pub mod executors;
mod finisher;
mod live;
pub mod observer;
mod occupancy;
pub mod progress;
mod reaper;
pub mod run_log;
mod scheduler;
pub mod timer;

pub use engine::{Engine, EngineConfig, EngineParts, EngineStatus};
pub use executor::{Ended, Executor, RunContext};
pub use observer::{EngineObserver, RunSettled, RunStarted};
pub use progress::{Progress, ProgressReading};
pub use run_log::RunLog;

#[cfg(test)]
mod tests;
