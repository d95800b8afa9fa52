//! Finds, ends and reaps what left its process group.
//!
//! A descendant that called `setsid` or forked twice is in no group that we know. When its parent
//! dies, the kernel makes it our child, because we are the subreaper; its environment still says
//! which run it belongs to. One that also clears its environment is found no more, and is only
//! reaped: nothing short of a container holds a process that wants to get away.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, WaitOptions, getpgrp, getpid, kill_process, waitpid};

use crate::timer;

/// Rounds of looking for more: a stray may fork while it is looked for.
const ROUNDS_MAX: usize = 50;
const ROUND_PAUSE: Duration = Duration::from_millis(5);

/// The children that executors of this process started; all others were adopted. To be children
/// is a fact of the process, so this is one for all executors. It is held while a child is
/// started: until that is in here, it would look like a stray.
static OWN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

pub(super) fn register<T>(spawn: impl FnOnce() -> io::Result<(T, Pid)>) -> io::Result<(T, Pid)> {
    let mut own = OWN.lock();
    let (child, pid) = spawn()?;
    own.insert(pid.as_raw_pid());
    Ok((child, pid))
}

pub(super) fn unregister(pid: Pid) {
    OWN.lock().remove(&pid.as_raw_pid());
}

/// Reaps adopted orphans that have died.
pub(super) fn reap() {
    // A start under way may take a while: the next time will do.
    let Some(own) = OWN.try_lock() else { return };
    for pid in adopted(&own) {
        if let Some(stat) = Stat::read(pid) {
            reap_if_dead(pid, &stat);
        }
    }
}

/// Ends what is left of a run, by its mark, and reaps it together with what died in `group`.
/// Returns how many had to be ended.
pub(super) async fn end(group: Pid, mark: &[String]) -> usize {
    let mut ended = BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        // A start under way may take a while: never wait for it on this thread.
        let left = match OWN.try_lock() {
            Some(own) => round(&own, group, mark, &mut ended),
            None => true,
        };
        if !left {
            break;
        }
        timer::sleep(ROUND_PAUSE).await;
    }
    ended.len()
}

fn adopted(own: &BTreeSet<i32>) -> Vec<Pid> {
    let mut adopted = children(getpid());
    adopted.retain(|pid| !own.contains(&pid.as_raw_pid()));
    adopted
}

/// One look at the adopted children. Returns whether something of the run is still there.
fn round(own: &BTreeSet<i32>, group: Pid, mark: &[String], ended: &mut BTreeSet<i32>) -> bool {
    let mut left = false;
    for pid in adopted(own) {
        let Some(stat) = Stat::read(pid) else {
            continue;
        };
        if reap_if_dead(pid, &stat) {
            continue;
        }
        if is_marked(pid, mark) {
            left = true;
            for member in with_descendants(pid) {
                if kill_process(member, Signal::KILL).is_ok() {
                    ended.insert(member.as_raw_pid());
                }
            }
        } else if stat.group == group.as_raw_pid() {
            // Killed with its group, and dying.
            left = true;
        }
    }
    left
}

/// Returns whether it is dead.
fn reap_if_dead(pid: Pid, stat: &Stat) -> bool {
    if stat.state != b'Z' {
        return false;
    }
    // Children that others in this process started are in its group, and theirs to reap.
    if stat.group != getpgrp().as_raw_pid() {
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
    true
}

fn with_descendants(pid: Pid) -> Vec<Pid> {
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

/// The children of all threads of a process, by the kernel's own list.
fn children(pid: Pid) -> Vec<Pid> {
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

fn is_marked(pid: Pid, mark: &[String]) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{}/environ", pid.as_raw_pid())) else {
        return false;
    };
    let entries: Vec<&[u8]> = environment.split(|byte| *byte == 0).collect();
    mark.iter().all(|entry| entries.contains(&entry.as_bytes()))
}

/// The fields of `/proc/<pid>/stat` that matter here.
struct Stat {
    state: u8,
    group: i32,
}

impl Stat {
    fn read(pid: Pid) -> Option<Stat> {
        Stat::parse(&fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?)
    }

    /// The name in parentheses may hold anything, parentheses included: the fields begin after
    /// the last one.
    fn parse(text: &str) -> Option<Stat> {
        let (_, fields) = text.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let _parent = fields.next()?;
        let group = fields.next()?.parse().ok()?;
        Some(Stat { state, group })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = Stat::parse("42 (a) Z (b) c) S 1 40 39 0 -1").unwrap();
        assert_eq!((stat.state, stat.group), (b'S', 40));
        assert!(Stat::parse("42 (cut").is_none());
    }
}
