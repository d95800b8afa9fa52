//! `/api/v1/scheduler`: the tasks that have a schedule, in the words of the founding guide.
//! Running, pausing and resuming a job is the same as doing so to its task.

use autom8_api::scheduler::{Job, SchedulerStatus};
use autom8_api::task::next_run_at;
use autom8_model::limits;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};

use super::tasks;
use crate::error::ApiProblem;
use crate::extract::Query;
use crate::state::AppState;

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/scheduler/status", get(status))
        .route("/api/v1/scheduler/jobs/{name}/run", post(tasks::run))
        .route("/api/v1/scheduler/jobs/{name}/pause", post(tasks::pause))
        .route("/api/v1/scheduler/jobs/{name}/resume", post(tasks::resume))
}

/// Jobs that one answer lists: this route has no pages, so it has to end.
const JOBS_MAX: usize = limits::PAGE_MAX;

async fn status(
    State(state): State<AppState>,
    _: Query<()>,
) -> Result<Json<SchedulerStatus>, ApiProblem> {
    let now = state.clock.now();
    let (mut jobs, mut more) = (Vec::new(), false);
    let mut after = None;
    'pages: loop {
        let tasks = state.store.tasks(after.as_ref(), limits::PAGE_MAX).await?;
        for task in &tasks {
            let Some(schedule) = &task.spec.schedule else {
                continue;
            };
            if jobs.len() == JOBS_MAX {
                more = true;
                break 'pages;
            }
            jobs.push(Job {
                id: task.id,
                name: task.spec.name.clone(),
                next_run_time: next_run_at(task, now),
                trigger: schedule.trigger_text(),
                enabled: task.spec.enabled,
            });
        }
        match tasks.last() {
            Some(last) if tasks.len() == limits::PAGE_MAX => after = Some(last.spec.name.clone()),
            _ => break,
        }
    }
    let running = state.engine.status().scheduler_running;
    Ok(Json(SchedulerStatus {
        running,
        jobs,
        more,
    }))
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
