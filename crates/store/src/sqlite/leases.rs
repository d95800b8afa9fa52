//! Leases of remote workers: renewed by heartbeat, taken back when they run out; and the claims of
//! a process that died, taken back at the next start.

use std::sync::Arc;
use std::time::Duration;

use autom8_model::transition::{AttemptEnd, Circumstances, Decision, settle};
use autom8_model::{Epoch, RunId, Timestamp, WorkerName, limits};
use rustc_hash::FxHashSet;

use super::SqlResult;
use super::claims::{CoveredRun, LiveClaim};
use super::finishes::{EndedAttempt, Outcome};
use super::group::Group;
use super::memory::span_of;
use super::operation::Failure;
use super::writer::Writer;
use crate::{Reaped, Renewed};

impl Writer {
    /// Extends the leases of one worker. A run that two heartbeats in a row do not name is lost,
    /// even while its neighbours live.
    pub(crate) fn renew(
        &mut self,
        worker: &WorkerName,
        held: &[(RunId, Epoch)],
        lease: Duration,
        group: &mut Group,
    ) -> Result<Renewed, Failure> {
        let named: FxHashSet<(RunId, Epoch)> = held.iter().copied().collect();
        let mut renewed = Renewed::default();
        for (run, epoch) in held {
            let covered = self
                .memory
                .claims
                .get(epoch)
                .filter(|claim| claim.live.worker == *worker)
                .and_then(|claim| claim.open_run(*run));
            match covered {
                None => renewed.lost.push(*run),
                Some((_, covered)) => {
                    let stop = self.memory.cancel_requested.contains(run)
                        || self.memory.tasks.is_deleted(covered.task);
                    if stop {
                        renewed.cancel.push(*run);
                    }
                }
            }
        }
        let until = group.now.plus(lease);
        let mut lost = Vec::new();
        let mut extended = Vec::new();
        for (epoch, claim) in &mut self.memory.claims {
            if claim.live.worker != *worker || claim.lease_ends.is_none() {
                continue;
            }
            claim.lease_ends = Some(group.monotonic.plus(lease));
            let missing: Vec<RunId> = claim
                .open_runs()
                .map(|(_, covered)| covered.run)
                .filter(|run| !named.contains(&(*run, *epoch)))
                .collect();
            let (twice, once): (Vec<RunId>, Vec<RunId>) = missing
                .into_iter()
                .partition(|run| claim.missed.contains(run));
            claim.missed = once;
            lost.extend(twice.into_iter().map(|run| (*epoch, run)));
            extended.push(Arc::clone(&claim.live));
        }
        for live in extended {
            self.connection
                .prepare_cached("UPDATE claims SET lease_until = ?2 WHERE epoch = ?1")?
                .execute((live.epoch.0, until.as_micros()))?;
            group.leases.push((live, until));
        }
        let mut reaped = Reaped::default();
        for (epoch, run) in lost {
            self.lose(
                epoch,
                run,
                "its worker stopped naming it",
                &mut reaped,
                group,
            )?;
        }
        Ok(renewed)
    }

    /// Takes back the runs of leases that ran out.
    pub(crate) fn reap(&mut self, group: &mut Group) -> Result<Reaped, Failure> {
        let overslept = group.monotonic.since(self.reaped_at) > limits::REAP_GAP_MAX;
        self.reaped_at = group.monotonic;
        if overslept {
            // This node stood still, so no heartbeat could reach it: the workers are not to blame.
            for claim in self.memory.claims.values_mut() {
                let anew = group.monotonic.plus(EXTENSION);
                claim.lease_ends = claim.lease_ends.map(|ends| ends.max(anew));
            }
            return Ok(Reaped::default());
        }
        let expired: Vec<(Epoch, RunId)> = self
            .memory
            .claims
            .iter()
            .filter(|(_, claim)| claim.lease_ends.is_some_and(|ends| ends <= group.monotonic))
            .flat_map(|(epoch, claim)| claim.open_runs().map(|(_, covered)| (*epoch, covered.run)))
            .collect();
        let mut reaped = Reaped::default();
        for (epoch, run) in expired {
            self.lose(epoch, run, "its lease ran out", &mut reaped, group)?;
        }
        Ok(reaped)
    }

