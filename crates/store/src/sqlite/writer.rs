//! The one thread that writes. It takes what waits, writes it as one group under one sync, and only
//! then answers: every waiting write shares the cost of durability.
//!
//! Within a group small writes and single runs come first, then finishes, then slices of batches,
//! then claims, so that a claim can take runs that the same group accepts: one sync from call to
//! start. What the writer knows is [`Memory`]; it runs ahead of the file by the group being
//! written, and is built anew from the file if that group fails. Readers see a change only after
//! its commit.

use std::collections::VecDeque;
use std::sync::Arc;

use std::time::Duration;

use autom8_model::{BootId, Clock, Epoch, Monotonic, RunId, RunState, TaskType, limits};
use rusqlite::Connection;

use super::SqlResult;
use super::checkpoint::{Checkpoints, WalIndex};
use super::claims::PendingClaim;
use super::group::{Group, TaskChange};
use super::inbox::{Inbox, Work};
use super::memory::Memory;
use super::operation::{Failure, SmallWrite};
use super::recovery::Unfinished;
use super::run_log::LogFiles;
use super::runs::BatchInProgress;
use super::segments;
use super::shared::Shared;
use super::tasks::Sweep;
use crate::{RetentionPolicy, StoreError, StoreObserver, TypeTotals};

/// The longest the writer waits for something to do.
const IDLE_WAIT: Duration = Duration::from_secs(1);
/// A wait for a run that is due is not cut finer.
const DUE_GRAIN: Duration = Duration::from_micros(100);
/// Rows of batches that a group takes even when finishes alone would fill it.
const BATCH_ROWS_MIN: usize = limits::GROUP_ROWS_MAX / 4;

pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Arc<dyn StoreObserver>,
    pub(crate) boot: BootId,
    pub(crate) retention: RetentionPolicy,
    pub(crate) memory: Memory,
    pub(crate) logs: LogFiles,
    pub(crate) pending_claims: Vec<PendingClaim>,
    pub(crate) batches: VecDeque<BatchInProgress>,
    pub(crate) sweeps: VecDeque<Sweep>,
    /// Leases to give back; kept until a commit says that it is done.
    pub(crate) given_back: Vec<Epoch>,
    /// Slices of batches that never became whole: to be deleted, and hidden until then.
    pub(crate) unfinished: Vec<Unfinished>,
    pub(crate) reaped_at: Monotonic,
    pub(crate) closing: bool,
    /// Nothing may be promised any more.
    pub(crate) dead: bool,
    pub(crate) wal: WalIndex,
    pub(crate) checkpoints: Arc<Checkpoints>,
}

impl Writer {
    /// Runs until the inbox is closed and everything in it is answered, or until nothing may be
    /// promised any more.
    pub(crate) fn run(mut self) {
        while !self.dead {
            let wait = self.wait();
            let (work, closed) = self.inbox.take(wait, self.batches.is_empty());
            self.closing = closed;
            self.write(work);
            if self.checkpoints.has_tail() {
                super::checkpoint::take_tail(&self.connection);
            }
            if self.closing && !self.has_more() && self.inbox.is_empty() {
                // With the log folded into the file, the next start has nothing to replay.
                let _ = self
                    .connection
                    .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
                return;
            }
        }
    }

    /// Whether work that was begun goes on in the next group.
    fn has_more(&self) -> bool {
        !self.batches.is_empty() || !self.sweeps.is_empty()
    }

    /// How long nothing can be due.
    fn wait(&self) -> Duration {
        if self.has_more() {
            return Duration::ZERO;
        }
        match self.memory.ready.next_due() {
            Some(due) if !self.pending_claims.is_empty() => due
                .since(self.clock.monotonic())
                .clamp(DUE_GRAIN, IDLE_WAIT),
            _ => IDLE_WAIT,
        }
    }

