//! The operations of the trait, each handed to the file of its noun.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use autom8_model::contact::{Email, Phone};
use autom8_model::ready::ClaimRequest;
use autom8_model::{
    ApiKey, AuditAction, AuditEntry, AuditId, Contact, ContactDraft, ContactId, ContactPatch,
    Epoch, KeyId, Run, RunId, Task, TaskId, TaskName, TaskSpec, Timestamp, WorkerName, limits,
};
use tokio::sync::oneshot;

use super::claims::{Granted, LiveClaim, PendingClaim};
use super::inbox::{Command, PendingDeletion, PendingFinish};
use super::operation::Operation;
use super::runs::PendingEnqueue;
use super::{
    FINISHES_MAX, PACK_INLINE_BYTES_MAX, SqliteStore, backup, contact_imports, contact_lists,
    contacts, fires, leases, lists, noted, notes, pack, reads, writer_gone,
};
use crate::{
    Attempt, AttemptLog, BackupReport, Cancelled, Claim, ContactFilter, ContactImport, ContactPage,
    DeletedTask, Enqueue, Enqueued, Finish, Finished, Fire, FireBatch, IdempotencyKey,
    ImportRehearsal, ImportSlice, Lease, NewKey, Reaped, RecordedFires, RememberedAnswer, Renewed,
    Replayed, Result, RetentionPolicy, RetentionReport, RunFilter, RunPage, Statement, Store,
    StoreError, StoreInfo, Totals, Write,
};

/// Contacts of a batch that are written in one group: some ten milliseconds of the writer.
const CONTACTS_SLICE: usize = 500;

fn task_name(task: &Arc<Task>) -> String {
    task.spec.name.to_string()
}

#[async_trait]
impl Store for SqliteStore {
    fn describe(&self) -> StoreInfo {
        self.info.clone()
    }

    fn totals(&self) -> Totals {
        self.shared.totals.read().clone()
    }

    async fn create_contact(&self, draft: ContactDraft, write: Write<Contact>) -> Result<Contact> {
        let target = |contact: &Contact| contact.id.to_string();
        let action = AuditAction::ContactCreate;
        let create = noted(write, action, target, |writer, group| {
            writer.create_contact(draft, group)
        });
        // A phone or an e-mail that is taken refuses the first of its rows.
        self.ask(Statement::ContactCreate, |reply| {
            Command::Small(Box::new(Operation::refusing_first(create, reply)))
        })
        .await
    }

    async fn create_contacts(
        &self,
        drafts: Vec<ContactDraft>,
        write: Write<Vec<Result<ContactId>>>,
    ) -> Result<Vec<Result<ContactId>>> {
        let slice = if write.idempotency.is_some() {
            limits::BATCH_CONTACTS_MAX
        } else {
            CONTACTS_SLICE
        };
        let mut answers = Vec::with_capacity(drafts.len());
        let author = write.author.clone();
        let mut whole = Some(write);
        let mut rest = drafts;
        while !rest.is_empty() {
            let later = rest.split_off(rest.len().min(slice));
            let drafts = std::mem::replace(&mut rest, later);
            let count = drafts.len();
            let write = whole.take().unwrap_or_else(|| Write {
                author: author.clone(),
                idempotency: None,
            });
            let target = |made: &Vec<Result<ContactId>>| {
                format!("{} contacts", made.iter().filter(|one| one.is_ok()).count())
            };
            let made = self
                .operate_for(
                    Statement::ContactsCreate,
                    write,
                    AuditAction::ContactBatch,
                    target,
                    |writer, group| writer.create_contacts(drafts, group),
                )
                .await;
            match made {
                Ok(made) => answers.extend(made),
                Err(error) if answers.is_empty() => return Err(error),
                // What stands before it is stored, and its ids are told.
                Err(error) => answers.extend(std::iter::repeat_n(Err(error), count)),
            }
        }
        Ok(answers)
    }

