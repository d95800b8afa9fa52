//! The store of a single machine: one SQLite file, one writer thread, group commit.
//!
//! In reading order: [`schema`] and [`open`] say what the file looks like and when it may be
//! opened; [`writer`] is the one thread that changes it, in commit groups ([`group`]) of what waits in its [`inbox`]; [`memory`] is what it
//! knows, built by [`recovery`]. Each noun has its file: [`tasks`], [`fires`], [`runs`],
//! [`claims`], [`finishes`], [`cancels`], [`leases`], [`contacts`], [`contact_imports`], [`keys`], [`retention`]; [`notes`] keeps who
//! wrote, and answers for requests that come again. Readers see the writer's
//! memory through [`shared`], and rows through [`readers`], [`reads`] and [`lists`].

pub mod backup;
mod cancels;
mod checkpoint;
mod claims;
#[cfg(test)]
mod conformance_tests;
mod contact_imports;
mod contact_lists;
mod contact_search;
mod contact_stamps;
mod contacts;
mod finishes;
mod fires;
mod group;
mod inbox;
mod keys;
mod leases;
mod lists;
mod memory;
#[cfg(test)]
mod migration_tests;
mod notes;
mod open;
mod operation;
mod operations;
#[cfg(test)]
mod plan_tests;
mod postings;
mod readers;
mod reads;
mod recovery;
#[cfg(test)]
mod regression_tests;
mod retention;
mod run_log;
mod runs;
mod schema;
mod segments;
mod shared;
mod tasks;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use autom8_model::{AuditAction, BootId, Clock, Epoch, RunId, limits};
use parking_lot::Mutex;
use tokio::sync::oneshot;

pub use open::check_library;

use crate::error::OpenError;
use crate::{
    Finish, Lease, Reaped, Result, RetentionPolicy, RunInput, Statement, StoreError, StoreInfo,
    StoreObserver, Write,
};
use checkpoint::{Checkpointer, Checkpoints};
use group::Group;
use inbox::{Command, Inbox, PackedLog, Reply};
use operation::{Failure, Operation};
use readers::{Readers, Scan};
use shared::Shared;
use writer::Writer;

type SqlResult<T> = Result<T, rusqlite::Error>;

/// In an outcome whose run ended without being claimed: no receipt has this number.
const NO_EPOCH: Epoch = Epoch(0);
/// Finishes of one command: half a commit group, so that a group is never made of one caller's.
const FINISHES_MAX: usize = limits::GROUP_ROWS_MAX / 2;
/// Output that is packed on the caller's own thread; more goes to a blocking one.
const PACK_INLINE_BYTES_MAX: usize = 32 * 1024;

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Synced: survives power loss. The default.
    Full,
    /// Written: survives a crash of the process, not of the machine.
    Normal,
}

impl Durability {
    pub fn as_str(self) -> &'static str {
        match self {
            Durability::Full => "full",
            Durability::Normal => "normal",
        }
    }
}

#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// Created if it does not exist, and locked while the store is open.
    pub directory: PathBuf,
    pub durability: Durability,
    /// Random for each start: claims of other boots are those of the dead.
    pub boot: BootId,
    /// Sizes segments, so that retention has something to drop in time.
    pub retention: RetentionPolicy,
}

/// The store of one data directory.
pub struct SqliteStore {
    info: StoreInfo,
    inbox: Arc<Inbox>,
    shared: Arc<Shared>,
    readers: Arc<Readers>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn StoreObserver>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
    checkpointer: Checkpointer,
    recovered: Reaped,
    /// One at a time; retention waits, so that no log vanishes under a copy.
    backup: Arc<tokio::sync::Mutex<()>>,
    lock: Mutex<Option<open::DirectoryLock>>,
}

