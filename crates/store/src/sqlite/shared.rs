//! What readers see of the writer's memory: published after each commit, never before.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use autom8_model::{Epoch, RunId, Task, TaskId, TaskName, TaskType};
use parking_lot::RwLock;
use rustc_hash::{FxHashMap, FxHashSet};

use super::claims::LiveClaim;
use super::contact_stamps::ContactStamps;
use super::keys::KeyTable;
use super::postings::Tail;
use super::segments::Segment;
use crate::Totals;

#[derive(Default)]
pub(crate) struct Shared {
    pub tasks: RwLock<TaskTable>,
    /// Claims with a run that is not settled, by the epoch of their receipt.
    pub claims: RwLock<BTreeMap<Epoch, Arc<LiveClaim>>>,
    /// Running runs that were asked to stop.
    pub cancel_requested: RwLock<FxHashSet<RunId>>,
    /// Oldest first.
    pub segments: RwLock<Arc<Vec<Segment>>>,
    pub tail: RwLock<Tail>,
    /// Slices of batches that are not whole yet. Published before they are written, and read after
    /// the rows: a run that could still vanish is never shown.
    pub hidden: RwLock<Vec<(RunId, RunId)>>,
    pub totals: RwLock<Totals>,
    pub keys: RwLock<KeyTable>,
    pub contact_stamps: ContactStamps,
    pub directory: PathBuf,
}

impl Shared {
    /// The live claim that covers a run, and the run's place in it.
    pub(crate) fn covering(&self, run: RunId) -> Option<(Arc<LiveClaim>, usize)> {
        let claims = self.claims.read();
        claims.values().rev().find_map(|claim| {
            let index = claim.find(run)?;
            (!claim.is_settled(index)).then(|| (Arc::clone(claim), index))
        })
    }

    pub(crate) fn is_hidden(&self, run: RunId) -> bool {
        self.hidden
            .read()
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&run))
    }

    pub(crate) fn segments(&self) -> Arc<Vec<Segment>> {
        Arc::clone(&self.segments.read())
    }
}

/// All tasks, the deleted ones by name only.
#[derive(Clone, Default)]
pub(crate) struct TaskTable {
    entries: FxHashMap<TaskId, TaskEntry>,
    by_name: BTreeMap<TaskName, TaskId>,
}

#[derive(Clone)]
pub(crate) struct TaskEntry {
    pub name: TaskName,
    pub task_type: TaskType,
    /// `None` once deleted.
    pub current: Option<Arc<Task>>,
    revs: BTreeMap<u32, Arc<Task>>,
}

impl TaskTable {
    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<Task>> {
        self.entries.get(self.by_name.get(name)?)?.current.as_ref()
    }

    /// Whether a task is gone while its history stands.
    pub(crate) fn is_deleted(&self, id: TaskId) -> bool {
        self.entries
            .get(&id)
            .is_none_or(|entry| entry.current.is_none())
    }

    pub(crate) fn entry(&self, id: TaskId) -> Option<&TaskEntry> {
        self.entries.get(&id)
    }

    /// The definition a run was queued with, or the nearest that is still kept.
    pub(crate) fn revision(&self, id: TaskId, rev: u32) -> Option<&Arc<Task>> {
        let entry = self.entries.get(&id)?;
        entry
            .revs
            .range(rev..)
            .next()
            .map(|(_, task)| task)
            .or(entry.current.as_ref())
    }

    /// Every id that ever bore the name, the living one last.
    pub(crate) fn ids_of(&self, name: &str) -> Vec<TaskId> {
        let mut ids: Vec<TaskId> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.name.as_str() == name)
            .map(|(id, _)| *id)
            .collect();
        ids.sort_unstable();
        ids
    }

    pub(crate) fn after(&self, after: Option<&TaskName>, limit: usize) -> Vec<Arc<Task>> {
        use std::ops::Bound;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_name
            .range::<TaskName, _>((from, Bound::Unbounded))
            .filter_map(|(_, id)| self.entries.get(id)?.current.clone())
            .take(limit)
            .collect()
    }

    pub(crate) fn living(&self) -> u64 {
        self.by_name.len() as u64
    }

    pub(crate) fn put(&mut self, task: Arc<Task>) {
        let entry = self.entries.entry(task.id).or_insert_with(|| TaskEntry {
            name: task.spec.name.clone(),
            task_type: task.spec.action.task_type(),
            current: None,
            revs: BTreeMap::new(),
        });
        entry.task_type = task.spec.action.task_type();
        entry.revs.insert(task.rev, task.clone());
        entry.revs = entry
            .revs
            .split_off(&task.rev.saturating_sub(super::tasks::REVS_KEPT));
        self.by_name.insert(task.spec.name.clone(), task.id);
        entry.current = Some(task);
    }

    /// Remembers an older revision, or the last one of a deleted task.
    pub(crate) fn put_revision(&mut self, task: Arc<Task>) {
        let entry = self.entries.entry(task.id).or_insert_with(|| TaskEntry {
            name: task.spec.name.clone(),
            task_type: task.spec.action.task_type(),
            current: None,
            revs: BTreeMap::new(),
        });
        entry.revs.insert(task.rev, task);
    }

    /// Lets go of a deleted task of which nothing is left.
    pub(crate) fn forget(&mut self, id: TaskId) {
        if self.is_deleted(id) {
            self.entries.remove(&id);
        }
    }

    pub(crate) fn delete(&mut self, id: TaskId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.current = None;
            self.by_name.remove(&entry.name);
        }
    }
}