    fn write(&mut self, mut work: Work) {
        self.pending_claims.append(&mut work.claims);
        self.given_back.append(&mut work.given_back);
        self.batches
            .extend(work.batches.drain(..).map(BatchInProgress::new));
        self.memory.promote(self.clock.monotonic());
        let commands = work.writes() + self.given_back.len() + self.batches.len();
        if commands == 0 && self.sweeps.is_empty() && self.memory.ready.is_empty() {
            return self.drop_unwanted_claims();
        }
        let mut group = Group::at(&*self.clock);
        let started = self.clock.monotonic();
        if commands > 0 {
            self.observer.waiting(commands);
        }
        let before = self.connection.total_changes();
        let written = self
            .connection
            .execute_batch("BEGIN IMMEDIATE")
            .and_then(|()| self.fill(&mut group, &mut work))
            .and_then(|()| self.seal(&mut group));
        match written {
            Ok(()) => {
                // A group that changed nothing was not synced: its time would flatter the disk.
                if self.connection.total_changes() > before {
                    let took = self.clock.monotonic().since(started);
                    self.observer.commit(took.as_micros() as u64, group.rows);
                }
                if let Some(frames) = self.wal.frames() {
                    self.checkpoints.log_grew(frames);
                }
                self.publish(group);
            }
            Err(error) => self.give_up(group, work, &error),
        }
    }

    /// Where nothing waits, claims need no transaction.
    fn drop_unwanted_claims(&mut self) {
        let closing = self.closing;
        let over = self
            .pending_claims
            .extract_if(.., |claim| closing || !claim.waits);
        over.for_each(PendingClaim::answer_with_nothing);
        self.pending_claims.retain(PendingClaim::is_wanted);
    }

    /// Does the work of a group. What a failure leaves in `work` was not begun.
    fn fill(&mut self, group: &mut Group, work: &mut Work) -> SqlResult<()> {
        self.delete_unfinished(group)?;
        for epoch in self.given_back.clone() {
            self.give_back(epoch, group)?;
        }
        while let Some(write) = work.small.pop_front() {
            self.apply(group, write)?;
        }
        while let Some(deletion) = work.deletions.pop_front() {
            self.delete_task(deletion, group)?;
        }
        while let Some(enqueue) = work.singles.pop_front() {
            self.enqueue_whole(enqueue, group)?;
        }
        while let Some(finish) = work.finishes.pop_front() {
            self.finish(finish, group)?;
        }
        let room = limits::GROUP_ROWS_MAX
            .saturating_sub(group.rows)
            .max(BATCH_ROWS_MIN);
        let room = self.write_batches(room, group)?;
        self.sweep(room, group)?;
        self.grant_claims(group)
    }

    /// One operation: its refusal leaves no trace, and its neighbours in the group alone.
    fn apply(&mut self, group: &mut Group, mut write: Box<dyn SmallWrite>) -> SqlResult<()> {
        let guarded = !write.refuses_first();
        if guarded {
            self.savepoint("SAVEPOINT operation")?;
        }
        let outcome = match write.apply(self, group) {
            Ok(()) => {
                group.rows += 1;
                Ok(())
            }
            // Without a savepoint there is no telling what was done before.
            Err(Failure::Sql(error)) if !guarded || condemns_group(&error) => {
                let answer = self.store_error(&error);
                write.answer(Err(answer));
                return Err(error);
            }
            Err(failure) => {
                if guarded {
                    self.savepoint("ROLLBACK TO operation")?;
                }
                Err(match failure {
                    Failure::Refused(error) => error,
                    Failure::Sql(error) => self.store_error(&error),
                })
            }
        };
        if guarded {
            self.savepoint("RELEASE operation")?;
        }
        group.answer(move |failed| {
            write.answer(match failed {
                Some(error) => Err(error.clone()),
                None => outcome,
            });
        });
        Ok(())
    }

