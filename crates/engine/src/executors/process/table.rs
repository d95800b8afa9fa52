//! What `/proc` says of processes.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use rustix::process::{Pid, geteuid};

/// The fields of `/proc/<pid>/stat` that matter here.
pub(super) struct Stat {
    pub(super) state: u8,
    /// None of init and of a process whose parent is in an outer namespace.
    pub(super) parent: Option<Pid>,
    pub(super) group: i32,
}

impl Stat {
    pub(super) fn read(pid: Pid) -> Option<Stat> {
        Stat::parse(&fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?)
    }

    /// The name in parentheses may hold anything, parentheses included: the fields begin after
    /// the last one.
    fn parse(text: &str) -> Option<Stat> {
        let (_, fields) = text.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let parent = Pid::from_raw(fields.next()?.parse().ok()?);
        let group = fields.next()?.parse().ok()?;
        Some(Stat {
            state,
            parent,
            group,
        })
    }
}

/// The children of all threads of a process, by the kernel's own list.
pub(super) fn children(pid: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{}/task", pid.as_raw_pid())) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            list.split_ascii_whitespace()
                .filter_map(|number| Pid::from_raw(number.parse().ok()?))
                .collect::<Vec<_>>()
        })
        .collect()
}

pub(super) fn with_descendants(pid: Pid) -> Vec<Pid> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        next += 1;
        for child in children(parent) {
            if !found.contains(&child) {
                found.push(child);
            }
        }
    }
    found
}

/// The process and its parents, up to the first that this namespace shows.
pub(super) fn with_ancestors(pid: Pid) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut next = Some(pid);
    while let Some(pid) = next
        && !found.contains(&pid)
    {
        found.push(pid);
        next = Stat::read(pid).and_then(|stat| stat.parent);
    }
    found
}

/// Whether the environment that the process was started with has all these entries. One that
/// is dead has none, and that of another user's cannot be read.
pub(super) fn is_marked(pid: Pid, mark: &[String]) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{}/environ", pid.as_raw_pid())) else {
        return false;
    };
    let entries: Vec<&[u8]> = environment.split(|byte| *byte == 0).collect();
    mark.iter().all(|entry| entries.contains(&entry.as_bytes()))
}

/// All processes of the user that this one runs as.
pub(super) fn of_this_user() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let user = geteuid().as_raw();
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            (entry.metadata().ok()?.uid() == user).then_some(pid)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = Stat::parse("42 (a) Z (b) c) S 7 40 39 0 -1").unwrap();
        assert_eq!((stat.state, stat.group), (b'S', 40));
        assert_eq!(stat.parent, Pid::from_raw(7));
        assert!(Stat::parse("1 (init) S 0 1 1").unwrap().parent.is_none());
        assert!(Stat::parse("42 (cut").is_none());
    }
}
