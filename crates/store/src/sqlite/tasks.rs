//! Tasks: created, changed, paused, deleted.

use std::collections::VecDeque;
use std::sync::Arc;

use autom8_model::ready::Span;
use autom8_model::{AuditAction, RunId, RunState, Task, TaskId, TaskName, TaskSpec, limits};

use super::SqlResult;
use super::claims::CoveredRun;
use super::finishes::Outcome;
use super::group::{Group, TaskChange};
use super::inbox::{PendingDeletion, Reply};
use super::operation::Failure;
use super::writer::Writer;
use crate::{CANCELLED_WAITING, DeletedTask, StoreError};

/// Old revisions kept of a task: a run that is queued longer than this many changes takes the
/// oldest that is left.
pub(crate) const REVS_KEPT: u32 = 100;

/// Waiting runs of a deleted task, cancelled slice by slice; the deletion is answered with the
/// last one.
pub(crate) struct Sweep {
    spans: VecDeque<Span>,
    deleted: DeletedTask,
    /// `None` where nobody waits for it.
    reply: Option<Reply<DeletedTask>>,
}

impl Sweep {
    pub(crate) fn unasked(spans: VecDeque<Span>) -> Self {
        Sweep {
            spans,
            deleted: DeletedTask {
                cancelled: 0,
                running: Vec::new(),
            },
            reply: None,
        }
    }

    pub(crate) fn fail(self, error: &StoreError) {
        if let Some(reply) = self.reply {
            let _ = reply.send(Err(error.clone()));
        }
    }
}

