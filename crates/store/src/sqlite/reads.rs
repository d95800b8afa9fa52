//! A run from its rows: what was queued, how it ended, or where it stands now.

use std::sync::Arc;

use autom8_model::run::LogSummary;
use autom8_model::{Epoch, Run, RunId, RunState, TaskId, TaskName, TaskType, Timestamp, Trigger};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::SqlResult;
use super::claims::LiveClaim;
use super::segments::{self, Segment};
use super::shared::Shared;
use crate::{Attempt, AttemptLog};

/// Columns of a run, in the order in which [`RunRow::read`] takes them. `r` is its row, `o` its
/// outcome if it has one.
pub(crate) fn columns(segment: i64) -> String {
    format!(
        "r.id, r.task_id, r.task_rev, r.trigger, r.queued_at, o.state,
         r.planned_at, r.run_at, r.attempt, r.settled_epoch, r.replay_of, r.payload,
         o.attempt, o.epoch, o.started_at, o.finished_at, o.result, o.error,
         (SELECT sum(bytes) FROM logs_{segment} l WHERE l.run_id = r.id),
         (SELECT max(truncated) FROM logs_{segment} l WHERE l.run_id = r.id)"
    )
}

/// What filters look at, before the rest of the row is read.
pub(crate) struct RunRow<'a, 'statement> {
    row: &'a Row<'statement>,
    pub run: RunId,
    pub task: TaskId,
    pub rev: u32,
    pub trigger: Trigger,
    pub queued_at: Timestamp,
    /// The claim that covers it, if it is running.
    covering: Option<(&'a LiveClaim, usize)>,
    pub state: RunState,
}

impl<'a, 'statement> RunRow<'a, 'statement> {
    /// Reads the head of a row. `claims` were taken before the row was read, so that a run which
    /// is settled meanwhile shows as running or as ended, never as queued again.
    pub(crate) fn read(row: &'a Row<'statement>, claims: &'a [Arc<LiveClaim>]) -> SqlResult<Self> {
        let run = RunId(row.get(0)?);
        let trigger: i64 = row.get(3)?;
        let ended: Option<i64> = row.get(5)?;
        let settled_epoch: i64 = row.get(9)?;
        let covering = claims.iter().find_map(|claim| {
            let index = claim.find(run)?;
            (claim.epoch.0 > settled_epoch && !claim.is_settled(index)).then_some((&**claim, index))
        });
        let state = match (ended, &covering) {
            (Some(code), _) => RunState::from_code(code)
                .ok_or(rusqlite::Error::IntegralValueOutOfRange(5, code))?,
            (None, Some(_)) => RunState::Running,
            (None, None) => RunState::Queued,
        };
        Ok(RunRow {
            row,
            run,
            task: TaskId(row.get(1)?),
            rev: row.get(2)?,
            trigger: Trigger::from_code(trigger)
                .ok_or(rusqlite::Error::IntegralValueOutOfRange(3, trigger))?,
            queued_at: Timestamp::from_micros(row.get(4)?),
            covering,
            state,
        })
    }

    pub(crate) fn into_run(self, shared: &Shared) -> SqlResult<Run> {
        let row = self.row;
        let time = |column: usize| -> SqlResult<Option<Timestamp>> {
            Ok(row
                .get::<_, Option<i64>>(column)?
                .map(Timestamp::from_micros))
        };
        let epoch = |number: i64| (number > super::NO_EPOCH.0).then_some(Epoch(number));
        let tasks = shared.tasks.read();
        let spec = tasks.revision(self.task, self.rev).map(|task| &task.spec);
        let entry = tasks.entry(self.task);
        let (attempt, epoch, started_at, finished_at) = if self.state.is_terminal() {
            (row.get(12)?, epoch(row.get(13)?), time(14)?, time(15)?)
        } else if let Some((claim, index)) = self.covering {
            let attempt = claim.runs.get(index).map_or(0, |covered| covered.attempt);
            (attempt, Some(claim.epoch), Some(claim.claimed_at), None)
        } else {
            (row.get(8)?, epoch(row.get(9)?), None, None)
        };
        let log_bytes: Option<i64> = row.get(18)?;
        Ok(Run {
            id: self.run,
            task: match entry {
                Some(entry) => entry.name.clone(),
                // Its task is forgotten: history must be readable all the same.
                None => forgotten_name(self.task)?,
            },
            task_type: match (spec, entry) {
                (Some(spec), _) => spec.action.task_type(),
                (None, Some(entry)) => entry.task_type,
                (None, None) => TaskType::Builtin,
            },
            state: self.state,
            trigger: self.trigger,
            planned_at: time(6)?,
            queued_at: self.queued_at,
            run_at: time(7)?.filter(|run_at| *run_at > self.queued_at),
            started_at,
            finished_at,
            attempt,
            max_attempts: spec.map_or(attempt, |spec| spec.retry.max_attempts),
            epoch,
            replay_of: row.get::<_, Option<i64>>(10)?.map(RunId),
            input: row.get(11)?,
            result: row.get(16)?,
            error: row.get(17)?,
            log: match log_bytes {
                Some(bytes) => Some(LogSummary {
                    bytes: bytes.unsigned_abs(),
                    truncated: row.get::<_, Option<bool>>(19)?.unwrap_or(false),
                }),
                None => None,
            },
        })
    }
}

fn forgotten_name(task: TaskId) -> SqlResult<TaskName> {
    format!("forgotten-{task}")
        .parse()
        .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(1, task.0))
}

