//! What every case needs: a started store, short words for its operations, and tasks to do them
//! with.

use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use autom8_model::ready::Lane;
use autom8_model::transition::Decision;
use autom8_model::{
    Author, Contact, ContactDraft, ContactId, ContactPatch, Epoch, Inputs, KeyId, ManualClock, Run,
    RunId, RunState, Task, TaskName, TaskSpec, Timestamp, Trigger, WorkerName,
};

use super::Backend;
use crate::{
    CapturedLog, Claim, Enqueue, Finish, Finished, Idempotency, IdempotencyKey, Lease, Reaped,
    RunFilter, Store, StoreError, StoredAnswer, Totals, Write,
};

/// Longer than any answer of a healthy store takes, on a machine that does other things as well.
pub(super) const ANSWER_WAIT_MAX: Duration = Duration::from_secs(20);
/// The lease of the remote workers here.
pub(super) const LEASE: Duration = Duration::from_secs(15);

pub(super) const COMPLETED: Decision = Decision::End(RunState::Completed);
pub(super) const FAILED: Decision = Decision::End(RunState::Failed);
pub(super) const CANCELLED: Decision = Decision::End(RunState::Cancelled);

/// One store of a backend, and the clock it reads.
pub(super) struct Fixture<'a> {
    pub backend: &'a dyn Backend,
    pub store: Arc<dyn Store>,
    pub clock: Arc<ManualClock>,
}

impl Deref for Fixture<'_> {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

impl<'a> Fixture<'a> {
    pub(super) async fn start(backend: &'a dyn Backend) -> Self {
        Fixture {
            store: backend.start().await,
            clock: backend.clock(),
            backend,
        }
    }

    /// Ends the store as kill -9 would, and starts it again. Reaps once, for backends whose dead
    /// node is found by others and not at the start.
    pub(super) async fn crash(&mut self) {
        self.backend.crash(Arc::clone(&self.store)).await;
        self.store = self.backend.start().await;
        self.store.reap().await.unwrap();
    }

    /// Stops the store in good order, and starts it again.
    pub(super) async fn restart(&mut self) {
        self.store.close().await;
        self.store = self.backend.start().await;
        self.store.reap().await.unwrap();
    }

    pub(super) fn now(&self) -> Timestamp {
        autom8_model::Clock::now(&*self.clock)
    }

    pub(super) fn after(&self, seconds: u64) -> Timestamp {
        self.now().plus(Duration::from_secs(seconds))
    }

    pub(super) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Lets time pass as a living node sees it: with a reaper that comes every second.
    pub(super) async fn tick(&self, seconds: u64) -> Reaped {
        let mut sum = Reaped::default();
        for _ in 0..seconds {
            self.advance(1);
            let reaped = self.reap().await.unwrap();
            sum.requeued += reaped.requeued;
            sum.ended += reaped.ended;
        }
        sum
    }

    pub(super) async fn create(&self, spec: TaskSpec) -> Arc<Task> {
        self.create_task(spec, Write::unattended()).await.unwrap()
    }

    pub(super) async fn add(&self, draft: ContactDraft) -> Contact {
        self.create_contact(draft, Write::unattended())
            .await
            .unwrap()
    }

    /// The contact as its JSON, if it is there.
    pub(super) async fn told(&self, id: ContactId) -> Option<String> {
        self.contact(id).await.unwrap().map(|found| json(&found))
    }

    pub(super) async fn enqueue_one(&self, task: &str, input: &str) -> RunId {
        let enqueued = self
            .enqueue(
                manual(task, Inputs::one(input.as_bytes())),
                Write::unattended(),
            )
            .await
            .unwrap();
        let ids: Vec<RunId> = enqueued.iter().collect();
        assert_eq!(ids.len(), 1, "one input makes one run");
        ids[0]
    }

    /// Enqueues `count` runs as one batch, with their numbers as input.
    pub(super) async fn enqueue_many(&self, task: &str, count: usize) -> Vec<RunId> {
        let enqueued = self
            .enqueue(batch(task, &numbers(count)), Write::unattended())
            .await
            .unwrap();
        enqueued.iter().collect()
    }

    /// Claims as the process that owns the store, without waiting.
    pub(super) async fn claim_up_to(&self, runs_max: usize) -> Vec<Lease> {
        self.claim(local_claim(Lane::Slot, runs_max)).await.unwrap()
    }

    /// Claims exactly one run, which must be there.
    pub(super) async fn claim_one(&self) -> Lease {
        let mut leases = self.claim_up_to(1).await;
        assert_eq!(leases.len(), 1, "a run waits and is claimable");
        leases.remove(0)
    }

    /// Claims for a remote worker, under a timed lease, without waiting.
    pub(super) async fn claim_remotely(&self, worker: &str, runs_max: usize) -> Vec<Lease> {
        self.claim(remote_claim(worker, runs_max)).await.unwrap()
    }

