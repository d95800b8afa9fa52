//! Which file systems are mounted where: `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
//!
//! Two probes ask: the disk probe for the device behind the data directory, the cgroup probe for
//! the place of the controllers.

use std::path::{Path, PathBuf};

/// A block device, or the anonymous device of a file system that has none (major 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceNumber {
    pub major: u32,
    pub minor: u32,
}

/// One line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub device: DeviceNumber,
    /// The directory within the file system that forms the root of this mount.
    pub root: PathBuf,
    pub mount_point: PathBuf,
    pub filesystem: String,
    pub source: String,
    /// Options of the file system; of a v1 cgroup mount, its controllers.
    pub super_options: Vec<String>,
}

impl DeviceNumber {
    /// Parses `254:0`.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once(':')?;
        Some(Self {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }
}

/// Parses mountinfo, leaving out lines that are not well formed: one odd mount must not hide the
/// others.
pub fn parse_mountinfo(text: &str) -> Vec<Mount> {
    text.lines().filter_map(parse_mount).collect()
}

fn parse_mount(line: &str) -> Option<Mount> {
    // A varying number of optional fields ends with a lone hyphen.
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(2);
    let device = DeviceNumber::parse(before.next()?)?;
    let root = PathBuf::from(unescape(before.next()?));
    let mount_point = PathBuf::from(unescape(before.next()?));
    let mut after = after.split(' ');
    let filesystem = after.next()?.to_owned();
    let source = unescape(after.next()?);
    let super_options = after
        .next()
        .unwrap_or("")
        .split(',')
        .map(str::to_owned)
        .collect();
    Some(Mount {
        device,
        root,
        mount_point,
        filesystem,
        source,
        super_options,
    })
}

/// Undoes the kernel's octal escapes: `\040` is a blank.
fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = bytes
            .get(at + 1..at + 4)
            .filter(|_| bytes[at] == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(octal.unwrap_or(bytes[at]));
        at += if octal.is_some() { 4 } else { 1 };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// The mount that `path` (absolute, without links) lies on: the one with the longest mount point,
/// and of several on the same place the last, which hides the others.
pub fn mount_of<'mounts>(mounts: &'mounts [Mount], path: &Path) -> Option<&'mounts Mount> {
    let above = mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.mount_point));
    // `max_by_key` returns the last of equals, as wanted.
    above.max_by_key(|mount| mount.mount_point.components().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = r"
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
22 27 0:21 / /proc rw,relatime - proc proc rw
40 27 8:17 /srv/a /data rw shared:1 master:2 - xfs /dev/sdb1 rw,noquota
41 40 8:18 / /data/with\040blank rw - ext4 /dev/disk/by-label/a\134b rw
42 27 0:50 / /data2 rw - btrfs /dev/sdc rw
43 27 0:60 / /data2 rw - tmpfs tmpfs rw
odd line
44 27 x:y / /bad rw - ext4 /dev/sda rw
36 31 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
";

    fn found(path: &str) -> (String, DeviceNumber) {
        let mounts = parse_mountinfo(MOUNTINFO);
        let mount = mount_of(&mounts, Path::new(path)).unwrap();
        (mount.filesystem.clone(), mount.device)
    }

    #[test]
    fn lines_are_parsed_with_optional_fields_and_escapes() {
        let mounts = parse_mountinfo(MOUNTINFO);
        assert_eq!(mounts.len(), 7);
        assert_eq!(mounts[2].root, Path::new("/srv/a"));
        assert_eq!(mounts[3].mount_point, Path::new("/data/with blank"));
        assert_eq!(mounts[3].source, r"/dev/disk/by-label/a\b");
        assert_eq!(mounts[6].super_options, ["rw", "memory"]);
    }

    #[test]
    fn a_path_lies_on_its_deepest_and_latest_mount() {
        let device = |major, minor| DeviceNumber { major, minor };
        assert_eq!(found("/var/lib/autom8"), ("ext4".into(), device(254, 0)));
        assert_eq!(found("/data/x"), ("xfs".into(), device(8, 17)));
        assert_eq!(found("/data/with blank/y"), ("ext4".into(), device(8, 18)));
        assert_eq!(found("/data2/y"), ("tmpfs".into(), device(0, 60)));
        assert_eq!(found("/database"), ("ext4".into(), device(254, 0)));
    }

    #[test]
    fn hostile_text_yields_no_mounts_and_no_panic() {
        for odd in [
            "",
            " - ",
            "\\",
            "1 2 3:4 \\ / - a b",
            "1 2 3:4 / \\99 rw - ext4 \\0 rw",
            "-",
        ] {
            for mount in parse_mountinfo(odd) {
                assert!(mount_of(&[mount], Path::new("/nowhere/else")).is_none_or(|_| true));
            }
        }
        assert_eq!(unescape("a\\04"), "a\\04");
        assert_eq!(unescape("\\377x"), "\u{fffd}x");
    }
}
