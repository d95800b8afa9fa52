//! A store in which nothing happens: it has counters to tell, and keeps claims waiting.

use std::future::pending;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use autom8_model::contact::{Email, Phone};
use autom8_model::{
    ApiKey, AuditEntry, AuditId, Contact, ContactDraft, ContactId, ContactPatch, Epoch, KeyId, Run,
    RunId, Task, TaskId, TaskName, TaskSpec, TaskType, Timestamp, WorkerName,
};
use autom8_store::*;

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
            contacts: 3,
            by_type: vec![(TaskType::Http, counts)],
            queued: 5,
            running: 3,
            tasks: 4,
            stale_finishes: 1,
        }
    }

    async fn create_contact(&self, _: ContactDraft, _: Write<Contact>) -> Result<Contact> {
        refused()
    }

    async fn create_contacts(
        &self,
        _: Vec<ContactDraft>,
        _: Write<Vec<Result<ContactId>>>,
    ) -> Result<Vec<Result<ContactId>>> {
        refused()
    }

    async fn update_contact(
        &self,
        _: ContactId,
        _: ContactPatch,
        _: Write<Contact>,
    ) -> Result<Contact> {
        refused()
    }

    async fn delete_contact(&self, _: ContactId, _: Write<()>) -> Result<()> {
        refused()
    }

    async fn contact(&self, _: ContactId) -> Result<Option<Contact>> {
        refused()
    }

    async fn contact_by_phone(&self, _: &Phone) -> Result<Option<Contact>> {
        refused()
    }

    async fn contact_by_email(&self, _: &Email) -> Result<Option<Contact>> {
        refused()
    }

    async fn contacts(&self, _: ContactFilter) -> Result<ContactPage> {
        refused()
    }

    async fn import_contacts(&self, _: ImportSlice) -> Result<ContactImport> {
        refused()
    }

    async fn contact_import(&self, _: RunId) -> Result<Option<ContactImport>> {
        refused()
    }

    async fn rehearse_import(&self, _: &Path) -> Result<Box<dyn ImportRehearsal>> {
        refused()
    }

    fn contact_stamp(&self, _: ContactId) -> u64 {
        0
    }

    fn contacts_stamp(&self) -> u64 {
        0
    }

    async fn create_key(&self, _: NewKey, _: Write<Arc<ApiKey>>) -> Result<Arc<ApiKey>> {
        refused()
    }

    async fn delete_key(&self, _: KeyId, _: Write<()>) -> Result<()> {
        refused()
    }

    async fn touch_keys(&self, _: Vec<(KeyId, Timestamp)>) -> Result<()> {
        refused()
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
        refused()
    }

    async fn forget_answers(&self) -> Result<u64> {
        refused()
    }

    async fn audit_log(&self, _: Option<AuditId>, _: usize) -> Result<Vec<AuditEntry>> {
        refused()
    }

    async fn create_task(&self, _: TaskSpec, _: Write<Arc<Task>>) -> Result<Arc<Task>> {
        refused()
    }

    async fn update_task(&self, _: TaskSpec, _: Write<Arc<Task>>) -> Result<Arc<Task>> {
        refused()
    }

    async fn set_task_enabled(
        &self,
        _: &TaskName,
        _: bool,
        _: Write<Arc<Task>>,
    ) -> Result<Arc<Task>> {
        refused()
    }

    async fn delete_task(&self, _: &TaskName, _: Write<DeletedTask>) -> Result<DeletedTask> {
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

    async fn enqueue(&self, _: Enqueue, _: Write<Enqueued>) -> Result<Enqueued> {
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

    async fn cancel_run(&self, _: RunId, _: Write<Cancelled>) -> Result<Cancelled> {
        refused()
    }

    async fn replay_run(&self, _: RunId, _: Write<Replayed>) -> Result<Replayed> {
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
