//! Copies of the whole store: made while it runs, verified before they count, put back offline.
//!
//! A backup is a directory: the database as one file, the run logs, and `manifest.json` with a
//! SHA-256 of each file. The manifest is written last, so that a directory without one is no
//! backup.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::open::{self, DATABASE_FILE};
use super::{run_log, schema, segments};
use crate::BackupReport;

pub const MANIFEST_FILE: &str = "manifest.json";

/// What a backup holds, and how to tell that it is whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub schema_version: i64,
    /// SHA-256 in hexadecimal, by path within the backup.
    pub files: BTreeMap<String, String>,
    pub tasks: u64,
    pub runs: u64,
    pub bytes: u64,
}

/// Why a backup was not made, is not good, or was not put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{path} exists already.\n  Fix: choose a directory that does not exist")]
    Exists { path: PathBuf },
    #[error(
        "{path} is not a backup: it has no manifest.json.\n  Fix: name the directory of one backup, e.g. backups/2026-11-24T02-00-00Z"
    )]
    NotABackup { path: PathBuf },
    #[error("the backup {path} is damaged: {what}.\n  Fix: use another backup")]
    Damaged { path: PathBuf, what: String },
    #[error(
        "the backup {path} was made by a newer autom8 (schema {found}; this one knows {known}).\n  Fix: restore it with that version"
    )]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error(
        "the data directory {path} holds a database already, or the log of one, and nothing is overwritten.\n  Fix: restore into another one with --data, or move that one away first"
    )]
    Occupied { path: PathBuf },
    #[error(transparent)]
    Locked(#[from] crate::error::OpenError),
    #[error("cannot read or write {path}: {reason}")]
    Io { path: PathBuf, reason: String },
    #[error("the copy failed: {0}")]
    Sql(#[from] rusqlite::Error),
}

/// Copies the store at `data` into the new directory `into`. Reads one snapshot; writers go on.
pub(crate) fn create(data: &Path, into: &Path) -> Result<BackupReport, BackupError> {
    if into.exists() {
        return Err(BackupError::Exists {
            path: into.to_owned(),
        });
    }
    // Under another name until it is whole.
    let partial = partial_path(into);
    let _ = fs::remove_dir_all(&partial);
    open::create_directory(&run_log::directory(&partial)).map_err(io(&partial))?;
    let made = copy(data, &partial)
        .and_then(|()| seal(&partial))
        .and_then(|()| verify(&partial));
    let manifest = match made {
        Ok(manifest) => manifest,
        Err(error) => {
            let _ = fs::remove_dir_all(&partial);
            return Err(error);
        }
    };
    fs::rename(&partial, into).map_err(io(into))?;
    sync_directory(into.parent().unwrap_or(into))?;
    let sha256 = manifest
        .files
        .get(DATABASE_FILE)
        .cloned()
        .unwrap_or_default();
    Ok(BackupReport {
        path: into.to_owned(),
        bytes: manifest.bytes,
        tasks: manifest.tasks,
        runs: manifest.runs,
        sha256,
    })
}

fn copy(data: &Path, into: &Path) -> Result<(), BackupError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(data.join(DATABASE_FILE), flags)?;
    let target = into.join(DATABASE_FILE);
    // It takes an empty file, with the mode that is set here.
    create_private(&target).map_err(io(&target))?;
    // VACUUM INTO reads one snapshot in one transaction. The backup API would start over with
    // every commit of the writer.
    source.execute("VACUUM INTO ?1", [target.to_string_lossy()])?;
    let copied = open_copy(&target)?;
    for segment in segments::load(&copied)? {
        let from = run_log::path(data, segment.id);
        let to = run_log::path(into, segment.id);
        match copy_private(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(&from)(error)),
        }
    }
    Ok(())
}

