//! Cancelling and replaying single runs.

use autom8_model::{Inputs, RunId, RunState, TaskId, Trigger};
use rusqlite::OptionalExtension as _;

use super::SqlResult;
use super::finishes::Outcome;
use super::group::Group;
use super::operation::Failure;
use super::writer::Writer;
use crate::{CANCELLED_WAITING, Cancelled, Replayed, StoreError};

/// What a decision about a single run needs of its row.
struct Row {
    task: TaskId,
    rev: u32,
    attempt: u16,
    ended: bool,
    payload: Option<Vec<u8>>,
}

impl Writer {
    pub(crate) fn cancel_run(
        &mut self,
        run: RunId,
        group: &mut Group,
    ) -> Result<Cancelled, Failure> {
        if self.memory.claim_of(run).is_some() {
            self.request_cancel(run, group)?;
            return Ok(Cancelled::Requested);
        }
        self.cancel_waiting(run, CANCELLED_WAITING, group)?;
        Ok(Cancelled::AtOnce { at: group.now })
    }

    /// Makes the wish to stop a running run durable.
    pub(crate) fn request_cancel(&mut self, run: RunId, group: &mut Group) -> SqlResult<()> {
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO cancel_requests (run_id, requested_at) VALUES (?1, ?2)",
            )?
            .execute((run.0, group.now.as_micros()))?;
        self.memory.cancel_requested.insert(run);
        group.cancels.push((run, true));
        Ok(())
    }

    /// Ends a run that waits.
    pub(crate) fn cancel_waiting(
        &mut self,
        run: RunId,
        why: &str,
        group: &mut Group,
    ) -> Result<(), Failure> {
        let missing = || StoreError::NotFound {
            what: format!("run {run}"),
        };
        let segment = self.memory.segment_of(run).ok_or_else(missing)?;
        let row = self.row(segment, run)?.ok_or_else(missing)?;
        if row.ended {
            return Err(StoreError::Conflict {
                why: format!("run {run} has ended already"),
            }
            .into());
        }
        let mut outcomes = vec![Outcome {
            run,
            attempt: row.attempt,
            epoch: super::NO_EPOCH,
            state: RunState::Cancelled,
            started_at: None,
            finished_at: group.now,
            result: None,
            error: Some(why),
        }];
        self.append(segment, &mut outcomes, &mut Vec::new())?;
        if let Some(task) = self.memory.tasks.revision(row.task, row.rev) {
            group.count_end(task.spec.action.task_type(), RunState::Cancelled);
        }
        self.memory.drop_waiting(run, row.task);
        self.memory.forget_open(run, row.task, segment);
        Ok(())
    }

    pub(crate) fn replay_run(
        &mut self,
        run: RunId,
        group: &mut Group,
    ) -> Result<Replayed, Failure> {
        let missing = || StoreError::NotFound {
            what: format!("run {run}"),
        };
        let segment = self.memory.segment_of(run).ok_or_else(missing)?;
        let row = self.row(segment, run)?.ok_or_else(missing)?;
        if !row.ended {
            let why = format!("run {run} has not ended; cancel it first");
            return Err(StoreError::Conflict { why }.into());
        }
        let task = self
            .memory
            .tasks
            .entry(row.task)
            .and_then(|entry| entry.current.clone())
            .ok_or_else(|| StoreError::NotFound {
                what: format!("the task of run {run}"),
            })?;
        if self.memory.ready.is_full() {
            return Err(StoreError::Overloaded {
                what: "queued runs",
            }
            .into());
        }
        let inputs = row
            .payload
            .as_deref()
            .map_or_else(Inputs::none, Inputs::one);
        let (first, _) =
            self.insert_waiting(&task, Trigger::Replay, &inputs, None, Some(run), group)?;
        Ok(Replayed {
            run: first,
            queued_at: group.now,
            task,
            input: row.payload,
        })
    }

    fn row(&self, segment: i64, run: RunId) -> SqlResult<Option<Row>> {
        if self.shared.is_hidden(run) {
            return Ok(None);
        }
        self.connection
            .prepare_cached(&format!(
                "SELECT r.task_id, r.task_rev, r.attempt, o.id IS NOT NULL, r.payload
                 FROM runs_{segment} r LEFT JOIN outcomes_{segment} o ON o.id = r.id
                 WHERE r.id = ?1"
            ))?
            .query_row([run.0], |row| {
                Ok(Row {
                    task: TaskId(row.get(0)?),
                    rev: row.get(1)?,
                    attempt: row.get(2)?,
                    ended: row.get(3)?,
                    payload: row.get(4)?,
                })
            })
            .optional()
    }
}
