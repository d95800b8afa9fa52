//! What waits for the writer: bounded, and ordered so that a small write is never stuck behind a
//! batch.

use std::collections::VecDeque;
use std::time::Duration;

use autom8_model::{Epoch, RunId, TaskName, limits};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::claims::PendingClaim;
use super::operation::SmallWrite;
use super::runs::PendingEnqueue;
use crate::{DeletedTask, Finish, Finished, Result, StoreError};

pub(crate) type Reply<T> = oneshot::Sender<Result<T>>;

/// Something for the writer to do.
pub(crate) enum Command {
    Small(Box<dyn SmallWrite>),
    Enqueue(PendingEnqueue),
    Finish(PendingFinish),
    Claim(PendingClaim),
    /// Leases that never reached their worker.
    GiveBack(Epoch),
    /// Answered when the last of its waiting runs is cancelled, which may take several groups.
    DeleteTask(TaskName, Reply<DeletedTask>),
}

/// At most half a commit group of finishes.
pub(crate) struct PendingFinish {
    pub finishes: Vec<Finish>,
    /// Captured output, packed for the log file on the caller's thread.
    pub logs: Vec<PackedLog>,
    pub reply: Reply<Finished>,
}

pub(crate) struct PackedLog {
    /// Which of the finishes it belongs to.
    pub place: usize,
    pub run: RunId,
    pub attempt: u16,
    pub frame: Vec<u8>,
    pub bytes: u64,
    pub truncated: bool,
}

#[derive(Default)]
struct Queues {
    /// Small writes, single runs and claims: taken whole by the next group.
    urgent: VecDeque<Command>,
    finishes: VecDeque<PendingFinish>,
    batches: VecDeque<PendingEnqueue>,
    bytes: usize,
    closed: Option<String>,
}

/// What one group took out.
#[derive(Default)]
pub(crate) struct Taken {
    pub urgent: Vec<Command>,
    pub finishes: Vec<PendingFinish>,
    pub batches: Vec<PendingEnqueue>,
    pub closed: bool,
}

#[derive(Default)]
pub(crate) struct Inbox {
    queues: Mutex<Queues>,
    filled: Condvar,
}

impl Inbox {
    /// Hands a command to the writer, or refuses it before everything slows down.
    pub(crate) fn push(&self, command: Command) -> Result<()> {
        let mut queues = self.queues.lock();
        if let Some(why) = &queues.closed {
            return Err(StoreError::Unavailable { why: why.clone() });
        }
        let waiting = queues.urgent.len() + queues.finishes.len() + queues.batches.len();
        let bytes = match &command {
            Command::Enqueue(enqueue) => enqueue.bytes(),
            _ => 0,
        };
        // Finishes and claims are never refused: they make room.
        let makes_room = matches!(
            command,
            Command::Finish(_) | Command::Claim(_) | Command::GiveBack(_)
        );
        if !makes_room
            && (waiting >= limits::WRITER_INBOX_COMMANDS_MAX
                || queues.bytes + bytes > limits::WRITER_INBOX_BYTES_MAX)
        {
            return Err(StoreError::Overloaded { what: "writes" });
        }
        queues.bytes += bytes;
        match command {
            Command::Finish(finish) => queues.finishes.push_back(finish),
            Command::Enqueue(enqueue) if enqueue.is_batch() => queues.batches.push_back(enqueue),
            other => queues.urgent.push_back(other),
        }
        drop(queues);
        self.filled.notify_one();
        Ok(())
    }

    /// Takes what the next group may hold, waiting up to `wait` for the first command.
    pub(crate) fn take(&self, wait: Duration) -> Taken {
        let mut queues = self.queues.lock();
        let nothing = |queues: &Queues| {
            queues.urgent.is_empty() && queues.finishes.is_empty() && queues.batches.is_empty()
        };
        if nothing(&queues) && queues.closed.is_none() && !wait.is_zero() {
            self.filled.wait_for(&mut queues, wait);
        }
        let mut taken = Taken {
            closed: queues.closed.is_some(),
            ..Taken::default()
        };
        let mut rows = 0;
        while let Some(command) = queues.urgent.front() {
            let single = matches!(command, Command::Enqueue(_));
            if rows >= limits::GROUP_ROWS_MAX {
                break;
            }
            rows += usize::from(single);
            taken.urgent.extend(queues.urgent.pop_front());
        }
        let mut finish_rows = 0;
        while let Some(finish) = queues.finishes.front() {
            finish_rows += finish.finishes.len();
            if finish_rows > limits::GROUP_ROWS_MAX && !taken.finishes.is_empty() {
                break;
            }
            taken.finishes.extend(queues.finishes.pop_front());
        }
        taken.batches.extend(queues.batches.drain(..));
        for command in &taken.urgent {
            if let Command::Enqueue(enqueue) = command {
                queues.bytes -= enqueue.bytes();
            }
        }
        for batch in &taken.batches {
            queues.bytes -= batch.bytes();
        }
        taken
    }

    /// Fails once the store is closing.
    pub(crate) fn check_open(&self) -> Result<()> {
        match &self.queues.lock().closed {
            Some(why) => Err(StoreError::Unavailable { why: why.clone() }),
            None => Ok(()),
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        let queues = self.queues.lock();
        queues.urgent.len() + queues.finishes.len() + queues.batches.len()
    }

    /// Refuses everything from now on; what waits is still worked off.
    pub(crate) fn close(&self, why: &str) {
        self.queues
            .lock()
            .closed
            .get_or_insert_with(|| why.to_owned());
        self.filled.notify_all();
    }

    /// Closes, and lets go of everything that waits: whoever asked hears that the writer is gone.
    pub(crate) fn abandon(&self, why: &str) {
        self.close(why);
        let mut queues = self.queues.lock();
        let waiting = std::mem::take(&mut *queues);
        queues.closed.clone_from(&waiting.closed);
        drop(queues);
        drop(waiting);
    }
}
