//! The fire ledger: each planned time of a schedule once, with what became of it.

use std::sync::Arc;

use autom8_model::schedule::{FireOutcome as Planned, PlannedFire};
use autom8_model::task::Overlap;
use autom8_model::{Inputs, RunId, Task, TaskId, Timestamp, Trigger};
use rusqlite::Connection;

use super::SqlResult;
use super::group::Group;
use super::operation::Failure;
use super::writer::Writer;
use crate::{Fire, FireBatch, FireOutcome, RecordedFires};

impl FireOutcome {
    fn code(self) -> i64 {
        match self {
            FireOutcome::Ran => 1,
            FireOutcome::Skipped => 2,
            FireOutcome::Coalesced => 3,
            FireOutcome::Missed => 4,
        }
    }

    fn from_code(code: i64) -> Option<Self> {
        [
            FireOutcome::Ran,
            FireOutcome::Skipped,
            FireOutcome::Coalesced,
            FireOutcome::Missed,
        ]
        .into_iter()
        .find(|outcome| outcome.code() == code)
    }
}

impl Writer {
    pub(crate) fn record_fires(
        &mut self,
        batches: Vec<FireBatch>,
        group: &mut Group,
    ) -> Result<Vec<RecordedFires>, Failure> {
        let mut recorded = Vec::with_capacity(batches.len());
        for batch in batches {
            let current = self
                .memory
                .tasks
                .entry(batch.task)
                .and_then(|entry| entry.current.clone())
                .filter(|task| task.rev == batch.rev && task.spec.enabled);
            recorded.push(match current {
                Some(task) => self.record_batch(&task, batch, group)?,
                None => RecordedFires {
                    outdated: true,
                    ..RecordedFires::default()
                },
            });
        }
        Ok(recorded)
    }

    fn record_batch(
        &mut self,
        task: &Arc<Task>,
        batch: FireBatch,
        group: &mut Group,
    ) -> Result<RecordedFires, Failure> {
        let mut recorded = RecordedFires::default();
        if batch.fired_through <= task.fired_through {
            // Another scheduler, or an earlier call whose answer was lost, has been here.
            recorded.outdated = !batch.fires.is_empty();
            return Ok(recorded);
        }
        for fire in batch
            .fires
            .iter()
            .filter(|fire| fire.planned_at > task.fired_through)
        {
            self.record_fire(task, fire, &mut recorded, group)?;
        }
        let mut fired = Task::clone(task);
        fired.fired_through = batch.fired_through;
        self.connection
            .prepare_cached("UPDATE tasks SET fired_through = ?2 WHERE id = ?1")?
            .execute((task.id.0, fired.fired_through.as_micros()))?;
        self.put_task(fired, group);
        Ok(recorded)
    }

    fn record_fire(
        &mut self,
        task: &Arc<Task>,
        fire: &PlannedFire,
        recorded: &mut RecordedFires,
        group: &mut Group,
    ) -> Result<(), Failure> {
        let now = group.now;
        let row = |outcome, run| Fire {
            planned_at: fire.planned_at,
            outcome,
            run,
            through: fire.planned_at,
            count: 1,
            recorded_at: now,
        };
        let span_row = |outcome, span: autom8_model::schedule::FireSpan| Fire {
            planned_at: span.first,
            through: span.last,
            count: span.count,
            ..row(outcome, None)
        };
        match fire.outcome {
            Planned::Coalesced(span) => {
                self.enter(task.id, &span_row(FireOutcome::Coalesced, span))?;
            }
            Planned::Missed(span) => {
                self.enter(task.id, &span_row(FireOutcome::Missed, span))?;
            }
            Planned::Run => {
                let open: Vec<RunId> = self
                    .memory
                    .scheduled
                    .get(&task.id)
                    .map(|runs| runs.iter().copied().collect())
                    .unwrap_or_default();
                if !open.is_empty() && task.spec.overlap == Overlap::Skip {
                    self.enter(task.id, &row(FireOutcome::Skipped, None))?;
                    recorded.skipped += 1;
                    return Ok(());
                }
                // A rotation must come first: the run's id is known then.
                self.active_segment(group)?;
                let run = RunId(self.memory.next_run);
                if !self.enter(task.id, &row(FireOutcome::Ran, Some(run)))? {
                    return Ok(());
                }
                self.make_run(task, fire.planned_at, &open, recorded, group)?;
            }
        }
        Ok(())
    }

    fn make_run(
        &mut self,
        task: &Arc<Task>,
        planned_at: Timestamp,
        open: &[RunId],
        recorded: &mut RecordedFires,
        group: &mut Group,
    ) -> Result<(), Failure> {
        let mut still_running = false;
        if task.spec.overlap == Overlap::Replace {
            for run in open {
                if self.memory.claim_of(*run).is_some() {
                    self.request_cancel(*run, group)?;
                    recorded.to_cancel.push(*run);
                    still_running = true;
                } else {
                    self.cancel_waiting(*run, "replaced by a later fire", group)?;
                }
            }
        }
        let none = Inputs::none();
        let span = self.insert_runs(
            task,
            Trigger::Schedule,
            &none,
            Some(planned_at),
            None,
            group,
        )?;
        self.memory
            .scheduled
            .entry(task.id)
            .or_default()
            .insert(span.first);
        recorded.runs.push(span.first);
        if still_running {
            self.memory.held.insert(task.id, span);
        } else {
            self.memory.push_span(span);
        }
        Ok(())
    }

    /// Enters a row; false if the time is in the ledger already.
    fn enter(&mut self, task: TaskId, fire: &Fire) -> SqlResult<bool> {
        let entered = self
            .connection
            .prepare_cached(
                "INSERT OR IGNORE INTO fires
                     (task_id, planned_at, outcome, run_id, through, count, recorded_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute((
                task.0,
                fire.planned_at.as_micros(),
                fire.outcome.code(),
                fire.run.map(|run| run.0),
                fire.through.as_micros(),
                i64::try_from(fire.count).unwrap_or(i64::MAX),
                fire.recorded_at.as_micros(),
            ))?;
        Ok(entered == 1)
    }
}

/// The ledger of a task, newest first.
pub(crate) fn list(connection: &Connection, task: TaskId, limit: usize) -> SqlResult<Vec<Fire>> {
    let mut select = connection.prepare_cached(
        "SELECT planned_at, outcome, run_id, through, count, recorded_at
         FROM fires
         WHERE task_id = ?1
         ORDER BY planned_at DESC
         LIMIT ?2",
    )?;
    let rows = select.query_map((task.0, limit as i64), |row| {
        let code: i64 = row.get(1)?;
        Ok(Fire {
            planned_at: Timestamp::from_micros(row.get(0)?),
            outcome: FireOutcome::from_code(code)
                .ok_or(rusqlite::Error::IntegralValueOutOfRange(1, code))?,
            run: row.get::<_, Option<i64>>(2)?.map(RunId),
            through: Timestamp::from_micros(row.get(3)?),
            count: row.get::<_, i64>(4)?.unsigned_abs(),
            recorded_at: Timestamp::from_micros(row.get(5)?),
        })
    })?;
    rows.collect()
}
