//! The slow log and the recent errors: bounded, newest first.

use std::collections::VecDeque;

use autom8_api::telemetry::{ErrorEntry, SlowEntry, SlowKind};
use autom8_model::{RunId, Timestamp};
use parking_lot::Mutex;

/// Entries kept of the slow log and of the recent errors each. A person reads them; a longer
/// memory is the log's duty.
pub const ENTRIES_MAX: usize = 256;
/// Text kept of one error: enough for its first lines.
const MESSAGE_CHARS_MAX: usize = 512;

/// A request beyond its threshold.
#[derive(Clone, Debug)]
pub struct SlowRequest<'a> {
    /// Method and template, as [`super::RouteSeries::key`] tells it.
    pub route: &'a str,
    pub status: u16,
    pub duration_micros: u64,
    pub request_id: &'a str,
}

/// An answer of 500 and above, or a failure that nobody was told about.
#[derive(Clone, Debug)]
pub struct ErrorNote<'a> {
    /// Where it happened: a route, a statement, a part of the server.
    pub source: &'a str,
    /// What happened, without secrets and personal data.
    pub message: &'a str,
    pub request_id: Option<&'a str>,
}

/// The last entries of one kind; an old one makes room for a new one.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    entries: Mutex<VecDeque<T>>,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Ring {
            entries: Mutex::new(VecDeque::new()),
        }
    }
}

impl<T: Clone> Ring<T> {
    pub(crate) fn push(&self, entry: T) {
        let mut entries = self.entries.lock();
        if entries.len() == ENTRIES_MAX {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    /// At most `limit` entries, newest first.
    pub(crate) fn latest(&self, limit: usize) -> Vec<T> {
        self.entries
            .lock()
            .iter()
            .rev()
            .take(limit)
            .cloned()
            .collect()
    }
}

pub(crate) fn slow_request(
    at: Timestamp,
    slow: &SlowRequest<'_>,
    threshold_micros: u64,
) -> SlowEntry {
    SlowEntry {
        at,
        kind: SlowKind::Request,
        name: slow.route.to_owned(),
        duration_ms: slow.duration_micros as f64 / 1_000.0,
        threshold_ms: threshold_micros as f64 / 1_000.0,
        status: Some(slow.status),
        request_id: Some(slow.request_id.to_owned()),
        run: None,
    }
}

pub(crate) fn slow_statement(
    at: Timestamp,
    name: &str,
    micros: u64,
    threshold_micros: u64,
) -> SlowEntry {
    SlowEntry {
        at,
        kind: SlowKind::Statement,
        name: name.to_owned(),
        duration_ms: micros as f64 / 1_000.0,
        threshold_ms: threshold_micros as f64 / 1_000.0,
        status: None,
        request_id: None,
        run: None,
    }
}

pub(crate) fn slow_run(
    at: Timestamp,
    task: &str,
    run: RunId,
    duration_ms: f64,
    threshold_ms: f64,
) -> SlowEntry {
    SlowEntry {
        at,
        kind: SlowKind::Run,
        name: task.to_owned(),
        duration_ms,
        threshold_ms,
        status: None,
        request_id: None,
        run: Some(run),
    }
}

pub(crate) fn error(at: Timestamp, note: &ErrorNote<'_>) -> ErrorEntry {
    ErrorEntry {
        at,
        source: note.source.to_owned(),
        message: note.message.chars().take(MESSAGE_CHARS_MAX).collect(),
        request_id: note.request_id.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_keeps_the_newest_and_never_grows() {
        let ring = Ring::default();
        for i in 0..ENTRIES_MAX + 10 {
            ring.push(i);
        }
        assert_eq!(ring.latest(2), [ENTRIES_MAX + 9, ENTRIES_MAX + 8]);
        assert_eq!(ring.latest(usize::MAX).len(), ENTRIES_MAX);
    }
}
