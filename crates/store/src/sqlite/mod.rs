//! The store of a single machine: one SQLite file, one writer thread, group commit.
//!
//! In reading order: [`schema`] and [`open`] say what the file looks like and when it may be
//! opened; [`writer`] is the one thread that changes it, in commit groups ([`group`]) of what waits in its [`inbox`]; [`memory`] is what it
//! knows, built by [`recovery`]. Each noun has its file: [`tasks`], [`fires`], [`runs`],
//! [`claims`], [`finishes`], [`cancels`], [`leases`], [`retention`]. Readers see the writer's
//! memory through [`shared`], and rows through [`readers`], [`reads`] and [`lists`].

pub mod backup;
mod cancels;
mod checkpoint;
mod claims;
#[cfg(test)]
mod conformance_tests;
mod finishes;
mod fires;
mod group;
mod inbox;
mod leases;
mod lists;
mod memory;
mod open;
mod operation;
mod postings;
mod readers;
mod reads;
mod recovery;
mod retention;
mod run_log;
mod runs;
mod schema;
mod segments;
mod shared;
mod tasks;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use autom8_model::ready::ClaimRequest;
use autom8_model::{
    BootId, Clock, Epoch, Run, RunId, Task, TaskId, TaskName, TaskSpec, WorkerName, limits,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

pub use open::check_library;

use crate::error::OpenError;
use crate::{
    Attempt, AttemptLog, BackupReport, Cancelled, Claim, DeletedTask, Enqueue, Enqueued, Finish,
    Finished, Fire, FireBatch, Lease, Reaped, RecordedFires, Renewed, Result, RetentionPolicy,
    RetentionReport, RunFilter, RunInput, RunPage, Statement, Store, StoreError, StoreInfo,
    StoreObserver, Totals,
};
use checkpoint::{Checkpointer, Checkpoints};
use claims::{Granted, PendingClaim};
use group::Group;
use inbox::{Command, Inbox, PackedLog, PendingFinish, Reply};
use operation::{Failure, Operation};
use readers::Readers;
use runs::PendingEnqueue;
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
    backup: tokio::sync::Mutex<()>,
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
        let lock = open::lock_directory(&options.directory)?;
        open::check_free_space(&options.directory)?;
        let path = options.directory.join(open::DATABASE_FILE);
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
            backup: tokio::sync::Mutex::default(),
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
        let answer = self
            .readers
            .scan(move |connection| read(connection, &shared))
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

#[async_trait]
impl Store for SqliteStore {
    fn describe(&self) -> StoreInfo {
        self.info.clone()
    }

    fn totals(&self) -> Totals {
        self.shared.totals.read().clone()
    }

    async fn create_task(&self, spec: TaskSpec) -> Result<Arc<Task>> {
        self.operate(Statement::TaskCreate, |writer, group| {
            writer.create_task(spec, group)
        })
        .await
    }

    async fn update_task(&self, spec: TaskSpec) -> Result<Arc<Task>> {
        self.operate(Statement::TaskUpdate, |writer, group| {
            writer.update_task(spec, group)
        })
        .await
    }

    async fn set_task_enabled(&self, name: &TaskName, enabled: bool) -> Result<Arc<Task>> {
        let name = name.clone();
        self.operate(Statement::TaskEnable, move |writer, group| {
            writer.set_task_enabled(&name, enabled, group)
        })
        .await
    }

    async fn delete_task(&self, name: &TaskName) -> Result<DeletedTask> {
        let name = name.clone();
        self.ask(Statement::TaskDelete, |reply| {
            Command::DeleteTask(name, reply)
        })
        .await
    }

    async fn task(&self, name: &TaskName) -> Result<Option<Arc<Task>>> {
        Ok(self.shared.tasks.read().by_name(name.as_str()).cloned())
    }

    async fn tasks(&self, after: Option<&TaskName>, limit: usize) -> Result<Vec<Arc<Task>>> {
        Ok(self.shared.tasks.read().after(after, limit))
    }

    async fn record_fires(&self, batches: Vec<FireBatch>) -> Result<Vec<RecordedFires>> {
        self.operate(Statement::FiresRecord, |writer, group| {
            writer.record_fires(batches, group)
        })
        .await
    }

    async fn fires(&self, task: TaskId, limit: usize) -> Result<Vec<Fire>> {
        self.scan(Statement::FiresList, move |connection, _| {
            fires::list(connection, task, limit)
        })
        .await
    }

    async fn enqueue(&self, enqueue: Enqueue) -> Result<Enqueued> {
        if enqueue.inputs.is_empty() {
            return Ok(Enqueued::default());
        }
        self.ask(Statement::RunsEnqueue, |reply| {
            Command::Enqueue(PendingEnqueue { enqueue, reply })
        })
        .await
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Lease>> {
        let wait = claim.wait.min(limits::CLAIM_WAIT_MAX);
        let request = ClaimRequest {
            lane: claim.lane,
            queues: claim.queues,
            runs_max: claim.runs_max.min(limits::CLAIM_RUNS_MAX),
        };
        let started = self.clock.monotonic();
        let (reply, mut answer) = oneshot::channel();
        let (worker, lease, waits) = (claim.worker, claim.lease, !wait.is_zero());
        self.inbox.push(Command::Claim(PendingClaim {
            worker,
            request,
            lease,
            waits,
            reply,
        }))?;
        // Without a wait the writer itself says that there is nothing.
        let patience = if waits { wait } else { limits::CLAIM_WAIT_MAX };
        let answered = match tokio::time::timeout(patience, &mut answer).await {
            Ok(answered) => answered.unwrap_or_else(|_| Err(writer_gone())),
            Err(_) => {
                // From here on no grant can be sent; one that was sent already is taken.
                answer.close();
                answer.try_recv().unwrap_or_else(|_| Ok(Granted::nothing()))
            }
        };
        self.observe(Statement::RunsClaim, started, answered.is_err());
        let mut granted = answered?;
        // If this fails or is dropped, so is `granted`, which gives the runs back.
        self.fill_inputs(granted.leases_mut()).await?;
        Ok(granted.accept())
    }

    async fn finish(&self, finishes: Vec<Finish>) -> Result<Finished> {
        let mut all = Finished::default();
        let mut rest = finishes;
        while !rest.is_empty() {
            let later = rest.split_off(rest.len().min(FINISHES_MAX));
            let mut finishes = std::mem::replace(&mut rest, later);
            let output: usize = finishes
                .iter()
                .filter_map(|finish| Some(finish.log.as_ref()?.bytes.len()))
                .sum();
            let (finishes, logs) = if output > PACK_INLINE_BYTES_MAX {
                tokio::task::spawn_blocking(move || {
                    let logs = pack(&mut finishes);
                    (finishes, logs)
                })
                .await
                .map_err(|error| StoreError::Unavailable {
                    why: error.to_string(),
                })?
            } else {
                let logs = pack(&mut finishes);
                (finishes, logs)
            };
            let finished = self
                .ask(Statement::RunsFinish, |reply| {
                    Command::Finish(PendingFinish {
                        finishes,
                        logs,
                        reply,
                    })
                })
                .await?;
            all.accepted += finished.accepted;
            all.stale.extend(finished.stale);
        }
        Ok(all)
    }

    async fn renew(&self, worker: &WorkerName, held: Vec<(RunId, Epoch)>) -> Result<Renewed> {
        let worker = worker.clone();
        self.operate(Statement::LeasesRenew, move |writer, group| {
            writer.renew(&worker, &held, leases::EXTENSION, group)
        })
        .await
    }

    async fn reap(&self) -> Result<Reaped> {
        self.operate(Statement::LeasesReap, |writer, group| writer.reap(group))
            .await
    }

    async fn cancel_run(&self, run: RunId) -> Result<Cancelled> {
        self.operate(Statement::RunCancel, move |writer, group| {
            writer.cancel_run(run, group)
        })
        .await
    }

    async fn replay_run(&self, run: RunId) -> Result<RunId> {
        self.operate(Statement::RunReplay, move |writer, group| {
            writer.replay_run(run, group)
        })
        .await
    }

    async fn run(&self, run: RunId) -> Result<Option<Run>> {
        self.read(Statement::RunGet, |connection| {
            reads::run(connection, &self.shared, run)
        })
    }

    async fn attempts(&self, run: RunId) -> Result<Vec<Attempt>> {
        self.read(Statement::RunAttempts, |connection| {
            reads::attempts(connection, &self.shared, run)
        })
    }

    async fn runs(&self, filter: RunFilter) -> Result<RunPage> {
        self.scan(Statement::RunsList, move |connection, shared| {
            lists::runs(connection, shared, &filter)
        })
        .await
    }

    async fn run_log(&self, run: RunId) -> Result<Vec<AttemptLog>> {
        self.scan(Statement::RunLog, move |connection, shared| {
            reads::run_log(connection, shared, run)
        })
        .await
    }

    async fn apply_retention(&self, policy: RetentionPolicy) -> Result<RetentionReport> {
        let _no_backup = self.backup.lock().await;
        let mut all = RetentionReport::default();
        loop {
            let policy = policy.clone();
            let step = self
                .operate(Statement::RetentionApply, move |writer, group| {
                    writer.apply_retention(&policy, group)
                })
                .await?;
            all.segments_dropped += step.segments_dropped;
            all.runs_dropped += step.runs_dropped;
            all.bytes_freed += step.bytes_freed;
            all.fires_dropped += step.fires_dropped;
            if step.segments_dropped == 0 && step.fires_dropped == 0 {
                break;
            }
        }
        while self
            .operate(Statement::RetentionApply, |writer, _| {
                Ok(writer.free_pages()?)
            })
            .await?
        {}
        Ok(all)
    }

    async fn backup(&self, into: &Path) -> Result<BackupReport> {
        self.inbox.check_open()?;
        let _alone = self.backup.lock().await;
        let started = self.clock.monotonic();
        let data = self.shared.directory.clone();
        let into = into.to_owned();
        let made = tokio::task::spawn_blocking(move || backup::create(&data, &into))
            .await
            .map_err(|error| StoreError::Unavailable {
                why: error.to_string(),
            })?;
        self.observe(Statement::Backup, started, made.is_err());
        made.map_err(|error| match error {
            backup::BackupError::Exists { .. } => StoreError::Conflict {
                why: error.to_string(),
            },
            other => StoreError::Backend {
                statement: "backup",
                message: other.to_string(),
            },
        })
    }

    async fn close(&self) {
        self.inbox.close("the store is closed");
        let writer = self.writer.lock().take();
        self.readers.close();
        let _ =
            tokio::task::spawn_blocking(move || writer.map(std::thread::JoinHandle::join)).await;
        self.checkpointer.stop();
        self.lock.lock().take();
    }
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