    pub(super) async fn finish_one(&self, lease: &Lease, decision: Decision) -> Finished {
        self.finish(vec![self.ended(lease, decision)])
            .await
            .unwrap()
    }

    /// Records an end that must be accepted.
    pub(super) async fn settle(&self, lease: &Lease, decision: Decision) {
        let finished = self.finish_one(lease, decision).await;
        assert_eq!(
            finished,
            Finished {
                accepted: 1,
                stale: vec![]
            }
        );
    }

    /// An attempt that began when it was claimed and ends now, with nothing to say.
    pub(super) fn ended(&self, lease: &Lease, decision: Decision) -> Finish {
        Finish {
            run: lease.claimed.run,
            epoch: lease.epoch,
            attempt: lease.claimed.attempt,
            task_type: lease.task.spec.action.task_type(),
            decision,
            started_at: self.now(),
            finished_at: self.now(),
            result: None,
            error: None,
            log: None,
        }
    }

    /// Claims all that is claimable and completes it. Returns what it completed, in order.
    pub(super) async fn drain(&self) -> Vec<RunId> {
        let mut done = Vec::new();
        loop {
            let leases = self.claim_up_to(1_000).await;
            if leases.is_empty() {
                return done;
            }
            done.extend(run_ids(&leases));
            let finishes = leases
                .iter()
                .map(|lease| self.ended(lease, COMPLETED))
                .collect();
            let finished = self.finish(finishes).await.unwrap();
            assert_eq!(finished.stale, []);
        }
    }

    pub(super) async fn get(&self, run: RunId) -> Run {
        self.run(run).await.unwrap().expect("the run is there")
    }

    pub(super) async fn state(&self, run: RunId) -> RunState {
        self.get(run).await.state
    }

    /// Follows the cursor of a list to its end.
    pub(super) async fn list(&self, filter: RunFilter) -> Vec<Run> {
        let mut filter = RunFilter {
            limit: filter.limit.max(1),
            ..filter
        };
        let mut all = Vec::new();
        loop {
            let page = self.runs(filter.clone()).await.unwrap();
            assert!(
                page.runs.len() <= filter.limit,
                "a page holds at most its limit"
            );
            all.extend(page.runs);
            let Some(next) = page.next else { return all };
            assert!(
                filter.before.is_none_or(|before| next < before),
                "a cursor leads to older runs: {next} after {:?}",
                filter.before
            );
            filter.before = Some(next);
        }
    }

    pub(super) async fn list_ids(&self, filter: RunFilter) -> Vec<RunId> {
        self.list(filter).await.iter().map(|run| run.id).collect()
    }

    pub(super) async fn in_state(&self, state: RunState) -> Vec<RunId> {
        self.list_ids(RunFilter {
            states: vec![state],
            limit: 100,
            ..RunFilter::default()
        })
        .await
    }
}

/// Totals without the types that have seen nothing: whether a backend names them is its own.
pub(super) fn counted(mut totals: Totals) -> Totals {
    totals
        .by_type
        .retain(|(_, one)| *one != crate::TypeTotals::default());
    totals.by_type.sort_by_key(|(task_type, _)| *task_type);
    totals
}

/// A contact with all it may have; the number makes its phone and its e-mail.
pub(super) fn draft(number: usize) -> ContactDraft {
    draft_of(&format!(
        r#"{{"name":"Contact {number}","phone":"+49 30 {number:07}",
            "email":"Contact.{number}@Example.org","tags":["all","tag-{}"],
            "attributes":{{"number":{number}}}}}"#,
        number % 3
    ))
}

pub(super) fn draft_of(json: &str) -> ContactDraft {
    ContactDraft::new(serde_json::from_str(json).unwrap()).unwrap()
}

/// As PATCH reads it.
pub(super) fn patch_of(json: &str) -> ContactPatch {
    ContactPatch::new(serde_json::from_str(json).unwrap(), true).unwrap()
}

pub(super) fn json(contact: &Contact) -> String {
    serde_json::to_string(contact).unwrap()
}

/// Somebody with a key.
pub(super) fn author(principal: &str) -> Author {
    Author {
        key: Some(KeyId(7)),
        principal: principal.to_owned(),
        request_id: Some("req-1".to_owned()),
        address: Some([127, 0, 0, 1].into()),
    }
}

/// A write under an idempotency key, whose answer says what was done.
pub(super) fn repeatable<T: std::fmt::Debug + 'static>(key: u8) -> Write<T> {
    Write {
        author: Some(author("somebody")),
        idempotency: Some(Idempotency {
            key: answer_key(key),
            fingerprint: [key.wrapping_add(1); 32],
            answer: Box::new(|made| StoredAnswer {
                status: 201,
                location: Some("/somewhere".to_owned()),
                body: format!("{made:?}").into_bytes(),
            }),
        }),
    }
}

