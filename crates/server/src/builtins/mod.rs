//! What the server itself can do as a task, one built-in a file.
//!
//! Each works in a folder of its own below the data directory, under a name that begins with a dot
//! until it is whole ([`dated`]), so that what a crash leaves behind is never taken for a result.

pub mod backup;
pub mod cleanup;
pub mod contact_folders;
pub mod contacts_export;
pub mod contacts_import;
pub(crate) mod dated;
pub mod report;
mod report_page;

use std::path::PathBuf;
use std::sync::Arc;

use autom8_api::task_log::RunWindow;
use autom8_api::telemetry::SystemFigures;
use autom8_config::Config;
use autom8_engine::executors::Builtin;
use autom8_engine::{Ended, RunContext};
use autom8_model::Clock;
use autom8_store::{Store, StoreError};
use serde::Serialize;

use crate::pruner::Pruner;

pub use backup::Backup;
pub use cleanup::Cleanup;
pub use contacts_export::ContactsExport;
pub use contacts_import::ContactsImport;
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
    let folders = contact_folders::ContactFolders::below(&config.storage.directory);
    let pruner = Pruner::new(store.clone(), clock.clone(), &config);
    vec![
        Arc::new(Backup::new(
            store.clone(),
            clock.clone(),
            folder(BACKUPS_FOLDER),
        )),
        Arc::new(Cleanup::new(pruner)),
        Arc::new(ContactsImport::new(
            store.clone(),
            clock.clone(),
            folders.clone(),
        )),
        Arc::new(ContactsExport::new(store.clone(), clock.clone(), folders)),
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

#[cfg(test)]
mod tests;
