//! Accepting runs: singles whole, batches in slices.

use std::sync::Arc;

use autom8_model::ready::Span;
use autom8_model::{AuditAction, Inputs, RunId, Task, TaskName, Timestamp, Trigger, limits};
use rusqlite::{Connection, ToSql};

use super::SqlResult;
use super::group::Group;
use super::inbox::Reply;
use super::operation::Failure;
use super::writer::Writer;
use crate::{Enqueue, Enqueued, Result, StoreError, Write};

/// Up to this many runs are accepted whole and before any batch.
const SINGLE_RUNS_MAX: usize = 64;
/// What a row costs beside its payload, for the accounts of a segment.
pub(crate) const ROW_BYTES: i64 = 100;

/// Runs that wait to be accepted.
pub(crate) struct PendingEnqueue {
    pub enqueue: Enqueue,
    pub write: Write<Enqueued>,
    pub reply: Reply<Enqueued>,
}

impl PendingEnqueue {
    pub(crate) fn bytes(&self) -> usize {
        self.enqueue.inputs.bytes()
    }

    pub(crate) fn is_batch(&self) -> bool {
        self.enqueue.inputs.len() > SINGLE_RUNS_MAX
    }
}

/// A batch that is written slice by slice. Until its last slice it can be neither claimed nor
/// seen, and a crash drops it whole.
pub(crate) struct BatchInProgress {
    pending: PendingEnqueue,
    task: Option<Arc<Task>>,
    queued_at: Timestamp,
    /// Zero until the first slice.
    id: i64,
    written: usize,
    /// `(first, last, index of the first input)` of each slice.
    slices: Vec<(RunId, RunId, usize)>,
}

impl BatchInProgress {
    pub(crate) fn new(pending: PendingEnqueue) -> Self {
        BatchInProgress {
            pending,
            task: None,
            queued_at: Timestamp::UNIX_EPOCH,
            id: 0,
            written: 0,
            slices: Vec::new(),
        }
    }

    pub(crate) fn fail(self, error: &StoreError) {
        let _ = self.pending.reply.send(Err(error.clone()));
    }
}

/// Runs of one task to insert, neighbours by id.
pub(crate) struct NewRuns<'a> {
    pub task: &'a Task,
    pub trigger: Trigger,
    pub queued_at: Timestamp,
    pub planned_at: Option<Timestamp>,
    pub replay_of: Option<RunId>,
    pub first: RunId,
    pub inputs: &'a Inputs,
    pub from: usize,
    pub count: usize,
}

impl Writer {
    /// Accepts a few runs in this group.
    pub(crate) fn enqueue_whole(
        &mut self,
        pending: PendingEnqueue,
        group: &mut Group,
    ) -> SqlResult<()> {
        let PendingEnqueue {
            enqueue,
            write,
            reply,
        } = pending;
        let answer = match self.accept_whole(&enqueue, write, group) {
            Ok(enqueued) => Ok(enqueued),
            Err(Failure::Refused(refused)) => Err(refused),
            Err(Failure::Sql(error)) => {
                let _ = reply.send(Err(self.store_error(&error)));
                return Err(error);
            }
        };
        group.answer_with(reply, answer);
        Ok(())
    }

    fn accept_whole(
        &mut self,
        enqueue: &Enqueue,
        write: Write<Enqueued>,
        group: &mut Group,
    ) -> Result<Enqueued, Failure> {
        self.refuse_repeated(&write)?;
        let task = self.acceptable(&enqueue.task)?;
        let ids =
            self.insert_waiting(&task, enqueue.trigger, &enqueue.inputs, None, None, group)?;
        let enqueued = Enqueued {
            ids: vec![ids],
            queued_at: group.now,
            task: Some(task),
        };
        self.note(
            write,
            AuditAction::RunEnqueue,
            enqueue_target,
            &enqueued,
            group,
        )?;
        Ok(enqueued)
    }

    /// The task, if it can take runs now.
    fn acceptable(&self, name: &TaskName) -> Result<Arc<Task>> {
        if self.memory.ready.is_full() {
            return Err(StoreError::Overloaded {
                what: "queued runs",
            });
        }
        self.memory
            .tasks
            .by_name(name.as_str())
            .cloned()
            .ok_or_else(|| StoreError::NotFound {
                what: format!("task `{name}`"),
            })
    }

