//! How attempts ended: outcomes appended, retries put back, stale finishes dropped.

use std::sync::Arc;

use autom8_model::transition::Decision;
use autom8_model::{Epoch, RunId, RunState, Timestamp};
use rusqlite::Connection;

use super::SqlResult;
use super::claims::{CoveredRun, LiveClaim, delete_receipt};
use super::group::Group;
use super::inbox::{PackedLog, PendingFinish};
use super::memory::span_of;
use super::runs::VALUES_ROWS;
use super::writer::Writer;
use crate::{Finish, Finished};

/// An attempt that did not end its run.
pub(crate) struct EndedAttempt<'a> {
    pub covered: CoveredRun,
    pub epoch: Epoch,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub error: Option<&'a str>,
    /// `None` for a run that is suspected of having killed its worker.
    pub run_at: Option<Timestamp>,
}

/// The one end of a run.
pub(crate) struct Outcome<'a> {
    pub run: RunId,
    pub attempt: u16,
    pub epoch: Epoch,
    pub state: RunState,
    pub started_at: Option<Timestamp>,
    pub finished_at: Timestamp,
    pub result: Option<&'a [u8]>,
    pub error: Option<&'a str>,
}

impl Writer {
    /// Records finishes. Those whose epoch is not the live one are stale.
    pub(crate) fn finish(&mut self, pending: PendingFinish, group: &mut Group) -> SqlResult<()> {
        let PendingFinish {
            finishes,
            logs,
            reply,
        } = pending;
        match self.record(&finishes, &logs, group) {
            Ok(finished) => {
                group.answer_with(reply, Ok(finished));
                Ok(())
            }
            Err(error) => {
                let _ = reply.send(Err(self.store_error(&error)));
                Err(error)
            }
        }
    }

    fn record(
        &mut self,
        finishes: &[Finish],
        logs: &[PackedLog],
        group: &mut Group,
    ) -> SqlResult<Finished> {
        let mut stale = Vec::new();
        // Outcomes of one segment in a row go out together.
        let mut outcomes: Vec<Outcome<'_>> = Vec::with_capacity(finishes.len());
        let mut segment = 0;
        let mut accepted_at = vec![false; finishes.len()];
        for (place, finish) in finishes.iter().enumerate() {
            let Some((live, index, covered)) = self.live_run(finish) else {
                stale.push(finish.run);
                continue;
            };
            let Some(home) = self.memory.segment_of(finish.run) else {
                stale.push(finish.run);
                continue;
            };
            let decision = self.binding_decision(finish, &covered);
            if home != segment {
                self.append(segment, &mut outcomes, &mut stale)?;
                segment = home;
            }
            match decision {
                Decision::End(state) => {
                    outcomes.push(Outcome {
                        run: finish.run,
                        attempt: covered.attempt,
                        epoch: finish.epoch,
                        state,
                        started_at: Some(finish.started_at),
                        finished_at: finish.finished_at,
                        result: finish.result.as_deref(),
                        error: finish.error.as_deref(),
                    });
                    self.settle_ended(&covered, state, home, group)?;
                }
                Decision::RetryAt(run_at) => {
                    let ended = EndedAttempt {
                        covered,
                        epoch: finish.epoch,
                        started_at: finish.started_at,
                        finished_at: finish.finished_at,
                        error: finish.error.as_deref(),
                        run_at: Some(run_at),
                    };
                    self.put_back(&ended, home, group)?;
                    let due = group.monotonic.plus(run_at.since(group.now));
                    self.memory
                        .push_delayed(due, span_of(&covered, covered.attempt));
                }
            }
            self.settle(&live, index, group)?;
            accepted_at[place] = true;
        }
        self.append(segment, &mut outcomes, &mut stale)?;
        drop(outcomes);
        for log in logs {
            if accepted_at.get(log.place).is_some_and(|accepted| *accepted) {
                self.append_log(log)?;
            }
        }
        group.rows += finishes.len() - stale.len();
        if !stale.is_empty() {
            self.memory.stale_finishes += stale.len() as u64;
            group.shard_moved = true;
        }
        let accepted = (finishes.len() - stale.len()) as u64;
        Ok(Finished { accepted, stale })
    }

