//! A window on a file that moves over it once, however large the file is.

use std::io::{self, Read};

use super::ROW_BYTES_MAX;

/// What is read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Bytes of a file from its present place on.
pub(super) struct Source<R> {
    input: R,
    buffer: Vec<u8>,
    /// The bytes of `buffer` that are read and not passed yet.
    start: usize,
    end: usize,
    /// Of the first of them, in the file.
    position: u64,
    line: u64,
    at_end: bool,
}

impl<R: Read> Source<R> {
    /// Over what `input` reads from `position` on, where `line` begins.
    pub(super) fn at(input: R, position: u64, line: u64) -> Self {
        Source {
            input,
            buffer: vec![0; ROW_BYTES_MAX + CHUNK_BYTES],
            start: 0,
            end: 0,
            position,
            line,
            at_end: false,
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// What is there already.
    pub(super) fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Whether [`Self::rest`] is all that is left of the file.
    pub(super) fn is_at_end(&self) -> bool {
        self.at_end
    }

    /// Reads on. `false` at the end of the file, or when the longest row is there already.
    ///
    /// # Errors
    /// Those of the file.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        if self.at_end || self.end - self.start > ROW_BYTES_MAX {
            return Ok(false);
        }
        if self.buffer.len() - self.end < CHUNK_BYTES {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        loop {
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.input.read(room) {
                Ok(0) => {
                    self.at_end = true;
                    return Ok(false);
                }
                Ok(bytes) => {
                    self.end += bytes;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Moves on, and counts the lines that end on the way. A line ends with LF, CRLF or CR.
    pub(super) fn pass(&mut self, bytes: usize) {
        let bytes = bytes.min(self.end - self.start);
        let passed = self
            .buffer
            .get(self.start..self.start + bytes)
            .unwrap_or_default();
        let next = self.buffer.get(self.start + bytes).copied();
        let next = next.filter(|_| self.start + bytes < self.end);
        let mut ends = 0;
        for (at, byte) in passed.iter().enumerate() {
            let after = passed.get(at + 1).copied().or(next);
            match byte {
                b'\n' => ends += 1,
                b'\r' if after != Some(b'\n') => ends += 1,
                _ => {}
            }
        }
        self.line += ends;
        self.start += bytes;
        self.position += bytes as u64;
    }

    /// Passes the line ends that come next, and says whether anything is left behind them.
    ///
    /// # Errors
    /// Those of the file.
    pub(super) fn pass_line_ends(&mut self) -> io::Result<bool> {
        loop {
            let rest = self.rest();
            let ends = rest
                .iter()
                .take_while(|byte| matches!(byte, b'\r' | b'\n'))
                .count();
            if ends < rest.len() {
                self.pass(ends);
                return Ok(true);
            }
            // A CR at the edge may belong to an LF that is not read yet.
            let kept = usize::from(rest.last() == Some(&b'\r') && !self.at_end);
            self.pass(ends - kept);
            if !self.fill()? && self.rest().is_empty() {
                return Ok(false);
            }
        }
    }

    /// Passes the rest of the present line, however long it is.
    ///
    /// # Errors
    /// Those of the file.
    pub(super) fn pass_line(&mut self) -> io::Result<()> {
        loop {
            let rest = self.rest();
            if let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
                self.pass(end);
                return self.pass_line_ends().map(drop);
            }
            self.pass(rest.len());
            if !self.fill()? {
                return Ok(());
            }
        }
    }
}
