//! A store in memory: what the engine needs of one, and faults on order.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use autom8_model::contact::{Email, Phone};
use autom8_model::ready::{ClaimRequest, Lane, ReadyQueue, Span, TaskTraits};
use autom8_model::schedule::FireOutcome;
use autom8_model::transition::Decision;
use autom8_model::{
    ApiKey, AuditEntry, AuditId, Clock, Contact, ContactDraft, ContactId, ContactPatch, Epoch,
    KeyId, Monotonic, Run, RunId, RunState, Task, TaskId, TaskName, TaskSpec, Timestamp,
    WorkerName,
};
use autom8_store::*;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::timer;

pub(super) struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    version: watch::Sender<u64>,
}

#[derive(Default)]
pub(super) struct State {
    tasks: BTreeMap<TaskName, Arc<Task>>,
    ready: ReadyQueue,
    /// Claimed runs: the epoch and whether a cancel was asked for.
    pub(super) running: HashMap<RunId, (Epoch, bool)>,
    by_run: HashMap<RunId, Arc<Task>>,
    last_run: HashMap<TaskId, RunId>,
    ended: HashSet<RunId>,
    last_id: i64,
    last_epoch: i64,
    /// Every accepted finish, in order.
    pub(super) finishes: Vec<Finish>,
    pub(super) fires: BTreeMap<(TaskId, Timestamp), FireOutcome>,
    pub(super) fire_transactions: usize,
    /// Taken from the front, one a call.
    pub(super) claim_faults: VecDeque<StoreError>,
    pub(super) finish_faults: VecDeque<StoreError>,
    pub(super) fire_faults: VecDeque<StoreError>,
    /// A finish of this run is refused for good, whatever comes with it.
    pub(super) cursed: Option<RunId>,
    /// Finishes of this run are stale.
    pub(super) stale: Option<RunId>,
    /// When expired leases were looked for.
    pub(super) reaps: Vec<Timestamp>,
}

pub(super) fn unavailable() -> StoreError {
    StoreError::Unavailable {
        why: "a test says so".to_owned(),
    }
}

fn refused() -> StoreError {
    StoreError::Backend {
        statement: "test",
        message: "not of this store".to_owned(),
    }
}

impl MemoryStore {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        MemoryStore {
            clock,
            state: Mutex::default(),
            version: watch::Sender::new(0),
        }
    }

    pub(super) fn edit<T>(&self, edit: impl FnOnce(&mut State) -> T) -> T {
        let edited = edit(&mut self.state.lock());
        self.version.send_modify(|version| *version += 1);
        edited
    }

    /// What can be claimed now, and when a backoff ends.
    fn claim_now(&self, claim: &Claim) -> Result<(Vec<Lease>, Option<Monotonic>)> {
        self.edit_if(|state| {
            if let Some(fault) = state.claim_faults.pop_front() {
                return (Err(fault), true);
            }
            let now = self.clock.monotonic();
            for span in state.ready.take_due(now) {
                state.ready.push(span).unwrap();
            }
            let retry_due = state.ready.next_due();
            let request = ClaimRequest {
                lane: claim.lane,
                queues: claim.queues.clone(),
                runs_max: claim.runs_max,
            };
            let claimed = state.ready.claim(&request, now);
            state.last_epoch += 1;
            let epoch = Epoch(state.last_epoch);
            let mut leases = Vec::with_capacity(claimed.len());
            for claimed in claimed {
                state.running.insert(claimed.run, (epoch, false));
                let inputs = claimed.inputs.clone();
                leases.push(Lease {
                    task: state.by_run[&claimed.run].clone(),
                    input: inputs.map(|(inputs, index)| RunInput::Shared(inputs, index)),
                    epoch,
                    lease_until: None,
                    claimed,
                });
            }
            let changed = !leases.is_empty();
            (Ok((leases, retry_due)), changed)
        })
    }

    fn edit_if<T>(&self, edit: impl FnOnce(&mut State) -> (T, bool)) -> T {
        let (edited, changed) = edit(&mut self.state.lock());
        if changed {
            self.version.send_modify(|version| *version += 1);
        }
        edited
    }

    /// Waits until `found` finds something; an hour of virtual time is enough for anything.
    pub(super) async fn wait<T>(&self, found: impl Fn(&State) -> Option<T>) -> T {
        let mut version = self.version.subscribe();
        let search = async {
            loop {
                version.borrow_and_update();
                if let Some(found) = found(&self.state.lock()) {
                    return found;
                }
                version.changed().await.unwrap();
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(3_600), search)
            .await
            .expect("what the test waits for never came")
    }
}

