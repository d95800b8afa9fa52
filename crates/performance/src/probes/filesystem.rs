//! How much room the data directory has: `fstatvfs` on a directory opened once.

use super::reading::{Absence, Reading, percent};
use rustix::fs::{StatVfs, fstatvfs};
use std::fs::File;
use std::path::Path;

/// Figures of one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct FilesystemReading {
    pub total_bytes: u64,
    pub used_bytes: u64,
    /// Free blocks, those reserved for the administrator included.
    pub free_bytes: u64,
    /// What this process may still write.
    pub available_bytes: u64,
    /// Used share of what this process may use in all, as `df` rounds it up.
    pub percent: f64,
    /// File systems that make inodes as they need them (btrfs) have no number of them.
    pub inodes_free_percent: Reading<f64>,
}

impl FilesystemReading {
    fn of(stat: &StatVfs) -> Self {
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        let used_blocks = stat.f_blocks.saturating_sub(stat.f_bfree);
        Self {
            total_bytes: bytes(stat.f_blocks),
            used_bytes: bytes(used_blocks),
            free_bytes: bytes(stat.f_bfree),
            available_bytes: bytes(stat.f_bavail),
            percent: percent(used_blocks as f64, (used_blocks + stat.f_bavail) as f64),
            inodes_free_percent: match stat.f_files {
                0 => Err(Absence::because(
                    "the file system has no fixed number of inodes",
                )),
                files => Ok(percent(stat.f_favail as f64, files as f64)),
            },
        }
    }
}

#[derive(Debug)]
pub struct FilesystemProbe {
    directory: Reading<File>,
}

impl FilesystemProbe {
    pub fn open(directory: &Path) -> Self {
        let unreadable = |error| Absence::explained(format!("{}: {error}", directory.display()));
        Self {
            directory: File::open(directory).map_err(unreadable),
        }
    }

    pub fn sample(&self) -> Reading<FilesystemReading> {
        let directory = self.directory.as_ref().map_err(Clone::clone)?;
        let stat = fstatvfs(directory)
            .map_err(|error| Absence::explained(format!("statvfs failed: {error}")))?;
        Ok(FilesystemReading::of(&stat))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(blocks: u64, free: u64, available: u64, files: u64) -> StatVfs {
        let directory = File::open("/").unwrap();
        let mut stat = fstatvfs(&directory).unwrap();
        (stat.f_frsize, stat.f_blocks) = (4_096, blocks);
        (stat.f_bfree, stat.f_bavail) = (free, available);
        (stat.f_files, stat.f_favail) = (files, files / 4);
        stat
    }

    #[test]
    fn the_reserved_blocks_are_free_but_not_available() {
        let reading = FilesystemReading::of(&stat(1_000, 400, 300, 80));
        assert_eq!(reading.used_bytes, 600 * 4_096);
        assert_eq!(
            (reading.free_bytes, reading.available_bytes),
            (400 * 4_096, 300 * 4_096)
        );
        assert_eq!(
            (reading.percent, reading.inodes_free_percent),
            (66.67, Ok(25.0))
        );
    }

    #[test]
    fn a_file_system_without_inode_numbers_says_so() {
        assert!(
            FilesystemReading::of(&stat(10, 5, 5, 0))
                .inodes_free_percent
                .is_err()
        );
    }

    #[test]
    fn a_missing_directory_is_an_absence_with_its_path() {
        let root = tempfile::tempdir().unwrap();
        let sample = FilesystemProbe::open(&root.path().join("absent")).sample();
        assert!(sample.unwrap_err().reason().contains("absent"));
        assert!(
            FilesystemProbe::open(root.path())
                .sample()
                .unwrap()
                .total_bytes
                > 0
        );
    }
}
