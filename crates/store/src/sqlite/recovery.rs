//! What the writer must know, read from the rows: at start, and after a group that failed.
//!
//! Only segments that may have an open run are read; everything older is history and is not
//! touched, so that the time to start does not grow with it.

use std::collections::VecDeque;
use std::sync::Arc;

use autom8_model::lease::decode_ids;
use autom8_model::ready::Span;
use autom8_model::task::Overlap;
use autom8_model::{
    BootId, Clock, Epoch, Monotonic, RunId, Task, TaskId, TaskSpec, TaskType, Timestamp, Trigger,
    WorkerName, limits,
};
use rusqlite::Connection;
use rustc_hash::FxHashMap;

use super::SqlResult;
use super::claims::{CoveredRun, LiveClaim, OpenClaim, delete_receipt};
use super::group::Group;
use super::keys::{self, KeyTable};
use super::memory::{Memory, type_index};
use super::postings::Tail;
use super::segments::{self, Segment};
use super::tasks::Sweep;
use super::writer::Writer;
use crate::{Reaped, StoreError};

/// Why memory could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error("damaged data in {table}, row {row}: {what}")]
    Corrupt {
        table: &'static str,
        row: i64,
        what: String,
    },
}

/// All that is derived from the file.
pub(crate) struct Loaded {
    memory: Memory,
    tail: Tail,
    /// Waiting runs to cancel: of tasks that were deleted, or cancelled as they were given back.
    orphans: VecDeque<Span>,
    /// Receipts whose runs are all settled.
    spent: Vec<Epoch>,
    unfinished: Vec<Unfinished>,
    keys: KeyTable,
}

/// A receipt before its runs are known to be open.
struct StoredReceipt {
    epoch: Epoch,
    worker: WorkerName,
    boot: BootId,
    claimed_at: Timestamp,
    lease_until: Option<Timestamp>,
    runs: Vec<RunId>,
}

impl Writer {
    /// First start: builds memory, drops what was never acknowledged and takes back what the dead
    /// had claimed.
    pub(crate) fn recover(&mut self) -> Result<Reaped, LoadError> {
        self.take_over(load(&self.connection, &*self.clock)?);
        let mut group = Group::at(&*self.clock);
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        self.delete_unfinished(&mut group)?;
        let reaped = self.take_back_from_the_dead(&mut group)?;
        self.active_segment(&mut group)?;
        self.seal(&mut group)?;
        self.publish(group);
        Ok(reaped)
    }

    /// After a failed group: memory goes back to what the file says. Claims of this process stay
    /// live, for their runs are still going on.
    pub(crate) fn rebuild(&mut self) -> Result<(), LoadError> {
        self.take_over(load(&self.connection, &*self.clock)?);
        Ok(())
    }

    /// Deletes slices that never became whole. It writes, so it waits for a group: memory must be
    /// built even where there is no room.
    pub(crate) fn delete_unfinished(&mut self, group: &mut Group) -> SqlResult<()> {
        for slice in std::mem::take(&mut self.unfinished) {
            if let Some(segment) = self.memory.segment_of(slice.first) {
                super::runs::delete_rows(&self.connection, segment, slice.first, slice.last)?;
            }
            self.connection
                .prepare_cached("DELETE FROM batches WHERE batch = ?1 AND first_id = ?2")?
                .execute((slice.batch, slice.first.0))?;
            group.rows += 1;
            group.hidden_over.push(slice.first);
        }
        Ok(())
    }

    fn take_over(&mut self, loaded: Loaded) {
        let Loaded {
            memory,
            tail,
            orphans,
            spent,
            unfinished,
            keys,
        } = loaded;
        self.memory = memory;
        for epoch in spent {
            // Deleting it again at the next start would do no harm.
            let _ = delete_receipt(&self.connection, epoch);
        }
        if !orphans.is_empty() {
            self.sweeps.push_back(Sweep::unasked(orphans));
        }
        let shared = &self.shared;
        *shared.tasks.write() = self.memory.tasks.clone();
        *shared.segments.write() = Arc::new(self.memory.segments.clone());
        *shared.claims.write() = self
            .memory
            .claims
            .iter()
            .map(|(epoch, claim)| (*epoch, Arc::clone(&claim.live)))
            .collect();
        shared
            .cancel_requested
            .write()
            .clone_from(&self.memory.cancel_requested);
        *shared.tail.write() = tail;
        *shared.hidden.write() = unfinished
            .iter()
            .map(|slice| (slice.first, slice.last))
            .collect();
        self.unfinished = unfinished;
        *shared.totals.write() = self.memory.totals();
        *shared.keys.write() = keys;
    }
}