    fn savepoint(&self, sql: &'static str) -> SqlResult<()> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// The last statements of a group, the sync of the run logs, and the commit.
    pub(crate) fn seal(&mut self, group: &mut Group) -> SqlResult<()> {
        for (&(index, state), &count) in &group.ended {
            let Some(totals) = self.memory.totals.get_mut(index) else {
                continue;
            };
            add_ends(totals, state, count);
            let task_type = TaskType::ALL[index];
            self.connection
                .prepare_cached(
                    "INSERT INTO totals (node, type, completed, failed, interrupted, cancelled)
                     VALUES (0, ?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (node, type) DO UPDATE
                     SET completed = excluded.completed,
                         failed = excluded.failed,
                         interrupted = excluded.interrupted,
                         cancelled = excluded.cancelled",
                )?
                .execute((
                    task_type.code(),
                    totals.completed.cast_signed(),
                    totals.failed.cast_signed(),
                    totals.interrupted.cast_signed(),
                    totals.cancelled.cast_signed(),
                ))?;
        }
        if group.shard_moved {
            self.connection
                .prepare_cached("UPDATE shards SET epoch = ?1, stale = ?2 WHERE id = 0")?
                .execute((
                    self.memory.last_epoch,
                    self.memory.stale_finishes.cast_signed(),
                ))?;
        }
        if !group.contacts.is_empty() {
            super::contacts::write_counts(&self.connection, self.memory.contacts)?;
        }
        self.close_settled_segments(group)?;
        // The bytes that rows point to come before the rows.
        self.logs.sync().map_err(super::run_log::sync_failed)?;
        self.connection.execute_batch("COMMIT")
    }

    /// Lets readers see the group, then answers.
    pub(crate) fn publish(&mut self, group: Group) {
        let Group {
            settled,
            claims_opened,
            claims_closed,
            cancels,
            leases,
            tasks,
            keys,
            contacts,
            ..
        } = group;
        if !keys.is_empty() {
            let mut table = self.shared.keys.write();
            keys.into_iter().for_each(|change| table.apply(change));
        }
        if !tasks.is_empty() {
            let mut table = self.shared.tasks.write();
            for change in tasks {
                match change {
                    TaskChange::Put(task) => table.put(task),
                    TaskChange::Delete(id) => table.delete(id),
                }
            }
        }
        if group.segments_changed {
            *self.shared.segments.write() = Arc::new(self.memory.segments.clone());
        }
        if !cancels.is_empty() {
            let mut requested = self.shared.cancel_requested.write();
            for (run, asked) in cancels {
                if asked {
                    requested.insert(run);
                } else {
                    requested.remove(&run);
                }
            }
        }
        for (claim, until) in leases {
            claim.publish_lease(until);
        }
        for (claim, indices) in settled {
            indices
                .into_iter()
                .for_each(|index| claim.publish_settled(index));
        }
        if !claims_opened.is_empty() || !claims_closed.is_empty() {
            let mut claims = self.shared.claims.write();
            for claim in claims_opened {
                claims.insert(claim.epoch, claim);
            }
            for epoch in claims_closed {
                claims.remove(&epoch);
            }
        }
        if !group.hidden_over.is_empty() {
            let over = &group.hidden_over;
            self.shared
                .hidden
                .write()
                .retain(|(first, _)| !over.contains(first));
        }
        *self.shared.totals.write() = self.memory.totals();
        // After the totals: a list that is kept under the new stamp shows the new count.
        self.shared.contact_stamps.changed(&contacts);
        for segment in group.logs_dropped {
            self.logs.forget(segment);
            // A file that stays is dead weight, not damage; the next start sweeps it up.
            let _ = std::fs::remove_file(super::run_log::path(&self.shared.directory, segment));
        }
        self.given_back
            .retain(|epoch| !group.given_back.contains(epoch));
        for answer in group.answers {
            answer(None);
        }
    }

    /// Nothing of the group happened: memory goes back to what the file says, and everyone hears.
    fn give_up(&mut self, group: Group, work: Work, error: &rusqlite::Error) {
        let told = self.store_error(error);
        tracing::error!(error = %error, "a commit group failed");
        let _ = self.connection.execute_batch("ROLLBACK");
        // The rebuild begins those of deleted tasks anew, with nobody to answer.
        for sweep in std::mem::take(&mut self.sweeps) {
            sweep.fail(&told);
        }
        if is_fatal(error) || self.rebuild().is_err() {
            // After a failed sync the file may lack what memory has: nothing more is promised
            // from here on. A restart reads what is really there.
            self.dead = true;
            self.inbox
                .abandon(&format!("the database failed ({error}); restart autom8"));
        }
        for answer in group.answers {
            answer(Some(&told));
        }
        work.fail(&told);
        for batch in std::mem::take(&mut self.batches) {
            batch.fail(&told);
        }
    }

    /// What a failed statement means for the caller.
    pub(crate) fn store_error(&self, error: &rusqlite::Error) -> StoreError {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            _ if is_out_of_space(error) => StoreError::DiskFull {
                path: self.shared.directory.clone(),
            },
            Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt) => {
                StoreError::Unavailable {
                    why: format!("the database failed: {error}"),
                }
            }
            _ => StoreError::Backend {
                statement: "write",
                message: error.to_string(),
            },
        }
    }

