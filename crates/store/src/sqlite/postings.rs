//! Which runs belong to a task: derived, kept in memory for the newest runs and written out in one
//! go every so often, because an index on the hot path would cost half the throughput.

use autom8_model::{RunId, TaskId};
use rusqlite::Connection;
use rustc_hash::FxHashMap;

use super::SqlResult;

/// Inclusive ranges of run ids, ascending.
pub(crate) type Ranges = Vec<(i64, i64)>;

/// Runs past the watermark of the active segment.
#[derive(Default)]
pub(crate) struct Tail {
    ranges: FxHashMap<TaskId, Ranges>,
    runs: usize,
    /// What was written out last. Kept until the next time, so that no reader looks between the
    /// postings that are not committed yet and a tail that is empty already.
    written: FxHashMap<TaskId, Ranges>,
}

impl Tail {
    pub(crate) fn add(&mut self, task: TaskId, first: RunId, last: RunId) {
        self.runs += usize::try_from(last.0 - first.0 + 1).unwrap_or(0);
        let ranges = self.ranges.entry(task).or_default();
        match ranges.last_mut() {
            Some(back) if back.1 + 1 == first.0 => back.1 = last.0,
            _ => ranges.push((first.0, last.0)),
        }
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs
    }

    /// The ranges of a task; those written out already may be among them.
    pub(crate) fn of(&self, task: TaskId) -> impl Iterator<Item = (i64, i64)> + '_ {
        [&self.written, &self.ranges]
            .into_iter()
            .filter_map(move |all| all.get(&task))
            .flatten()
            .copied()
    }

    /// Writes the tail into its segment's postings, moves the watermark and starts an empty tail.
    pub(crate) fn write_out(
        &mut self,
        connection: &Connection,
        segment: i64,
        through: RunId,
    ) -> SqlResult<()> {
        let mut insert = connection.prepare_cached(&format!(
            "INSERT OR REPLACE INTO postings_{segment} (task_id, last_id, ranges)
             VALUES (?1, ?2, ?3)"
        ))?;
        for (task, ranges) in &self.ranges {
            if let Some((_, last)) = ranges.last() {
                insert.execute((task.0, last, encode(ranges)))?;
            }
        }
        connection.execute(
            "UPDATE segments SET posted_through = ?2 WHERE id = ?1",
            (segment, through.0),
        )?;
        self.written = std::mem::take(&mut self.ranges);
        self.runs = 0;
        Ok(())
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number as u8 & 0x7f) | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Ranges as LEB128 pairs: gap to the end of the one before, then length.
pub(crate) fn encode(ranges: &Ranges) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ranges.len() * 3);
    let mut previous = 0;
    for (first, last) in ranges {
        put(&mut bytes, (first - previous) as u64);
        put(&mut bytes, (last - first) as u64);
        previous = *last;
    }
    bytes
}

/// The inverse of [`encode`]; `None` for damaged bytes.
pub(crate) fn decode(bytes: &[u8]) -> Option<Ranges> {
    let mut numbers = Vec::with_capacity(bytes.len());
    let mut number = 0_u64;
    let mut shift = 0;
    for byte in bytes {
        if shift > 56 {
            return None;
        }
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            numbers.push(i64::try_from(number).ok()?);
            (number, shift) = (0, 0);
        } else {
            shift += 7;
        }
    }
    if shift != 0 || numbers.len() % 2 != 0 {
        return None;
    }
    let mut previous = 0_i64;
    let mut ranges = Vec::with_capacity(numbers.len() / 2);
    for pair in numbers.chunks_exact(2) {
        let first = previous.checked_add(pair[0])?;
        let last = first.checked_add(pair[1])?;
        ranges.push((first, last));
        previous = last;
    }
    Some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_survive_their_encoding_and_damage_is_noticed() {
        let ranges = vec![
            (1, 1),
            (5, 10_004),
            (10_007, 10_007),
            (1 << 40, (1 << 40) + 3),
        ];
        let bytes = encode(&ranges);
        assert_eq!(decode(&bytes), Some(ranges));
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn neighbours_become_one_range() {
        let mut tail = Tail::default();
        tail.add(TaskId(1), RunId(1), RunId(10));
        tail.add(TaskId(1), RunId(11), RunId(11));
        tail.add(TaskId(1), RunId(13), RunId(13));
        assert_eq!(tail.of(TaskId(1)).collect::<Vec<_>>(), [(1, 11), (13, 13)]);
        assert_eq!(tail.runs(), 12);
    }
}
