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

use autom8_model::limits;
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::open;
use crate::error::OpenError;

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

#[derive(Default)]
struct Orders {
    wanted: bool,
    stop: bool,
}

/// How the writer asks for a checkpoint, and hears that it has to take the tail itself.
pub(crate) struct Checkpoints {
    orders: Mutex<Orders>,
    changed: Condvar,
    tail: AtomicBool,
}

impl Checkpoints {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Checkpoints {
            orders: Mutex::default(),
            changed: Condvar::new(),
            tail: AtomicBool::new(false),
        })
    }

    /// Asks the thread for a checkpoint, once the log is long enough for one.
    pub(crate) fn log_grew(&self, frames: u32) {
        if frames >= limits::WAL_CHECKPOINT_FRAMES {
            let mut orders = self.orders.lock();
            if !orders.wanted {
                orders.wanted = true;
                self.changed.notify_one();
            }
        }
    }

    /// Whether the writer has to take the tail; asked between two groups.
    pub(crate) fn has_tail(&self) -> bool {
        self.tail.swap(false, Ordering::Relaxed)
    }

    /// Waits until a checkpoint is wanted; false once there will be none any more.
    fn next(&self) -> bool {
        let mut orders = self.orders.lock();
        while !orders.wanted && !orders.stop {
            self.changed.wait(&mut orders);
        }
        orders.wanted = false;
        !orders.stop
    }
}

/// The thread.
pub(crate) struct Checkpointer {
    checkpoints: Arc<Checkpoints>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Checkpointer {
    pub(crate) fn start(
        database: &Path,
        full: bool,
        checkpoints: Arc<Checkpoints>,
    ) -> Result<Self, OpenError> {
        let connection = open::open_writable(database, full)?;
        let asked = Arc::clone(&checkpoints);
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || {
                while asked.next() {
                    let left = passive(&connection);
                    if left.is_some_and(|left| left.frames <= TAIL_FRAMES_MAX) {
                        asked.tail.store(true, Ordering::Relaxed);
                    }
                }
            })
            .map_err(|error| OpenError::Other {
                path: database.to_owned(),
                reason: error.to_string(),
            })?;
        Ok(Checkpointer {
            checkpoints,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(crate) fn stop(&self) {
        self.checkpoints.orders.lock().stop = true;
        self.checkpoints.changed.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}