    async fn update_contact(
        &self,
        id: ContactId,
        patch: ContactPatch,
        write: Write<Contact>,
    ) -> Result<Contact> {
        let target = |contact: &Contact| contact.id.to_string();
        self.operate_for(
            Statement::ContactUpdate,
            write,
            AuditAction::ContactUpdate,
            target,
            move |writer, group| writer.update_contact(id, &patch, group),
        )
        .await
    }

    async fn delete_contact(&self, id: ContactId, write: Write<()>) -> Result<()> {
        self.operate_for(
            Statement::ContactDelete,
            write,
            AuditAction::ContactDelete,
            move |()| id.to_string(),
            move |writer, group| writer.delete_contact(id, group),
        )
        .await
    }

    async fn contact(&self, id: ContactId) -> Result<Option<Contact>> {
        self.read(Statement::ContactGet, |connection| {
            contacts::by_id(connection, id)
        })
    }

    async fn contact_by_phone(&self, phone: &Phone) -> Result<Option<Contact>> {
        self.read(Statement::ContactByPhone, |connection| {
            contacts::by_phone(connection, phone)
        })
    }

    async fn contact_by_email(&self, email: &Email) -> Result<Option<Contact>> {
        self.read(Statement::ContactByEmail, |connection| {
            contacts::by_email(connection, email)
        })
    }

    async fn contacts(&self, filter: ContactFilter) -> Result<ContactPage> {
        let bounds = contact_lists::Bounds::default();
        let page = if contact_lists::is_quick(&filter) {
            self.read(Statement::ContactsList, |connection| {
                contact_lists::page(connection, &filter, bounds)
            })?
        } else {
            self.scan(Statement::ContactsList, move |connection, _| {
                contact_lists::page(connection, &filter, bounds)
            })
            .await?
        };
        page.map_err(StoreError::Invalid)
    }

    async fn import_contacts(&self, slice: ImportSlice) -> Result<ContactImport> {
        self.operate(Statement::ContactsImport, |writer, group| {
            writer.import_contacts(slice, group)
        })
        .await
    }

    async fn contact_import(&self, run: RunId) -> Result<Option<ContactImport>> {
        self.read(Statement::ContactImportGet, |connection| {
            contact_imports::by_run(connection, run)
        })
    }

    async fn rehearse_import(&self, scratch: &Path) -> Result<Box<dyn ImportRehearsal>> {
        self.start_rehearsal(scratch).await
    }

    fn contact_stamp(&self, id: ContactId) -> u64 {
        self.shared.contact_stamps.of(id)
    }

    fn contacts_stamp(&self) -> u64 {
        self.shared.contact_stamps.of_all()
    }

    async fn create_key(&self, key: NewKey, write: Write<Arc<ApiKey>>) -> Result<Arc<ApiKey>> {
        let target = |key: &Arc<ApiKey>| format!("{} `{}`", key.id, key.name);
        self.operate_for(
            Statement::KeyCreate,
            write,
            AuditAction::KeyCreate,
            target,
            |writer, group| writer.create_key(key, group),
        )
        .await
    }

    async fn delete_key(&self, id: KeyId, write: Write<()>) -> Result<()> {
        self.operate_for(
            Statement::KeyDelete,
            write,
            AuditAction::KeyDelete,
            move |()| id.to_string(),
            move |writer, group| writer.delete_key(id, group),
        )
        .await
    }

    async fn touch_keys(&self, used: Vec<(KeyId, Timestamp)>) -> Result<()> {
        if used.is_empty() {
            return Ok(());
        }
        self.operate(Statement::KeysTouch, |writer, group| {
            writer.touch_keys(used, group)
        })
        .await
    }

    fn keys(&self) -> Vec<Arc<ApiKey>> {
        self.shared.keys.read().by_id()
    }

    fn key_by_hash(&self, hash: &[u8; 32]) -> Option<Arc<ApiKey>> {
        self.shared.keys.read().by_hash(hash).cloned()
    }

    fn has_keys(&self) -> bool {
        !self.shared.keys.read().is_empty()
    }

    async fn remembered_answer(&self, key: &IdempotencyKey) -> Result<Option<RememberedAnswer>> {
        self.read(Statement::AnswerGet, |connection| {
            notes::answer(connection, key)
        })
    }

