//! Folding the write-ahead log back into the database, on a thread of its own.
//!
//! An inline checkpoint stalls a commit by 28 to 99 ms at full load. A background one costs
//! nothing there, but never reaches the end of a busy log, so that it would grow for ever: when
//! little is left, the writer takes the tail itself, and its next commit starts the log anew.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use autom8_model::limits;
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::open;

/// How often the size of the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Frames left behind by a background checkpoint that the writer can take in passing.
const TAIL_FRAMES_MAX: i64 = 6_000;

/// The number of frames in the log, read from the header of its index: `mxFrame`, a native 32-bit
/// number at byte 16 of the `-shm` file (https://www.sqlite.org/walformat.html, section 2.1). The
/// size of the log file says nothing, for a log that starts anew keeps its size.
pub(crate) struct WalIndex {
    path: PathBuf,
    file: Option<File>,
}

impl WalIndex {
    pub(crate) fn of(database: &Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-shm");
        WalIndex {
            path: path.into(),
            file: None,
        }
    }

    pub(crate) fn frames(&mut self) -> Option<u32> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let mut bytes = [0; 4];
        self.file.as_ref()?.read_exact_at(&mut bytes, 16).ok()?;
        Some(u32::from_ne_bytes(bytes))
    }
}

/// What is left of the log after a checkpoint, in frames.
struct Left {
    frames: i64,
}

/// Folds back what no reader holds on to, without waiting for anyone.
fn passive(connection: &Connection) -> Option<Left> {
    connection
        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            let (log, done): (i64, i64) = (row.get(1)?, row.get(2)?);
            Ok(Left { frames: log - done })
        })
        .ok()
}

/// The writer's part: the tail.
pub(crate) fn take_tail(connection: &Connection) {
    // If a reader is in the way, the background thread will ask again.
    let _ = passive(connection);
}

/// The thread and its off-switch.
pub(crate) struct Checkpointer {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Checkpointer {
    /// Starts the thread; it raises `tail` when the writer has to step in.
    pub(crate) fn start(
        database: &Path,
        full: bool,
        tail: Arc<AtomicBool>,
    ) -> Result<Self, crate::error::OpenError> {
        let connection = open::open_writable(database, full)?;
        let stop: Arc<(Mutex<bool>, Condvar)> = Arc::default();
        let mut index = WalIndex::of(database);
        let watched = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || {
                let (stopped, changed) = &*watched;
                let mut stopped = stopped.lock();
                while !*stopped {
                    changed.wait_for(&mut stopped, LOOK_EVERY);
                    if *stopped
                        || index
                            .frames()
                            .is_none_or(|f| f < limits::WAL_CHECKPOINT_FRAMES)
                    {
                        continue;
                    }
                    if let Some(left) = passive(&connection)
                        && left.frames <= TAIL_FRAMES_MAX
                    {
                        tail.store(true, Ordering::Relaxed);
                    }
                }
            })
            .map_err(|error| crate::error::OpenError::Other {
                path: database.to_owned(),
                reason: error.to_string(),
            })?;
        Ok(Checkpointer {
            stop,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(crate) fn stop(&self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}