impl SqliteStore {
    /// Opens a data directory: locks it, brings it to this program's schema, takes back what a
    /// process that died had claimed. Blocks until that is done.
    ///
    /// # Errors
    /// [`OpenError`], each with its fix. Nothing is changed in a directory that is refused.
    pub fn open(
        options: SqliteOptions,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn StoreObserver>,
    ) -> Result<Arc<Self>, OpenError> {
        check_library(rusqlite::version_number())?;
        open::refuse_backup(&options.directory)?;
        let lock = open::lock_directory(&options.directory)?;
        open::check_free_space(&options.directory)?;
        let path = options.directory.join(open::DATABASE_FILE);
        open::refuse_foreign(&path)?;
        let full = options.durability == Durability::Full;
        let mut connection = open::open_writable(&path, full)?;
        open::migrate(&mut connection, &path, clock.now())?;
        let shared = Arc::new(Shared {
            directory: options.directory.clone(),
            ..Shared::default()
        });
        let inbox = Arc::new(Inbox::default());
        let checkpoints = Checkpoints::new();
        let mut writer = Writer {
            connection,
            shared: Arc::clone(&shared),
            inbox: Arc::clone(&inbox),
            clock: Arc::clone(&clock),
            observer: Arc::clone(&observer),
            boot: options.boot,
            retention: options.retention,
            memory: memory::Memory::default(),
            logs: run_log::LogFiles::new(&options.directory),
            pending_claims: Vec::new(),
            batches: std::collections::VecDeque::new(),
            sweeps: std::collections::VecDeque::new(),
            reaped_at: clock.monotonic(),
            closing: false,
            dead: false,
            given_back: Vec::new(),
            unfinished: Vec::new(),
            wal: checkpoint::WalIndex::of(&path),
            checkpoints: Arc::clone(&checkpoints),
        };
        let recovered = writer.recover().map_err(|error| match error {
            recovery::LoadError::Sql(error) => open::sql_refusal(&path, &error),
            corrupt @ recovery::LoadError::Corrupt { .. } => OpenError::Damaged {
                path: path.clone(),
                what: corrupt.to_string(),
            },
        })?;
        run_log::sweep(&options.directory, &shared.segments());
        let checkpointer = Checkpointer::start(&path, full, checkpoints)?;
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn({
                let inbox = Arc::clone(&inbox);
                move || {
                    // However the thread ends, nobody waits for it any more.
                    let _abandons = AbandonInbox(inbox);
                    writer.run();
                }
            })
            .map_err(|error| OpenError::Other {
                path: path.clone(),
                reason: error.to_string(),
            })?;
        Ok(Arc::new(SqliteStore {
            info: StoreInfo {
                kind: "sqlite",
                library_version: rusqlite::version().to_owned(),
                durability: options.durability.as_str(),
                path: Some(path.clone()),
                schema_version: schema::VERSION,
            },
            readers: Arc::new(Readers::new(&path)),
            inbox,
            shared,
            clock,
            observer,
            writer: Mutex::new(Some(thread)),
            checkpointer,
            recovered,
            backup: Arc::default(),
            lock: Mutex::new(Some(lock)),
        }))
    }

    /// What was taken back at the start from a process that died.
    pub fn recovered(&self) -> Reaped {
        self.recovered.clone()
    }

