//! What a backup holds, as `autom8 backup verify` and `autom8 backup restore` tell it.

use serde::{Deserialize, Serialize};

/// A backup that was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupContents {
    /// The directory that was verified or, after a restore, the data directory.
    pub path: String,
    pub schema_version: i64,
    pub files: usize,
    pub bytes: u64,
    pub tasks: u64,
    pub runs: u64,
}