/// A slice of a batch whose last one is missing: it was never acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unfinished {
    batch: i64,
    first: RunId,
    last: RunId,
}

fn load_unfinished(connection: &Connection) -> SqlResult<Vec<Unfinished>> {
    connection
        .prepare("SELECT batch, first_id, last_id FROM batches")?
        .query_map([], |row| {
            Ok(Unfinished {
                batch: row.get(0)?,
                first: RunId(row.get(1)?),
                last: RunId(row.get(2)?),
            })
        })?
        .collect()
}

fn load(connection: &Connection, clock: &dyn Clock) -> Result<Loaded, LoadError> {
    let mut memory = Memory {
        next_batch: 1,
        next_run: 1,
        next_task: 1,
        ..Memory::default()
    };
    load_tasks(connection, &mut memory)?;
    load_counts(connection, &mut memory)?;
    memory.segments = segments::load(connection)?;
    let unfinished = load_unfinished(connection)?;
    memory.next_batch = unfinished
        .iter()
        .map(|slice| slice.batch + 1)
        .max()
        .unwrap_or(1);
    let receipts = load_receipts(connection)?;
    let mut covering: FxHashMap<RunId, Vec<usize>> = FxHashMap::default();
    for (index, receipt) in receipts.iter().enumerate() {
        for run in &receipt.runs {
            covering.entry(*run).or_default().push(index);
        }
    }
    let now = (clock.now(), clock.monotonic());
    let mut covered: Vec<Vec<CoveredRun>> = receipts.iter().map(|_| Vec::new()).collect();
    let mut orphans = VecDeque::new();
    for segment in memory.segments.clone() {
        if segment.settled {
            continue;
        }
        load_open_runs(
            connection,
            &segment,
            &mut memory,
            now,
            &unfinished,
            &mut |row, memory| {
                let receipt = covering.get(&row.run).and_then(|indices| {
                    indices
                        .iter()
                        .copied()
                        .find(|i| receipts[*i].epoch.0 > row.settled_epoch)
                });
                match receipt {
                    Some(index) => {
                        covered[index].push(row.covered(row.attempt + 1, memory));
                        true
                    }
                    None if memory.tasks.is_deleted(row.task)
                        || memory.cancel_requested.contains(&row.run) =>
                    {
                        orphans.push_back(row.span());
                        true
                    }
                    None => false,
                }
            },
        )?;
    }
    let tail = load_active(connection, &mut memory)?;
    let mut spent = Vec::new();
    for (receipt, runs) in receipts.into_iter().zip(covered) {
        if runs.is_empty() {
            spent.push(receipt.epoch);
            continue;
        }
        memory.count_running(&runs, 1);
        let StoredReceipt {
            epoch,
            worker,
            boot,
            claimed_at,
            lease_until,
            ..
        } = receipt;
        let live = LiveClaim::new(epoch, worker, boot, claimed_at, lease_until, runs);
        // How much of a lease was left is not known: its worker gets the whole of one to come back.
        let lease_ends = lease_until.map(|_| clock.monotonic().plus(limits::LEASE_DURATION));
        memory
            .claims
            .insert(epoch, OpenClaim::new(Arc::new(live), lease_ends));
    }
    Ok(Loaded {
        memory,
        tail,
        orphans,
        spent,
        unfinished,
        keys: keys::load(connection)?,
    })
}