    /// Does a small write, and reports how long it took.
    async fn operate<T: Send + 'static>(
        &self,
        statement: Statement,
        run: impl FnOnce(&mut Writer, &mut Group) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        self.ask(statement, |reply| {
            Command::Small(Box::new(Operation::new(run, reply)))
        })
        .await
    }

    /// Does a small write that somebody asked for: what is kept of it is part of it.
    async fn operate_for<T: Send + 'static>(
        &self,
        statement: Statement,
        write: Write<T>,
        action: AuditAction,
        target: impl FnOnce(&T) -> String + Send + 'static,
        run: impl FnOnce(&mut Writer, &mut Group) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        self.operate(statement, noted(write, action, target, run))
            .await
    }

    async fn ask<T>(
        &self,
        statement: Statement,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T> {
        let started = self.clock.monotonic();
        let (reply, answer) = oneshot::channel();
        let answer = match self.inbox.push(command(reply)) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(writer_gone())),
            Err(error) => Err(error),
        };
        self.observe(statement, started, answer.is_err());
        answer
    }

    fn observe(&self, statement: Statement, started: autom8_model::Monotonic, failed: bool) {
        let took = self.clock.monotonic().since(started);
        self.observer
            .statement(statement, took.as_micros() as u64, failed);
    }

    /// A read by key, on this thread.
    fn read<T>(
        &self,
        statement: Statement,
        read: impl Fn(&rusqlite::Connection) -> SqlResult<T>,
    ) -> Result<T> {
        let started = self.clock.monotonic();
        let answer = self.readers.inline(read);
        self.observe(statement, started, answer.is_err());
        answer
    }

    async fn scan<T: Send + 'static>(
        &self,
        statement: Statement,
        read: impl FnOnce(&rusqlite::Connection, &Shared) -> SqlResult<T> + Send + 'static,
    ) -> Result<T> {
        let started = self.clock.monotonic();
        let shared = Arc::clone(&self.shared);
        let kind = if statement == Statement::RunInputs {
            Scan::Inputs
        } else {
            Scan::Rows
        };
        let answer = self
            .readers
            .scan(kind, move |connection| read(connection, &shared))
            .await;
        self.observe(statement, started, answer.is_err());
        answer
    }

    /// Reads the inputs that memory no longer has.
    async fn fill_inputs(&self, leases: &mut [Lease]) -> Result<()> {
        let missing: Vec<RunId> = leases
            .iter()
            .filter(|lease| lease.input.is_none())
            .map(|lease| lease.claimed.run)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut sorted = missing;
        sorted.sort_unstable();
        let found = self
            .scan(Statement::RunInputs, move |connection, shared| {
                reads::inputs(connection, &shared.segments(), &sorted)
            })
            .await?;
        let mut found: rustc_hash::FxHashMap<RunId, Vec<u8>> = found.into_iter().collect();
        for lease in leases.iter_mut().filter(|lease| lease.input.is_none()) {
            lease.input = found.remove(&lease.claimed.run).map(RunInput::Read);
        }
        Ok(())
    }
}

/// An operation with what is kept of it: refused if it was done before, and noted in the end.
fn noted<T>(
    write: Write<T>,
    action: AuditAction,
    target: impl FnOnce(&T) -> String + Send,
    run: impl FnOnce(&mut Writer, &mut Group) -> Result<T, Failure> + Send,
) -> impl FnOnce(&mut Writer, &mut Group) -> Result<T, Failure> + Send {
    move |writer, group| {
        writer.refuse_repeated(&write)?;
        let made = run(writer, group)?;
        writer.note(write, action, target, &made, group)?;
        Ok(made)
    }
}

/// Empties the inbox when dropped, a panic of the writer included.
struct AbandonInbox(Arc<Inbox>);

impl Drop for AbandonInbox {
    fn drop(&mut self) {
        self.0.abandon("the writer has stopped");
    }
}

fn writer_gone() -> StoreError {
    StoreError::Unavailable {
        why: "the writer gave up what it was doing; try again".to_owned(),
    }
}

/// Packs the logs of finishes on the thread that has them.
fn pack(finishes: &mut [Finish]) -> Vec<PackedLog> {
    finishes
        .iter_mut()
        .enumerate()
        .filter_map(|(place, finish)| {
            let log = finish.log.take()?;
            Some(PackedLog {
                place,

                run: finish.run,
                attempt: finish.attempt,
                bytes: log.bytes.len() as u64,
                truncated: log.truncated,
                frame: run_log::pack(&log.bytes),
            })
        })
        .collect()
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.inbox.close("the store is closed");
        self.readers.close();
        if let Some(writer) = self.writer.lock().take() {
            let _ = writer.join();
        }
        self.checkpointer.stop();
    }
}
