//! What a store must be, on a page: tasks and runs in two maps, without files, groups or threads.

use std::collections::{BTreeMap, HashMap};

use autom8_model::ready::Lane;
use autom8_model::transition::{AttemptEnd, Circumstances, Decision, settle};
use autom8_model::{
    ContactId, Epoch, RunId, RunState, Task, TaskId, TaskName, TaskSpec, TaskType, Timestamp,
    Trigger,
};

use crate::{Cancelled, Lease, Totals, TypeTotals};

/// A run as the model knows it; its task's revision is kept whole.
#[derive(Clone, Debug)]
pub(super) struct ModelRun {
    pub task: TaskId,
    pub spec: TaskSpec,
    pub state: RunState,
    pub trigger: Trigger,
    pub replay_of: Option<RunId>,
    pub input: Vec<u8>,
    pub attempt: u16,
    pub epoch: Option<Epoch>,
    /// Attempts that did not end it.
    pub attempts_open: usize,
    pub run_at: Timestamp,
    /// It is to be cancelled as soon as it stops running.
    pub stop: bool,
    /// Its worker died with it.
    pub suspect: bool,
    /// The remote worker's lease, if one holds it.
    pub remote: Option<RemoteHold>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RemoteHold {
    pub renewed_at: Timestamp,
    /// Whether the lease surely holds for its whole length; after a crash it may not.
    pub sure: bool,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub tasks: BTreeMap<TaskName, Task>,
    pub runs: BTreeMap<RunId, ModelRun>,
    /// As their JSON.
    pub contacts: BTreeMap<ContactId, String>,
    epoch_last: i64,
    stale_finishes: u64,
}

/// A run that must not be charged for a start that did not happen needs a free slot, however
/// quick it is.
pub(super) fn lane(spec: &TaskSpec) -> Lane {
    let single = spec.retry.max_attempts == 1 || spec.on_crash == autom8_model::task::OnCrash::Fail;
    if spec.action.is_instant() && !single {
        Lane::Instant
    } else {
        Lane::Slot
    }
}

impl Model {
    fn task_by_id(&self, id: TaskId) -> Option<&Task> {
        self.tasks.values().find(|task| task.id == id)
    }

    pub(super) fn in_state(&self, state: RunState) -> Vec<RunId> {
        let newest_first = self.runs.iter().rev();
        newest_first
            .filter(|(_, run)| run.state == state)
            .map(|(id, _)| *id)
            .collect()
    }

    pub(super) fn accept(
        &mut self,
        id: RunId,
        task: &TaskName,
        input: Vec<u8>,
        trigger: Trigger,
        replay_of: Option<RunId>,
    ) {
        let task = &self.tasks[task];
        let newest = self.runs.last_key_value().map(|(id, _)| *id);
        assert!(
            newest.is_none_or(|newest| newest < id),
            "{id} follows {newest:?}"
        );
        self.runs.insert(
            id,
            ModelRun {
                task: task.id,
                spec: task.spec.clone(),
                state: RunState::Queued,
                trigger,
                replay_of,
                input,
                attempt: 0,
                epoch: None,
                attempts_open: 0,
                run_at: Timestamp::UNIX_EPOCH,
                stop: false,
                suspect: false,
                remote: None,
            },
        );
    }

    fn claimable(&self, run: &ModelRun, lane_asked: Lane, now: Timestamp) -> bool {
        run.state == RunState::Queued
            && run.run_at <= now
            && lane(&run.spec) == lane_asked
            && self
                .task_by_id(run.task)
                .is_some_and(|task| task.spec.enabled)
    }

