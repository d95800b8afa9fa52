//! The registry of segments: which tables hold which run.

use autom8_model::{RunId, Timestamp, limits};
use rusqlite::Connection;

use super::SqlResult;
use crate::RetentionPolicy;

/// A stretch of run ids with tables of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub id: i64,
    pub first: RunId,
    /// `None` while runs are still added.
    pub last: Option<RunId>,
    pub opened_at: Timestamp,
    pub closed_at: Option<Timestamp>,
    /// As of closing.
    pub runs: i64,
    pub bytes: i64,
    /// No open run is left; only ever true of a closed segment.
    pub settled: bool,
    /// Everything up to here is in the segment's postings.
    pub posted_through: RunId,
}

impl Segment {
    pub(crate) fn holds(&self, run: RunId) -> bool {
        run >= self.first && self.last.is_none_or(|last| run <= last)
    }
}

/// The segment of a run, by binary search.
pub(crate) fn find(segments: &[Segment], run: RunId) -> Option<&Segment> {
    let after = segments.partition_point(|segment| segment.first <= run);
    segments
        .get(after.checked_sub(1)?)
        .filter(|segment| segment.holds(run))
}

pub(crate) fn load(connection: &Connection) -> SqlResult<Vec<Segment>> {
    let mut statement = connection.prepare(
        "SELECT id, first_id, last_id, opened_at, closed_at, runs, bytes, settled, posted_through
         FROM segments ORDER BY id",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Segment {
            id: row.get(0)?,
            first: RunId(row.get(1)?),
            last: row.get::<_, Option<i64>>(2)?.map(RunId),
            opened_at: Timestamp::from_micros(row.get(3)?),
            closed_at: row.get::<_, Option<i64>>(4)?.map(Timestamp::from_micros),
            runs: row.get(5)?,
            bytes: row.get(6)?,
            settled: row.get(7)?,
            posted_through: RunId(row.get(8)?),
        })
    })?;
    rows.collect()
}

/// Opens a new segment that starts at `first`.
pub(crate) fn open(
    connection: &Connection,
    id: i64,
    first: RunId,
    now: Timestamp,
) -> SqlResult<Segment> {
    super::schema::create_segment(connection, id)?;
    connection.execute(
        "INSERT INTO segments (id, first_id, opened_at, posted_through) VALUES (?1, ?2, ?3, ?4)",
        (id, first.0, now.as_micros(), first.0 - 1),
    )?;
    Ok(Segment {
        id,
        first,
        last: None,
        opened_at: now,
        closed_at: None,
        runs: 0,
        bytes: 0,
        settled: false,
        posted_through: RunId(first.0 - 1),
    })
}

/// Closes a segment: it takes no more runs, only outcomes of those it has.
pub(crate) fn close(connection: &Connection, segment: &Segment) -> SqlResult<()> {
    connection.execute(
        "UPDATE segments SET last_id = ?2, closed_at = ?3, runs = ?4, bytes = ?5, settled = ?6
         WHERE id = ?1",
        (
            segment.id,
            segment.last.map(|last| last.0),
            segment.closed_at.map(Timestamp::as_micros),
            segment.runs,
            segment.bytes,
            segment.settled,
        ),
    )?;
    Ok(())
}

/// No open run is left; its bytes are final now.
pub(crate) fn mark_settled(connection: &Connection, segment: &Segment) -> SqlResult<()> {
    connection.execute(
        "UPDATE segments SET settled = 1, bytes = ?2 WHERE id = ?1",
        (segment.id, segment.bytes),
    )?;
    Ok(())
}

/// Whether the active segment has had enough: by runs, by bytes, or by a twentieth of what
/// retention keeps, so that fifty runs a day age out, too.
pub(crate) fn is_full(active: &Segment, now: Timestamp, retention: &RetentionPolicy) -> bool {
    let share = |whole: u64, least: i64| i64::try_from(whole / 20).unwrap_or(i64::MAX).max(least);
    active.runs > 0
        && (active.runs >= limits::SEGMENT_RUNS_MAX.min(share(retention.runs_max, 50))
            || active.bytes >= limits::SEGMENT_BYTES_MAX.min(share(retention.bytes_max, 1 << 20))
            || now.since(active.opened_at) > retention.age_max / 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(id: i64, first: i64, last: Option<i64>) -> Segment {
        Segment {
            id,
            first: RunId(first),
            last: last.map(RunId),
            opened_at: Timestamp::from_seconds(0),
            closed_at: None,
            runs: 0,
            bytes: 0,
            settled: false,
            posted_through: RunId(first - 1),
        }
    }

    #[test]
    fn a_run_is_found_in_its_segment_and_nowhere_else() {
        let segments = [
            segment(1, 1, Some(10)),
            segment(3, 21, Some(30)),
            segment(4, 31, None),
        ];
        let at = |run| find(&segments, RunId(run)).map(|segment| segment.id);
        assert_eq!(at(1), Some(1));
        assert_eq!(at(10), Some(1));
        assert_eq!(at(15), None, "its segment was dropped");
        assert_eq!(at(30), Some(3));
        assert_eq!(at(1_000), Some(4));
        assert_eq!(at(0), None);
    }

    #[test]
    fn a_segment_is_full_by_runs_bytes_or_a_twentieth_of_what_is_kept() {
        let policy = RetentionPolicy {
            age_max: std::time::Duration::from_secs(20 * 3_600),
            runs_max: 100_000_000,
            bytes_max: 1 << 40,
            audit_age_max: std::time::Duration::from_secs(90 * 86_400),
        };
        let full = |runs, bytes, age_seconds, policy: &RetentionPolicy| {
            let active = Segment {
                runs,
                bytes,
                ..segment(1, 1, None)
            };
            is_full(&active, Timestamp::from_seconds(age_seconds), policy)
        };
        assert!(
            !full(0, 0, 1_000_000, &policy),
            "an empty segment stays open"
        );
        assert!(!full(1, 1, 3_600, &policy));
        assert!(full(1, 1, 3_601, &policy));
        assert!(full(limits::SEGMENT_RUNS_MAX, 1, 0, &policy));
        assert!(full(1, limits::SEGMENT_BYTES_MAX, 0, &policy));
        let few = RetentionPolicy {
            runs_max: 10_000,
            ..policy
        };
        assert!(full(500, 1, 0, &few) && !full(499, 1, 0, &few));
    }
}