/// Finds the segment of a run, asking the registry once more if a table is gone: it may have been
/// dropped, or opened, since.
pub(crate) fn in_segment<T>(
    shared: &Shared,
    run: RunId,
    read: impl Fn(i64) -> SqlResult<Option<T>>,
) -> SqlResult<Option<T>> {
    let before = shared.segments();
    let found = segments::find(&before, run).map(|segment| read(segment.id));
    match found {
        Some(Ok(Some(found))) => return Ok(Some(found)),
        Some(Err(error)) if !is_missing_table(&error) => return Err(error),
        _ => {}
    }
    let after = shared.segments();
    if Arc::ptr_eq(&before, &after) {
        return Ok(None);
    }
    match segments::find(&after, run) {
        Some(segment) => read(segment.id),
        None => Ok(None),
    }
}

pub(crate) fn is_missing_table(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(_, Some(message))
        | rusqlite::Error::SqlInputError { msg: message, .. } if message.contains("no such table"))
}

pub(crate) fn run(connection: &Connection, shared: &Shared, run: RunId) -> SqlResult<Option<Run>> {
    // Looked at before and after the rows: a slice may vanish, or become whole, in between.
    if shared.is_hidden(run) {
        return Ok(None);
    }
    let claims: Vec<Arc<LiveClaim>> = shared
        .covering(run)
        .map(|(claim, _)| claim)
        .into_iter()
        .collect();
    let found = in_segment(shared, run, |segment| {
        connection
            .prepare_cached(&format!(
                "SELECT {}
                 FROM runs_{segment} r LEFT JOIN outcomes_{segment} o ON o.id = r.id
                 WHERE r.id = ?1",
                columns(segment)
            ))?
            .query_row([run.0], |row| RunRow::read(row, &claims)?.into_run(shared))
            .optional()
    })?;
    Ok(found.filter(|found| !shared.is_hidden(found.id)))
}

/// Attempts that did not end their run, oldest first.
pub(crate) fn attempts(
    connection: &Connection,
    shared: &Shared,
    run: RunId,
) -> SqlResult<Vec<Attempt>> {
    let found = in_segment(shared, run, |segment| {
        let mut select = connection.prepare_cached(&format!(
            "SELECT attempt, epoch, started_at, finished_at, error
             FROM attempts_{segment}
             WHERE run_id = ?1
             ORDER BY attempt"
        ))?;
        let rows = select.query_map([run.0], |row| {
            Ok(Attempt {
                attempt: row.get(0)?,
                epoch: Epoch(row.get(1)?),
                started_at: Timestamp::from_micros(row.get(2)?),
                finished_at: Timestamp::from_micros(row.get(3)?),
                error: row.get(4)?,
            })
        })?;
        rows.collect::<SqlResult<Vec<_>>>().map(Some)
    })?;
    Ok(found.unwrap_or_default())
}

/// The captured output of each attempt, oldest first.
pub(crate) fn run_log(
    connection: &Connection,
    shared: &Shared,
    run: RunId,
) -> SqlResult<Vec<AttemptLog>> {
    struct Place {
        attempt: u16,
        offset: u64,
        stored_bytes: usize,
        summary: LogSummary,
    }
    let found = in_segment(shared, run, |segment| {
        let mut select = connection.prepare_cached(&format!(
            "SELECT attempt, offset, stored_bytes, bytes, truncated
             FROM logs_{segment}
             WHERE run_id = ?1
             ORDER BY attempt"
        ))?;
        let places = select.query_map([run.0], |row| {
            Ok(Place {
                attempt: row.get(0)?,
                offset: row.get::<_, i64>(1)?.unsigned_abs(),
                stored_bytes: usize::try_from(row.get::<_, i64>(2)?).unwrap_or(0),
                summary: LogSummary {
                    bytes: row.get::<_, i64>(3)?.unsigned_abs(),
                    truncated: row.get(4)?,
                },
            })
        })?;
        places
            .collect::<SqlResult<Vec<_>>>()
            .map(|places| Some((segment, places)))
    })?;
    let Some((segment, places)) = found else {
        return Ok(Vec::new());
    };
    let mut logs = Vec::with_capacity(places.len());
    for place in places {
        let damaged = || super::run_log::damaged(format!("run {run}, attempt {}", place.attempt));
        let stored =
            super::run_log::read(&shared.directory, segment, place.offset, place.stored_bytes);
        let frame = match stored {
            Ok(frame) => frame,
            // Retention was quicker.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(_) => return Err(damaged()),
        };
        logs.push(AttemptLog {
            attempt: place.attempt,
            bytes: super::run_log::unpack(&frame).ok_or_else(damaged)?,
            summary: place.summary,
        });
    }
    Ok(logs)
}

/// The inputs of claimed runs, by id; runs without one are left out.
pub(crate) fn inputs(
    connection: &Connection,
    segments: &[Segment],
    runs: &[RunId],
) -> SqlResult<Vec<(RunId, Vec<u8>)>> {
    let mut found = Vec::with_capacity(runs.len());
    let mut rest = runs;
    while let Some(&first) = rest.first() {
        // Neighbours are read by range: 0.35 µs a run instead of a look-up each.
        let length = rest
            .iter()
            .zip(first.0..)
            .take_while(|(run, expected)| run.0 == *expected)
            .count();
        let (range, others) = rest.split_at(length);
        rest = others;
        let mut from = first.0;
        let last = range.last().map_or(from, |last| last.0);
        while from <= last {
            let Some(segment) = segments::find(segments, RunId(from)) else {
                break;
            };
            let through = segment.last.map_or(last, |end| end.0.min(last));
            let mut select = connection.prepare_cached(&format!(
                "SELECT id, payload FROM runs_{}
                 WHERE id BETWEEN ?1 AND ?2 AND payload IS NOT NULL",
                segment.id
            ))?;
            let rows =
                select.query_map((from, through), |row| Ok((RunId(row.get(0)?), row.get(1)?)))?;
            for row in rows {
                found.push(row?);
            }
            from = through + 1;
        }
    }
    Ok(found)
}