fn load_tasks(connection: &Connection, memory: &mut Memory) -> Result<(), LoadError> {
    let mut select = connection.prepare(
        "SELECT t.id, r.rev, r.rev = t.rev, t.enabled, t.anchor_at, t.fired_through,
                t.created_at, t.updated_at, t.deleted_at IS NOT NULL, r.spec
         FROM tasks t JOIN task_revs r ON r.task_id = t.id
         ORDER BY t.id, r.rev",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let bytes: Vec<u8> = row.get(9)?;
        let mut spec: TaskSpec =
            serde_json::from_slice(&bytes).map_err(|error| LoadError::Corrupt {
                table: "task_revs",
                row: id,
                what: error.to_string(),
            })?;
        spec.enabled = row.get(3)?;
        let task = Arc::new(Task {
            id: TaskId(id),
            rev: row.get(1)?,
            spec,
            anchor_at: Timestamp::from_micros(row.get(4)?),
            fired_through: Timestamp::from_micros(row.get(5)?),
            created_at: Timestamp::from_micros(row.get(6)?),
            updated_at: Timestamp::from_micros(row.get(7)?),
        });
        memory.next_task = memory.next_task.max(id + 1);
        let (current, deleted): (bool, bool) = (row.get(2)?, row.get(8)?);
        if current && !deleted {
            memory.ready.set_paused(task.id, !task.spec.enabled);
            memory.tasks.put(task);
        } else {
            memory.tasks.put_revision(task);
        }
    }
    Ok(())
}

fn load_counts(connection: &Connection, memory: &mut Memory) -> Result<(), LoadError> {
    (memory.last_epoch, memory.stale_finishes) =
        connection.query_row("SELECT epoch, stale FROM shards WHERE id = 0", [], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
        })?;
    let mut select = connection.prepare(
        "SELECT type, completed, failed, interrupted, cancelled FROM totals WHERE node = 0",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let Some(task_type) = TaskType::from_code(row.get(0)?) else {
            continue;
        };
        let count = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        let totals = &mut memory.totals[type_index(task_type)];
        totals.completed = count(1)?;
        totals.failed = count(2)?;
        totals.interrupted = count(3)?;
        totals.cancelled = count(4)?;
    }
    let mut select = connection.prepare("SELECT run_id FROM cancel_requests")?;
    let requests = select.query_map([], |row| Ok(RunId(row.get(0)?)))?;
    memory.cancel_requested = requests.collect::<SqlResult<_>>()?;
    memory.contacts = super::contacts::load_counts(connection)?;
    Ok(())
}

fn load_receipts(connection: &Connection) -> Result<Vec<StoredReceipt>, LoadError> {
    let mut select = connection.prepare(
        "SELECT epoch, worker, boot, claimed_at, lease_until, ids FROM claims ORDER BY epoch",
    )?;
    let mut rows = select.query([])?;
    let mut receipts = Vec::new();
    while let Some(row) = rows.next()? {
        let epoch: i64 = row.get(0)?;
        let ids: Vec<u8> = row.get(5)?;
        receipts.push(StoredReceipt {
            epoch: Epoch(epoch),
            worker: WorkerName::new(&row.get::<_, String>(1)?),
            boot: BootId(row.get::<_, i64>(2)?.cast_unsigned()),
            claimed_at: Timestamp::from_micros(row.get(3)?),
            lease_until: row.get::<_, Option<i64>>(4)?.map(Timestamp::from_micros),
            runs: decode_ids(&ids).map_err(|error| LoadError::Corrupt {
                table: "claims",
                row: epoch,
                what: error.to_string(),
            })?,
        });
    }
    Ok(receipts)
}

/// A run without an outcome.
struct OpenRow {
    run: RunId,
    task: TaskId,
    rev: u32,
    queued_at: Timestamp,
    trigger: i64,
    attempt: u16,
    settled_epoch: i64,
    run_at: Option<Timestamp>,
}

impl OpenRow {
    fn covered(&self, attempt: u16, memory: &Memory) -> CoveredRun {
        let task = memory.tasks.revision(self.task, self.rev);
        CoveredRun {
            run: self.run,
            attempt,
            task: self.task,
            rev: self.rev,
            task_type: task.map_or(TaskType::Builtin, |task| task.spec.action.task_type()),
            queued_at: self.queued_at,
        }
    }

    fn span(&self) -> Span {
        Span {
            first: self.run,
            count: 1,
            task: self.task,
            rev: self.rev,
            attempt: self.attempt,
            queued_at: self.queued_at,
            inputs: None,
        }
    }
}

