//! What waits for the writer: bounded, and ordered so that a small write is never stuck behind a
//! batch.

use std::collections::VecDeque;
use std::time::Duration;

use autom8_model::{Epoch, TaskName, limits};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::claims::PendingClaim;
use super::operation::SmallWrite;
use super::runs::PendingEnqueue;
use crate::{DeletedTask, Finish, Finished, Result, StoreError, Write};

pub(crate) type Reply<T> = oneshot::Sender<Result<T>>;

/// Something for the writer to do.
pub(crate) enum Command {
    Small(Box<dyn SmallWrite>),
    Enqueue(PendingEnqueue),
    Finish(PendingFinish),
    Claim(PendingClaim),
    /// Leases that never reached their worker.
    GiveBack(Epoch),
    DeleteTask(PendingDeletion),
}

/// Answered when the last of the task's waiting runs is cancelled, which may take several groups.
pub(crate) struct PendingDeletion {
    pub name: TaskName,
    pub write: Write<DeletedTask>,
    pub reply: Reply<DeletedTask>,
}

/// At most half a commit group of finishes.
pub(crate) struct PendingFinish {
    pub finishes: Vec<Finish>,
    /// Captured output, packed for the log file on the caller's thread.
    pub logs: Vec<PackedLog>,
    pub reply: Reply<Finished>,
}

impl PendingFinish {
    fn bytes(&self) -> usize {
        let frames: usize = self.logs.iter().map(|log| log.frame.len()).sum();
        let results: usize = self
            .finishes
            .iter()
            .filter_map(|finish| Some(finish.result.as_ref()?.len()))
            .sum();
        frames + results
    }
}

pub(crate) struct PackedLog {
    /// Which of the finishes it belongs to.
    pub place: usize,
    pub run: autom8_model::RunId,
    pub attempt: u16,
    pub frame: Vec<u8>,
    pub bytes: u64,
    pub truncated: bool,
}

/// What waits, by kind, in the order in which a group does it.
#[derive(Default)]
pub(crate) struct Work {
    pub given_back: Vec<Epoch>,
    pub small: VecDeque<Box<dyn SmallWrite>>,
    pub deletions: VecDeque<PendingDeletion>,
    pub singles: VecDeque<PendingEnqueue>,
    pub finishes: VecDeque<PendingFinish>,
    pub batches: VecDeque<PendingEnqueue>,
    pub claims: Vec<PendingClaim>,
}

impl Work {
    /// Commands that write.
    pub(crate) fn writes(&self) -> usize {
        self.given_back.len()
            + self.small.len()
            + self.deletions.len()
            + self.singles.len()
            + self.finishes.len()
            + self.batches.len()
    }

    fn commands(&self) -> usize {
        self.writes() + self.claims.len()
    }

    /// Tells everyone that it did not happen.
    pub(crate) fn fail(self, error: &StoreError) {
        for write in self.small {
            write.answer(Err(error.clone()));
        }
        for deletion in self.deletions {
            let _ = deletion.reply.send(Err(error.clone()));
        }
        for enqueue in self.singles.into_iter().chain(self.batches) {
            let _ = enqueue.reply.send(Err(error.clone()));
        }
        for finish in self.finishes {
            let _ = finish.reply.send(Err(error.clone()));
        }
        for claim in self.claims {
            let _ = claim.reply.send(Err(error.clone()));
        }
    }
}

