//! Verifying a backup and putting it back.

use std::path::Path;

use autom8_api::backup::BackupContents;
use autom8_store::sqlite::backup::{self, Manifest};

pub use autom8_store::sqlite::backup::BackupError;

/// Checks every file of a backup, and the database in it.
///
/// # Errors
/// Why it is not a good backup, with the fix.
pub fn verify(directory: &Path) -> Result<BackupContents, BackupError> {
    backup::verify(directory).map(|manifest| contents(directory, &manifest))
}

/// Verifies a backup and puts it into the data directory `data`, which must hold no database yet
/// and be used by no server.
///
/// # Errors
/// What [`verify`] finds, and whatever stands in the way: nothing is ever overwritten.
pub fn restore(directory: &Path, data: &Path) -> Result<BackupContents, BackupError> {
    backup::restore(directory, data).map(|manifest| contents(data, &manifest))
}

fn contents(path: &Path, manifest: &Manifest) -> BackupContents {
    BackupContents {
        path: path.display().to_string(),
        schema_version: manifest.schema_version,
        files: manifest.files.len(),
        bytes: manifest.bytes,
        tasks: manifest.tasks,
        runs: manifest.runs,
    }
}
