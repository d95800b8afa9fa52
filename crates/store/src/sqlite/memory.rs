//! What the writer knows: the order of waiting runs, the open claims, the next ids. All of it is
//! derived from rows; `recovery` builds it at start, and anew after a group that failed.

use std::collections::{BTreeMap, BTreeSet};

use autom8_model::ready::{Lane, ReadyQueue, Span, TaskTraits};
use autom8_model::task::OnCrash;
use autom8_model::{Epoch, Monotonic, RunId, Task, TaskId, TaskType};
use rustc_hash::{FxHashMap, FxHashSet};

use super::claims::{CoveredRun, OpenClaim};
use super::contacts::ContactCounts;
use super::segments::Segment;
use super::shared::TaskTable;
use crate::{Totals, TypeTotals};

#[derive(Default)]
pub(crate) struct Memory {
    pub tasks: TaskTable,
    pub ready: ReadyQueue,
    pub claims: BTreeMap<Epoch, OpenClaim>,
    pub cancel_requested: FxHashSet<RunId>,
    /// Open runs that schedules made, by task: what `overlap` judges a fire against.
    pub scheduled: FxHashMap<TaskId, BTreeSet<RunId>>,
    /// Runs that replace one which has not stopped yet; at most one a task.
    pub held: FxHashMap<TaskId, Span>,
    /// Oldest first; the last one takes new runs.
    pub segments: Vec<Segment>,
    /// Open runs of each segment.
    pub open: FxHashMap<i64, u64>,
    pub last_epoch: i64,
    pub stale_finishes: u64,
    pub next_run: i64,
    pub next_task: i64,
    pub next_batch: i64,
    pub totals: [TypeTotals; TaskType::ALL.len()],
    pub contacts: ContactCounts,
}

/// What a claim must know of a task.
pub(crate) fn traits_of(task: &Task) -> TaskTraits {
    let max_attempts = task.spec.retry.max_attempts;
    let single = max_attempts == 1 || task.spec.on_crash == OnCrash::Fail;
    TaskTraits {
        task: task.id,
        rev: task.rev,
        queue: task.spec.queue.clone(),
        priority: task.spec.priority,
        // A run that must not be charged for a start that did not happen is only claimed into a
        // free slot, however quick it is.
        lane: if task.spec.action.is_instant() && !single {
            Lane::Instant
        } else {
            Lane::Slot
        },
        max_attempts,
        single,
    }
}

impl Memory {
    pub(crate) fn next_epoch(&mut self) -> Epoch {
        self.last_epoch += 1;
        Epoch(self.last_epoch)
    }

    pub(crate) fn segment_of(&self, run: RunId) -> Option<i64> {
        super::segments::find(&self.segments, run).map(|segment| segment.id)
    }

    /// The claim that covers a running run.
    pub(crate) fn claim_of(&self, run: RunId) -> Option<(&OpenClaim, CoveredRun)> {
        self.claims
            .values()
            .rev()
            .find_map(|claim| Some((claim, claim.open_run(run)?.1)))
    }

    /// Takes a waiting run out of the order.
    pub(crate) fn drop_waiting(&mut self, run: RunId, task: TaskId) {
        if self.held.get(&task).is_some_and(|held| held.first == run) {
            self.held.remove(&task);
        } else if !self.tasks.is_deleted(task) {
            // What a deleted task left waiting is out of the order already.
            self.ready.drop_run(run);
        }
    }

    /// Makes the revision of a span known to the order. If it is not kept any more, the one that
    /// took its place stands in.
    fn learn_for(&mut self, span: &Span) {
        if self.ready.knows(span.task, span.rev) {
            return;
        }
        if let Some(task) = self.tasks.revision(span.task, span.rev) {
            self.ready.learn(TaskTraits {
                rev: span.rev,
                ..traits_of(task)
            });
        }
    }

    /// Puts waiting runs in order; their task's revision is in the table.
    pub(crate) fn push_span(&mut self, span: Span) {
        self.learn_for(&span);
        // A span whose task is not in the table cannot be: the table forgets a task only when no
        // run of it is left.
        let _ = self.ready.push(span);
    }

    /// Lets a run wait again, with so many attempts behind it.
    pub(crate) fn push_ready(&mut self, covered: &CoveredRun, attempt: u16) {
        self.push_span(span_of(covered, attempt));
    }

    /// Lets a run wait until its delay is over.
    pub(crate) fn push_delayed(&mut self, due: Monotonic, span: Span) {
        self.learn_for(&span);
        self.ready.push_delayed(due, span);
    }

    /// Lets runs go on whose delay is over.
    pub(crate) fn promote(&mut self, now: Monotonic) {
        for span in self.ready.take_due(now) {
            self.push_span(span);
        }
    }

    /// Lets a run wait that may be what killed its worker.
    pub(crate) fn push_suspect(&mut self, span: Span) {
        self.learn_for(&span);
        self.ready.push_suspect(span);
    }

    pub(crate) fn count_running<'a>(
        &mut self,
        runs: impl IntoIterator<Item = &'a CoveredRun>,
        step: i64,
    ) {
        for covered in runs {
            if let Some(totals) = self.totals.get_mut(type_index(covered.task_type)) {
                totals.running = totals.running.saturating_add_signed(step);
            }
        }
    }

    /// An ended run: what waited for it may go on.
    pub(crate) fn forget_open(&mut self, run: RunId, task: TaskId, segment: i64) {
        if let Some(open) = self.open.get_mut(&segment) {
            *open = open.saturating_sub(1);
        }
        if self.scheduled.is_empty() {
            return;
        }
        let Some(runs) = self.scheduled.get_mut(&task) else {
            return;
        };
        if !runs.remove(&run) {
            return;
        }
        let earliest = runs.first().copied();
        if runs.is_empty() {
            self.scheduled.remove(&task);
        }
        let released = self.held.get(&task).is_some_and(|held| {
            held.first != run && earliest.is_none_or(|earliest| earliest >= held.first)
        });
        if released && let Some(span) = self.held.remove(&task) {
            self.push_span(span);
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            by_type: TaskType::ALL
                .into_iter()
                .map(|task_type| (task_type, self.totals[type_index(task_type)]))
                .collect(),
            queued: self.ready.len() + self.held.len() as u64,
            running: self.totals.iter().map(|totals| totals.running).sum(),
            tasks: self.tasks.living(),
            contacts: self.contacts.contacts,
            stale_finishes: self.stale_finishes,
        }
    }
}

pub(crate) fn type_index(task_type: TaskType) -> usize {
    match task_type {
        TaskType::Http => 0,
        TaskType::Process => 1,
        TaskType::Builtin => 2,
    }
}

pub(crate) fn span_of(covered: &CoveredRun, attempt: u16) -> Span {
    Span {
        first: covered.run,
        count: 1,
        task: covered.task,
        rev: covered.rev,
        attempt,
        queued_at: covered.queued_at,
        inputs: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_indices_follow_the_list_of_types() {
        for (index, task_type) in TaskType::ALL.into_iter().enumerate() {
            assert_eq!(type_index(task_type), index);
        }
    }
}
