//! The output of one attempt while it runs: bounded, head and tail kept, followed live.

use std::collections::VecDeque;
use std::sync::Arc;

use autom8_model::limits;
use autom8_store::CapturedLog;
use parking_lot::Mutex;
use tokio::sync::watch;

/// A writer of captured output; clones write to the same log.
///
/// The first half of [`limits::RUN_LOG_BYTES_MAX`] is kept as it comes; after that a ring keeps the
/// latest other half. What lies between is dropped and said so. Memory is therefore bounded
/// whatever a child prints.
#[derive(Clone, Debug)]
pub struct RunLog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    captured: Mutex<Captured>,
    /// Bytes written so far; readers wait on it.
    written: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    written: u64,
    ended: bool,
}

const HALF: usize = limits::RUN_LOG_BYTES_MAX / 2;

impl RunLog {
    pub fn new() -> Self {
        RunLog {
            inner: Arc::new(Inner {
                captured: Mutex::new(Captured::default()),
                written: watch::Sender::new(0),
            }),
        }
    }

    /// Appends output, whatever its encoding.
    pub fn write(&self, mut bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let written = {
            let mut captured = self.inner.captured.lock();
            captured.written += bytes.len() as u64;
            let room = HALF - captured.head.len();
            let head = bytes.split_off(..room.min(bytes.len())).unwrap_or_default();
            captured.head.extend_from_slice(head);
            // Only the last half of what is left can survive: skip the rest at once.
            let bytes = &bytes[bytes.len().saturating_sub(HALF)..];
            let excess = (captured.tail.len() + bytes.len()).saturating_sub(HALF);
            captured.tail.drain(..excess);
            captured.tail.extend(bytes);
            captured.written
        };
        self.inner.written.send_replace(written);
    }

    /// Appends a line of the server's own, e.g. why an attempt was stopped.
    pub fn note(&self, line: &str) {
        self.write(format!("[autom8] {line}\n").as_bytes());
    }

    /// Bytes written so far, those dropped included.
    pub fn written(&self) -> u64 {
        self.inner.captured.lock().written
    }

    /// Nothing more will come: wakes the followers, so that they can look for the stored run.
    pub(crate) fn end(&self) {
        let written = {
            let mut captured = self.inner.captured.lock();
            captured.ended = true;
            captured.written
        };
        self.inner.written.send_replace(written);
    }

    /// Whether the attempt is over and its outcome stored. A follower reads on until then.
    pub fn has_ended(&self) -> bool {
        self.inner.captured.lock().ended
    }

    /// A receiver that changes whenever there is more, and at the end.
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.inner.written.subscribe()
    }

    /// What was written from `offset` on, and the offset to go on from. Bytes that were dropped
    /// from the middle are skipped: the returned start says where the bytes really begin.
    pub fn read_from(&self, offset: u64) -> (u64, Vec<u8>) {
        let captured = self.inner.captured.lock();
        let head = captured.head.len() as u64;
        if offset < head {
            let mut bytes = captured.head[offset as usize..].to_vec();
            if captured.written == head + captured.tail.len() as u64 {
                bytes.extend(&captured.tail);
            }
            return (offset, bytes);
        }
        let tail_start = captured.written - captured.tail.len() as u64;
        let start = offset.max(tail_start).min(captured.written);
        (
            start,
            captured
                .tail
                .range((start - tail_start) as usize..)
                .copied()
                .collect(),
        )
    }

    /// Everything that was kept, with a line that says what was dropped. `None` if nothing was
    /// ever written.
    pub fn capture(&self) -> Option<CapturedLog> {
        let captured = self.inner.captured.lock();
        if captured.written == 0 {
            return None;
        }
        let kept = captured.head.len() + captured.tail.len();
        let dropped = captured.written - kept as u64;
        let mut bytes = Vec::with_capacity(kept + 64);
        bytes.extend_from_slice(&captured.head);
        if dropped > 0 {
            bytes
                .extend_from_slice(format!("\n[autom8] {dropped} bytes dropped here\n").as_bytes());
        }
        bytes.extend(&captured.tail);
        Some(CapturedLog {
            bytes,
            truncated: dropped > 0,
        })
    }
}

impl Default for RunLog {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_written_is_no_log() {
        assert!(RunLog::new().capture().is_none());
    }

    #[test]
    fn head_and_tail_survive_a_flood_and_memory_does_not_grow() {
        let log = RunLog::new();
        log.write(b"first line\n");
        for _ in 0..64 {
            log.write(&[b'x'; 100_000]);
        }
        log.write(b"last line\n");
        let captured = log.capture().unwrap();
        assert!(captured.truncated);
        assert!(captured.bytes.len() <= limits::RUN_LOG_BYTES_MAX + 64);
        let text = String::from_utf8(captured.bytes).unwrap();
        assert!(text.starts_with("first line\n") && text.ends_with("last line\n"));
        assert!(text.contains("bytes dropped here"));
    }

    #[test]
    fn a_follower_reads_on_from_its_offset_and_learns_of_a_gap() {
        let log = RunLog::new();
        log.write(b"abc");
        assert_eq!(log.read_from(1), (1, b"bc".to_vec()));
        log.write(&vec![b'y'; 3 * HALF]);
        let (start, bytes) = log.read_from(HALF as u64);
        assert_eq!(start, 3 + 2 * HALF as u64);
        assert_eq!(bytes.len(), HALF);
        assert_eq!(log.read_from(u64::MAX).1.len(), 0);
    }
}
