//! Lists of runs, newest first, in pages that visit a bounded number of rows.

use std::sync::Arc;

use autom8_model::{RunId, RunState, TaskId, limits};
use rusqlite::Connection;

use super::SqlResult;
use super::claims::LiveClaim;
use super::postings;
use super::reads::{RunRow, columns, is_missing_table};
use super::segments::Segment;
use super::shared::Shared;
use crate::{RunFilter, RunPage};

/// Ranges of ids of one segment that may match, newest first.
type Candidates = Vec<(i64, i64)>;

/// One page. Which way it is found depends on what is asked: a task's runs through its postings,
/// the few that did not complete through their index, running ones through the claims.
pub(crate) fn runs(
    connection: &Connection,
    shared: &Shared,
    filter: &RunFilter,
) -> SqlResult<RunPage> {
    let limit = filter.limit.clamp(1, limits::PAGE_MAX);
    let claims: Vec<Arc<LiveClaim>> = shared.claims.read().values().cloned().collect();
    let tasks: Option<Vec<TaskId>> = filter
        .task
        .as_ref()
        .map(|name| shared.tasks.read().ids_of(name.as_str()));
    let mut page = Page {
        shared,
        hidden: shared.hidden.read().clone(),
        claims: &claims,
        filter,
        tasks: tasks.as_deref(),
        found: Vec::new(),
        bytes: 0,
        limit,
        visits: 0,
        reached: filter.before.map_or(i64::MAX, |before| before.0),
    };
    let segments = shared.segments();
    for segment in segments.iter().rev() {
        if page.reached <= segment.first.0 {
            continue;
        }
        if segment.settled && page.wants_only_open() {
            continue;
        }
        match page.visit(connection, segment) {
            Ok(true) => {}
            Ok(false) => return Ok(page.cut_off()),
            // Retention was quicker: what it dropped is no part of the list any more.
            Err(error) if is_missing_table(&error) => continue,
            Err(error) => return Err(error),
        }
    }
    Ok(RunPage {
        runs: page.found,
        next: None,
    })
}

struct Page<'a> {
    shared: &'a Shared,
    /// Slices that were not whole before the first row was read; they may vanish meanwhile.
    hidden: Vec<(RunId, RunId)>,
    claims: &'a [Arc<LiveClaim>],
    filter: &'a RunFilter,
    tasks: Option<&'a [TaskId]>,
    found: Vec<autom8_model::Run>,
    /// Inputs and results of what is found.
    bytes: usize,
    limit: usize,
    visits: usize,
    /// Everything from here on up has been looked at.
    reached: i64,
}