/// Puts the open runs of a segment in order, except those that `elsewhere` takes.
fn load_open_runs(
    connection: &Connection,
    segment: &Segment,
    memory: &mut Memory,
    (now, monotonic): (Timestamp, Monotonic),
    unfinished: &[Unfinished],
    elsewhere: &mut dyn FnMut(&OpenRow, &Memory) -> bool,
) -> Result<(), LoadError> {
    let id = segment.id;
    let mut select = connection.prepare(&format!(
        "SELECT r.id, r.task_id, r.task_rev, r.queued_at, r.trigger, r.attempt, r.settled_epoch,
                r.run_at
         FROM runs_{id} r
         WHERE NOT EXISTS (SELECT 1 FROM outcomes_{id} o WHERE o.id = r.id)
         ORDER BY r.id"
    ))?;
    let mut rows = select.query([])?;
    let mut open = 0;
    while let Some(row) = rows.next()? {
        let row = OpenRow {
            run: RunId(row.get(0)?),
            task: TaskId(row.get(1)?),
            rev: row.get(2)?,
            queued_at: Timestamp::from_micros(row.get(3)?),
            trigger: row.get(4)?,
            attempt: row.get(5)?,
            settled_epoch: row.get(6)?,
            run_at: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_micros),
        };
        if unfinished
            .iter()
            .any(|slice| (slice.first..=slice.last).contains(&row.run))
        {
            continue;
        }
        open += 1;
        let taken = elsewhere(&row, memory);
        let by_schedule = row.trigger == Trigger::Schedule.code();
        let earlier = memory
            .scheduled
            .get(&row.task)
            .is_some_and(|runs| !runs.is_empty());
        if by_schedule {
            memory
                .scheduled
                .entry(row.task)
                .or_default()
                .insert(row.run);
        }
        if taken {
            continue;
        }
        let replaces = by_schedule
            && earlier
            && memory
                .tasks
                .revision(row.task, row.rev)
                .is_some_and(|task| task.spec.overlap == Overlap::Replace);
        match row.run_at {
            _ if replaces => {
                memory.held.insert(row.task, row.span());
            }
            Some(run_at) if run_at > now => {
                memory.push_delayed(monotonic.plus(run_at.since(now)), row.span());
            }
            // Put back without a time: it may be what killed its worker.
            None if row.attempt > 0 => memory.push_suspect(row.span()),
            _ => memory.push_span(row.span()),
        }
    }
    memory.open.insert(id, open);
    Ok(())
}

/// The size of the active segment, the next id, and the tail of its postings.
fn load_active(connection: &Connection, memory: &mut Memory) -> Result<Tail, LoadError> {
    let mut tail = Tail::default();
    let Some(active) = memory.segments.last_mut() else {
        return Ok(tail);
    };
    let id = active.id;
    let (runs, last, payloads): (i64, Option<i64>, i64) = connection.query_row(
        &format!("SELECT count(*), max(id), coalesce(sum(length(payload)), 0) FROM runs_{id}"),
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let results: i64 = connection.query_row(
        &format!(
            "SELECT coalesce(sum(coalesce(length(result), 0) + coalesce(length(error), 0) + 40), 0)
             FROM outcomes_{id}"
        ),
        [],
        |row| row.get(0),
    )?;
    let logs: i64 = connection.query_row(
        &format!("SELECT coalesce(sum(stored_bytes), 0) FROM logs_{id}"),
        [],
        |row| row.get(0),
    )?;
    // An id whose row is gone again may stand in the postings already: it is not used anew.
    let after_last = last
        .map_or(active.first.0, |last| last + 1)
        .max(active.posted_through.0 + 1);
    memory.next_run = active.last.map_or(after_last, |last| last.0 + 1);
    if active.last.is_none() {
        active.runs = runs;
        active.bytes = payloads + results + logs + runs * super::runs::ROW_BYTES;
    }
    let mut select = connection.prepare(&format!(
        "SELECT id, task_id FROM runs_{id} WHERE id > ?1 ORDER BY id"
    ))?;
    let mut rows = select.query([active.posted_through.0])?;
    while let Some(row) = rows.next()? {
        let run = RunId(row.get(0)?);
        tail.add(TaskId(row.get(1)?), run, run);
    }
    Ok(tail)
}

impl From<LoadError> for StoreError {
    fn from(error: LoadError) -> Self {
        StoreError::Unavailable {
            why: error.to_string(),
        }
    }
}