    fn live_run(&self, finish: &Finish) -> Option<(Arc<LiveClaim>, usize, CoveredRun)> {
        let claim = self.memory.claims.get(&finish.epoch)?;
        let (index, covered) = claim.open_run(finish.run)?;
        Some((Arc::clone(&claim.live), index, covered))
    }

    /// The decision of the caller, unless something happened that it could not know: a cancel that
    /// became durable meanwhile, or the end of the task itself.
    fn binding_decision(&self, finish: &Finish, covered: &CoveredRun) -> Decision {
        let cancel_requested = self.memory.cancel_requested.contains(&finish.run);
        match finish.decision {
            Decision::RetryAt(_)
                if cancel_requested || self.memory.tasks.is_deleted(covered.task) =>
            {
                Decision::End(RunState::Cancelled)
            }
            // An accepted cancel is kept, also when the last attempt had failed just before it.
            Decision::End(RunState::Failed | RunState::Interrupted) if cancel_requested => {
                Decision::End(RunState::Cancelled)
            }
            decision => decision,
        }
    }

    /// What an end means beside its outcome: counts, cancel requests, runs that waited for it.
    pub(crate) fn settle_ended(
        &mut self,
        covered: &CoveredRun,
        state: RunState,
        segment: i64,
        group: &mut Group,
    ) -> SqlResult<()> {
        group.count_end(covered.task_type, state);
        self.memory.forget_open(covered.run, covered.task, segment);
        if self.memory.cancel_requested.remove(&covered.run) {
            self.connection
                .prepare_cached("DELETE FROM cancel_requests WHERE run_id = ?1")?
                .execute([covered.run.0])?;
            group.cancels.push((covered.run, false));
        }
        Ok(())
    }

    /// Takes a run out of its claim; the receipt goes with the last one.
    pub(crate) fn settle(
        &mut self,
        live: &Arc<LiveClaim>,
        index: usize,
        group: &mut Group,
    ) -> SqlResult<()> {
        if let Some(covered) = live.runs.get(index) {
            self.memory.ready.settled(covered.run);
            self.memory.count_running([covered], -1);
        }
        group.settle(live, index);
        let over = self
            .memory
            .claims
            .get_mut(&live.epoch)
            .is_some_and(|claim| claim.settle(index));
        if over {
            self.memory.claims.remove(&live.epoch);
            delete_receipt(&self.connection, live.epoch)?;
            group.claims_closed.push(live.epoch);
        }
        Ok(())
    }

    /// Writes that an attempt ended and its run waits again.
    pub(crate) fn put_back(
        &mut self,
        ended: &EndedAttempt<'_>,
        segment: i64,
        group: &mut Group,
    ) -> SqlResult<()> {
        group.rows += 1;
        self.connection
            .prepare_cached(&format!(
                "INSERT OR IGNORE INTO attempts_{segment}
                     (run_id, attempt, epoch, started_at, finished_at, error)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
            ))?
            .execute((
                ended.covered.run.0,
                i64::from(ended.covered.attempt),
                ended.epoch.0,
                ended.started_at.as_micros(),
                ended.finished_at.as_micros(),
                ended.error,
            ))?;
        self.connection
            .prepare_cached(&format!(
                "UPDATE runs_{segment}
                 SET attempt = ?2, settled_epoch = ?3, run_at = ?4
                 WHERE id = ?1 AND settled_epoch < ?3"
            ))?
            .execute((
                ended.covered.run.0,
                i64::from(ended.covered.attempt),
                ended.epoch.0,
                ended.run_at.map(Timestamp::as_micros),
            ))?;
        Ok(())
    }

    /// Appends outcomes; those whose run has one already are stale.
    pub(crate) fn append(
        &mut self,
        segment: i64,
        outcomes: &mut Vec<Outcome<'_>>,
        stale: &mut Vec<RunId>,
    ) -> SqlResult<()> {
        if outcomes.is_empty() {
            return Ok(());
        }
        let bytes: usize = outcomes
            .iter()
            .map(|o| o.result.map_or(0, <[u8]>::len) + o.error.map_or(0, str::len))
            .sum();
        if let Some(home) = self
            .memory
            .segments
            .iter_mut()
            .rev()
            .find(|s| s.id == segment)
        {
            home.bytes += bytes as i64 + outcomes.len() as i64 * 40;
        }
        insert_outcomes(&self.connection, segment, outcomes, stale)?;
        outcomes.clear();
        Ok(())
    }

