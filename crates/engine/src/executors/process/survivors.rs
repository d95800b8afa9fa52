//! Ends what outlived a server that was killed.
//!
//! The kernel kills the children of a server that dies, but not theirs: of `sh -c 'job & wait'` the
//! job stays with init, and the run that it belongs to is tried again beside it. Whatever a run
//! starts carries the name of its owner in its environment, and one server at a time owns a
//! directory: what carries the name when a server starts is left from one before it.
//!
//! Nothing else is touched, not even a process of the same group. So one that has cleared or
//! overwritten its environment lives on, as it would during a run once it has left its group.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustc_hash::FxHashSet;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

use super::table;

/// Rounds of looking for more: a survivor may fork while it is looked for.
const ROUNDS_MAX: usize = 50;
/// Survivors of one round. Each is held by a descriptor, of which there may be 1,024.
const ROUND_SURVIVORS_MAX: usize = 256;
/// How long a round waits for one more to be gone. One that the kernel cannot end, as it waits for
/// a dead disk, holds up a start by as many rounds: 5 s.
const ROUND_WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};
/// Reads of a line of ancestors until it holds still.
const LINE_READS_MAX: usize = 16;

/// The variable that says to whom a process belongs.
pub(super) const OWNER: &str = "AUTOM8_OWNER";

/// Whoever owns `directory`: its own number on this machine, and not its path, which may mean
/// another directory in another container.
pub(super) fn owner(directory: &Path) -> io::Result<String> {
    let directory = std::fs::metadata(directory)?;
    Ok(format!("{:x}-{:x}", directory.dev(), directory.ino()))
}

/// What there was to end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    pub(super) ended: usize,
    /// Those that are still there.
    pub(super) left: usize,
}

/// Ends all that carry `owner` and are not in the line of this process. Blocks until they are gone,
/// for some seconds at most.
pub(super) fn end(owner: &str) -> Swept {
    let mark = [format!("{OWNER}={owner}")];
    let mut ended = FxHashSet::default();
    let mut looked_in_vain = false;
    for _ in 0..ROUNDS_MAX {
        let survivors = find(&mark);
        if survivors.is_empty() {
            // One that is just becoming another program shows no environment, so a family is gone
            // when two looks have not found it. Most starts have none, and look once.
            if looked_in_vain || ended.is_empty() {
                break;
            }
            looked_in_vain = true;
            continue;
        }
        looked_in_vain = false;
        for survivor in &survivors {
            if survivor.kill() {
                ended.insert(survivor.pid);
            }
        }
        wait_until_gone(&survivors);
    }
    let left: FxHashSet<Pid> = found(&mark).collect();
    Swept {
        ended: ended.difference(&left).count(),
        left: left.len(),
    }
}

/// A process by a handle that never comes to mean another.
struct Survivor {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Survivor {
    fn kill(&self) -> bool {
        pidfd_send_signal(&self.pidfd, Signal::KILL).is_ok()
    }
}

fn find(mark: &[String]) -> Vec<Survivor> {
    found(mark)
        .filter_map(|pid| {
            let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
            // The number may have been given to another process before the handle was there. If
            // it is given away from here on, the handle's process is dead, and hears no signal.
            is_left_over(pid, mark).then_some(Survivor { pid, pidfd })
        })
        .take(ROUND_SURVIVORS_MAX)
        .collect()
}

fn found(mark: &[String]) -> impl Iterator<Item = Pid> {
    let all = table::of_this_user().into_iter();
    all.filter(|pid| is_left_over(*pid, mark))
}

fn is_left_over(pid: Pid, mark: &[String]) -> bool {
    table::is_marked(pid, mark) && !is_in_our_line(pid)
}

/// Whether one of the two descends from the other: what this process has started itself is no
/// leftover, and a run may start the next server, as one that upgrades the program does.
fn is_in_our_line(pid: Pid) -> bool {
    let server = getpid();
    table::with_ancestors(server).contains(&pid) || descends_from(pid, server)
}

/// Says yes where it cannot tell, so that nothing is ended by mistake.
fn descends_from(pid: Pid, ancestor: Pid) -> bool {
    // A parent that dies while the line is read cuts it short, and its child gets another one:
    // only a line that was read twice alike is believed.
    let mut before = None;
    for _ in 0..LINE_READS_MAX {
        let line = table::with_ancestors(pid);
        if line.contains(&ancestor) {
            return true;
        }
        if before.as_ref() == Some(&line) {
            return false;
        }
        before = Some(line);
    }
    true
}

fn wait_until_gone(survivors: &[Survivor]) {
    let mut left: Vec<&Survivor> = survivors.iter().collect();
    while !left.is_empty() {
        let mut handles: Vec<PollFd<'_>> = left
            .iter()
            .copied()
            .map(|survivor| PollFd::new(&survivor.pidfd, PollFlags::IN))
            .collect();
        match poll(&mut handles, Some(&ROUND_WAIT)) {
            Ok(1..) => {
                let mut gone = handles.iter().map(|handle| !handle.revents().is_empty());
                left.retain(|_| gone.next() == Some(false));
            }
            Ok(_) => return,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