    /// Judges a claim's answer and takes it over.
    pub(super) fn claim(
        &mut self,
        asked: (Lane, usize),
        leases: &[Lease],
        now: Timestamp,
        remote: Option<RemoteHold>,
    ) {
        let (lane_asked, runs_max) = asked;
        assert!(leases.len() <= runs_max);
        let mut priority_min = None;
        for lease in leases {
            let id = lease.claimed.run;
            let run = &self.runs[&id];
            assert!(
                self.claimable(run, lane_asked, now),
                "{id} was claimed: {run:?}"
            );
            assert_eq!(lease.claimed.attempt, run.attempt + 1, "{id}");
            assert_eq!(
                lease
                    .input
                    .as_ref()
                    .map_or(&[][..], |input| input.as_bytes()),
                run.input
            );
            assert!(
                lease.epoch.0 > self.epoch_last,
                "{id}: {} is not new",
                lease.epoch
            );
            if !run.suspect {
                priority_min = priority_min
                    .min(Some(run.spec.priority))
                    .or(Some(run.spec.priority));
            }
        }
        for lease in leases {
            self.epoch_last = self.epoch_last.max(lease.epoch.0);
            if let Some(run) = self.runs.get_mut(&lease.claimed.run) {
                assert_eq!(run.state, RunState::Queued, "{} twice", lease.claimed.run);
                run.state = RunState::Running;
                run.attempt += 1;
                run.epoch = Some(lease.epoch);
                run.suspect = false;
                run.remote = remote;
            }
        }
        for (id, left) in &self.runs {
            if !left.suspect && self.claimable(left, lane_asked, now) {
                assert_eq!(leases.len(), runs_max, "{id} was left behind: {left:?}");
                let priority = Some(left.spec.priority);
                assert!(
                    priority_min.is_none() || priority <= priority_min,
                    "{id} goes first"
                );
            }
        }
    }

    /// Ends an attempt. Returns whether it was the live one.
    pub(super) fn finish(&mut self, id: RunId, epoch: Epoch, decision: Decision) -> bool {
        let live = self
            .runs
            .get_mut(&id)
            .filter(|run| run.state == RunState::Running && run.epoch == Some(epoch));
        let Some(run) = live else {
            self.stale_finishes += 1;
            return false;
        };
        run.remote = None;
        match decision {
            Decision::RetryAt(_) if run.stop => run.state = RunState::Cancelled,
            Decision::RetryAt(at) => {
                run.state = RunState::Queued;
                run.run_at = at;
                run.attempts_open += 1;
            }
            Decision::End(state) => run.state = state,
        }
        true
    }

    /// The worker of a running run is gone.
    pub(super) fn lose(&mut self, id: RunId, now: Timestamp) {
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        let given = Circumstances {
            attempt: run.attempt,
            retry: &run.spec.retry,
            on_crash: run.spec.on_crash,
            cancel_requested: run.stop,
            now,
            jitter: 0.0,
        };
        let decision = settle(&AttemptEnd::Lost, &given);
        if let Some(epoch) = run.epoch {
            run.suspect = matches!(decision, Decision::RetryAt(_));
            assert!(self.finish(id, epoch, decision));
        }
    }

    /// `None`: it has ended.
    pub(super) fn cancel(&mut self, id: RunId, now: Timestamp) -> Option<Cancelled> {
        let run = self.runs.get_mut(&id)?;
        match run.state {
            RunState::Queued => {
                run.state = RunState::Cancelled;
                Some(Cancelled::AtOnce { at: now })
            }
            RunState::Running => {
                run.stop = true;
                Some(Cancelled::Requested)
            }
            _ => None,
        }
    }

    /// Returns how many waiting runs it cancelled, and those that run.
    pub(super) fn delete(&mut self, name: &TaskName, now: Timestamp) -> (u64, Vec<RunId>) {
        let Some(task) = self.tasks.remove(name) else {
            return (0, Vec::new());
        };
        let of_task: Vec<RunId> = self
            .runs
            .iter()
            .filter(|(_, run)| run.task == task.id)
            .map(|(id, _)| *id)
            .collect();
        let answers = of_task
            .into_iter()
            .filter_map(|id| Some((id, self.cancel(id, now)?)));
        let (asked, at_once): (Vec<_>, Vec<_>) =
            answers.partition(|(_, answer)| *answer == Cancelled::Requested);
        (
            at_once.len() as u64,
            asked.into_iter().map(|(id, _)| id).collect(),
        )
    }

    pub(super) fn totals(&self) -> Totals {
        let mut by_type: HashMap<TaskType, TypeTotals> = HashMap::new();
        let mut totals = Totals {
            tasks: self.tasks.len() as u64,
            contacts: self.contacts.len() as u64,
            stale_finishes: self.stale_finishes,
            ..Totals::default()
        };
        for run in self.runs.values() {
            let of_type = by_type.entry(run.spec.action.task_type()).or_default();
            match run.state {
                RunState::Queued => totals.queued += 1,
                RunState::Running => {
                    totals.running += 1;
                    of_type.running += 1;
                }
                RunState::Completed => of_type.completed += 1,
                RunState::Failed => of_type.failed += 1,
                RunState::Cancelled => of_type.cancelled += 1,
                RunState::Interrupted => of_type.interrupted += 1,
            }
        }
        totals.by_type = by_type.into_iter().collect();
        totals
    }
}
