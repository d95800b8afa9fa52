//! Finds, ends and reaps what left its process group.
//!
//! A descendant that called `setsid` or forked twice is in no group that we know. When its parent
//! dies, the kernel makes it our child, because we are the subreaper; its environment still says
//! which run it belongs to. One that also clears its environment is found no more, and is only
//! reaped: nothing short of a container holds a process that wants to get away.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, WaitOptions, getpgrp, getpid, kill_process, waitpid};

use super::table::{Stat, children, is_marked, with_descendants};
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
