//! Derives the due fires of all schedules and has the store enter them into the ledger.
//!
//! A next fire is always derived from what the ledger accounts for, never armed by the fire
//! before: a crash, a clock step or a refused write can only delay it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use autom8_model::schedule::{CatchUpLimits, due};
use autom8_model::{Clock, Task, TaskId, Timestamp, limits};
use autom8_store::{FireBatch, RecordedFires};

use crate::engine::Shared;
use crate::observer::EngineObserver as _;
use crate::timer::{self, Backoff};

/// Reading all tasks again takes at most a tenth of the scheduler's time, however often they
/// change: after a reading it rests ten times as long as that took.
const REFRESH_REST_FACTOR: u32 = 10;
/// Between two passes; the timers of the runtime are no finer.
const PASS_PAUSE: Duration = Duration::from_millis(1);

pub(crate) async fn run(shared: Arc<Shared>) {
    let mut agenda = Agenda::default();
    let mut backoff = Backoff::new();
    let mut outdated = true;
    loop {
        let passed = pass(&shared, &mut agenda, &mut outdated).await;
        let gauge = &shared.scheduler;
        gauge.running.store(passed.is_ok(), Ordering::Relaxed);
        gauge
            .schedules
            .store(agenda.by_time.len(), Ordering::Relaxed);
        let next = agenda.next_at();
        gauge.next_fire_at.store(
            next.map_or(i64::MAX, Timestamp::as_micros),
            Ordering::Relaxed,
        );
        let wait = async {
            match (&passed, next) {
                (Err(_), _) => backoff.wait().await,
                (Ok(_), _) if outdated => {}
                (Ok(_), Some(at)) => {
                    // What is due was recorded; the floor keeps a time that stays due, should
                    // there be one, from turning this into a spin.
                    let floor = shared.clock.now().plus(PASS_PAUSE);
                    timer::sleep_towards(at.max(floor), shared.clock.as_ref()).await;
                }
                (Ok(_), None) => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.stopping.cancelled() => break,
            () = shared.schedules_changed.notified() => outdated = true,
            () = wait => {}
        }
        match passed {
            Err(error) => {
                shared
                    .observer
                    .problem("scheduler", &format!("fires are delayed: {error}"));
            }
            Ok(rest) => {
                backoff.reset();
                if outdated && !rest.is_zero() {
                    tokio::select! {
                        () = shared.stopping.cancelled() => break,
                        () = timer::sleep(rest) => {}
                    }
                }
            }
        }
    }
    shared.scheduler.running.store(false, Ordering::Relaxed);
}

/// Reads the tasks if they changed, and records what is due. Returns how long to rest before the
/// tasks are read again.
async fn pass(
    shared: &Shared,
    agenda: &mut Agenda,
    outdated: &mut bool,
) -> autom8_store::Result<Duration> {
    let started = shared.clock.monotonic();
    let mut rest = Duration::ZERO;
    if *outdated {
        let tasks = all_tasks(shared).await?;
        agenda.replace(tasks);
        *outdated = false;
        rest = shared.clock.monotonic().since(started) * REFRESH_REST_FACTOR;
    }
    loop {
        let batches = agenda.due(shared.clock.as_ref());
        if batches.is_empty() {
            return Ok(rest);
        }
        let recorded = shared.store.record_fires(batches.clone()).await?;
        for (batch, recorded) in batches.iter().zip(&recorded) {
            for run in &recorded.to_cancel {
                shared.live.cancel(*run);
            }
            agenda.settle(batch, recorded);
            *outdated |= recorded.outdated;
        }
    }
}

async fn all_tasks(shared: &Shared) -> autom8_store::Result<Vec<Arc<Task>>> {
    let mut tasks: Vec<Arc<Task>> = Vec::new();
    loop {
        let after = tasks.last().map(|task| task.spec.name.clone());
        let page = shared.store.tasks(after.as_ref(), limits::PAGE_MAX).await?;
        let last = page.len() < limits::PAGE_MAX;
        tasks.extend(page);
        if last {
            return Ok(tasks);
        }
    }
}

/// All schedules by the time of their next fire.
#[derive(Debug, Default)]
struct Agenda {
    by_time: BTreeSet<(Timestamp, TaskId)>,
    entries: HashMap<TaskId, Entry>,
}

#[derive(Debug)]
struct Entry {
    task: Arc<Task>,
    /// The last planned time that the ledger accounts for; ahead of the task's own if a fire was
    /// recorded since that was read.
    fired_through: Timestamp,
    next_at: Option<Timestamp>,
}

impl Agenda {
    fn next_at(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    fn replace(&mut self, tasks: Vec<Arc<Task>>) {
        let before = std::mem::take(&mut self.entries);
        self.by_time.clear();
        for task in tasks {
            let Some(schedule) = task.spec.schedule.as_ref().filter(|_| task.spec.enabled) else {
                continue;
            };
            let known = before
                .get(&task.id)
                .filter(|known| known.task.rev == task.rev);
            let fired_through = known.map_or(task.fired_through, |known| {
                known.fired_through.max(task.fired_through)
            });
            // The first fire that is not accounted for: it may be due already.
            let next_at = schedule
                .next_after(fired_through, task.anchor_at)
                .map(|fire| fire.at);
            self.insert(Entry {
                task,
                fired_through,
                next_at,
            });
        }
    }

    fn insert(&mut self, entry: Entry) {
        if let Some(at) = entry.next_at {
            self.by_time.insert((at, entry.task.id));
        }
        self.entries.insert(entry.task.id, entry);
    }

    /// What is due now, as much as one transaction of the ledger should hold. Changes nothing:
    /// what is not recorded stays due.
    fn due(&self, clock: &dyn Clock) -> Vec<FireBatch> {
        let now = clock.now();
        let mut batches = Vec::new();
        let mut rows = 0;
        for (at, id) in &self.by_time {
            if *at > now || rows >= limits::GROUP_ROWS_MAX {
                break;
            }
            let Some(entry) = self.entries.get(id) else {
                continue;
            };
            let Some(schedule) = &entry.task.spec.schedule else {
                continue;
            };
            let due = due(
                schedule,
                entry.task.anchor_at,
                entry.fired_through,
                now,
                entry.task.spec.catch_up,
                &CatchUpLimits::default(),
            );
            if due.fires.is_empty() {
                continue;
            }
            rows += due.fires.len();
            batches.push(FireBatch {
                task: *id,
                rev: entry.task.rev,
                fires: due.fires,
                fired_through: due.fired_through,
            });
        }
        batches
    }

    /// Moves a schedule on to its next fire, or takes it out if it changed meanwhile: then it
    /// comes back with the next reading.
    fn settle(&mut self, batch: &FireBatch, recorded: &RecordedFires) {
        let Some(mut entry) = self.entries.remove(&batch.task) else {
            return;
        };
        if let Some(at) = entry.next_at {
            self.by_time.remove(&(at, batch.task));
        }
        if recorded.outdated {
            return;
        }
        entry.fired_through = batch.fired_through;
        entry.next_at = entry.task.spec.schedule.as_ref().and_then(|schedule| {
            schedule
                .next_after(entry.fired_through, entry.task.anchor_at)
                .map(|fire| fire.at)
        });
        self.insert(entry);
    }
}