    /// Inserts runs that may be claimed at once.
    pub(crate) fn insert_waiting(
        &mut self,
        task: &Arc<Task>,
        trigger: Trigger,
        inputs: &Inputs,
        planned_at: Option<Timestamp>,
        replay_of: Option<RunId>,
        group: &mut Group,
    ) -> SqlResult<(RunId, RunId)> {
        let span = self.insert_runs(task, trigger, inputs, planned_at, replay_of, group)?;
        let ids = (span.first, RunId(span.first.0 + i64::from(span.count) - 1));
        self.memory.push_span(span);
        Ok(ids)
    }

    /// Inserts runs and leaves it to the caller when they may be claimed.
    pub(crate) fn insert_runs(
        &mut self,
        task: &Arc<Task>,
        trigger: Trigger,
        inputs: &Inputs,
        planned_at: Option<Timestamp>,
        replay_of: Option<RunId>,
        group: &mut Group,
    ) -> SqlResult<Span> {
        let runs = NewRuns {
            task,
            trigger,
            queued_at: group.now,
            planned_at,
            replay_of,
            first: RunId(0),
            inputs,
            from: 0,
            count: inputs.len(),
        };
        let first = self.insert(runs, group)?;
        Ok(Span {
            first,
            count: u32::try_from(inputs.len()).unwrap_or(u32::MAX),
            task: task.id,
            rev: task.rev,
            attempt: 0,
            queued_at: group.now,
            inputs: Some((inputs.clone(), 0)),
        })
    }

    /// Writes rows into the active segment, under the next ids.
    fn insert(&mut self, runs: NewRuns<'_>, group: &mut Group) -> SqlResult<RunId> {
        let segment = self.active_segment(group)?;
        let first = RunId(self.memory.next_run);
        let runs = NewRuns { first, ..runs };
        let bytes = insert_rows(&self.connection, segment, &runs)?;
        let last = RunId(first.0 + runs.count as i64 - 1);
        self.memory.next_run = last.0 + 1;
        group.rows += runs.count;
        if let Some(active) = self.memory.segments.last_mut() {
            active.runs += runs.count as i64;
            active.bytes += bytes + runs.count as i64 * ROW_BYTES;
        }
        *self.memory.open.entry(segment).or_default() += runs.count as u64;
        let mut tail = self.shared.tail.write();
        tail.add(runs.task.id, first, last);
        if tail.runs() >= limits::POSTINGS_TAIL_RUNS_MAX {
            tail.write_out(&self.connection, segment, last)?;
            if let Some(active) = self.memory.segments.last_mut() {
                active.posted_through = last;
            }
        }
        Ok(first)
    }

    /// Writes slices of the batches that wait, oldest first. Returns the room that is left.
    pub(crate) fn write_batches(&mut self, mut room: usize, group: &mut Group) -> SqlResult<usize> {
        while room > 0 {
            let Some(mut batch) = self.batches.pop_front() else {
                break;
            };
            match self.write_slice(&mut batch, &mut room, group) {
                Ok(Slice::Partial) => {
                    self.batches.push_front(batch);
                    break;
                }
                Ok(Slice::Whole) => {
                    for (first, _, _) in &batch.slices {
                        group.hidden_over.push(*first);
                    }
                    let enqueued = Enqueued {
                        ids: joined(&batch.slices),
                        queued_at: batch.queued_at,
                        task: batch.task.clone(),
                    };
                    batch.answer_with(Ok(enqueued), group);
                }
                Ok(Slice::Refused(error)) => {
                    self.drop_slices(&batch, group)?;
                    batch.answer_with(Err(error), group);
                }
                Err(error) => {
                    // Back to its place, where the failed group finds and tells it.
                    self.batches.push_front(batch);
                    return Err(error);
                }
            }
        }
        Ok(room)
    }