#[derive(Default)]
struct Queues {
    work: Work,
    /// Payload of the enqueues among it.
    bytes: usize,
    closed: Option<String>,
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
            && (queues.work.commands() >= limits::WRITER_INBOX_COMMANDS_MAX
                || queues.bytes + bytes > limits::WRITER_INBOX_BYTES_MAX)
        {
            return Err(StoreError::Overloaded { what: "writes" });
        }
        queues.bytes += bytes;
        let work = &mut queues.work;
        match command {
            Command::Small(write) => work.small.push_back(write),
            Command::Enqueue(enqueue) if enqueue.is_batch() => work.batches.push_back(enqueue),
            Command::Enqueue(enqueue) => work.singles.push_back(enqueue),
            Command::Finish(finish) => work.finishes.push_back(finish),
            Command::Claim(claim) => work.claims.push(claim),
            Command::GiveBack(epoch) => work.given_back.push(epoch),
            Command::DeleteTask(deletion) => work.deletions.push_back(deletion),
        }
        drop(queues);
        self.filled.notify_one();
        Ok(())
    }

    /// Takes what the next group may hold, waiting up to `wait` for the first command. Batches
    /// stay here, and count against the bound, until the writer has none in hand.
    pub(crate) fn take(&self, wait: Duration, wants_batches: bool) -> (Work, bool) {
        let mut queues = self.queues.lock();
        if queues.work.commands() == 0 && queues.closed.is_none() && !wait.is_zero() {
            self.filled.wait_for(&mut queues, wait);
        }
        let closed = queues.closed.is_some();
        let waiting = &mut queues.work;
        let mut taken = Work {
            given_back: std::mem::take(&mut waiting.given_back),
            claims: std::mem::take(&mut waiting.claims),
            ..Work::default()
        };
        let mut urgent = Budget::group();
        take_while(&mut waiting.small, &mut taken.small, |_| urgent.spend(1, 0));
        take_while(&mut waiting.deletions, &mut taken.deletions, |_| {
            urgent.spend(1, 0)
        });
        take_while(&mut waiting.singles, &mut taken.singles, |single| {
            urgent.spend(single.enqueue.inputs.len(), single.bytes())
        });
        let mut ends = Budget::group();
        take_while(&mut waiting.finishes, &mut taken.finishes, |finish| {
            ends.spend(finish.finishes.len(), finish.bytes())
        });
        if wants_batches {
            let mut batches = Budget::group();
            take_while(&mut waiting.batches, &mut taken.batches, |batch| {
                batches.spend(batch.enqueue.inputs.len(), batch.bytes())
            });
        }
        let left: usize = taken
            .singles
            .iter()
            .chain(&taken.batches)
            .map(PendingEnqueue::bytes)
            .sum();
        queues.bytes -= left;
        (taken, closed)
    }

    /// Fails once the store is closing.
    pub(crate) fn check_open(&self) -> Result<()> {
        match &self.queues.lock().closed {
            Some(why) => Err(StoreError::Unavailable { why: why.clone() }),
            None => Ok(()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queues.lock().work.commands() == 0
    }

    /// Refuses everything from now on; what waits is still worked off.
    pub(crate) fn close(&self, why: &str) {
        self.queues
            .lock()
            .closed
            .get_or_insert_with(|| why.to_owned());
        self.filled.notify_all();
    }

    /// Closes, and lets go of everything that waits: whoever asked hears why.
    pub(crate) fn abandon(&self, why: &str) {
        self.close(why);
        let mut queues = self.queues.lock();
        let work = std::mem::take(&mut queues.work);
        queues.bytes = 0;
        let why = queues.closed.clone().unwrap_or_default();
        drop(queues);
        work.fail(&StoreError::Unavailable { why });
    }
}

/// What fits into one group.
struct Budget {
    rows: usize,
    bytes: usize,
}

impl Budget {
    fn group() -> Self {
        Budget {
            rows: limits::GROUP_ROWS_MAX,
            bytes: limits::GROUP_BYTES_MAX,
        }
    }

    /// Takes from the budget; false once there is nothing left, so that the last one taken may
    /// go beyond it.
    fn spend(&mut self, rows: usize, bytes: usize) -> bool {
        if self.rows == 0 || self.bytes == 0 {
            return false;
        }
        self.rows = self.rows.saturating_sub(rows);
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }
}

fn take_while<T>(from: &mut VecDeque<T>, into: &mut VecDeque<T>, mut fits: impl FnMut(&T) -> bool) {
    while from.front().is_some_and(&mut fits) {
        into.extend(from.pop_front());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_lets_the_first_through_and_stops_where_it_is_spent() {
        let mut budget = Budget::group();
        assert!(
            budget.spend(limits::GROUP_ROWS_MAX * 5, 1),
            "a large one goes alone"
        );
        assert!(!budget.spend(1, 1));
        let mut budget = Budget::group();
        assert!(budget.spend(1, limits::GROUP_BYTES_MAX));
        assert!(!budget.spend(1, 0));
    }
}
