//! Durable state behind one trait of domain operations.
//!
//! [`Store`] says what can be asked; each operation is one transaction, and every answer leaves
//! after the commit that makes it true. [`sqlite`] is the backend of a single machine: one writer
//! thread, group commit, runs written once and outcomes appended once. `docs/decisions/` has the
//! measurements behind that layout. [`conformance`] is the one suite that every backend passes.
//!
//! To add an operation: write it in the trait with its meaning, then in each backend in the file
//! of its noun, then its test in `conformance`.

#[cfg(test)]
pub mod conformance;
pub mod contact_import;
pub mod contact_list;
pub mod error;
pub mod observe;
pub mod sqlite;
pub mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use autom8_model::contact::{Email, Phone};
use autom8_model::ready::{Claimed, Lane};
use autom8_model::run::LogSummary;
use autom8_model::schedule::PlannedFire;
use autom8_model::transition::Decision;
use autom8_model::{
    ApiKey, AuditEntry, AuditId, Contact, ContactDraft, ContactId, ContactPatch, Epoch, Inputs,
    KeyId, Run, RunId, RunState, Scopes, Task, TaskId, TaskName, TaskSpec, TaskType, Timestamp,
    Trigger, WorkerName,
};

pub use contact_import::{
    ContactImport, FilePlace, IMPORT_SLICE_ROWS_MAX, ImportRehearsal, ImportSlice,
};
pub use contact_list::{ContactFilter, ContactPage, ContactPosition, ContactSort, ContactSortKey};
pub use error::StoreError;
pub use observe::{Statement, StoreObserver};
pub use write::{Idempotency, IdempotencyKey, RememberedAnswer, StoredAnswer, Write};

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Everything that must survive a crash.
///
/// A returned `Ok` means committed and synced. All operations may be called from any task.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    fn describe(&self) -> StoreInfo;

    /// Counters, exact as of the last commit, from memory: O(1) of the history.
    fn totals(&self) -> Totals;

    // ── Contacts ─────────────────────────────────────────────────────────────────────────────

    /// # Errors
    /// [`StoreError::Duplicate`] when another contact has the phone or the e-mail.
    async fn create_contact(&self, draft: ContactDraft, write: Write<Contact>) -> Result<Contact>;

    /// Creates many, each for itself: one that is refused does not touch the others. Answers are
    /// in the order of `drafts`, which are at most [`autom8_model::limits::BATCH_CONTACTS_MAX`].
    ///
    /// They are written in slices, so that nobody's small write waits for all of them, and a
    /// crash may keep a part; under an idempotency key they are one transaction.
    async fn create_contacts(
        &self,
        drafts: Vec<ContactDraft>,
        write: Write<Vec<Result<ContactId>>>,
    ) -> Result<Vec<Result<ContactId>>>;

    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Duplicate`]; [`StoreError::Invalid`] when the
    /// merged attributes are too large.
    async fn update_contact(
        &self,
        id: ContactId,
        patch: ContactPatch,
        write: Write<Contact>,
    ) -> Result<Contact>;

    /// # Errors
    /// [`StoreError::NotFound`].
    async fn delete_contact(&self, id: ContactId, write: Write<()>) -> Result<()>;

    async fn contact(&self, id: ContactId) -> Result<Option<Contact>>;

    async fn contact_by_phone(&self, phone: &Phone) -> Result<Option<Contact>>;

    async fn contact_by_email(&self, email: &Email) -> Result<Option<Contact>>;

    /// A page of contacts. It visits a bounded number of rows: one of a search may be short, or
    /// empty, and still have a next position.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a position of another order (`/cursor`), and for an offset that
    /// leads farther into a search than a page may go (`/offset`).
    async fn contacts(&self, filter: ContactFilter) -> Result<ContactPage>;

    /// Applies rows of an import and moves its place behind them, in one transaction: whoever goes
    /// on after a crash asks [`Self::contact_import`] where. The failures of the slice before must
    /// be durable by now; from here on the store no longer has them.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the import is elsewhere: another attempt has gone on with it.
    async fn import_contacts(&self, slice: ImportSlice) -> Result<ContactImport>;

    /// How far the import of a run has come; `None` before its first slice.
    async fn contact_import(&self, run: RunId) -> Result<Option<ContactImport>>;

    /// Begins an import that changes nothing. What it has to remember is in the file `scratch`,
    /// which goes with it.
    async fn rehearse_import(&self, scratch: &Path) -> Result<Box<dyn ImportRehearsal>>;

    /// A number that is another one after any change of this contact that this node has
    /// answered. Read it before the contact: what was read may be kept for as long as the number
    /// stays. Contacts may share a number.
    fn contact_stamp(&self, id: ContactId) -> u64;

    /// The same for all contacts together: any list of them, and how many [`Self::totals`] counts.
    fn contacts_stamp(&self) -> u64;

    // ── Keys ─────────────────────────────────────────────────────────────────────────────────

    /// # Errors
    /// [`StoreError::Conflict`] when a key of this name exists, [`StoreError::Overloaded`] when
    /// there are too many.
    async fn create_key(&self, key: NewKey, write: Write<Arc<ApiKey>>) -> Result<Arc<ApiKey>>;

    /// # Errors
    /// [`StoreError::NotFound`].
    async fn delete_key(&self, id: KeyId, write: Write<()>) -> Result<()>;

    /// Notes when keys were used last. Unknown ids are passed over.
    async fn touch_keys(&self, used: Vec<(KeyId, Timestamp)>) -> Result<()>;

    /// All keys by id, from memory.
    fn keys(&self) -> Vec<Arc<ApiKey>>;

    /// The key whose secret has this SHA-256, from memory.
    fn key_by_hash(&self, hash: &[u8; 32]) -> Option<Arc<ApiKey>>;

    /// Whether there is any key, from memory: from the first one on, calls need one.
    fn has_keys(&self) -> bool;

    // ── Answers and audit ────────────────────────────────────────────────────────────────────

    /// The answer that was kept under this idempotency key.
    async fn remembered_answer(&self, key: &IdempotencyKey) -> Result<Option<RememberedAnswer>>;

    /// Forgets answers that are too old or too many.
    async fn forget_answers(&self) -> Result<u64>;

    /// The audit log, newest first, older than `before`.
    async fn audit_log(&self, before: Option<AuditId>, limit: usize) -> Result<Vec<AuditEntry>>;

    // ── Tasks ────────────────────────────────────────────────────────────────────────────────

    /// Stores a new task. Its schedule counts from now.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken.
    async fn create_task(&self, spec: TaskSpec, write: Write<Arc<Task>>) -> Result<Arc<Task>>;

    /// Replaces a task's definition (not its name) as its next revision. A changed schedule
    /// counts from now; runs that are queued keep the revision they were queued with.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn update_task(&self, spec: TaskSpec, write: Write<Arc<Task>>) -> Result<Arc<Task>>;

    /// Pauses or resumes: a paused task fires nothing and its queued runs wait. Fires that fall
    /// into the pause are not made up for.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn set_task_enabled(
        &self,
        name: &TaskName,
        enabled: bool,
        write: Write<Arc<Task>>,
    ) -> Result<Arc<Task>>;

    /// Deletes a task and cancels its queued runs; its history stays under its name. The runs
    /// that are running are named, for the engine to stop.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn delete_task(&self, name: &TaskName, write: Write<DeletedTask>) -> Result<DeletedTask>;

    async fn task(&self, name: &TaskName) -> Result<Option<Arc<Task>>>;

    /// Tasks in the order of their names, after `after`.
    async fn tasks(&self, after: Option<&TaskName>, limit: usize) -> Result<Vec<Arc<Task>>>;

    // ── Fires ────────────────────────────────────────────────────────────────────────────────

    /// Enters planned times of schedules into the fire ledger, each with the run it makes, in one
    /// transaction. A time that is in the ledger already makes nothing: two schedulers may race.
    async fn record_fires(&self, batches: Vec<FireBatch>) -> Result<Vec<RecordedFires>>;

    /// The ledger of one task, newest first.
    async fn fires(&self, task: TaskId, limit: usize) -> Result<Vec<Fire>>;

    // ── Runs ─────────────────────────────────────────────────────────────────────────────────

    /// Accepts runs of one task.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an unknown task, [`StoreError::Overloaded`] when too much
    /// waits already.
    async fn enqueue(&self, enqueue: Enqueue, write: Write<Enqueued>) -> Result<Enqueued>;

    /// Claims waiting runs: counts the attempt of each and makes that durable before it returns.
    /// Waits up to `wait` for the first; an empty answer means the wait is over. A call that is
    /// dropped gives back what it would have brought, with no attempt counted.
    async fn claim(&self, claim: Claim) -> Result<Vec<Lease>>;

    /// Records how attempts ended. A finish whose epoch is not the run's live one is stale: it is
    /// dropped and named, and never aborts the others.
    async fn finish(&self, finishes: Vec<Finish>) -> Result<Finished>;

    /// Extends the leases of a remote worker, and says which of its runs it lost and which it
    /// should stop.
    async fn renew(&self, worker: &WorkerName, held: Vec<(RunId, Epoch)>) -> Result<Renewed>;

    /// Takes back the runs of expired leases and settles each by its task's rules.
    async fn reap(&self) -> Result<Reaped>;

    /// Cancels a run: at once if it waits, by a durable request if it is running.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] when it has ended.
    async fn cancel_run(&self, run: RunId, write: Write<Cancelled>) -> Result<Cancelled>;

    /// Queues a new run with the task and input of an ended one, which it names.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] also when its task is gone; [`StoreError::Conflict`] unless it
    /// has ended.
    async fn replay_run(&self, run: RunId, write: Write<Replayed>) -> Result<Replayed>;

    async fn run(&self, run: RunId) -> Result<Option<Run>>;

    /// Attempts that did not end the run, oldest first.
    async fn attempts(&self, run: RunId) -> Result<Vec<Attempt>>;

    /// Runs by id, newest first. A page visits a bounded number of rows and ends with the one that
    /// fills its bytes: it may be short, or empty, and still have a cursor.
    async fn runs(&self, filter: RunFilter) -> Result<RunPage>;

    /// The captured output of each attempt that left some, oldest first.
    async fn run_log(&self, run: RunId) -> Result<Vec<AttemptLog>>;

    // ── Care ─────────────────────────────────────────────────────────────────────────────────

    /// Drops what retention no longer keeps, whole segments at a time.
    async fn apply_retention(&self, policy: RetentionPolicy) -> Result<RetentionReport>;

    /// Copies the whole store, online, into the new directory `into`, and verifies the copy.
    async fn backup(&self, into: &Path) -> Result<BackupReport>;

    /// Commits what is accepted, settles the log and lets go of the files. Idempotent.
    async fn close(&self);
}

/// What kind of store this is, for people and for `/api/v1/info`.
#[derive(Clone, Debug)]
pub struct StoreInfo {
    pub kind: &'static str,
    pub library_version: String,
    /// `full`: a 2xx survives power loss; `normal`: it survives a crash of the process.
    pub durability: &'static str,
    pub path: Option<PathBuf>,
    pub schema_version: i64,
}

/// A key to create. The secret itself never reaches the store.
#[derive(Clone, Debug)]
pub struct NewKey {
    pub name: String,
    pub scopes: Scopes,
    /// SHA-256 of the whole text of the key.
    pub hash: [u8; 32],
    pub shown: String,
    pub limit: Option<autom8_model::api_key::KeyLimit>,
    pub expires_at: Option<Timestamp>,
}

/// Lifetime counts; retention never lowers them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub by_type: Vec<(TaskType, TypeTotals)>,
    /// Waiting now, those backing off included.
    pub queued: u64,
    /// Covered by a live receipt now.
    pub running: u64,
    pub tasks: u64,
    pub contacts: u64,
    /// Finishes refused because their epoch was not the live one.
    pub stale_finishes: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypeTotals {
    pub completed: u64,
    pub failed: u64,
    pub interrupted: u64,
    pub cancelled: u64,
    pub running: u64,
}

impl Totals {
    /// All types together.
    pub fn sum(&self) -> TypeTotals {
        self.by_type
            .iter()
            .fold(TypeTotals::default(), |sum, (_, one)| TypeTotals {
                completed: sum.completed + one.completed,
                failed: sum.failed + one.failed,
                interrupted: sum.interrupted + one.interrupted,
                cancelled: sum.cancelled + one.cancelled,
                running: sum.running + one.running,
            })
    }
}

#[derive(Clone, Debug)]
pub struct DeletedTask {
    pub cancelled: u64,
    pub running: Vec<RunId>,
}

/// Planned times of one task that are due, as [`autom8_model::schedule`] decided them.
#[derive(Clone, Debug)]
pub struct FireBatch {
    pub task: TaskId,
    /// The revision the times were computed for; a changed task makes nothing of them.
    pub rev: u32,
    pub fires: Vec<PlannedFire>,
    /// Everything up to here is accounted for by `fires`.
    pub fired_through: Timestamp,
}

#[derive(Clone, Debug, Default)]
pub struct RecordedFires {
    /// The task changed or is paused: its times are to be computed anew.
    pub outdated: bool,
    pub runs: Vec<RunId>,
    pub skipped: u64,
    /// Running runs that `overlap: "replace"` asked to stop.
    pub to_cancel: Vec<RunId>,
}

/// One row of the fire ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fire {
    pub planned_at: Timestamp,
    pub outcome: FireOutcome,
    pub run: Option<RunId>,
    /// For a summary of several missed times: the last one, and how many.
    pub through: Timestamp,
    pub count: u64,
    pub recorded_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FireOutcome {
    /// It made a run.
    Ran,
    /// An earlier run of the schedule had not ended.
    Skipped,
    /// Missed and made up for by a later time.
    Coalesced,
    /// Missed, and the task says not to make up for it.
    Missed,
}

impl FireOutcome {
    pub fn as_str(self) -> &'static str {
        match self {
            FireOutcome::Ran => "ran",
            FireOutcome::Skipped => "skipped",
            FireOutcome::Coalesced => "coalesced",
            FireOutcome::Missed => "missed",
        }
    }
}

/// Runs of one task to accept, one for each input.
#[derive(Clone, Debug)]
pub struct Enqueue {
    pub task: TaskName,
    pub trigger: Trigger,
    pub inputs: Inputs,
}

#[derive(Clone, Debug, Default)]
pub struct Enqueued {
    /// Ascending, inclusive; one range unless other writes came between slices of a batch.
    pub ids: Vec<(RunId, RunId)>,
    pub queued_at: Timestamp,
    /// As it was when its runs were queued; `None` where nothing was to be queued.
    pub task: Option<Arc<Task>>,
}

/// The new run of an ended one.
#[derive(Clone, Debug)]
pub struct Replayed {
    pub run: RunId,
    pub queued_at: Timestamp,
    pub task: Arc<Task>,
    /// The input of both, as JSON.
    pub input: Option<Vec<u8>>,
}

impl Enqueued {
    pub fn iter(&self) -> impl Iterator<Item = RunId> + '_ {
        self.ids
            .iter()
            .flat_map(|(first, last)| (first.0..=last.0).map(RunId))
    }

    pub fn count(&self) -> u64 {
        self.ids
            .iter()
            .map(|(first, last)| (last.0 - first.0 + 1) as u64)
            .sum()
    }
}

#[derive(Clone, Debug)]
pub struct Claim {
    pub worker: WorkerName,
    pub lane: Lane,
    /// Empty means any.
    pub queues: Vec<String>,
    pub runs_max: usize,
    pub wait: Duration,
    /// `None` for the process that owns the store: its death is judged by its boot.
    pub lease: Option<Duration>,
}

/// A right to one attempt.
#[derive(Clone, Debug)]
pub struct Lease {
    pub claimed: Claimed,
    pub task: Arc<Task>,
    pub epoch: Epoch,
    pub lease_until: Option<Timestamp>,
    pub input: Option<RunInput>,
}

/// The input of a claimed run: a span of memory that is there already, or bytes that were read.
#[derive(Clone, Debug)]
pub enum RunInput {
    Shared(Inputs, u32),
    Read(Vec<u8>),
}

impl RunInput {
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            RunInput::Shared(inputs, index) => inputs.get(*index as usize).unwrap_or_default(),
            RunInput::Read(bytes) => bytes,
        }
    }
}

/// How one attempt ended, decided by [`autom8_model::transition::settle`].
#[derive(Clone, Debug)]
pub struct Finish {
    pub run: RunId,
    pub epoch: Epoch,
    pub attempt: u16,
    pub task_type: TaskType,
    pub decision: Decision,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub result: Option<Vec<u8>>,
    pub error: Option<String>,
    pub log: Option<CapturedLog>,
}

/// Output captured of one attempt.
#[derive(Clone, Debug)]
pub struct CapturedLog {
    pub bytes: Vec<u8>,
    pub truncated: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    pub accepted: u64,
    pub stale: Vec<RunId>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    pub lost: Vec<RunId>,
    pub cancel: Vec<RunId>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    pub requeued: u64,
    pub ended: u64,
}

/// The error of a run that was cancelled before it began.
pub const CANCELLED_WAITING: &str = "cancelled while it waited";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It waited, and is cancelled since then.
    AtOnce { at: Timestamp },
    /// It runs; the request is durable and its executor is to be stopped.
    Requested,
}

#[derive(Clone, Debug)]
pub struct Attempt {
    pub attempt: u16,
    pub epoch: Epoch,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub error: Option<String>,
}

#[derive(Clone, Debug)]
pub struct AttemptLog {
    pub attempt: u16,
    pub bytes: Vec<u8>,
    pub summary: LogSummary,
}

/// Which runs a list shows.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    pub task: Option<TaskName>,
    pub task_type: Option<TaskType>,
    pub states: Vec<RunState>,
    pub trigger: Option<Trigger>,
    /// Queued at or after.
    pub since: Option<Timestamp>,
    /// Queued before.
    pub until: Option<Timestamp>,
    /// Only runs older than this one: the cursor.
    pub before: Option<RunId>,
    pub limit: usize,
}

#[derive(Clone, Debug, Default)]
pub struct RunPage {
    pub runs: Vec<Run>,
    /// Where the next page starts, if there may be more.
    pub next: Option<RunId>,
}

/// What of the history is kept. The first bound that is reached drops.
#[derive(Clone, Debug)]
pub struct RetentionPolicy {
    pub age_max: Duration,
    pub runs_max: u64,
    pub bytes_max: u64,
    /// Age of the oldest entry of the audit log that is kept.
    pub audit_age_max: Duration,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionReport {
    pub segments_dropped: u64,
    pub runs_dropped: u64,
    pub bytes_freed: u64,
    pub fires_dropped: u64,
    pub audit_entries_dropped: u64,
}

#[derive(Clone, Debug)]
pub struct BackupReport {
    pub path: PathBuf,
    pub bytes: u64,
    pub tasks: u64,
    pub runs: u64,
    pub sha256: String,
}
