//! Opening a data directory: the lock, the checks that refuse a dangerous start, the migrations.

use std::fs::{File, OpenOptions as FileOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use autom8_model::Timestamp;
use rusqlite::{Connection, OpenFlags};

use super::backup::MANIFEST_FILE;
use super::schema;
use crate::error::OpenError;

/// WAL mode before this version can corrupt a file when a write and a checkpoint on two
/// connections meet (the WAL-reset race).
const LIBRARY_VERSION_MIN: i32 = 3_051_003;
/// A WAL, a checkpoint and a page of logs must fit, or the first minute fails.
const FREE_BYTES_MIN: u64 = 32 * 1024 * 1024;

pub(crate) const DATABASE_FILE: &str = "autom8.db";
const LOCK_FILE: &str = "autom8.lock";

/// Tasks hold tokens, and runs what programs printed: no other user of the machine may read them.
const DIRECTORY_MODE: u32 = 0o700;
pub(crate) const FILE_MODE: u32 = 0o600;

/// Creates a directory that only its owner can enter. One that is there keeps its mode.
pub(crate) fn create_directory(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
}

/// Holds the data directory for this process; the kernel lets go of it when the process ends,
/// however it ends.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

/// Locks the data directory, creating it if need be.
pub(crate) fn lock_directory(dir: &Path) -> Result<DirectoryLock, OpenError> {
    let refused = |error: std::io::Error| refusal(dir, &error);
    create_directory(dir).map_err(refused)?;
    let path = dir.join(LOCK_FILE);
    let mut file = FileOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .mode(FILE_MODE)
        .truncate(false)
        .open(&path)
        .map_err(refused)?;
    let operation = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    if rustix::fs::flock(&file, operation).is_err() {
        let mut owner = String::new();
        let _ = file.read_to_string(&mut owner);
        let owner = owner.trim();
        return Err(OpenError::Locked {
            path: dir.to_owned(),
            owner: if owner.is_empty() {
                "another process".to_owned()
            } else {
                owner.to_owned()
            },
        });
    }
    // Who holds it, for the message above. Losing this text in a crash costs nothing.
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "autom8 with process id {}", std::process::id()));
    written.map_err(refused)?;
    Ok(DirectoryLock { _file: file })
}

/// Refuses to start where the first writes would fail anyway.
pub(crate) fn check_free_space(dir: &Path) -> Result<(), OpenError> {
    let Ok(stats) = rustix::fs::statvfs(dir) else {
        return Ok(());
    };
    let free_bytes = stats.f_bavail * stats.f_frsize;
    if free_bytes < FREE_BYTES_MIN {
        return Err(OpenError::DiskFull {
            path: dir.to_owned(),
            free_bytes,
            needed_bytes: FREE_BYTES_MIN,
        });
    }
    Ok(())
}

/// Refuses a SQLite library that can corrupt the file. The version is an argument so that the
/// refusal itself can be tested.
pub fn check_library(version_number: i32) -> Result<(), OpenError> {
    if version_number < LIBRARY_VERSION_MIN {
        let (major, minor, patch) = (
            version_number / 1_000_000,
            version_number / 1_000 % 1_000,
            version_number % 1_000,
        );
        return Err(OpenError::OldLibrary {
            found: format!("{major}.{minor}.{patch}"),
        });
    }
    Ok(())
}

/// Refuses a backup, before even a lock is left in it: it could not be verified any more.
pub(crate) fn refuse_backup(dir: &Path) -> Result<(), OpenError> {
    match dir.join(MANIFEST_FILE).exists() {
        true => Err(OpenError::IsBackup {
            path: dir.to_owned(),
        }),
        false => Ok(()),
    }
}