    fn write_slice(
        &mut self,
        batch: &mut BatchInProgress,
        room: &mut usize,
        group: &mut Group,
    ) -> SqlResult<Slice> {
        let task = match &batch.task {
            // The revision of the first slice, for all of it; gone if the task is.
            Some(task) => match self.memory.tasks.entry(task.id) {
                Some(entry) if entry.current.is_some() => Arc::clone(task),
                _ => {
                    let what = format!("task `{}`", task.spec.name);
                    return Ok(Slice::Refused(StoreError::NotFound { what }));
                }
            },
            None => match self.acceptable(&batch.pending.enqueue.task) {
                Ok(task) => task,
                Err(error) => return Ok(Slice::Refused(error)),
            },
        };
        if batch.task.is_none() {
            batch.task = Some(Arc::clone(&task));
            batch.queued_at = group.now;
            batch.id = self.memory.next_batch;
            self.memory.next_batch += 1;
        }
        let inputs = batch.pending.enqueue.inputs.clone();
        let from = batch.written;
        let count = slice_length(&inputs, from, *room);
        let whole = from + count == inputs.len();
        // Before anything is written, and once more before the key is: groups lie between.
        if (from == 0 || whole)
            && let Err(failure) = self.refuse_repeated(&batch.pending.write)
        {
            return match failure {
                Failure::Refused(error) => Ok(Slice::Refused(error)),
                Failure::Sql(error) => Err(error),
            };
        }
        // A rotation must come first: the slice's ids are known then.
        self.active_segment(group)?;
        let first = RunId(self.memory.next_run);
        let last = RunId(first.0 + count as i64 - 1);
        if from > 0 || !whole {
            self.shared.hidden.write().push((first, last));
        }
        let runs = NewRuns {
            task: &task,
            trigger: batch.pending.enqueue.trigger,
            queued_at: batch.queued_at,
            planned_at: None,
            replay_of: None,
            first,
            inputs: &inputs,
            from,
            count,
        };
        self.insert(runs, group)?;
        batch.slices.push((first, last, from));
        batch.written += count;
        *room = room.saturating_sub(count);
        if !whole {
            self.connection
                .prepare_cached(
                    "INSERT INTO batches (batch, first_id, last_id) VALUES (?1, ?2, ?3)",
                )?
                .execute((batch.id, first.0, last.0))?;
            return Ok(Slice::Partial);
        }
        if batch.slices.len() > 1 {
            self.connection
                .prepare_cached("DELETE FROM batches WHERE batch = ?1")?
                .execute([batch.id])?;
        }
        // In the transaction of the last slice, with which the batch comes to be.
        let write = std::mem::replace(&mut batch.pending.write, Write::unattended());
        let enqueued = Enqueued {
            ids: joined(&batch.slices),
            queued_at: batch.queued_at,
            task: Some(Arc::clone(&task)),
        };
        self.note(
            write,
            AuditAction::RunEnqueue,
            enqueue_target,
            &enqueued,
            group,
        )?;
        for (first, last, from) in &batch.slices {
            self.memory.push_span(Span {
                first: *first,
                count: u32::try_from(last.0 - first.0 + 1).unwrap_or(u32::MAX),
                task: task.id,
                rev: task.rev,
                attempt: 0,
                queued_at: batch.queued_at,
                inputs: Some((inputs.clone(), u32::try_from(*from).unwrap_or(u32::MAX))),
            });
        }
        Ok(Slice::Whole)
    }

    /// Takes the slices of a batch that cannot become whole out again.
    fn drop_slices(&mut self, batch: &BatchInProgress, group: &mut Group) -> SqlResult<()> {
        for (first, last, _) in &batch.slices {
            if let Some(segment) = self.memory.segment_of(*first) {
                let dropped = delete_rows(&self.connection, segment, *first, *last)?;
                if let Some(open) = self.memory.open.get_mut(&segment) {
                    *open = open.saturating_sub(dropped);
                }
                group.rows += 1;
            }
            group.hidden_over.push(*first);
        }
        self.connection
            .prepare_cached("DELETE FROM batches WHERE batch = ?1")?
            .execute([batch.id])?;
        Ok(())
    }
}

/// What the audit log names: the one run, or how many of which task.
fn enqueue_target(enqueued: &Enqueued) -> String {
    let task = enqueued
        .task
        .as_ref()
        .map_or("", |task| task.spec.name.as_str());
    match *enqueued.ids {
        [(first, last)] if first == last => format!("{task}: run {first}"),
        _ => format!("{task}: {} runs", enqueued.count()),
    }
}

enum Slice {
    /// There is more to write.
    Partial,
    /// That was the last one.
    Whole,
    Refused(StoreError),
}

impl BatchInProgress {
    fn answer_with(self, answer: Result<Enqueued>, group: &mut Group) {
        group.answer_with(self.pending.reply, answer);
    }
}

