//! The operations of the trait, each handed to the file of its noun.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use autom8_model::ready::ClaimRequest;
use autom8_model::{Epoch, Run, RunId, Task, TaskId, TaskName, TaskSpec, WorkerName, limits};
use tokio::sync::oneshot;

use super::claims::{Granted, LiveClaim, PendingClaim};
use super::inbox::{Command, PendingDeletion, PendingFinish};
use super::runs::PendingEnqueue;
use super::{
    FINISHES_MAX, PACK_INLINE_BYTES_MAX, SqliteStore, backup, fires, leases, lists, pack, reads,
    writer_gone,
};
use crate::{
    Attempt, AttemptLog, BackupReport, Cancelled, Claim, DeletedTask, Enqueue, Enqueued, Finish,
    Finished, Fire, FireBatch, Lease, Reaped, RecordedFires, Renewed, Result, RetentionPolicy,
    RetentionReport, RunFilter, RunPage, Statement, Store, StoreError, StoreInfo, Totals,
};

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
            Command::DeleteTask(PendingDeletion { name, reply })
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
        let leased = |claim: &Arc<LiveClaim>| claim.lease_until().is_some();
        if !self.shared.claims.read().values().any(leased) {
            return self.inbox.check_open().map(|()| Reaped::default());
        }
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
