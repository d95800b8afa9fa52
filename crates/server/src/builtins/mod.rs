//! What the server itself can do as a task, one built-in a file.
//!
//! Each works in a folder of its own below the data directory, under a name that begins with a dot
//! until it is whole ([`dated`]), so that what a crash leaves behind is never taken for a result.

pub mod backup;
pub mod cleanup;
mod dated;
pub mod report;
mod report_page;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use autom8_api::task_log::RunWindow;
use autom8_api::telemetry::SystemFigures;
use autom8_config::Config;
use autom8_engine::executors::Builtin;
use autom8_engine::{Ended, RunContext};
use autom8_model::Clock;
use autom8_store::{RetentionPolicy, Store, StoreError};
use serde::Serialize;

pub use backup::Backup;
pub use cleanup::Cleanup;
pub use report::Report;

/// Below the data directory.
pub const BACKUPS_FOLDER: &str = "backups";
pub const REPORTS_FOLDER: &str = "reports";

/// What the server has measured until now.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    pub system: Option<SystemFigures>,
    /// Of the latest minutes, and of the last hour.
    pub window: Option<RunWindow>,
    pub hour: Option<RunWindow>,
}

/// What built-ins work with.
pub struct BuiltinParts {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub config: Arc<Config>,
    /// Asked once a report.
    pub measure: Box<dyn Fn() -> Measured + Send + Sync>,
}

/// All built-ins but `noop`, which the engine has.
pub fn all(parts: BuiltinParts) -> Vec<Arc<dyn Builtin>> {
    let BuiltinParts {
        store,
        clock,
        config,
        measure,
    } = parts;
    let folder = |name: &str| -> PathBuf { config.storage.directory.join(name) };
    let retention = &config.retention;
    let policy = RetentionPolicy {
        age_max: retention.age,
        runs_max: retention.runs,
        bytes_max: retention.bytes.0,
    };
    vec![
        Arc::new(Backup::new(
            store.clone(),
            clock.clone(),
            folder(BACKUPS_FOLDER),
        )),
        Arc::new(Cleanup::new(store.clone(), policy, folder(REPORTS_FOLDER))),
        Arc::new(Report::new(
            store,
            clock,
            config.clone(),
            folder(REPORTS_FOLDER),
            measure,
        )),
    ]
}

/// Why a built-in did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuiltinError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{doing} {path}: {source}")]
    File {
        doing: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the report could not be written as {what}: {reason}")]
    Form { what: &'static str, reason: String },
    /// A panic of the thread that worked on the files.
    #[error("the work on the files was broken off: {0}")]
    BrokenOff(String),
}

/// Runs the work of a built-in until it ends or is to stop.
pub(crate) async fn lead<T: Serialize>(
    context: &RunContext,
    work: impl Future<Output = Result<T, BuiltinError>>,
) -> Ended {
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => Ended::Cancelled,
        done = work => match done {
            Ok(result) => Ended::Completed { result: serde_json::to_vec(&result).ok() },
            Err(error) => Ended::failed(error.to_string()),
        },
    }
}

/// Does work on files on a thread that may wait for the disk.
pub(crate) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BuiltinError> + Send + 'static,
) -> Result<T, BuiltinError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(BuiltinError::BrokenOff(error.to_string())))
}

/// `1.5 MiB`, for people.
pub(crate) fn shown_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1_024.0;
    let mut unit = 0;
    // What would be shown as 1024.0 belongs to the next unit.
    while value >= 1_023.95 && unit < UNITS.len() - 1 {
        value /= 1_024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `12.3 ms`, `1.5 s`, `2 min 5 s`, for people.
pub(crate) fn shown_millis(millis: f64) -> String {
    let duration = Duration::from_secs_f64((millis / 1_000.0).clamp(0.0, 1e12));
    match duration.as_secs() {
        0 => format!("{millis:.1} ms"),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        seconds @ 60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_short_and_have_their_unit() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (1_610_612_736, "1.5 GiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(shown_bytes(bytes), shown);
        }
        for (millis, shown) in [
            (0.0, "0.0 ms"),
            (12.34, "12.3 ms"),
            (1_500.0, "1.5 s"),
            (125_000.0, "2 min 5 s"),
            (7_260_000.0, "2 h 1 min"),
        ] {
            assert_eq!(shown_millis(millis), shown);
        }
    }
}
