//! What can go wrong, one variant for each different action of the caller.

use std::path::PathBuf;

#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Answer 404.
    #[error("{what} does not exist")]
    NotFound { what: String },
    /// Answer 409.
    #[error("{why}")]
    Conflict { why: String },
    /// Answer 409 and name the field: another contact has it.
    #[error("contact {existing} has this {field} already")]
    Duplicate {
        field: &'static str,
        existing: autom8_model::ContactId,
    },
    /// Answer 400: only the store could tell.
    #[error("{0}")]
    Invalid(autom8_model::Invalid),
    /// Refuse with 503 and `Retry-After`: accepting more would slow everything down.
    #[error("too much is waiting: {what}; try again in a moment")]
    Overloaded { what: &'static str },
    /// Answer 507. Nothing was written; it heals by itself once there is room.
    #[error("the disk is full: free some space on the file system of {path}")]
    DiskFull { path: PathBuf },
    /// The store is closing or its writer has stopped. Answer 503.
    #[error("the store is not available: {why}")]
    Unavailable { why: String },
    /// A row does not say what it should. Answer 500, and look at the named place.
    #[error("damaged data in {table}, row {row}: {what}")]
    Corrupt {
        table: String,
        row: i64,
        what: String,
    },
    /// The database refused a statement in a way that no caller can mend.
    #[error("{statement}: {message}")]
    Backend {
        statement: &'static str,
        message: String,
    },
}

/// Why a store cannot be opened, with the fix in the message.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the data directory {path} is in use by {owner}.\n  Fix: stop it first, or name another directory with --data"
    )]
    Locked { path: PathBuf, owner: String },
    #[error(
        "the SQLite library is {found}, which can corrupt a database in WAL mode.\n  Fix: build with SQLite 3.51.3 or newer (the bundled one is)"
    )]
    OldLibrary { found: String },
    #[error(
        "{path} was written by a newer autom8 (schema {found}; this one knows {known}).\n  Fix: start the newer autom8, or restore a backup from before the upgrade: autom8 backup restore"
    )]
    NewerSchema {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error(
        "migration {version} of {path} is not the one this autom8 carries (checksum differs).\n  Fix: the file was changed by hand or by another build; restore a backup: autom8 backup restore"
    )]
    ChangedMigration { path: PathBuf, version: i64 },
    #[error(
        "{path} is a backup: it has a manifest.json, and what opens it would change it.\n  Fix: put it back into a new directory: autom8 backup restore {path} --data NEW"
    )]
    IsBackup { path: PathBuf },
    #[error("{path} is not an autom8 database.\n  Fix: choose another directory with --data")]
    Foreign { path: PathBuf },
    #[error(
        "the disk is full: {free_bytes} bytes are free on the file system of {path}, and {needed_bytes} are needed to start safely.\n  Fix: free some space, or choose another directory with --data"
    )]
    DiskFull {
        path: PathBuf,
        free_bytes: u64,
        needed_bytes: u64,
    },
    #[error(
        "cannot write in {path}: {reason}.\n  Fix: give this user write access (chown or chmod), or choose another directory with --data"
    )]
    ReadOnly { path: PathBuf, reason: String },
    #[error("{path} is damaged: {what}.\n  Fix: restore a backup: autom8 backup restore")]
    Damaged { path: PathBuf, what: String },
    #[error(
        "cannot open {path}: {reason}.\n  Fix: choose another directory with --data, on an ordinary file system; it is made if it does not exist"
    )]
    Other { path: PathBuf, reason: String },
}
