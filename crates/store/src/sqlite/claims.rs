//! Claims: the receipts, the runs they cover, and what is left of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use autom8_model::lease::encode_ids;
use autom8_model::ready::ClaimRequest;
use autom8_model::{
    BootId, Epoch, Monotonic, RunId, Task, TaskId, TaskType, Timestamp, WorkerName,
};
use rusqlite::Connection;

use super::SqlResult;
use super::group::Group;
use super::inbox::{Command, Inbox, Reply};
use super::memory::span_of;
use super::tasks::Sweep;
use super::writer::Writer;
use crate::{Lease, RunInput};

/// A claim that waits for runs.
pub(crate) struct PendingClaim {
    pub worker: WorkerName,
    pub request: ClaimRequest,
    pub lease: Option<Duration>,
    /// Whether it waits if there is nothing now; how long is the caller's to say.
    pub waits: bool,
    pub reply: Reply<Granted>,
}

impl PendingClaim {
    /// Whether anyone still waits for the answer.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    pub(crate) fn answer_with_nothing(self) {
        let _ = self.reply.send(Ok(Granted::nothing()));
    }
}

/// Leases on their way to the worker. If they do not arrive (the caller went away while it
/// waited), they are given back with their attempts uncounted.
pub(crate) struct Granted {
    leases: Vec<Lease>,
    epoch: Epoch,
    inbox: Option<Arc<Inbox>>,
}

impl Granted {
    pub(crate) fn nothing() -> Self {
        Granted {
            leases: Vec::new(),
            epoch: Epoch(0),
            inbox: None,
        }
    }

    pub(crate) fn leases_mut(&mut self) -> &mut [Lease] {
        &mut self.leases
    }

    /// Hands the leases over: from here on their runs are the worker's.
    pub(crate) fn accept(mut self) -> Vec<Lease> {
        self.inbox = None;
        std::mem::take(&mut self.leases)
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        if let Some(inbox) = self.inbox.take() {
            // A closed inbox means that the process ends: the next start takes them back.
            let _ = inbox.push(Command::GiveBack(self.epoch));
        }
    }
}

/// One run of a claim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoveredRun {
    pub run: RunId,
    pub attempt: u16,
    pub task: TaskId,
    pub rev: u32,
    pub task_type: TaskType,
    pub queued_at: Timestamp,
}

/// A claim as readers see it; what changes is published after the commit that makes it true.
pub(crate) struct LiveClaim {
    pub epoch: Epoch,
    pub worker: WorkerName,
    /// The process that granted it.
    pub boot: BootId,
    pub claimed_at: Timestamp,
    /// Microseconds of wall-clock time, to be shown; [`NO_LEASE`] for runs of this process.
    lease_until: AtomicI64,
    /// Ascending.
    pub runs: Vec<CoveredRun>,
    settled: Box<[AtomicU64]>,
}

const NO_LEASE: i64 = i64::MIN;

impl LiveClaim {
    pub(crate) fn new(
        epoch: Epoch,
        worker: WorkerName,
        boot: BootId,
        claimed_at: Timestamp,
        lease_until: Option<Timestamp>,
        runs: Vec<CoveredRun>,
    ) -> Self {
        LiveClaim {
            epoch,
            worker,
            boot,
            claimed_at,
            lease_until: AtomicI64::new(lease_until.map_or(NO_LEASE, Timestamp::as_micros)),
            settled: (0..runs.len().div_ceil(64))
                .map(|_| AtomicU64::new(0))
                .collect(),
            runs,
        }
    }

    pub(crate) fn find(&self, run: RunId) -> Option<usize> {
        let (first, last) = (self.runs.first()?.run, self.runs.last()?.run);
        if !(first..=last).contains(&run) {
            return None;
        }
        // A batch is one stretch of ids: its runs are found by subtraction.
        let guess = usize::try_from(run.0 - first.0).ok()?;
        if self
            .runs
            .get(guess)
            .is_some_and(|covered| covered.run == run)
        {
            return Some(guess);
        }
        self.runs
            .binary_search_by_key(&run, |covered| covered.run)
            .ok()
    }

    pub(crate) fn is_settled(&self, index: usize) -> bool {
        self.settled
            .get(index / 64)
            .is_none_or(|bits| bits.load(Ordering::Acquire) & (1 << (index % 64)) != 0)
    }