/// Syncs every file and writes the manifest.
fn seal(directory: &Path) -> Result<(), BackupError> {
    let copied = open_copy(&directory.join(DATABASE_FILE))?;
    let count = |sql: &str| -> Result<u64, BackupError> {
        Ok(copied
            .query_row(sql, [], |row| row.get::<_, i64>(0))?
            .unsigned_abs())
    };
    let tasks = count("SELECT count(*) FROM tasks WHERE deleted_at IS NULL")?;
    let mut runs = 0;
    for segment in segments::load(&copied)? {
        runs += count(&format!("SELECT count(*) FROM runs_{}", segment.id))?;
    }
    drop(copied);
    let mut files = BTreeMap::new();
    let mut bytes = 0;
    for name in contents(directory)? {
        let path = directory.join(&name);
        let file = File::open(&path).map_err(io(&path))?;
        file.sync_all().map_err(io(&path))?;
        bytes += file.metadata().map_err(io(&path))?.len();
        files.insert(name, hash(&path)?);
    }
    let manifest = Manifest {
        schema_version: schema::VERSION,
        files,
        tasks,
        runs,
        bytes,
    };
    let path = directory.join(MANIFEST_FILE);
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| BackupError::Io {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    let mut file = create_private(&path).map_err(io(&path))?;
    file.write_all(&text)
        .and_then(|()| file.sync_all())
        .map_err(io(&path))?;
    sync_directory(&run_log::directory(directory))?;
    sync_directory(directory)
}

/// Checks a backup: every file against its checksum, the database's own integrity, and that the
/// log places lie within their files.
///
/// # Errors
/// [`BackupError::NotABackup`], [`BackupError::Newer`] or [`BackupError::Damaged`].
pub fn verify(directory: &Path) -> Result<Manifest, BackupError> {
    let damaged = |what: String| BackupError::Damaged {
        path: directory.to_owned(),
        what,
    };
    let text = fs::read(directory.join(MANIFEST_FILE)).map_err(|_| BackupError::NotABackup {
        path: directory.to_owned(),
    })?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| damaged(format!("manifest.json cannot be read ({error})")))?;
    if manifest.schema_version > schema::VERSION {
        return Err(BackupError::Newer {
            path: directory.to_owned(),
            found: manifest.schema_version,
            known: schema::VERSION,
        });
    }
    for (name, expected) in &manifest.files {
        // A manifest is input: it may not lead out of its directory.
        if Path::new(name)
            .components()
            .any(|part| !matches!(part, std::path::Component::Normal(_)))
        {
            return Err(damaged(format!("manifest.json names {name}")));
        }
        let path = directory.join(name);
        if !path.is_file() {
            return Err(damaged(format!("{name} is missing")));
        }
        if hash(&path)? != *expected {
            return Err(damaged(format!("{name} differs from its checksum")));
        }
    }
    if !manifest.files.contains_key(DATABASE_FILE) {
        return Err(damaged(format!("{DATABASE_FILE} is not in it")));
    }
    let database = open_copy(&directory.join(DATABASE_FILE))?;
    let integrity: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if integrity != "ok" {
        return Err(damaged(integrity));
    }
    for segment in segments::load(&database)? {
        let end: i64 = database.query_row(
            &format!(
                "SELECT coalesce(max(offset + stored_bytes), 0) FROM logs_{}",
                segment.id
            ),
            [],
            |row| row.get(0),
        )?;
        let path = run_log::path(directory, segment.id);
        let length = fs::metadata(&path).map_or(0, |file| file.len());
        if end.unsigned_abs() > length {
            return Err(damaged(format!("{} is cut short", path.display())));
        }
    }
    Ok(manifest)
}

/// Puts a verified backup into an empty data directory, which no server may be using.
///
/// # Errors
/// What [`verify`] finds, and [`BackupError::Occupied`]: nothing is ever overwritten.
pub fn restore(directory: &Path, data: &Path) -> Result<Manifest, BackupError> {
    let manifest = verify(directory)?;
    open::refuse_backup(data)?;
    let _lock = open::lock_directory(data)?;
    // A log without its database counts, too: SQLite would replay it onto the restored one.
    let remains = ["", "-wal", "-shm", "-journal"].map(|end| format!("{DATABASE_FILE}{end}"));
    if remains.iter().any(|name| data.join(name).exists()) {
        return Err(BackupError::Occupied {
            path: data.to_owned(),
        });
    }
    open::create_directory(&run_log::directory(data)).map_err(io(data))?;
    // The database last: a restore that was cut off leaves none behind.
    let (database, logs): (Vec<_>, Vec<_>) = manifest
        .files
        .keys()
        .partition(|name| *name == DATABASE_FILE);
    for name in logs.into_iter().chain(database) {
        let partial = partial_path(&data.join(name));
        copy_private(&directory.join(name), &partial).map_err(io(&partial))?;
        fs::rename(&partial, data.join(name)).map_err(io(data))?;
    }
    sync_directory(&run_log::directory(data))?;
    sync_directory(data)?;
    Ok(manifest)
}

/// An empty file that only its owner can read, in the place of what a cut-off copy has left.
fn create_private(path: &Path) -> std::io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(open::FILE_MODE)
        .open(path)
}

/// Copies what a file holds, synced, and not its mode: a backup may have come over a file system
/// or a tool that keeps none.
fn copy_private(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = create_private(to)?;
    std::io::copy(&mut source, &mut target)?;
    target.sync_all()
}

fn partial_path(path: &Path) -> PathBuf {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    partial.into()
}

/// Paths of the files of a backup, the manifest left out.
fn contents(directory: &Path) -> Result<Vec<String>, BackupError> {
    let mut names = vec![DATABASE_FILE.to_owned()];
    let logs = run_log::directory(directory);
    for entry in fs::read_dir(&logs).map_err(io(&logs))? {
        let entry = entry.map_err(io(&logs))?;
        names.push(format!("logs/{}", entry.file_name().to_string_lossy()));
    }
    names.sort();
    Ok(names)
}

/// A copy is opened immutable: reading it must not leave a log beside it.
fn open_copy(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let escaped: String = path
        .to_string_lossy()
        .chars()
        .map(|c| match c {
            '?' => "%3f".to_owned(),
            '#' => "%23".to_owned(),
            '%' => "%25".to_owned(),
            c => c.to_string(),
        })
        .collect();
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
}

fn hash(path: &Path) -> Result<String, BackupError> {
    let mut file = File::open(path).map_err(io(path))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let read = file.read(&mut buffer).map_err(io(path))?;
        if read == 0 {
            break;
        }
        digest.update(&buffer[..read]);
    }
    Ok(digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn sync_directory(path: &Path) -> Result<(), BackupError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(io(path))
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> BackupError {
    let path = path.to_owned();
    move |error| BackupError::Io {
        path: path.clone(),
        reason: error.to_string(),
    }
}
