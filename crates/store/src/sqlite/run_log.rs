//! Captured output in append-only files, one a segment: it never goes through the write-ahead log,
//! and retention unlinks it with its segment.
//!
//! A frame is `length of the deflated bytes (u32) · CRC-32 of them (u32) · deflated bytes`, little
//! endian. The place of each frame is a row of `logs_<segment>`; a frame without a row (its group
//! did not commit) is dead weight until the segment goes.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::Compression;

use super::segments::Segment;

const HEADER_BYTES: usize = 8;
/// Outcomes come for few segments at a time.
const OPEN_FILES_MAX: usize = 8;

pub(crate) fn directory(data: &Path) -> PathBuf {
    data.join("logs")
}

pub(crate) fn path(data: &Path, segment: i64) -> PathBuf {
    directory(data).join(format!("{segment:08}.log"))
}

/// Packs output for the file. Done on the caller's thread: the writer only appends.
pub(crate) fn pack(output: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; HEADER_BYTES];
    let mut encoder = flate2::write::DeflateEncoder::new(&mut frame, Compression::fast());
    // Writing to a Vec cannot fail.
    let _ = encoder.write_all(output);
    let _ = encoder.finish();
    let body = &frame[HEADER_BYTES..];
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    let checksum = crc32fast::hash(body).to_le_bytes();
    frame[..4].copy_from_slice(&length);
    frame[4..HEADER_BYTES].copy_from_slice(&checksum);
    frame
}

/// Reads one frame back. `None` if the bytes are not what was written.
pub(crate) fn unpack(frame: &[u8]) -> Option<Vec<u8>> {
    let length = u32::from_le_bytes(frame.get(..4)?.try_into().ok()?) as usize;
    let checksum = u32::from_le_bytes(frame.get(4..HEADER_BYTES)?.try_into().ok()?);
    let body = frame.get(HEADER_BYTES..HEADER_BYTES + length)?;
    if crc32fast::hash(body) != checksum {
        return None;
    }
    let mut output = Vec::new();
    flate2::read::DeflateDecoder::new(body)
        .read_to_end(&mut output)
        .ok()?;
    Some(output)
}

/// A log that cannot be opened or appended to: its group fails, and may do better next time.
pub(crate) fn append_failed(error: std::io::Error) -> rusqlite::Error {
    failed(&error, rusqlite::ffi::SQLITE_CANTOPEN)
}

/// A log that cannot be synced: what is on the disk is not known any more, as with the database.
pub(crate) fn sync_failed(error: std::io::Error) -> rusqlite::Error {
    failed(&error, rusqlite::ffi::SQLITE_IOERR)
}

/// A log that is not what was written.
pub(crate) fn damaged(what: String) -> rusqlite::Error {
    failed(&std::io::Error::other(what), rusqlite::ffi::SQLITE_CORRUPT)
}

fn failed(error: &std::io::Error, code: i32) -> rusqlite::Error {
    use std::io::ErrorKind;
    let full = matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    );
    let code = if full {
        rusqlite::ffi::SQLITE_FULL
    } else {
        code
    };
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(code),
        Some(format!("run log: {error}")),
    )
}

pub(crate) fn read(
    data: &Path,
    segment: i64,
    offset: u64,
    bytes: usize,
) -> std::io::Result<Vec<u8>> {
    let file = File::open(path(data, segment))?;
    let mut frame = vec![0; bytes];
    file.read_exact_at(&mut frame, offset)?;
    Ok(frame)
}

/// Removes files of segments that are gone: a drop may have been cut off before its unlink.
pub(crate) fn sweep(data: &Path, segments: &[Segment]) {
    let Ok(entries) = std::fs::read_dir(directory(data)) else {
        return;
    };
    for entry in entries.flatten() {
        let path_found = entry.path();
        let known = segments
            .iter()
            .any(|segment| path(data, segment.id) == path_found);
        if !known
            && path_found
                .extension()
                .is_some_and(|extension| extension == "log")
        {
            let _ = std::fs::remove_file(path_found);
        }
    }
}

/// The files the writer appends to.
#[derive(Default)]
pub(crate) struct LogFiles {
    data: PathBuf,
    open: BTreeMap<i64, OpenLog>,
    dirty: Vec<i64>,
}

struct OpenLog {
    file: File,
    length: u64,
}

impl LogFiles {
    pub(crate) fn new(data: &Path) -> Self {
        LogFiles {
            data: data.to_owned(),
            ..LogFiles::default()
        }
    }

    /// Appends a frame and says where it lies. It is durable after [`LogFiles::sync`].
    pub(crate) fn append(&mut self, segment: i64, frame: &[u8]) -> std::io::Result<u64> {
        if !self.open.contains_key(&segment) {
            if self.open.len() >= OPEN_FILES_MAX
                && let Some((evicted, log)) = self.open.pop_first()
                && self.dirty.contains(&evicted)
            {
                log.file.sync_data()?;
                self.dirty.retain(|segment| *segment != evicted);
            }
            let directory = directory(&self.data);
            super::open::create_directory(&directory)?;
            let file = OpenOptions::new()
                .create(true)
                .mode(super::open::FILE_MODE)
                .append(true)
                .open(path(&self.data, segment))?;
            File::open(&directory)?.sync_all()?;
            let length = file.metadata()?.len();
            self.open.insert(segment, OpenLog { file, length });
        }
        let Some(log) = self.open.get_mut(&segment) else {
            return Err(std::io::Error::other(
                "a log file closed while it was written",
            ));
        };
        let offset = log.length;
        if let Err(error) = log.file.write_all(frame) {
            // A partial frame would shift every later offset: reopen at the true length.
            self.open.remove(&segment);
            return Err(error);
        }
        log.length += frame.len() as u64;
        if !self.dirty.contains(&segment) {
            self.dirty.push(segment);
        }
        Ok(offset)
    }

    /// Makes all appended frames durable; comes before the commit that points to them.
    pub(crate) fn sync(&mut self) -> std::io::Result<()> {
        for segment in self.dirty.drain(..) {
            if let Some(log) = self.open.get(&segment) {
                log.file.sync_data()?;
            }
        }
        Ok(())
    }

    pub(crate) fn forget(&mut self, segment: i64) {
        self.open.remove(&segment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_survives_packing_and_damage_is_noticed() {
        let output = b"line\n".repeat(1_000);
        let mut frame = pack(&output);
        assert!(frame.len() < output.len() / 10);
        assert_eq!(unpack(&frame), Some(output));
        let last = frame.len() - 1;
        frame[last] ^= 1;
        assert_eq!(unpack(&frame), None);
        assert_eq!(unpack(&frame[..5]), None);
    }

    #[test]
    fn frames_are_found_where_append_said() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = LogFiles::new(dir.path());
        let (one, two) = (pack(b"one"), pack(b"two"));
        assert_eq!(files.append(1, &one).unwrap(), 0);
        let offset = files.append(1, &two).unwrap();
        files.sync().unwrap();
        let frame = read(dir.path(), 1, offset, two.len()).unwrap();
        assert_eq!(unpack(&frame), Some(b"two".to_vec()));
    }
}