pub(super) fn answer_key(key: u8) -> IdempotencyKey {
    IdempotencyKey([key; 32])
}

pub(super) fn name(text: &str) -> TaskName {
    text.parse().unwrap()
}

pub(super) fn spec(json: &str) -> TaskSpec {
    let spec: TaskSpec = serde_json::from_str(json).unwrap();
    assert_eq!(spec.validate(), Ok(()));
    spec
}

/// A task whose runs take a slot of the engine.
pub(super) fn slot_task(name: &str) -> TaskSpec {
    spec(&format!(
        r#"{{"name":"{name}","do":{{"process":{{"argv":["true"]}}}}}}"#
    ))
}

/// A task whose runs end at once.
pub(super) fn instant_task(name: &str) -> TaskSpec {
    spec(&format!(r#"{{"name":"{name}","do":{{"builtin":"noop"}}}}"#))
}

/// Another type of task in the lane of [`slot_task`].
pub(super) fn http_task(name: &str) -> TaskSpec {
    spec(&format!(
        r#"{{"name":"{name}","do":{{"http":{{"url":"http://127.0.0.1:9/"}}}}}}"#
    ))
}

pub(super) fn with_attempts(mut spec: TaskSpec, max_attempts: u16) -> TaskSpec {
    spec.retry.max_attempts = max_attempts;
    spec
}

/// A task that fires every minute.
pub(super) fn minutely(name: &str) -> TaskSpec {
    let schedule = autom8_model::Schedule::every(Duration::from_secs(60)).unwrap();
    TaskSpec {
        schedule: Some(schedule),
        ..slot_task(name)
    }
}

pub(super) fn manual(task: &str, inputs: Inputs) -> Enqueue {
    Enqueue {
        task: name(task),
        trigger: Trigger::Manual,
        inputs,
    }
}

/// One run for each text; an empty text is a run without input.
pub(super) fn batch<T: AsRef<[u8]>>(task: &str, texts: &[T]) -> Enqueue {
    let mut buffer = Vec::new();
    let mut spans = Vec::new();
    for text in texts {
        let start = u32::try_from(buffer.len()).unwrap();
        buffer.extend_from_slice(text.as_ref());
        spans.push(start..u32::try_from(buffer.len()).unwrap());
    }
    let inputs = Inputs::from_spans(buffer.into(), spans);
    Enqueue {
        task: name(task),
        trigger: Trigger::Batch,
        inputs,
    }
}

pub(super) fn numbers(count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!(r#"{{"number": {number}}}"#))
        .collect()
}

pub(super) fn local_claim(lane: Lane, runs_max: usize) -> Claim {
    Claim {
        worker: WorkerName::new("engine"),
        lane,
        queues: vec![],
        runs_max,
        wait: Duration::ZERO,
        lease: None,
    }
}

pub(super) fn remote_claim(worker: &str, runs_max: usize) -> Claim {
    Claim {
        worker: WorkerName::new(worker),
        lease: Some(LEASE),
        ..local_claim(Lane::Slot, runs_max)
    }
}

pub(super) fn run_ids(leases: &[Lease]) -> Vec<RunId> {
    leases.iter().map(|lease| lease.claimed.run).collect()
}

pub(super) fn held(leases: &[Lease]) -> Vec<(RunId, Epoch)> {
    leases
        .iter()
        .map(|lease| (lease.claimed.run, lease.epoch))
        .collect()
}

pub(super) fn input_of(lease: &Lease) -> &[u8] {
    lease.input.as_ref().map_or(&[], |input| input.as_bytes())
}

pub(super) fn log(bytes: &[u8]) -> Option<CapturedLog> {
    Some(CapturedLog {
        bytes: bytes.to_vec(),
        truncated: false,
    })
}

pub(super) fn is_not_found<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::NotFound { .. }))
}

pub(super) fn is_conflict<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Conflict { .. }))
}

pub(super) fn is_unavailable<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unavailable { .. }))
}

/// Waits for an answer that must come; panics instead of waiting for ever.
pub(super) async fn answer<T>(of: impl Future<Output = T>) -> T {
    let answer = tokio::time::timeout(ANSWER_WAIT_MAX, of).await;
    answer.unwrap_or_else(|_| panic!("no answer within {ANSWER_WAIT_MAX:?}"))
}

/// Starts an operation by polling it once. Returns whether it waits for its answer.
pub(super) async fn is_sent<T>(operation: &mut (impl Future<Output = T> + Unpin)) -> bool {
    let mut operation = Pin::new(operation);
    std::future::poll_fn(|context| Poll::Ready(operation.as_mut().poll(context).is_pending())).await
}
