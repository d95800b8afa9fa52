//! Connections that read. A read by key runs on the thread that asks, over a connection of that
//! thread: a hop to another thread would halve the rate. What can visit many rows goes to a few
//! threads of its own.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{SqlResult, open};
use crate::{Result, StoreError};

/// Scans that run at once: on small machines they would only take turns anyway.
const SCANS_MAX: usize = 4;

/// Page cache of a connection that reads by key: the inner pages of the indexes of ten million
/// contacts, so that a look-up reads a leaf and a row. It grows with use.
const KEY_READER_CACHE_KIB: i64 = 8 * 1024;

thread_local! {
    /// One connection for each store this thread has read from.
    static OWN: RefCell<Vec<(u64, std::sync::Weak<()>, Connection)>> = const { RefCell::new(Vec::new()) };
}

/// What a scan is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scan {
    /// The inputs of claimed runs.
    Inputs,
    Rows,
}

pub(crate) struct Readers {
    path: PathBuf,
    /// Tells stores of one process apart, which only tests have more than one of.
    id: u64,
    /// Dropped with the store, so that threads notice that it is gone.
    alive: Mutex<Option<Arc<()>>>,
    idle: Mutex<Vec<Connection>>,
    scans: Semaphore,
    /// Inputs of claimed runs: their start must not wait behind lists.
    inputs: Semaphore,
}

impl Readers {
    pub(crate) fn new(path: &Path) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Readers {
            path: path.to_owned(),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            alive: Mutex::new(Some(Arc::new(()))),
            idle: Mutex::default(),
            scans: Semaphore::new(SCANS_MAX),
            inputs: Semaphore::new(SCANS_MAX),
        }
    }

    /// Reads by key, here and now. Not for anything that can visit more than 200 rows.
    pub(crate) fn inline<T>(&self, read: impl Fn(&Connection) -> SqlResult<T>) -> Result<T> {
        OWN.with_borrow_mut(|own| {
            if let Some((_, _, connection)) = own
                .iter()
                .find(|(id, alive, _)| *id == self.id && alive.strong_count() > 0)
            {
                return read(connection).map_err(|error| told(&error));
            }
            own.retain(|(_, alive, _)| alive.strong_count() > 0);
            let alive = self
                .alive
                .lock()
                .as_ref()
                .map(Arc::downgrade)
                .ok_or_else(closed)?;
            let connection = open::open_readable(&self.path)
                .and_then(|connection| {
                    connection.pragma_update(None, "cache_size", -KEY_READER_CACHE_KIB)?;
                    Ok(connection)
                })
                .map_err(|error| told(&error))?;
            let answer = read(&connection).map_err(|error| told(&error));
            own.push((self.id, alive, connection));
            answer
        })
    }

    /// Reads what may take long, on another thread.
    pub(crate) async fn scan<T: Send + 'static>(
        self: &Arc<Self>,
        kind: Scan,
        read: impl FnOnce(&Connection) -> SqlResult<T> + Send + 'static,
    ) -> Result<T> {
        let readers = Arc::clone(self);
        let permits = match kind {
            Scan::Inputs => &self.inputs,
            Scan::Rows => &self.scans,
        };
        let _permit = permits.acquire().await.map_err(|_| closed())?;
        let scan = tokio::task::spawn_blocking(move || {
            if readers.alive.lock().is_none() {
                return Err(closed());
            }
            let kept = readers.idle.lock().pop();
            let connection = match kept {
                Some(connection) => connection,
                None => open::open_readable(&readers.path).map_err(|error| told(&error))?,
            };
            let answer = read(&connection).map_err(|error| told(&error));
            readers.idle.lock().push(connection);
            answer
        });
        scan.await.unwrap_or_else(|error| {
            Err(StoreError::Unavailable {
                why: format!("a read was cut off: {error}"),
            })
        })
    }

    pub(crate) fn close(&self) {
        self.alive.lock().take();
        self.scans.close();
        self.inputs.close();
        self.idle.lock().clear();
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable {
        why: "the store is closed".to_owned(),
    }
}

fn told(error: &rusqlite::Error) -> StoreError {
    StoreError::Backend {
        statement: "read",
        message: error.to_string(),
    }
}
