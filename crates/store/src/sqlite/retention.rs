//! Dropping history, whole segments at a time: no row is visited, and files really shrink.

use autom8_model::{TaskId, Timestamp};

use super::SqlResult;
use super::group::Group;
use super::operation::Failure;
use super::schema;
use super::segments::Segment;
use super::writer::Writer;
use crate::{RetentionPolicy, RetentionReport};

/// Rows of the fire ledger that one step drops.
const FIRES_DROPPED_MAX: i64 = 10_000;
/// Deleted tasks that one step looks at; each costs a look-up a segment.
const TASKS_FORGOTTEN_MAX: i64 = 100;
/// Free pages given back to the file system in one go (4 KiB each).
const PAGES_FREED_MAX: usize = 2_000;

impl Writer {
    /// One step: at most one segment, so that other writes get their turn in between. The caller
    /// repeats it until nothing is dropped.
    pub(crate) fn apply_retention(
        &mut self,
        policy: &RetentionPolicy,
        group: &mut Group,
    ) -> Result<RetentionReport, Failure> {
        self.retention = policy.clone();
        let mut report = RetentionReport::default();
        // A segment that takes no more runs must still age.
        self.active_segment(group)?;
        let beyond = |segments: &[Segment]| is_beyond(segments, policy, group.now);
        if !beyond(&self.memory.segments) {
            report.fires_dropped = self.drop_fires(group.now.minus(policy.age_max))?;
            self.forget_deleted_tasks()?;
            if let Some(oldest) = self.memory.segments.first() {
                super::contact_imports::forget_before(&self.connection, oldest.first)?;
            }
            report.audit_entries_dropped =
                self.drop_audit_entries(group.now.minus(policy.audit_age_max))?;
            return Ok(report);
        }
        if self.memory.segments.len() == 1 {
            // Nothing but the segment that is being filled: it is closed to be dropped.
            self.close_active(group)?;
            self.active_segment(group)?;
        }
        let droppable = self
            .memory
            .segments
            .iter()
            .position(|segment| segment.settled && segment.last.is_some());
        if let Some(index) = droppable {
            let segment = self.memory.segments.remove(index);
            schema::drop_segment(&self.connection, segment.id)?;
            self.connection
                .execute("DELETE FROM segments WHERE id = ?1", [segment.id])?;
            self.memory.open.remove(&segment.id);
            group.segments_changed = true;
            group.logs_dropped.push(segment.id);
            report.segments_dropped = 1;
            report.runs_dropped = segment.runs.unsigned_abs();
            report.bytes_freed = segment.bytes.unsigned_abs();
        }
        Ok(report)
    }

    fn drop_fires(&self, before: Timestamp) -> SqlResult<u64> {
        let tasks: Vec<i64> = self
            .connection
            .prepare_cached("SELECT id FROM tasks")?
            .query_map([], |row| row.get(0))?
            .collect::<SqlResult<_>>()?;
        let mut dropped = 0;
        let mut delete = self.connection.prepare_cached(
            "DELETE FROM fires
             WHERE task_id = ?1 AND planned_at IN (
                 SELECT planned_at FROM fires
                 WHERE task_id = ?1 AND planned_at < ?2
                 ORDER BY planned_at
                 LIMIT ?3)",
        )?;
        for task in tasks {
            if dropped >= FIRES_DROPPED_MAX {
                break;
            }
            let room = FIRES_DROPPED_MAX - dropped;
            dropped += delete.execute((task, before.as_micros(), room))? as i64;
        }
        Ok(dropped.unsigned_abs())
    }

    /// Forgets deleted tasks of which no run is left, as the postings tell.
    fn forget_deleted_tasks(&mut self) -> SqlResult<()> {
        let deleted: Vec<i64> = self
            .connection
            .prepare_cached(
                "SELECT id FROM tasks WHERE deleted_at IS NOT NULL ORDER BY id LIMIT ?1",
            )?
            .query_map([TASKS_FORGOTTEN_MAX], |row| row.get(0))?
            .collect::<SqlResult<_>>()?;
        for id in deleted {
            if self.has_runs(TaskId(id))? {
                continue;
            }
            for statement in [
                "DELETE FROM fires WHERE task_id = ?1",
                "DELETE FROM task_revs WHERE task_id = ?1",
                "DELETE FROM tasks WHERE id = ?1",
            ] {
                self.connection.prepare_cached(statement)?.execute([id])?;
            }
            self.memory.tasks.forget(TaskId(id));
            self.shared.tasks.write().forget(TaskId(id));
        }
        Ok(())
    }

    fn has_runs(&self, task: TaskId) -> SqlResult<bool> {
        if self.shared.tail.read().of(task).next().is_some() {
            return Ok(true);
        }
        for segment in &self.memory.segments {
            let posted = self
                .connection
                .prepare_cached(&format!(
                    "SELECT 1 FROM postings_{} WHERE task_id = ?1 LIMIT 1",
                    segment.id
                ))?
                .exists([task.0])?;
            if posted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives free pages back to the file system; false when none are left.
    pub(crate) fn free_pages(&self) -> SqlResult<bool> {
        let free: i64 = self
            .connection
            .query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
        let mut vacuum = self
            .connection
            .prepare_cached(&format!("PRAGMA incremental_vacuum({PAGES_FREED_MAX})"))?;
        let mut rows = vacuum.query([])?;
        while rows.next()?.is_some() {}
        Ok(free > PAGES_FREED_MAX as i64)
    }
}

/// Whether more is kept than the policy allows. Segments that still have open runs are kept
/// whatever it says.
fn is_beyond(segments: &[Segment], policy: &RetentionPolicy, now: Timestamp) -> bool {
    let runs: i64 = segments.iter().map(|segment| segment.runs).sum();
    let bytes: i64 = segments.iter().map(|segment| segment.bytes).sum();
    let oldest_expired = segments
        .iter()
        .find(|segment| segment.settled)
        .is_some_and(|segment| {
            segment
                .closed_at
                .is_some_and(|closed| now.since(closed) > policy.age_max)
        });
    let can_drop = segments.iter().any(|segment| segment.settled)
        || (segments.len() == 1 && segments.iter().all(|segment| segment.runs > 0));
    can_drop
        && (runs.unsigned_abs() > policy.runs_max
            || bytes.unsigned_abs() > policy.bytes_max
            || oldest_expired)
}