    /// The segment that takes new runs; a full one is closed first.
    pub(crate) fn active_segment(&mut self, group: &mut Group) -> SqlResult<i64> {
        if let Some(active) = self
            .memory
            .segments
            .last()
            .filter(|last| last.last.is_none())
        {
            if !segments::is_full(active, group.now, &self.retention) {
                return Ok(active.id);
            }
            self.close_active(group)?;
        }
        let id = self.memory.segments.last().map_or(1, |last| last.id + 1);
        let first = RunId(self.memory.next_run);
        let opened = segments::open(&self.connection, id, first, group.now)?;
        self.memory.segments.push(opened);
        self.memory.open.insert(id, 0);
        group.segments_changed = true;
        Ok(id)
    }

    /// Closes the active segment: its postings are complete then.
    pub(crate) fn close_active(&mut self, group: &mut Group) -> SqlResult<()> {
        let last_run = RunId(self.memory.next_run - 1);
        let Some(active) = self
            .memory
            .segments
            .last_mut()
            .filter(|last| last.last.is_none())
        else {
            return Ok(());
        };
        active.last = Some(last_run);
        active.closed_at = Some(group.now);
        active.settled = self
            .memory
            .open
            .get(&active.id)
            .is_none_or(|open| *open == 0);
        active.posted_through = last_run;
        self.shared
            .tail
            .write()
            .write_out(&self.connection, active.id, last_run)?;
        segments::close(&self.connection, active)?;
        group.segments_changed = true;
        Ok(())
    }

    fn close_settled_segments(&mut self, group: &mut Group) -> SqlResult<()> {
        if group.ended.is_empty() {
            return Ok(());
        }
        for segment in &mut self.memory.segments {
            let open = self.memory.open.get(&segment.id).copied().unwrap_or(0);
            if !segment.settled && segment.last.is_some() && open == 0 {
                segments::mark_settled(&self.connection, segment)?;
                segment.settled = true;
                group.segments_changed = true;
            }
        }
        Ok(())
    }
}

fn add_ends(totals: &mut TypeTotals, state: RunState, count: u64) {
    match state {
        RunState::Completed => totals.completed += count,
        RunState::Failed => totals.failed += count,
        RunState::Interrupted => totals.interrupted += count,
        RunState::Cancelled => totals.cancelled += count,
        RunState::Queued | RunState::Running => {}
    }
}

/// Whether an error is more than one operation's: only a violated constraint leaves the file, and
/// what memory says of it, as they were.
fn condemns_group(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() != Some(rusqlite::ErrorCode::ConstraintViolation)
}

/// Whether nothing may be promised any more: a sync failed, or the file is damaged.
fn is_fatal(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure) => !is_out_of_space(error),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => true,
        _ => false,
    }
}

/// Room that is missing heals by itself. It is reported as such, or, where the shared-memory file
/// of the log cannot grow, as an I/O error.
fn is_out_of_space(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::SqliteFailure(failure, _)
            if failure.code == rusqlite::ErrorCode::DiskFull
                || failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
    )
}