    pub(crate) fn publish_settled(&self, index: usize) {
        if let Some(bits) = self.settled.get(index / 64) {
            bits.fetch_or(1 << (index % 64), Ordering::Release);
        }
    }

    pub(crate) fn lease_until(&self) -> Option<Timestamp> {
        match self.lease_until.load(Ordering::Relaxed) {
            NO_LEASE => None,
            micros => Some(Timestamp::from_micros(micros)),
        }
    }

    pub(crate) fn publish_lease(&self, until: Timestamp) {
        self.lease_until.store(until.as_micros(), Ordering::Relaxed);
    }
}

/// A claim as the writer knows it, ahead of its readers by the group it is writing.
pub(crate) struct OpenClaim {
    pub live: Arc<LiveClaim>,
    settled: Vec<bool>,
    left: usize,
    /// What decides: no step of the wall clock bends it. `None` for runs of this process.
    pub lease_ends: Option<Monotonic>,

    /// Runs that the last heartbeat of a remote worker did not name.
    pub missed: Vec<RunId>,
}

impl OpenClaim {
    pub(crate) fn new(live: Arc<LiveClaim>, lease_ends: Option<Monotonic>) -> Self {
        let runs = live.runs.len();
        OpenClaim {
            live,
            settled: vec![false; runs],
            left: runs,
            lease_ends,
            missed: Vec::new(),
        }
    }

    /// The unsettled run, if this claim covers it.
    pub(crate) fn open_run(&self, run: RunId) -> Option<(usize, CoveredRun)> {
        let index = self.live.find(run)?;
        (!self.settled.get(index)?).then_some(())?;
        Some((index, *self.live.runs.get(index)?))
    }

    pub(crate) fn open_runs(&self) -> impl Iterator<Item = (usize, CoveredRun)> + '_ {
        self.live
            .runs
            .iter()
            .enumerate()
            .filter(|(index, _)| !self.settled[*index])
            .map(|(index, run)| (index, *run))
    }

    /// Marks a run as settled; true if it was the last one.
    pub(crate) fn settle(&mut self, index: usize) -> bool {
        if let Some(settled) = self.settled.get_mut(index)
            && !*settled
        {
            *settled = true;
            self.left -= 1;
        }
        self.left == 0
    }
}

impl Writer {
    /// Answers the claims that wait, as far as there are runs for them.
    pub(crate) fn grant_claims(&mut self, group: &mut Group) -> SqlResult<()> {
        if self.pending_claims.is_empty() {
            return Ok(());
        }
        let mut waiting = Vec::new();
        for pending in std::mem::take(&mut self.pending_claims) {
            if !pending.is_wanted() {
                continue;
            }
            let claimed = self.memory.ready.claim(&pending.request, group.monotonic);
            if claimed.is_empty() {
                if self.closing || !pending.waits {
                    pending.answer_with_nothing();
                } else {
                    waiting.push(pending);
                }
                continue;
            }
            let epoch = self.memory.next_epoch();
            group.shard_moved = true;
            let lease_until = pending.lease.map(|lease| group.now.plus(lease));
            let lease_ends = pending.lease.map(|lease| group.monotonic.plus(lease));
            let mut runs = Vec::with_capacity(claimed.len());
            let mut leases = Vec::with_capacity(claimed.len());
            let mut last: Option<Arc<Task>> = None;
            for mut claimed in claimed {
                // Neighbours mostly share their task: one look-up for all of them.
                let task = match last.take() {
                    Some(task) if (task.id, task.rev) == (claimed.task, claimed.rev) => task,
                    _ => match self.memory.tasks.revision(claimed.task, claimed.rev) {
                        Some(task) => Arc::clone(task),
                        // A queued run's task is never forgotten.
                        None => continue,
                    },
                };
                runs.push(CoveredRun {
                    run: claimed.run,
                    attempt: claimed.attempt,
                    task: claimed.task,
                    rev: claimed.rev,
                    task_type: task.spec.action.task_type(),
                    queued_at: claimed.queued_at,
                });
                let input = claimed
                    .inputs
                    .take()
                    .map(|(inputs, index)| RunInput::Shared(inputs, index));
                last = Some(Arc::clone(&task));
                leases.push(Lease {
                    claimed,
                    task,
                    epoch,
                    lease_until,
                    input,
                });
            }
            runs.sort_unstable_by_key(|covered| covered.run);
            let worker = pending.worker;
            let live = LiveClaim::new(epoch, worker, self.boot, group.now, lease_until, runs);
            let live = Arc::new(live);
            insert_receipt(&self.connection, &live)?;
            group.rows += 1;
            self.memory.count_running(live.runs.iter(), 1);
            self.memory
                .claims
                .insert(epoch, OpenClaim::new(Arc::clone(&live), lease_ends));
            group.claims_opened.push(live);
            let granted = Granted {
                leases,
                epoch,
                inbox: Some(Arc::clone(&self.inbox)),
            };
            group.answer(move |failed| {
                let answer = match failed {
                    None => Ok(granted),
                    Some(error) => {
                        // Nothing is durable, so there is nothing to give back.
                        drop(granted.accept());
                        Err(error.clone())
                    }
                };
                let _ = pending.reply.send(answer);
            });
        }
        self.pending_claims = waiting;
        Ok(())
    }