impl Writer {
    pub(crate) fn create_task(
        &mut self,
        spec: TaskSpec,
        group: &mut Group,
    ) -> Result<Arc<Task>, Failure> {
        if self.memory.tasks.by_name(spec.name.as_str()).is_some() {
            let why = format!("a task named {} exists already", spec.name);
            return Err(StoreError::Conflict { why }.into());
        }
        if self.memory.tasks.living() >= limits::TASKS_MAX as u64 {
            return Err(StoreError::Overloaded { what: "tasks" }.into());
        }
        let task = Task {
            id: TaskId(self.memory.next_task),
            rev: 1,
            spec,
            anchor_at: group.now,
            fired_through: group.now,
            created_at: group.now,
            updated_at: group.now,
        };
        self.connection
            .prepare_cached(
                "INSERT INTO tasks (id, name, rev, type, enabled, anchor_at, fired_through,
                                    created_at, updated_at)
                 VALUES (?1, ?2, 1, ?3, ?4, ?5, ?5, ?5, ?5)",
            )?
            .execute((
                task.id.0,
                task.spec.name.as_str(),
                task.spec.action.task_type().code(),
                task.spec.enabled,
                group.now.as_micros(),
            ))?;
        self.insert_rev(&task)?;
        self.memory.next_task += 1;
        Ok(self.put_task(task, group))
    }

    pub(crate) fn update_task(
        &mut self,
        spec: TaskSpec,
        group: &mut Group,
    ) -> Result<Arc<Task>, Failure> {
        let current = self.living_task(&spec.name)?;
        let rescheduled = current.spec.schedule != spec.schedule;
        let resumed = spec.enabled && !current.spec.enabled;
        let task = Task {
            id: current.id,
            rev: current.rev + 1,
            anchor_at: if rescheduled {
                group.now
            } else {
                current.anchor_at
            },
            // Even if the clock stood wrong before: the ledger's key forbids a second run.
            fired_through: if rescheduled || resumed {
                group.now
            } else {
                current.fired_through
            },
            created_at: current.created_at,
            updated_at: group.now,
            spec,
        };
        self.insert_rev(&task)?;
        self.update_row(&task)?;
        self.connection
            .prepare_cached("DELETE FROM task_revs WHERE task_id = ?1 AND rev < ?2")?
            .execute((task.id.0, i64::from(task.rev.saturating_sub(REVS_KEPT))))?;
        self.memory
            .ready
            .forget(task.id, task.rev.saturating_sub(REVS_KEPT));
        Ok(self.put_task(task, group))
    }

    pub(crate) fn set_task_enabled(
        &mut self,
        name: &TaskName,
        enabled: bool,
        group: &mut Group,
    ) -> Result<Arc<Task>, Failure> {
        let current = self.living_task(name)?;
        if current.spec.enabled == enabled {
            return Ok(current);
        }
        let mut task = Task::clone(&current);
        task.spec.enabled = enabled;
        task.updated_at = group.now;
        if enabled {
            task.fired_through = group.now;
        }
        self.update_row(&task)?;
        Ok(self.put_task(task, group))
    }

    /// Marks a task as deleted and starts to cancel what waits of it. Answered by the sweep.
    pub(crate) fn delete_task(
        &mut self,
        deletion: PendingDeletion,
        group: &mut Group,
    ) -> SqlResult<()> {
        let PendingDeletion { name, write, reply } = deletion;
        let admitted = self
            .refuse_repeated(&write)
            .and_then(|()| Ok(self.living_task(&name)?));
        let task = match admitted {
            Ok(task) => task,
            Err(Failure::Refused(refused)) => {
                group.answer_with(reply, Err(refused));
                return Ok(());
            }
            Err(Failure::Sql(error)) => {
                let _ = reply.send(Err(self.store_error(&error)));
                return Err(error);
            }
        };
        let deleted = self
            .connection
            .prepare_cached("UPDATE tasks SET deleted_at = ?2 WHERE id = ?1")
            .and_then(|mut update| update.execute((task.id.0, group.now.as_micros())));
        if let Err(error) = deleted {
            let _ = reply.send(Err(self.store_error(&error)));
            return Err(error);
        }
        group.rows += 1;
        group.tasks.push(TaskChange::Delete(task.id));
        self.memory.tasks.delete(task.id);
        self.memory.ready.set_paused(task.id, false);
        let mut spans: VecDeque<Span> = self.memory.ready.take_task(task.id).into();
        spans.extend(self.memory.held.remove(&task.id));
        let running: Vec<RunId> = self
            .memory
            .claims
            .values()
            .flat_map(|claim| claim.open_runs())
            .filter(|(_, covered)| covered.task == task.id)
            .map(|(_, covered)| covered.run)
            .collect();
        let cancelled = spans.iter().map(|span| u64::from(span.count)).sum();
        let deleted = DeletedTask { cancelled, running };
        let target = |_: &DeletedTask| name.to_string();
        let noted = self.note(write, AuditAction::TaskDelete, target, &deleted, group);
        self.sweeps.push_back(Sweep {
            spans,
            deleted,
            reply: Some(reply),
        });
        noted
    }

    /// Cancels waiting runs of deleted tasks, as many as there is room for.
    pub(crate) fn sweep(&mut self, mut room: usize, group: &mut Group) -> SqlResult<()> {
        while let Some(sweep) = self.sweeps.front_mut() {
            let Some(span) = sweep.spans.front_mut() else {
                if let Some(Sweep {
                    deleted,
                    reply: Some(reply),
                    ..
                }) = self.sweeps.pop_front()
                {
                    group.answer(move |failed| {
                        let _ = reply.send(failed.map_or(Ok(deleted), |error| Err(error.clone())));
                    });
                }
                continue;
            };
            if room == 0 {
                break;
            }
            let front = span.take_front(u32::try_from(room).unwrap_or(u32::MAX));
            if span.count == 0 {
                sweep.spans.pop_front();
            }
            room -= front.count as usize;
            self.cancel_span(&front, group)?;
        }
        Ok(())
    }

    fn cancel_span(&mut self, span: &Span, group: &mut Group) -> SqlResult<()> {
        let Some(task) = self.memory.tasks.revision(span.task, span.rev) else {
            return Ok(());
        };
        let task_type = task.spec.action.task_type();
        let why = if self.memory.tasks.is_deleted(span.task) {
            "the task was deleted"
        } else {
            CANCELLED_WAITING
        };
        let mut outcomes = Vec::with_capacity(span.count as usize);
        let mut segment = 0;
        let mut ended = Vec::new();
        for run in (0..i64::from(span.count)).map(|offset| RunId(span.first.0 + offset)) {
            let Some(home) = self.memory.segment_of(run) else {
                continue;
            };
            if home != segment {
                self.append(segment, &mut outcomes, &mut Vec::new())?;
                segment = home;
                ended = self.ended_between(home, run, span.last())?;
            }
            // Somebody may have cancelled it by itself while its turn had not come.
            if ended.binary_search(&run).is_ok() {
                continue;
            }
            outcomes.push(Outcome {
                run,
                attempt: span.attempt,
                epoch: super::NO_EPOCH,
                state: RunState::Cancelled,
                started_at: None,
                finished_at: group.now,
                result: None,
                error: Some(why),
            });
            group.rows += 1;
            let covered = CoveredRun {
                run,
                attempt: span.attempt,
                task: span.task,
                rev: span.rev,
                task_type,
                queued_at: span.queued_at,
            };
            self.settle_ended(&covered, RunState::Cancelled, home, group)?;
        }
        self.append(segment, &mut outcomes, &mut Vec::new())
    }

    /// Runs of a stretch that have an outcome, ascending.
    fn ended_between(&self, segment: i64, first: RunId, last: RunId) -> SqlResult<Vec<RunId>> {
        self.connection
            .prepare_cached(&format!(
                "SELECT id FROM outcomes_{segment} WHERE id BETWEEN ?1 AND ?2 ORDER BY id"
            ))?
            .query_map((first.0, last.0), |row| Ok(RunId(row.get(0)?)))?
            .collect()
    }

    pub(crate) fn living_task(&self, name: &TaskName) -> Result<Arc<Task>, StoreError> {
        self.memory
            .tasks
            .by_name(name.as_str())
            .cloned()
            .ok_or_else(|| StoreError::NotFound {
                what: format!("task `{name}`"),
            })
    }

    fn insert_rev(&self, task: &Task) -> Result<(), Failure> {
        let spec = serde_json::to_vec(&task.spec).map_err(|error| StoreError::Backend {
            statement: "task_revs",
            message: error.to_string(),
        })?;
        self.connection
            .prepare_cached("INSERT INTO task_revs (task_id, rev, spec) VALUES (?1, ?2, ?3)")?
            .execute((task.id.0, i64::from(task.rev), spec))?;
        Ok(())
    }

    pub(crate) fn update_row(&self, task: &Task) -> SqlResult<()> {
        self.connection
            .prepare_cached(
                "UPDATE tasks
                 SET rev = ?2, type = ?3, enabled = ?4, anchor_at = ?5, fired_through = ?6,
                     updated_at = ?7
                 WHERE id = ?1",
            )?
            .execute((
                task.id.0,
                i64::from(task.rev),
                task.spec.action.task_type().code(),
                task.spec.enabled,
                task.anchor_at.as_micros(),
                task.fired_through.as_micros(),
                task.updated_at.as_micros(),
            ))?;
        Ok(())
    }

    /// Makes a task's new state known, to the writer at once and to readers with the commit.
    pub(crate) fn put_task(&mut self, task: Task, group: &mut Group) -> Arc<Task> {
        let task = Arc::new(task);
        self.memory.ready.set_paused(task.id, !task.spec.enabled);
        self.memory.tasks.put(Arc::clone(&task));
        group.tasks.push(TaskChange::Put(Arc::clone(&task)));
        task
    }
}
