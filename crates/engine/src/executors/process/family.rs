//! A child and everything in its process group, from fork to the last reaping.

use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getppid, kill_process_group, pidfd_open,
    set_parent_process_death_signal,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::runtime::Handle;

use super::strays;
use crate::timer;

/// From SIGTERM to SIGKILL.
const TERM_GRACE: Duration = Duration::from_secs(5);

/// Owns the child. Dropped before its end, it is ended in the background, with the same grace.
pub(super) struct Family {
    members: Option<Members>,
    runtime: Handle,
}

struct Members {
    child: Child,
    /// Of the child and of its group.
    leader: Pid,
    /// Tells of the child's exit without reaping it: while it is a zombie its number cannot be
    /// given to another group, so a signal to the group hits the right one. Kernels before 5.3
    /// and some sandboxes have none.
    pidfd: Option<AsyncFd<OwnedFd>>,
    /// Whether the child was reaped.
    over: bool,
    mark: Vec<String>,
}

pub(super) struct Pipes {
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: Option<ChildStdout>,
    pub(super) stderr: Option<ChildStderr>,
}

/// What is left of a family.
pub(super) struct Gone {
    pub(super) status: io::Result<ExitStatus>,
    /// Processes outside of the group that had to be ended.
    pub(super) strays: usize,
}

impl Family {
    /// Forks; to be called on the one thread that does.
    pub(super) fn spawn(
        mut command: Command,
        mark: Vec<String>,
        runtime: Handle,
    ) -> io::Result<Family> {
        let _context = runtime.enter();
        command.process_group(0);
        let server = getpid();
        // SAFETY: between fork and exec only two system calls are made; they neither allocate
        // nor take a lock.
        #[allow(
            unsafe_code,
            reason = "nobody but the child itself can ask for its death signal"
        )]
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                // The server may have died before the request was made.
                if getppid() != Some(server) {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                Ok(())
            });
        }
        let (child, leader) = strays::register(|| {
            let child = command.spawn()?;
            let leader = child
                .id()
                .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
                .ok_or_else(|| io::Error::other("the child has no number"))?;
            Ok((child, leader))
        })?;
        let pidfd = pidfd_open(leader, PidfdFlags::NONBLOCK)
            .ok()
            .and_then(watch);
        let members = Members {
            child,
            leader,
            pidfd,
            over: false,
            mark,
        };
        Ok(Family {
            members: Some(members),
            runtime: runtime.clone(),
        })
    }

    pub(super) fn take_pipes(&mut self) -> Pipes {
        let child = self.members.as_mut().map(|members| &mut members.child);
        match child {
            Some(child) => Pipes {
                stdin: child.stdin.take(),
                stdout: child.stdout.take(),
                stderr: child.stderr.take(),
            },
            None => Pipes {
                stdin: None,
                stdout: None,
                stderr: None,
            },
        }
    }

    /// Waits for the exit of the child.
    pub(super) async fn exited(&mut self) {
        if let Some(members) = &mut self.members {
            members.exited().await;
        }
    }

    /// Asks the group to end, and makes it after the grace.
    pub(super) async fn stop(&mut self) {
        if let Some(members) = &mut self.members {
            members.stop().await;
        }
    }

    /// Ends what the child left behind, and reaps it all. The child must have exited.
    pub(super) async fn end(mut self) -> Gone {
        match &mut self.members {
            Some(members) => {
                let gone = members.end().await;
                self.members = None;
                gone
            }
            None => Gone {
                status: Err(io::Error::other("it is gone already")),
                strays: 0,
            },
        }
    }
}

fn watch(pidfd: OwnedFd) -> Option<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by what watches it, open until that is dropped, and nothing
    // takes it out or replaces it.
    #[allow(unsafe_code, reason = "tokio offers no safe way to watch a descriptor")]
    unsafe {
        AsyncFd::register_with_interest(pidfd, Interest::READABLE).ok()
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        if let Some(mut members) = self.members.take() {
            // On a runtime that is gone the task is dropped, and `Members` ends the group at once.
            self.runtime.spawn(async move {
                members.stop().await;
                members.end().await;
            });
        }
    }
}

impl Members {
    async fn exited(&mut self) {
        let told = match &self.pidfd {
            Some(pidfd) => pidfd.readable().await.map(|mut ready| ready.retain_ready()),
            None => Err(io::ErrorKind::Unsupported.into()),
        };
        if told.is_err() {
            // This reaps; `child` keeps the status.
            let _ = self.child.wait().await;
        }
    }

    async fn stop(&mut self) {
        let _ = kill_process_group(self.leader, Signal::TERM);
        // A stopped process (SIGSTOP) would not hear of it.
        let _ = kill_process_group(self.leader, Signal::CONT);
        let exited = tokio::select! {
            biased;
            () = self.exited() => true,
            () = timer::sleep(TERM_GRACE) => false,
        };
        if !exited {
            let _ = kill_process_group(self.leader, Signal::KILL);
            self.exited().await;
        }
    }

    async fn end(&mut self) -> Gone {
        let _ = kill_process_group(self.leader, Signal::KILL);
        let status = self.reap().await;
        let strays = strays::end(self.leader, &self.mark).await;
        Gone { status, strays }
    }

    async fn reap(&mut self) -> io::Result<ExitStatus> {
        // It has exited, so this does not wait.
        let status = self.child.wait().await;
        self.over = true;
        strays::unregister(self.leader);
        status
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        if !self.over {
            let _ = kill_process_group(self.leader, Signal::KILL);
            // Tokio reaps children that it was given no time to wait for.
            strays::unregister(self.leader);
        }
    }
}