/// Looks at a file before anything of it is changed: even switching the journal would mark a
/// database that belongs to somebody else.
pub(crate) fn refuse_foreign(path: &Path) -> Result<(), OpenError> {
    if std::fs::metadata(path).map_or(0, |file| file.len()) == 0 {
        return Ok(());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let refused = |error: rusqlite::Error| sql_refusal(path, &error);
    let connection = Connection::open_with_flags(path, flags).map_err(refused)?;
    let application: i64 = connection
        .query_row("PRAGMA application_id", [], |row| row.get(0))
        .map_err(refused)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(refused)?;
    if application != schema::APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(OpenError::Foreign {
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// A connection that may write. Only the writer thread, checkpoints and backups have one.
pub(crate) fn open_writable(path: &Path, full: bool) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // SQLite gives its log the mode of the database, so the mode is set before the first open.
    FileOptions::new()
        .append(true)
        .create(true)
        .mode(FILE_MODE)
        .open(path)
        .map_err(|e| refusal(path, &e))?;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| sql_refusal(path, &e))?;
    // auto_vacuum counts only before the first table, so it comes first.
    let pragmas = format!(
        "PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {};
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA busy_timeout = 5000;
         PRAGMA foreign_keys = ON;
         PRAGMA cache_size = -16384;
         PRAGMA temp_store = MEMORY;",
        if full { "FULL" } else { "NORMAL" }
    );
    connection
        .execute_batch(&pragmas)
        .map_err(|e| sql_refusal(path, &e))?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// A connection that can only read. Its page cache is small: there is one on each thread that
/// answers requests, and the kernel's page cache is behind them all.
pub(crate) fn open_readable(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.execute_batch(
        "PRAGMA query_only = ON; PRAGMA busy_timeout = 5000; PRAGMA cache_size = -512;
         PRAGMA mmap_size = 268435456;",
    )?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Brings the file to this program's schema, or says why it must not be touched.
pub(crate) fn migrate(
    connection: &mut Connection,
    path: &Path,
    now: Timestamp,
) -> Result<(), OpenError> {
    let refused = |error: rusqlite::Error| sql_refusal(path, &error);
    let application: i64 = connection
        .query_row("PRAGMA application_id", [], |row| row.get(0))
        .map_err(refused)?;
    let version: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(refused)?;
    let tables: i64 = connection
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table'",
            [],
            |row| row.get(0),
        )
        .map_err(refused)?;
    if application != schema::APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(OpenError::Foreign {
            path: path.to_owned(),
        });
    }
    // The header's number or a row of a migration that is not known: either means a newer program.
    let applied: i64 = if tables == 0 {
        0
    } else {
        connection
            .query_row(
                "SELECT coalesce(max(version), 0) FROM migrations",
                [],
                |row| row.get(0),
            )
            .map_err(refused)?
    };
    if version.max(applied) > schema::VERSION {
        return Err(OpenError::NewerSchema {
            path: path.to_owned(),
            found: version.max(applied),
            known: schema::VERSION,
        });
    }
    for (number, _, sql) in schema::MIGRATIONS
        .iter()
        .filter(|(number, ..)| *number <= version)
    {
        let stored: String = connection
            .query_row(
                "SELECT checksum FROM migrations WHERE version = ?1",
                [number],
                |row| row.get(0),
            )
            .map_err(refused)?;
        if stored != schema::checksum(sql) {
            return Err(OpenError::ChangedMigration {
                path: path.to_owned(),
                version: *number,
            });
        }
    }
    for (number, name, sql) in schema::MIGRATIONS
        .iter()
        .filter(|(number, ..)| *number > version)
    {
        let transaction = connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(refused)?;
        transaction.execute_batch(sql).map_err(refused)?;
        transaction
            .execute(
                "INSERT INTO migrations (version, name, checksum, applied_at)
                 VALUES (?1, ?2, ?3, ?4)",
                (number, name, schema::checksum(sql), now.as_micros()),
            )
            .map_err(refused)?;
        transaction
            .execute_batch(&format!(
                "PRAGMA application_id = {}; PRAGMA user_version = {number};",
                schema::APPLICATION_ID
            ))
            .map_err(refused)?;
        transaction.commit().map_err(refused)?;
    }
    Ok(())
}

fn refusal(path: &Path, error: &std::io::Error) -> OpenError {
    use std::io::ErrorKind;
    let path = path.to_owned();
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => OpenError::ReadOnly {
            path,
            reason: error.to_string(),
        },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => OpenError::DiskFull {
            path,
            free_bytes: 0,
            needed_bytes: FREE_BYTES_MIN,
        },
        _ => OpenError::Other {
            path,
            reason: error.to_string(),
        },
    }
}

pub(crate) fn sql_refusal(path: &Path, error: &rusqlite::Error) -> OpenError {
    use rusqlite::ErrorCode;
    let path = PathBuf::from(path);
    let reason = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            OpenError::ReadOnly { path, reason }
        }
        Some(ErrorCode::DiskFull) => OpenError::DiskFull {
            path,
            free_bytes: 0,
            needed_bytes: FREE_BYTES_MIN,
        },
        Some(ErrorCode::NotADatabase) => OpenError::Foreign { path },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path, what: reason },
        _ => OpenError::Other { path, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_library_is_refused_and_the_bundled_one_is_not() {
        let refusal = check_library(3_051_002).unwrap_err().to_string();
        assert!(
            refusal.contains("3.51.2") && refusal.contains("Fix"),
            "{refusal}"
        );
        assert!(check_library(rusqlite::version_number()).is_ok());
    }

    #[test]
    fn a_directory_has_one_owner_and_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock_directory(dir.path()).unwrap();
        let refusal = lock_directory(dir.path()).unwrap_err().to_string();
        assert!(
            refusal.contains(&std::process::id().to_string()),
            "{refusal}"
        );
        drop(held);
        lock_directory(dir.path()).unwrap();
    }

    #[test]
    fn nobody_else_can_read_what_is_created() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let _held = lock_directory(&data).unwrap();
        let path = data.join(DATABASE_FILE);
        let mut connection = open_writable(&path, true).unwrap();
        migrate(&mut connection, &path, Timestamp::from_seconds(1)).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&data), DIRECTORY_MODE);
        for entry in std::fs::read_dir(&data).unwrap().flatten() {
            assert_eq!(mode(&entry.path()), FILE_MODE, "{}", entry.path().display());
        }
    }

    #[test]
    fn newer_foreign_and_edited_files_are_refused_each_with_its_fix() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(DATABASE_FILE);
        let now = Timestamp::from_seconds(1);
        let mut connection = open_writable(&path, true).unwrap();
        migrate(&mut connection, &path, now).unwrap();
        migrate(&mut connection, &path, now).unwrap();

        connection
            .execute_batch("PRAGMA user_version = 99")
            .unwrap();
        let error = migrate(&mut connection, &path, now).unwrap_err();
        assert!(
            matches!(error, OpenError::NewerSchema { found: 99, .. }),
            "{error}"
        );

        connection.execute_batch("PRAGMA user_version = 1").unwrap();
        connection
            .execute_batch("UPDATE migrations SET checksum = 'edited'")
            .unwrap();
        let error = migrate(&mut connection, &path, now).unwrap_err();
        assert!(
            matches!(error, OpenError::ChangedMigration { version: 1, .. }),
            "{error}"
        );

        connection
            .execute_batch("PRAGMA application_id = 7")
            .unwrap();
        let error = migrate(&mut connection, &path, now).unwrap_err();
        assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    }
}
