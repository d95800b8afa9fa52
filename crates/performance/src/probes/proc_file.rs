//! A file of `/proc`, `/sys` or the cgroup tree that is opened once and read at every sample.
//! Reading by offset regenerates the content, and sparing the open halves the cost.

use super::reading::{Absence, Reading};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Most a probe reads of one file. `/proc/stat` of a machine with a thousand CPUs takes 200 KB.
const CONTENT_BYTES_MAX: usize = 4 << 20;

/// First size of the buffer: one read for every file of an ordinary machine.
const BUFFER_BYTES: usize = 16 << 10;

/// A read that brings less than this was the last one. The kernel hands out whole records, a page
/// of 4 KiB at a time, so after half a page only a record longer than the other half could follow,
/// and none of the files that are sampled has one. To ask for the end costs 0.7 µs a file, a tenth
/// of a sample in all.
const LAST_READ_BYTES: usize = 2 << 10;

/// The buffer that all files of a sampler are read into, one after another.
#[derive(Debug)]
pub struct Buffer(Vec<u8>);

impl Default for Buffer {
    fn default() -> Self {
        Self(vec![0; BUFFER_BYTES])
    }
}

/// An open file, or why it could not be opened.
#[derive(Debug)]
pub struct ProcFile {
    path: PathBuf,
    file: Reading<File>,
}

impl ProcFile {
    pub fn open(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let file = File::open(&path).map_err(|error| unreadable(&path, &error));
        Self { path, file }
    }

    /// The whole content. It lives in `buffer`, so parse it before the next read.
    pub fn read<'buffer>(&self, buffer: &'buffer mut Buffer) -> Reading<&'buffer str> {
        let file = self.file.as_ref().map_err(Clone::clone)?;
        let bytes = &mut buffer.0;
        let mut filled = 0;
        // A short read need not be the end: the kernel hands out many files page by page.
        loop {
            if filled == bytes.len() {
                if filled >= CONTENT_BYTES_MAX {
                    return Err(Absence::explained(format!(
                        "{} is too long",
                        self.path.display()
                    )));
                }
                bytes.resize(filled * 2, 0);
            }
            match file.read_at(&mut bytes[filled..], filled as u64) {
                Ok(count) => {
                    filled += count;
                    if count < LAST_READ_BYTES {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(&self.path, &error)),
            }
        }
        std::str::from_utf8(&bytes[..filled])
            .map_err(|_| Absence::explained(format!("{} is not text", self.path.display())))
    }

    /// Reads and parses; text that does not parse is an absence that names the file.
    pub fn parse<T>(&self, buffer: &mut Buffer, parse: impl Fn(&str) -> Option<T>) -> Reading<T> {
        let text = self.read(buffer)?;
        parse(text).ok_or_else(|| {
            Absence::explained(format!("{} has unexpected content", self.path.display()))
        })
    }
}

/// Reads a file that is of no interest later, to its very end.
pub fn read_once(path: &Path) -> Reading<String> {
    std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> Absence {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    Absence::explained(format!("{} {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_anew_each_time_and_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stat");
        std::fs::write(&path, "first").unwrap();
        let (file, mut buffer) = (ProcFile::open(&path), Buffer::default());
        assert_eq!(file.read(&mut buffer), Ok("first"));

        let long = "x".repeat(BUFFER_BYTES * 3 + 7);
        std::fs::write(&path, &long).unwrap();
        assert_eq!(file.read(&mut buffer), Ok(long.as_str()));
        std::fs::write(&path, "").unwrap();
        assert_eq!(file.read(&mut buffer), Ok(""));
    }

    #[test]
    fn what_cannot_be_read_says_so_with_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let mut buffer = Buffer::default();
        let missing = ProcFile::open(directory.path().join("absent")).read(&mut buffer);
        assert!(
            missing
                .unwrap_err()
                .reason()
                .ends_with("absent does not exist")
        );

        let path = directory.path().join("binary");
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        let binary = ProcFile::open(&path).read(&mut buffer).unwrap_err();
        assert!(binary.reason().ends_with("binary is not text"));
        std::fs::write(&path, "abc").unwrap();
        let odd = ProcFile::open(&path).parse(&mut buffer, |text| text.parse::<u64>().ok());
        assert!(
            odd.unwrap_err()
                .reason()
                .ends_with("has unexpected content")
        );
    }
}