    async fn forget_answers(&self) -> Result<u64> {
        let mut all = 0;
        loop {
            let forgotten = self
                .operate(Statement::AnswersForget, |writer, group| {
                    Ok(writer.forget_answers(group)?)
                })
                .await?;
            if forgotten == 0 {
                return Ok(all);
            }
            all += forgotten;
        }
    }

    async fn audit_log(&self, before: Option<AuditId>, limit: usize) -> Result<Vec<AuditEntry>> {
        self.scan(Statement::AuditLog, move |connection, _| {
            notes::audit_log(connection, before, limit)
        })
        .await
    }

    async fn create_task(&self, spec: TaskSpec, write: Write<Arc<Task>>) -> Result<Arc<Task>> {
        self.operate_for(
            Statement::TaskCreate,
            write,
            AuditAction::TaskCreate,
            task_name,
            |writer, group| writer.create_task(spec, group),
        )
        .await
    }

    async fn update_task(&self, spec: TaskSpec, write: Write<Arc<Task>>) -> Result<Arc<Task>> {
        self.operate_for(
            Statement::TaskUpdate,
            write,
            AuditAction::TaskUpdate,
            task_name,
            |writer, group| writer.update_task(spec, group),
        )
        .await
    }

    async fn set_task_enabled(
        &self,
        name: &TaskName,
        enabled: bool,
        write: Write<Arc<Task>>,
    ) -> Result<Arc<Task>> {
        let name = name.clone();
        let action = if enabled {
            AuditAction::TaskResume
        } else {
            AuditAction::TaskPause
        };
        self.operate_for(
            Statement::TaskEnable,
            write,
            action,
            task_name,
            move |writer, group| writer.set_task_enabled(&name, enabled, group),
        )
        .await
    }

    async fn delete_task(&self, name: &TaskName, write: Write<DeletedTask>) -> Result<DeletedTask> {
        let name = name.clone();
        self.ask(Statement::TaskDelete, |reply| {
            Command::DeleteTask(PendingDeletion { name, write, reply })
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

    async fn enqueue(&self, enqueue: Enqueue, write: Write<Enqueued>) -> Result<Enqueued> {
        if enqueue.inputs.is_empty() {
            return Ok(Enqueued::default());
        }
        self.ask(Statement::RunsEnqueue, |reply| {
            Command::Enqueue(PendingEnqueue {
                enqueue,
                write,
                reply,
            })
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
        let leased = |claim: &Arc<LiveClaim>| claim.lease_until().is_some();
        if !self.shared.claims.read().values().any(leased) {
            return self.inbox.check_open().map(|()| Reaped::default());
        }
        self.operate(Statement::LeasesReap, |writer, group| writer.reap(group))
            .await
    }

    async fn cancel_run(&self, run: RunId, write: Write<Cancelled>) -> Result<Cancelled> {
        self.operate_for(
            Statement::RunCancel,
            write,
            AuditAction::RunCancel,
            move |_| run.to_string(),
            move |writer, group| writer.cancel_run(run, group),
        )
        .await
    }

    async fn replay_run(&self, run: RunId, write: Write<Replayed>) -> Result<Replayed> {
        self.operate_for(
            Statement::RunReplay,
            write,
            AuditAction::RunReplay,
            move |replayed: &Replayed| format!("{run} as {}", replayed.run),
            move |writer, group| writer.replay_run(run, group),
        )
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
            all.audit_entries_dropped += step.audit_entries_dropped;
            if step.segments_dropped == 0
                && step.fires_dropped == 0
                && step.audit_entries_dropped == 0
            {
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
        let alone = Arc::clone(&self.backup).lock_owned().await;
        let started = self.clock.monotonic();
        let data = self.shared.directory.clone();
        let into = into.to_owned();
        // The copy goes on even if nobody waits for it any more, and holds the lock until its end.
        let made = tokio::task::spawn_blocking(move || {
            let made = backup::create(&data, &into);
            drop(alone);
            made
        })
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