    /// Takes back what processes before this one had claimed: they are dead, or this one could
    /// not have locked the directory.
    pub(crate) fn take_back_from_the_dead(&mut self, group: &mut Group) -> SqlResult<Reaped> {
        let dead: Vec<(Epoch, RunId)> = self
            .memory
            .claims
            .iter()
            .filter(|(_, claim)| claim.live.lease_until().is_none() && claim.live.boot != self.boot)
            .flat_map(|(epoch, claim)| claim.open_runs().map(|(_, covered)| (*epoch, covered.run)))
            .collect();
        let mut reaped = Reaped::default();
        for (epoch, run) in dead {
            self.lose(epoch, run, "its process died", &mut reaped, group)?;
        }
        Ok(reaped)
    }

    /// Settles a run whose worker is gone, by its task's rules.
    fn lose(
        &mut self,
        epoch: Epoch,
        run: RunId,
        why: &str,
        reaped: &mut Reaped,
        group: &mut Group,
    ) -> SqlResult<()> {
        let Some(claim) = self.memory.claims.get(&epoch) else {
            return Ok(());
        };
        let Some((index, covered)) = claim.open_run(run) else {
            return Ok(());
        };
        let live = Arc::clone(&claim.live);
        let Some(segment) = self.memory.segment_of(run) else {
            return Ok(());
        };
        match self.decide_lost(&covered, group.now) {
            Decision::End(state) => {
                let error = format!("attempt {} was lost: {why}", covered.attempt);
                let mut outcomes = vec![Outcome {
                    run,
                    attempt: covered.attempt,
                    epoch,
                    state,
                    started_at: Some(live.claimed_at),
                    finished_at: group.now,
                    result: None,
                    error: Some(&error),
                }];
                self.append(segment, &mut outcomes, &mut Vec::new())?;
                self.settle_ended(&covered, state, segment, group)?;
                reaped.ended += 1;
            }
            Decision::RetryAt(_) => {
                self.put_back_suspect(&live, &covered, segment, why, group)?;
                reaped.requeued += 1;
            }
        }
        group.rows += 1;
        self.settle(&live, index, group)
    }

    fn decide_lost(&self, covered: &CoveredRun, now: Timestamp) -> Decision {
        let gone = self.memory.tasks.is_deleted(covered.task);
        let Some(task) = self.memory.tasks.revision(covered.task, covered.rev) else {
            return Decision::End(autom8_model::RunState::Cancelled);
        };
        let given = Circumstances {
            attempt: covered.attempt,
            retry: &task.spec.retry,
            on_crash: task.spec.on_crash,
            cancel_requested: gone || self.memory.cancel_requested.contains(&covered.run),
            now,
            jitter: 0.0,
        };
        settle(&AttemptEnd::Lost, &given)
    }

    fn put_back_suspect(
        &mut self,
        live: &Arc<LiveClaim>,
        covered: &CoveredRun,
        segment: i64,
        why: &str,
        group: &mut Group,
    ) -> SqlResult<()> {
        let ended = EndedAttempt {
            covered: *covered,
            epoch: live.epoch,
            started_at: live.claimed_at,
            finished_at: group.now,
            error: Some(why),
            // Without a time it is known as a suspect after another crash, too.
            run_at: None,
        };
        self.put_back(&ended, segment, group)?;
        self.memory.push_suspect(span_of(covered, covered.attempt));
        Ok(())
    }
}

/// What a heartbeat extends a lease by.
pub(crate) const EXTENSION: Duration = limits::LEASE_DURATION;