    /// Takes back a claim whose leases never arrived: its attempts did not begin.
    pub(crate) fn give_back(&mut self, epoch: Epoch, group: &mut Group) -> SqlResult<()> {
        group.given_back.push(epoch);
        let Some(claim) = self.memory.claims.remove(&epoch) else {
            return Ok(());
        };
        delete_receipt(&self.connection, epoch)?;
        group.rows += 1;
        for (index, covered) in claim.open_runs() {
            self.memory.count_running([&covered], -1);
            group.settle(&claim.live, index);
            let covered = CoveredRun {
                attempt: covered.attempt.saturating_sub(1),
                ..covered
            };
            let suspect = self.memory.ready.settled(covered.run);
            if self.memory.cancel_requested.contains(&covered.run)
                || self.memory.tasks.is_deleted(covered.task)
            {
                // It never began, and now it shall not.
                self.sweeps
                    .push_back(Sweep::unasked([span_of(&covered, covered.attempt)].into()));
            } else if suspect {
                self.memory.push_suspect(span_of(&covered, covered.attempt));
            } else {
                self.memory.push_ready(&covered, covered.attempt);
            }
        }
        group.claims_closed.push(epoch);
        Ok(())
    }
}

fn insert_receipt(connection: &Connection, claim: &LiveClaim) -> SqlResult<()> {
    let ids: Vec<RunId> = claim.runs.iter().map(|covered| covered.run).collect();
    let mut insert = connection.prepare_cached(
        "INSERT INTO claims
             (epoch, shard, worker, boot, claimed_at, lease_until, first_id, last_id, ids)
         VALUES (?1, 0, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    insert.execute((
        claim.epoch.0,
        claim.worker.as_str(),
        claim.boot.0.cast_signed(),
        claim.claimed_at.as_micros(),
        claim.lease_until().map(Timestamp::as_micros),
        ids.first().map_or(0, |id| id.0),
        ids.last().map_or(0, |id| id.0),
        encode_ids(&ids),
    ))?;
    Ok(())
}

pub(crate) fn delete_receipt(connection: &Connection, epoch: Epoch) -> SqlResult<()> {
    connection
        .prepare_cached("DELETE FROM claims WHERE epoch = ?1")?
        .execute([epoch.0])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(ids: &[i64]) -> LiveClaim {
        let runs = ids
            .iter()
            .map(|id| CoveredRun {
                run: RunId(*id),
                attempt: 1,
                task: TaskId(1),
                rev: 1,
                task_type: TaskType::Http,
                queued_at: Timestamp::from_seconds(0),
            })
            .collect();
        let at = Timestamp::from_seconds(0);
        LiveClaim::new(Epoch(7), WorkerName::new("w"), BootId(1), at, None, runs)
    }

    #[test]
    fn a_run_is_found_in_dense_and_in_scattered_claims() {
        let dense = claim(&[10, 11, 12, 13]);
        let scattered = claim(&[10, 12, 90]);
        assert_eq!(dense.find(RunId(12)), Some(2));
        assert_eq!(dense.find(RunId(14)), None);
        assert_eq!(scattered.find(RunId(12)), Some(1));
        assert_eq!(scattered.find(RunId(90)), Some(2));
        assert_eq!(scattered.find(RunId(11)), None);
    }

    #[test]
    fn a_claim_is_over_with_its_last_run_and_settles_each_once() {
        let mut open = OpenClaim::new(Arc::new(claim(&[1, 2])), None);
        assert!(!open.settle(0));
        assert!(!open.settle(0), "a second settle of one run counts nothing");
        assert!(open.open_run(RunId(1)).is_none());
        assert!(open.settle(1));
    }
}