impl Page<'_> {
    fn wants_only(&self, wanted: &[RunState]) -> bool {
        !self.filter.states.is_empty()
            && self
                .filter
                .states
                .iter()
                .all(|state| wanted.contains(state))
    }

    fn wants_only_open(&self) -> bool {
        self.wants_only(&[RunState::Queued, RunState::Running])
    }

    /// Looks through one segment; false if the page is full or has visited enough.
    fn visit(&mut self, connection: &Connection, segment: &Segment) -> SqlResult<bool> {
        let top = segment
            .last
            .map_or(i64::MAX - 1, |last| last.0)
            .min(self.reached - 1);
        let bottom = segment.first.0;
        if self.wants_only(&[RunState::Running]) {
            let candidates = self.running(bottom, top);
            return self.read(connection, segment, candidates);
        }
        if self.wants_only(&[RunState::Failed, RunState::Cancelled, RunState::Interrupted]) {
            return self.visit_uncompleted(connection, segment, top);
        }
        let candidates = match self.tasks {
            Some(tasks) => self.posted(connection, segment, tasks, bottom, top)?,
            None => vec![(bottom, top)],
        };
        self.read(connection, segment, candidates)
    }

    fn running(&self, bottom: i64, top: i64) -> Candidates {
        let mut ids: Vec<i64> = self
            .claims
            .iter()
            .flat_map(|claim| {
                claim
                    .runs
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| !claim.is_settled(*index))
                    .map(|(_, covered)| covered.run.0)
            })
            .filter(|id| (bottom..=top).contains(id))
            .collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.into_iter().map(|id| (id, id)).collect()
    }

    /// Through the partial index: the ids of each state merge into one descending order.
    fn visit_uncompleted(
        &mut self,
        connection: &Connection,
        segment: &Segment,
        mut top: i64,
    ) -> SqlResult<bool> {
        let mut select = connection.prepare_cached(&format!(
            "SELECT id FROM outcomes_{} WHERE state = ?1 AND state <> 2 AND id <= ?2
             ORDER BY id DESC LIMIT ?3",
            segment.id
        ))?;
        loop {
            let want = self.limit * 2;
            let mut ids: Vec<i64> = Vec::new();
            for state in &self.filter.states {
                let rows = select
                    .query_map((state.code(), top, want as i64), |row| row.get::<_, i64>(0))?;
                for id in rows {
                    ids.push(id?);
                }
            }
            ids.sort_unstable_by(|a, b| b.cmp(a));
            ids.dedup();
            // Beyond the shortest of the merged lists an id may be missing.
            ids.truncate(want);
            let Some(&lowest) = ids.last() else {
                self.reached = segment.first.0;
                return Ok(true);
            };
            let exhausted = ids.len() < want;
            if !self.read(
                connection,
                segment,
                ids.into_iter().map(|id| (id, id)).collect(),
            )? {
                return Ok(false);
            }
            if exhausted {
                self.reached = segment.first.0;
                return Ok(true);
            }
            top = lowest - 1;
        }
    }

    /// Through the postings of the segment and the tail in memory.
    fn posted(
        &self,
        connection: &Connection,
        segment: &Segment,
        tasks: &[TaskId],
        bottom: i64,
        top: i64,
    ) -> SqlResult<Candidates> {
        let mut ranges: Candidates = Vec::new();
        {
            let tail = self.shared.tail.read();
            for task in tasks {
                ranges.extend(tail.of(*task));
            }
        }
        let mut select = connection.prepare_cached(&format!(
            "SELECT ranges FROM postings_{} WHERE task_id = ?1 ORDER BY last_id DESC",
            segment.id
        ))?;
        for task in tasks {
            let rows = select.query_map([task.0], |row| row.get::<_, Vec<u8>>(0))?;
            for bytes in rows {
                let decoded = postings::decode(&bytes?)
                    .ok_or(rusqlite::Error::IntegralValueOutOfRange(0, segment.id))?;
                ranges.extend(decoded);
            }
        }
        ranges.retain(|(first, last)| *first <= top && *last >= bottom);
        for range in &mut ranges {
            *range = (range.0.max(bottom), range.1.min(top));
        }
        ranges.sort_unstable_by(|a, b| b.cmp(a));
        // What was written out just now may be in both places.
        ranges.dedup();
        Ok(ranges)
    }

    /// Reads candidates, newest first; false if the page is full or has visited enough.
    fn read(
        &mut self,
        connection: &Connection,
        segment: &Segment,
        candidates: Candidates,
    ) -> SqlResult<bool> {
        let id = segment.id;
        let mut select = connection.prepare_cached(&format!(
            "SELECT {}
             FROM runs_{id} r LEFT JOIN outcomes_{id} o ON o.id = r.id
             WHERE r.id BETWEEN ?1 AND ?2
             ORDER BY r.id DESC",
            columns(id)
        ))?;
        for (bottom, top) in candidates {
            let top = top.min(self.reached - 1);
            let mut rows = select.query((bottom, top))?;
            while let Some(row) = rows.next()? {
                self.visits += 1;
                let head = RunRow::read(row, self.claims)?;
                let run = head.run;
                if self.matches(&head) && !self.is_hidden(run) {
                    if self.found.len() == self.limit {
                        return Ok(false);
                    }
                    let found = head.into_run(self.shared)?;
                    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
                    self.bytes += length(&found.input) + length(&found.result);
                    self.found.push(found);
                }
                self.reached = run.0;
                if self.visits >= limits::PAGE_VISITS_MAX || self.bytes >= limits::PAGE_BYTES_MAX {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn is_hidden(&self, run: RunId) -> bool {
        self.hidden
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&run))
            || self.shared.is_hidden(run)
    }

    fn matches(&self, row: &RunRow<'_, '_>) -> bool {
        let filter = self.filter;
        let of_type = |wanted| {
            let tasks = self.shared.tasks.read();
            match tasks.revision(row.task, row.rev) {
                Some(task) => task.spec.action.task_type() == wanted,
                None => tasks
                    .entry(row.task)
                    .is_some_and(|entry| entry.task_type == wanted),
            }
        };
        self.tasks.is_none_or(|tasks| tasks.contains(&row.task))
            && (filter.states.is_empty() || filter.states.contains(&row.state))
            && filter.trigger.is_none_or(|trigger| trigger == row.trigger)
            && filter.since.is_none_or(|since| row.queued_at >= since)
            && filter.until.is_none_or(|until| row.queued_at < until)
            && filter.task_type.is_none_or(of_type)
    }

    fn cut_off(self) -> RunPage {
        RunPage {
            runs: self.found,
            next: Some(RunId(self.reached)),
        }
    }
}