    fn append_log(&mut self, log: &PackedLog) -> SqlResult<()> {
        let Some(segment) = self.memory.segment_of(log.run) else {
            return Ok(());
        };
        let offset = self
            .logs
            .append(segment, &log.frame)
            .map_err(super::run_log::append_failed)?;
        if let Some(home) = self
            .memory
            .segments
            .iter_mut()
            .rev()
            .find(|s| s.id == segment)
        {
            home.bytes += log.frame.len() as i64;
        }
        self.connection
            .prepare_cached(&format!(
                "INSERT OR IGNORE INTO logs_{segment}
                     (run_id, attempt, offset, stored_bytes, bytes, truncated)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
            ))?
            .execute((
                log.run.0,
                i64::from(log.attempt),
                offset.cast_signed(),
                log.frame.len() as i64,
                log.bytes.cast_signed(),
                log.truncated,
            ))?;
        Ok(())
    }
}

/// Appends outcomes, sixteen a statement. The primary key is the second lock against a second
/// end: a row that is there already wins, and the one refused is named in `stale`.
pub(crate) fn insert_outcomes(
    connection: &Connection,
    segment: i64,
    outcomes: &[Outcome<'_>],
    stale: &mut Vec<RunId>,
) -> SqlResult<()> {
    const COLUMNS: usize = 8;
    let sql = |rows: usize| {
        let values = (0..rows)
            .map(|row| {
                let places: Vec<String> = (1..=COLUMNS)
                    .map(|column| format!("?{}", row * COLUMNS + column))
                    .collect();
                format!("({})", places.join(", "))
            })
            .collect::<Vec<_>>()
            .join(", ");
        format!(
            "INSERT INTO outcomes_{segment} \
             (id, attempt, epoch, state, started_at, finished_at, result, error) \
             VALUES {values} ON CONFLICT (id) DO NOTHING"
        )
    };
    let (many, few) = outcomes.split_at(outcomes.len() - outcomes.len() % VALUES_ROWS);
    for (outcomes, rows) in [(many, VALUES_ROWS), (few, 1)] {
        if outcomes.is_empty() {
            continue;
        }
        let mut statement = connection.prepare_cached(&sql(rows))?;
        for chunk in outcomes.chunks(rows) {
            for (row, outcome) in chunk.iter().enumerate() {
                bind_outcome(&mut statement, row * COLUMNS, outcome)?;
            }
            if statement.raw_execute()? < chunk.len() {
                for outcome in chunk {
                    if stored_epoch(connection, segment, outcome.run)? != Some(outcome.epoch.0) {
                        stale.push(outcome.run);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Binds the columns of one row, in the order of the statement.
fn bind_outcome(
    statement: &mut rusqlite::Statement<'_>,
    before: usize,
    outcome: &Outcome<'_>,
) -> SqlResult<()> {
    statement.raw_bind_parameter(before + 1, outcome.run.0)?;
    statement.raw_bind_parameter(before + 2, outcome.attempt)?;
    statement.raw_bind_parameter(before + 3, outcome.epoch.0)?;
    statement.raw_bind_parameter(before + 4, outcome.state.code())?;
    statement.raw_bind_parameter(before + 5, outcome.started_at.map(Timestamp::as_micros))?;
    statement.raw_bind_parameter(before + 6, outcome.finished_at.as_micros())?;
    statement.raw_bind_parameter(before + 7, outcome.result)?;
    statement.raw_bind_parameter(before + 8, outcome.error)
}

fn stored_epoch(connection: &Connection, segment: i64, run: RunId) -> SqlResult<Option<i64>> {
    use rusqlite::OptionalExtension as _;
    connection
        .prepare_cached(&format!(
            "SELECT epoch FROM outcomes_{segment} WHERE id = ?1"
        ))?
        .query_row([run.0], |row| row.get(0))
        .optional()
}
