//! A commit group: what it writes, what becomes visible with it, and who is told.

use std::sync::Arc;

use autom8_model::{
    ApiKey, Clock, ContactId, Epoch, KeyId, Monotonic, RunId, RunState, Task, TaskId, TaskType,
    Timestamp,
};
use rustc_hash::FxHashMap;

use super::claims::LiveClaim;
use super::inbox::Reply;
use super::memory::type_index;
use crate::{Result, StoreError};

pub(crate) type Answer = Box<dyn FnOnce(Option<&StoreError>) + Send>;

/// A task that changed.
pub(crate) enum TaskChange {
    Put(Arc<Task>),
    Delete(TaskId),
}

/// A key that changed; the hash is that of its secret.
pub(crate) enum KeyChange {
    Put([u8; 32], Arc<ApiKey>),
    Delete(KeyId),
    Used(KeyId, Timestamp),
}

/// One transaction, and what becomes visible with it.
#[derive(Default)]
pub(crate) struct Group {
    pub now: Timestamp,
    pub monotonic: Monotonic,
    /// Rows written.
    pub rows: usize,
    /// The epoch or the count of stale finishes rose.
    pub shard_moved: bool,
    /// Ends to add to the lifetime counts.
    pub ended: FxHashMap<(usize, RunState), u64>,
    /// Places of runs that are settled, by claim.
    pub settled: Vec<(Arc<LiveClaim>, Vec<usize>)>,
    pub claims_opened: Vec<Arc<LiveClaim>>,
    pub claims_closed: Vec<Epoch>,
    pub given_back: Vec<Epoch>,
    pub cancels: Vec<(RunId, bool)>,
    pub leases: Vec<(Arc<LiveClaim>, Timestamp)>,
    pub tasks: Vec<TaskChange>,
    pub keys: Vec<KeyChange>,
    /// Contacts that were created, changed or deleted.
    pub contacts: Vec<ContactId>,
    pub segments_changed: bool,
    pub hidden_over: Vec<RunId>,
    /// Files to unlink once no row points to them.
    pub logs_dropped: Vec<i64>,
    pub answers: Vec<Answer>,
}

impl Group {
    pub(crate) fn at(clock: &dyn Clock) -> Self {
        Group {
            now: clock.now(),
            monotonic: clock.monotonic(),
            ..Group::default()
        }
    }

    /// Sends an answer once the group is durable, or the group's failure.
    pub(crate) fn answer_with<T: Send + 'static>(&mut self, reply: Reply<T>, answer: Result<T>) {
        self.answer(move |failed| {
            let _ = reply.send(match failed {
                Some(error) => Err(error.clone()),
                None => answer,
            });
        });
    }

    pub(crate) fn answer(&mut self, answer: impl FnOnce(Option<&StoreError>) + Send + 'static) {
        self.answers.push(Box::new(answer));
    }

    /// Notes that a run of a claim is settled. Neighbours mostly share their claim.
    pub(crate) fn settle(&mut self, claim: &Arc<LiveClaim>, index: usize) {
        match self.settled.last_mut() {
            Some((last, indices)) if Arc::ptr_eq(last, claim) => indices.push(index),
            _ => self.settled.push((Arc::clone(claim), vec![index])),
        }
    }

    pub(crate) fn count_end(&mut self, task_type: TaskType, state: RunState) {
        *self
            .ended
            .entry((type_index(task_type), state))
            .or_default() += 1;
    }
}