impl State {
    fn queue(
        &mut self,
        task: &Arc<Task>,
        inputs: Option<(autom8_model::Inputs, u32)>,
        now: Timestamp,
    ) -> RunId {
        self.last_id += 1;
        let run = RunId(self.last_id);
        self.ready.learn(TaskTraits {
            task: task.id,
            rev: task.rev,
            queue: task.spec.queue.clone(),
            priority: task.spec.priority,
            lane: if task.spec.action.is_instant() {
                Lane::Instant
            } else {
                Lane::Slot
            },
            max_attempts: task.spec.retry.max_attempts,
            single: false,
        });
        self.by_run.insert(run, task.clone());
        self.last_run.insert(task.id, run);
        self.ready.push(span(run, task, 0, now, inputs)).unwrap();
        run
    }
}

fn span(
    first: RunId,
    task: &Task,
    attempt: u16,
    queued_at: Timestamp,
    inputs: Option<(autom8_model::Inputs, u32)>,
) -> Span {
    Span {
        first,
        count: 1,
        task: task.id,
        rev: task.rev,
        attempt,
        queued_at,
        inputs,
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn describe(&self) -> StoreInfo {
        StoreInfo {
            kind: "memory",
            library_version: String::new(),
            durability: "none",
            path: None,
            schema_version: 0,
        }
    }

    fn totals(&self) -> Totals {
        Totals::default()
    }

    async fn create_contact(&self, _: ContactDraft, _: Write<Contact>) -> Result<Contact> {
        Err(refused())
    }

    async fn create_contacts(
        &self,
        _: Vec<ContactDraft>,
        _: Write<Vec<Result<ContactId>>>,
    ) -> Result<Vec<Result<ContactId>>> {
        Err(refused())
    }

    async fn update_contact(
        &self,
        _: ContactId,
        _: ContactPatch,
        _: Write<Contact>,
    ) -> Result<Contact> {
        Err(refused())
    }

    async fn delete_contact(&self, _: ContactId, _: Write<()>) -> Result<()> {
        Err(refused())
    }

    async fn contact(&self, _: ContactId) -> Result<Option<Contact>> {
        Err(refused())
    }

    async fn contact_by_phone(&self, _: &Phone) -> Result<Option<Contact>> {
        Err(refused())
    }

    async fn contact_by_email(&self, _: &Email) -> Result<Option<Contact>> {
        Err(refused())
    }

    async fn contacts(&self, _: ContactFilter) -> Result<ContactPage> {
        Err(refused())
    }

    async fn import_contacts(&self, _: ImportSlice) -> Result<ContactImport> {
        Err(refused())
    }

    async fn contact_import(&self, _: RunId) -> Result<Option<ContactImport>> {
        Err(refused())
    }

    async fn rehearse_import(&self, _: &Path) -> Result<Box<dyn ImportRehearsal>> {
        Err(refused())
    }

    fn contact_stamp(&self, _: ContactId) -> u64 {
        0
    }

    fn contacts_stamp(&self) -> u64 {
        0
    }

    async fn create_key(&self, _: NewKey, _: Write<Arc<ApiKey>>) -> Result<Arc<ApiKey>> {
        Err(refused())
    }

    async fn delete_key(&self, _: KeyId, _: Write<()>) -> Result<()> {
        Err(refused())
    }

    async fn touch_keys(&self, _: Vec<(KeyId, Timestamp)>) -> Result<()> {
        Err(refused())
    }

    fn keys(&self) -> Vec<Arc<ApiKey>> {
        Vec::new()
    }

    fn key_by_hash(&self, _: &[u8; 32]) -> Option<Arc<ApiKey>> {
        None
    }

    fn has_keys(&self) -> bool {
        false
    }

    async fn remembered_answer(&self, _: &IdempotencyKey) -> Result<Option<RememberedAnswer>> {
        Err(refused())
    }

    async fn forget_answers(&self) -> Result<u64> {
        Err(refused())
    }

    async fn audit_log(&self, _: Option<AuditId>, _: usize) -> Result<Vec<AuditEntry>> {
        Err(refused())
    }

    async fn create_task(&self, spec: TaskSpec, _: Write<Arc<Task>>) -> Result<Arc<Task>> {
        let now = self.clock.now();
        Ok(self.edit(|state| {
            let task = Arc::new(Task {
                id: TaskId(state.tasks.len() as i64 + 1),
                rev: 1,
                anchor_at: now,
                fired_through: now,
                created_at: now,
                updated_at: now,
                spec,
            });
            state.tasks.insert(task.spec.name.clone(), task.clone());
            task
        }))
    }

    async fn update_task(&self, spec: TaskSpec, _: Write<Arc<Task>>) -> Result<Arc<Task>> {
        let now = self.clock.now();
        Ok(self.edit(|state| {
            let old = state.tasks.get(&spec.name).unwrap();
            let task = Task {
                rev: old.rev + 1,
                anchor_at: now,
                fired_through: now,
                spec,
                ..**old
            };
            let task = Arc::new(task);
            state.tasks.insert(task.spec.name.clone(), task.clone());
            task
        }))
    }

    async fn set_task_enabled(
        &self,
        _: &TaskName,
        _: bool,
        _: Write<Arc<Task>>,
    ) -> Result<Arc<Task>> {
        Err(refused())
    }

    async fn delete_task(&self, _: &TaskName, _: Write<DeletedTask>) -> Result<DeletedTask> {
        Err(refused())
    }

    async fn task(&self, name: &TaskName) -> Result<Option<Arc<Task>>> {
        Ok(self.state.lock().tasks.get(name).cloned())
    }

    async fn tasks(&self, after: Option<&TaskName>, limit: usize) -> Result<Vec<Arc<Task>>> {
        let state = self.state.lock();
        let later = state
            .tasks
            .iter()
            .filter(|(name, _)| after.is_none_or(|after| *name > after));
        Ok(later.take(limit).map(|(_, task)| task.clone()).collect())
    }

    async fn record_fires(&self, batches: Vec<FireBatch>) -> Result<Vec<RecordedFires>> {
        let now = self.clock.now();
        self.edit(|state| {
            if let Some(fault) = state.fire_faults.pop_front() {
                return Err(fault);
            }
            state.fire_transactions += 1;
            let mut recorded = Vec::new();
            for batch in batches {
                let task = state
                    .tasks
                    .values()
                    .find(|task| task.id == batch.task)
                    .cloned();
                let Some(task) = task.filter(|task| task.rev == batch.rev) else {
                    recorded.push(RecordedFires {
                        outdated: true,
                        ..RecordedFires::default()
                    });
                    continue;
                };
                let mut one = RecordedFires::default();
                for fire in batch.fires {
                    let key = (task.id, fire.planned_at);
                    if state.fires.insert(key, fire.outcome).is_some() {
                        continue;
                    }
                    if fire.outcome == FireOutcome::Run {
                        if task.spec.overlap == autom8_model::task::Overlap::Replace
                            && let Some(last) = state.last_run.get(&task.id).copied()
                            && let Some((_, cancel)) = state.running.get_mut(&last)
                        {
                            *cancel = true;
                            one.to_cancel.push(last);
                        }
                        one.runs.push(state.queue(&task, None, now));
                    }
                }
                recorded.push(one);
            }
            Ok(recorded)
        })
    }

    async fn fires(&self, _: TaskId, _: usize) -> Result<Vec<Fire>> {
        Err(refused())
    }

    async fn enqueue(&self, enqueue: Enqueue, _: Write<Enqueued>) -> Result<Enqueued> {
        let now = self.clock.now();
        Ok(self.edit(|state| {
            let task = state.tasks.get(&enqueue.task).unwrap().clone();
            let first = RunId(state.last_id + 1);
            let mut last = first;
            for index in 0..enqueue.inputs.len() {
                last = state.queue(&task, Some((enqueue.inputs.clone(), index as u32)), now);
            }
            Enqueued {
                queued_at: now,
                task: None,
                ids: vec![(first, last)],
            }
        }))
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Lease>> {
        let mut version = self.version.subscribe();
        let wait_until = self.clock.now().plus(claim.wait);
        loop {
            version.borrow_and_update();
            let (leases, retry_due) = self.claim_now(&claim)?;
            let now = self.clock.now();
            if !leases.is_empty() || now >= wait_until {
                return Ok(leases);
            }
            let backoff = retry_due.map(|due| due.since(self.clock.monotonic()));
            let rest = wait_until.since(now);
            let sleep = backoff.map_or(rest, |backoff| backoff.min(rest));
            tokio::select! {
                () = timer::sleep(sleep) => {}
                _ = version.changed() => {}
            }
        }
    }

    async fn finish(&self, finishes: Vec<Finish>) -> Result<Finished> {
        self.edit(|state| {
            if let Some(fault) = state.finish_faults.pop_front() {
                return Err(fault);
            }
            if state
                .cursed
                .is_some_and(|run| finishes.iter().any(|finish| finish.run == run))
            {
                return Err(StoreError::Corrupt {
                    table: "outcomes".to_owned(),
                    row: 1,
                    what: "a test says so".to_owned(),
                });
            }
            let mut finished = Finished::default();
            for finish in finishes {
                let live = state.running.get(&finish.run).map(|(epoch, _)| *epoch);
                if state.stale == Some(finish.run) || live != Some(finish.epoch) {
                    finished.stale.push(finish.run);
                    continue;
                }
                state.running.remove(&finish.run);
                finished.accepted += 1;
                match finish.decision {
                    Decision::End(_) => assert!(state.ended.insert(finish.run), "ended twice"),
                    Decision::RetryAt(at) => {
                        let task = state.by_run[&finish.run].clone();
                        let again =
                            span(finish.run, &task, finish.attempt, finish.started_at, None);
                        let due = self.clock.monotonic().plus(at.since(self.clock.now()));
                        state.ready.push_delayed(due, again);
                    }
                }
                state.finishes.push(finish);
            }
            Ok(finished)
        })
    }

    async fn renew(&self, _: &WorkerName, _: Vec<(RunId, Epoch)>) -> Result<Renewed> {
        Err(refused())
    }

    async fn reap(&self) -> Result<Reaped> {
        let now = self.clock.now();
        self.edit(|state| state.reaps.push(now));
        Ok(Reaped::default())
    }

    async fn cancel_run(&self, run: RunId, _: Write<Cancelled>) -> Result<Cancelled> {
        self.edit(|state| match state.running.get_mut(&run) {
            Some((_, cancel)) => {
                *cancel = true;
                Ok(Cancelled::Requested)
            }
            None => Err(StoreError::Conflict {
                why: "it does not run".to_owned(),
            }),
        })
    }

    async fn replay_run(&self, _: RunId, _: Write<Replayed>) -> Result<Replayed> {
        Err(refused())
    }

    async fn run(&self, _: RunId) -> Result<Option<Run>> {
        Err(refused())
    }

    async fn attempts(&self, _: RunId) -> Result<Vec<Attempt>> {
        Err(refused())
    }

    async fn runs(&self, _: RunFilter) -> Result<RunPage> {
        Err(refused())
    }

    async fn run_log(&self, _: RunId) -> Result<Vec<AttemptLog>> {
        Err(refused())
    }

    async fn apply_retention(&self, _: RetentionPolicy) -> Result<RetentionReport> {
        Err(refused())
    }

    async fn backup(&self, _: &Path) -> Result<BackupReport> {
        Err(refused())
    }

    async fn close(&self) {}
}

/// How many runs have ended in a state.
pub(super) fn ended_as(state: &State, wanted: RunState) -> usize {
    state
        .finishes
        .iter()
        .filter(|finish| finish.decision == Decision::End(wanted))
        .count()
}
