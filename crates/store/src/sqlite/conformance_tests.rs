//! The SQLite backend under the conformance suite.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use autom8_model::{BootId, ManualClock, Timestamp};
use parking_lot::Mutex;

use super::{Durability, SqliteOptions, SqliteStore};
use crate::conformance::{Backend, Gate};
use crate::{RetentionPolicy, Store};

struct Sqlite {
    root: tempfile::TempDir,
    clock: Arc<ManualClock>,
    gate: Mutex<Arc<Gate>>,
    /// Starts so far; each has its own boot, and each crash moves on to a copy.
    starts: AtomicU64,
    data: Mutex<PathBuf>,
}

impl Sqlite {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        Sqlite {
            data: Mutex::new(root.path().join("data")),
            root,
            clock: Arc::new(ManualClock::at(
                "2026-11-24T12:00:00Z".parse::<Timestamp>().unwrap(),
            )),
            gate: Mutex::new(Gate::open()),
            starts: AtomicU64::new(0),
        }
    }

    fn open(&self, directory: &Path) -> Arc<SqliteStore> {
        let gate = Gate::open();
        *self.gate.lock() = Arc::clone(&gate);
        let options = SqliteOptions {
            directory: directory.to_owned(),
            durability: Durability::Full,
            boot: BootId(self.starts.fetch_add(1, Ordering::Relaxed) + 1),
            retention: RetentionPolicy {
                age_max: Duration::from_secs(30 * 86_400),
                runs_max: 100_000_000,
                bytes_max: 1 << 40,
                audit_age_max: Duration::from_secs(90 * 86_400),
            },
        };
        SqliteStore::open(options, Arc::clone(&self.clock) as _, gate).unwrap()
    }
}

#[async_trait]
impl Backend for Sqlite {
    fn clock(&self) -> Arc<ManualClock> {
        Arc::clone(&self.clock)
    }

    fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate.lock())
    }

    async fn start(&self) -> Arc<dyn Store> {
        let data = self.data.lock().clone();
        self.open(&data)
    }

    /// The next start finds a copy of one committed moment; the kill -9 of the real process, log
    /// and all, is the crash campaign's.
    async fn crash(&self, store: Arc<dyn Store>) {
        let old = self.data.lock().clone();
        let number = self.starts.load(Ordering::Relaxed);
        let new = self.root.path().join(format!("data-after-{number}"));
        std::fs::create_dir_all(new.join("logs")).unwrap();
        let source = rusqlite::Connection::open(old.join("autom8.db")).unwrap();
        let target = new.join("autom8.db").to_string_lossy().into_owned();
        source.execute("VACUUM INTO ?1", [target]).unwrap();
        if let Ok(logs) = std::fs::read_dir(old.join("logs")) {
            for log in logs.flatten() {
                std::fs::copy(log.path(), new.join("logs").join(log.file_name())).unwrap();
            }
        }
        *self.data.lock() = new;
        // The old store may stand at its gate: it is left there, as a dead process would be.
        std::mem::forget(store);
    }

    fn backup_directory(&self) -> PathBuf {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        self.root.path().join(format!("backup-{number}"))
    }

    async fn start_backup(&self, path: &Path) -> Arc<dyn Store> {
        let data = path.with_extension("restored");
        super::backup::restore(path, &data).unwrap();
        self.open(&data)
    }
}

crate::conformance_suite!(Sqlite::new());
