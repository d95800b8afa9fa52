//! A store in which nothing happens: it has counters to tell, and keeps claims waiting.

use std::future::pending;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use autom8_model::{Epoch, Run, RunId, Task, TaskId, TaskName, TaskSpec, TaskType, WorkerName};
use autom8_store::{
    Attempt, AttemptLog, BackupReport, Cancelled, Claim, DeletedTask, Enqueue, Enqueued, Finish,
    Finished, Fire, FireBatch, Lease, Reaped, RecordedFires, Renewed, Result, RetentionPolicy,
    RetentionReport, RunFilter, RunPage, Store, StoreError, StoreInfo, Totals, TypeTotals,
};

pub(crate) struct StillStore;

fn refused<T>() -> Result<T> {
    Err(StoreError::Unavailable {
        why: "nothing happens here".to_owned(),
    })
}

#[async_trait]
impl Store for StillStore {
    fn describe(&self) -> StoreInfo {
        StoreInfo {
            kind: "still",
            library_version: String::new(),
            durability: "none",
            path: None,
            schema_version: 0,
        }
    }

    fn totals(&self) -> Totals {
        let counts = TypeTotals {
            completed: 6,
            failed: 1,
            interrupted: 1,
            cancelled: 2,
            running: 3,
        };
        Totals {
            by_type: vec![(TaskType::Http, counts)],
            queued: 5,
            running: 3,
            tasks: 4,
            stale_finishes: 1,
        }
    }

    async fn create_task(&self, _: TaskSpec) -> Result<Arc<Task>> {
        refused()
    }

    async fn update_task(&self, _: TaskSpec) -> Result<Arc<Task>> {
        refused()
    }

    async fn set_task_enabled(&self, _: &TaskName, _: bool) -> Result<Arc<Task>> {
        refused()
    }

    async fn delete_task(&self, _: &TaskName) -> Result<DeletedTask> {
        refused()
    }

    async fn task(&self, _: &TaskName) -> Result<Option<Arc<Task>>> {
        Ok(None)
    }

    async fn tasks(&self, _: Option<&TaskName>, _: usize) -> Result<Vec<Arc<Task>>> {
        Ok(Vec::new())
    }

    async fn record_fires(&self, _: Vec<FireBatch>) -> Result<Vec<RecordedFires>> {
        refused()
    }

    async fn fires(&self, _: TaskId, _: usize) -> Result<Vec<Fire>> {
        Ok(Vec::new())
    }

    async fn enqueue(&self, _: Enqueue) -> Result<Enqueued> {
        refused()
    }

    async fn claim(&self, _: Claim) -> Result<Vec<Lease>> {
        pending().await
    }

    async fn finish(&self, _: Vec<Finish>) -> Result<Finished> {
        refused()
    }

    async fn renew(&self, _: &WorkerName, _: Vec<(RunId, Epoch)>) -> Result<Renewed> {
        refused()
    }

    async fn reap(&self) -> Result<Reaped> {
        Ok(Reaped::default())
    }

    async fn cancel_run(&self, _: RunId) -> Result<Cancelled> {
        refused()
    }

    async fn replay_run(&self, _: RunId) -> Result<RunId> {
        refused()
    }

    async fn run(&self, _: RunId) -> Result<Option<Run>> {
        Ok(None)
    }

    async fn attempts(&self, _: RunId) -> Result<Vec<Attempt>> {
        Ok(Vec::new())
    }

    async fn runs(&self, _: RunFilter) -> Result<RunPage> {
        Ok(RunPage::default())
    }

    async fn run_log(&self, _: RunId) -> Result<Vec<AttemptLog>> {
        Ok(Vec::new())
    }

    async fn apply_retention(&self, _: RetentionPolicy) -> Result<RetentionReport> {
        refused()
    }

    async fn backup(&self, _: &Path) -> Result<BackupReport> {
        refused()
    }

    async fn close(&self) {}
}