/// How many inputs from `from` on make a slice: bounded by rows and by bytes, at least one.
fn slice_length(inputs: &Inputs, from: usize, rows_max: usize) -> usize {
    let mut bytes = 0;
    let mut count = 0;
    while from + count < inputs.len() && count < rows_max {
        bytes += inputs.get(from + count).map_or(0, <[u8]>::len);
        count += 1;
        if bytes >= limits::GROUP_BYTES_MAX {
            break;
        }
    }
    count
}

/// Ranges of ids, with neighbours joined.
fn joined(slices: &[(RunId, RunId, usize)]) -> Vec<(RunId, RunId)> {
    let mut ids: Vec<(RunId, RunId)> = Vec::new();
    for (first, last, _) in slices {
        match ids.last_mut() {
            Some(back) if back.1.0 + 1 == first.0 => back.1 = *last,
            _ => ids.push((*first, *last)),
        }
    }
    ids
}

/// Rows of one `VALUES`: as fast as a virtual table of our own would be, without `unsafe`.
pub(crate) const VALUES_ROWS: usize = 16;

/// Inserts rows, sixteen a statement. What they share is bound once. Returns the bytes of their
/// payloads.
fn insert_rows(connection: &Connection, segment: i64, runs: &NewRuns<'_>) -> SqlResult<i64> {
    let head = format!(
        "INSERT INTO runs_{segment} (id, task_id, task_rev, priority, queued_at, trigger, \
         planned_at, replay_of, payload) VALUES "
    );
    let values = |rows: usize| -> String {
        (0..rows)
            .map(|row| format!("(?8 + {row}, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?{})", 9 + row))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let task_id = runs.task.id.0;
    let task_rev = i64::from(runs.task.rev);
    let priority = i64::from(runs.task.spec.priority);
    let queued_at = runs.queued_at.as_micros();
    let trigger = runs.trigger.code();
    let planned_at = runs.planned_at.map(Timestamp::as_micros);
    let replay_of = runs.replay_of.map(|run| run.0);
    let mut bytes = 0;
    let mut done = 0;
    while done < runs.count {
        let rows = if runs.count - done >= VALUES_ROWS {
            VALUES_ROWS
        } else {
            1
        };
        let mut statement = connection.prepare_cached(&format!("{head}{}", values(rows)))?;
        let shared: [&dyn ToSql; 7] = [
            &task_id,
            &task_rev,
            &priority,
            &queued_at,
            &trigger,
            &planned_at,
            &replay_of,
        ];
        for (index, value) in shared.into_iter().enumerate() {
            statement.raw_bind_parameter(index + 1, value)?;
        }
        while runs.count - done >= rows {
            statement.raw_bind_parameter(8, runs.first.0 + done as i64)?;
            for row in 0..rows {
                let payload = runs.inputs.get(runs.from + done + row);
                bytes += payload.map_or(0, <[u8]>::len) as i64;
                statement.raw_bind_parameter(9 + row, payload)?;
            }
            statement.raw_execute()?;
            done += rows;
        }
    }
    Ok(bytes)
}

/// Deletes the rows of a slice; returns how many there were.
pub(crate) fn delete_rows(
    connection: &Connection,
    segment: i64,
    first: RunId,
    last: RunId,
) -> SqlResult<u64> {
    let deleted = connection
        .prepare_cached(&format!(
            "DELETE FROM runs_{segment} WHERE id BETWEEN ?1 AND ?2"
        ))?
        .execute((first.0, last.0))?;
    Ok(deleted as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_bounded_by_rows_and_by_bytes_and_never_empty() {
        let small = Inputs::from_spans(std::sync::Arc::from(*b"1"), vec![0..1; 5_000]);
        assert_eq!(slice_length(&small, 0, 2_000), 2_000);
        assert_eq!(slice_length(&small, 4_990, 2_000), 10);
        let buffer: std::sync::Arc<[u8]> = vec![b'1'; limits::GROUP_BYTES_MAX].into();
        let end = u32::try_from(limits::GROUP_BYTES_MAX).unwrap();
        let large = Inputs::from_spans(buffer, vec![0..end; 3]);
        assert_eq!(slice_length(&large, 0, 2_000), 1);
    }

    #[test]
    fn neighbouring_slices_are_told_as_one_range() {
        let slices = [
            (RunId(1), RunId(4), 0),
            (RunId(5), RunId(9), 4),
            (RunId(12), RunId(13), 9),
        ];
        assert_eq!(
            joined(&slices),
            [(RunId(1), RunId(9)), (RunId(12), RunId(13))]
        );
    }
}
