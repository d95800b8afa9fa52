//! The tables. `docs/decisions/0001-storage-layout.md` says why they look like this.

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::SqlResult;

/// The schema this program writes.
pub(crate) const VERSION: i64 = 3;
/// In the file's header, so that a foreign database is told apart ("AUT8").
pub(crate) const APPLICATION_ID: i64 = 0x4155_5438;

/// Released migrations are never edited: their checksums are in every file.
pub(crate) const MIGRATIONS: [(i64, &str, &str); 3] = [
    (
        1,
        "first",
        include_str!("../../migrations/sqlite/0001_first.sql"),
    ),
    (
        2,
        "contacts",
        include_str!("../../migrations/sqlite/0002_contacts.sql"),
    ),
    (
        3,
        "contact_imports",
        include_str!("../../migrations/sqlite/0003_contact_imports.sql"),
    ),
];

const SEGMENT: &str = include_str!("../../migrations/sqlite/segment.sql");

pub(crate) fn checksum(sql: &str) -> String {
    Sha256::digest(sql.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Creates the tables of one segment.
pub(crate) fn create_segment(connection: &Connection, segment: i64) -> SqlResult<()> {
    connection.execute_batch(&SEGMENT.replace("{segment}", &segment.to_string()))
}

/// Drops the tables of one segment, whole: no row is visited.
pub(crate) fn drop_segment(connection: &Connection, segment: i64) -> SqlResult<()> {
    for table in ["runs", "outcomes", "attempts", "postings", "logs"] {
        connection.execute_batch(&format!("DROP TABLE {table}_{segment}"))?;
    }
    Ok(())
}
