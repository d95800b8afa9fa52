//! `/api/v1/runs`: what was intended, and what came of it.

use autom8_api::batch::BatchAccepted;
use autom8_api::page::PageMeta;
use autom8_api::problem::Problem;
use autom8_api::run::{AttemptView, ProgressView, RunList, RunView};
use autom8_model::{Run, RunId, RunState, Task, TaskName, TaskType, Timestamp, Trigger};
use autom8_store::{Attempt, CANCELLED_WAITING, Cancelled, Enqueue, Enqueued, Replayed, RunFilter};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};

use crate::answer::Answer;
use crate::error::ApiProblem;
use crate::extract::path::no_run;
use crate::extract::{FromQuery, Parameters, Query, RunPath, Writing, batch, json};
use crate::middleware::body_limit::BATCH_BODY_BYTES_MAX;
use crate::state::AppState;
use crate::to_the_end::to_the_end;

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/runs", get(list))
        .route("/api/v1/runs/batch", post(run_batch))
        .route("/api/v1/runs/{id}", get(show))
        .route("/api/v1/runs/{id}/cancel", post(cancel))
        .route("/api/v1/runs/{id}/retry", post(retry))
}

/// A cursor is the last run of a page; the next page begins below it.
pub(super) fn cursor(parameters: &mut Parameters) -> Option<RunId> {
    parameters.cursor_id().map(RunId)
}

impl FromQuery for RunFilter {
    fn take(parameters: &mut Parameters) -> Self {
        RunFilter {
            task: parameters.one::<TaskName>("task"),
            task_type: parameters.one::<TaskType>("task_type"),
            states: parameters.list::<RunState>("state"),
            trigger: parameters.one::<Trigger>("trigger"),
            since: parameters.one::<Timestamp>("since"),
            until: parameters.one::<Timestamp>("until"),
            before: cursor(parameters),
            limit: parameters.page_limit(),
        }
    }
}

async fn list(
    State(state): State<AppState>,
    Query(filter): Query<RunFilter>,
) -> Result<Json<RunList>, ApiProblem> {
    let page = state.store.runs(filter).await?;
    let next_cursor = page.next.map(|run| run.to_string());
    let shown = |run: Run| with_progress(&state, run.into());
    let runs = page.runs.into_iter().map(shown).collect();
    Ok(Json(RunList {
        runs,
        meta: PageMeta { next_cursor },
    }))
}

async fn show(
    State(state): State<AppState>,
    RunPath(id): RunPath,
    _: Query<()>,
) -> Result<Json<RunView>, ApiProblem> {
    let mut view = find(&state, id).await?;
    // What its first attempt ended has no earlier ones: most runs cost one read.
    if view.attempt > 1 || !view.state.is_terminal() {
        let attempts = state.store.attempts(id).await?;
        view.attempts = attempts.into_iter().map(attempt_view).collect();
    }
    Ok(Json(view))
}

fn attempt_view(attempt: Attempt) -> AttemptView {
    AttemptView {
        attempt: attempt.attempt,
        epoch: attempt.epoch,
        started_at: attempt.started_at,
        finished_at: attempt.finished_at,
        error: attempt.error,
    }
}

/// 202: a run that is running ends once its executor has stopped.
async fn cancel(
    State(state): State<AppState>,
    RunPath(id): RunPath,
    _: Query<()>,
    writing: Writing,
) -> Result<Answer, ApiProblem> {
    let before = state
        .store
        .run(id)
        .await?
        .ok_or_else(|| no_run(&id.to_string()))?;
    let answer = move |cancelled: &Cancelled| {
        let mut run = before;
        if let Cancelled::AtOnce { at } = cancelled {
            run.state = RunState::Cancelled;
            run.finished_at = Some(*at);
            run.error = Some(CANCELLED_WAITING.to_owned());
        }
        accepted(run)
    };
    let write = writing.answering(answer.clone());
    to_the_end(async move {
        let cancelled = state.engine.cancel_run(id, write).await?;
        Ok(answer(&cancelled))
    })
    .await
}

async fn retry(
    State(state): State<AppState>,
    RunPath(id): RunPath,
    _: Query<()>,
    writing: Writing,
) -> Result<Answer, ApiProblem> {
    let answer = move |replayed: &Replayed| {
        accepted(Run {
            replay_of: Some(id),
            input: replayed.input.clone(),
            ..queued(
                replayed.run,
                &replayed.task,
                Trigger::Replay,
                replayed.queued_at,
            )
        })
    };
    let write = writing.answering(answer);
    let replayed = state.store.replay_run(id, write).await?;
    Ok(answer(&replayed))
}

async fn run_batch(
    State(state): State<AppState>,
    _: Query<()>,
    writing: Writing,
    request: Request,
) -> Result<Answer, ApiProblem> {
    let body = json::read_json(request, BATCH_BODY_BYTES_MAX).await?;
    let batch = batch::read(&body).map_err(Problem::from)?;
    let return_ids = batch.return_ids;
    let answer = move |enqueued: &Enqueued| {
        let accepted = BatchAccepted {
            accepted: enqueued.count(),
            deduplicated: 0,
            ids: return_ids.then(|| enqueued.iter().collect()),
        };
        Answer::json(StatusCode::ACCEPTED, &accepted)
    };
    let enqueue = Enqueue {
        task: batch.task,
        trigger: Trigger::Batch,
        inputs: batch.inputs,
    };
    let write = writing.answering(answer);
    let enqueued = state.store.enqueue(enqueue, write).await?;
    Ok(answer(&enqueued))
}

/// Queues one run, and shows it as it was queued; it may be further already.
pub(super) async fn enqueue_one(
    state: &AppState,
    enqueue: Enqueue,
    writing: Writing,
) -> Result<Answer, ApiProblem> {
    let (trigger, inputs) = (enqueue.trigger, enqueue.inputs.clone());
    let answer = move |enqueued: &Enqueued| match (enqueued.iter().next(), &enqueued.task) {
        (Some(id), Some(task)) => accepted(Run {
            input: inputs.get(0).map(<[u8]>::to_vec),
            ..queued(id, task, trigger, enqueued.queued_at)
        }),
        _ => Answer::broken("an enqueue of one run returned none"),
    };
    let write = writing.answering(answer.clone());
    let enqueued = state.store.enqueue(enqueue, write).await?;
    Ok(answer(&enqueued))
}

/// A run as it is queued.
fn queued(id: RunId, task: &Task, trigger: Trigger, queued_at: Timestamp) -> Run {
    Run {
        id,
        task: task.spec.name.clone(),
        task_type: task.spec.action.task_type(),
        state: RunState::Queued,
        trigger,
        planned_at: None,
        queued_at,
        run_at: None,
        started_at: None,
        finished_at: None,
        attempt: 0,
        max_attempts: task.spec.retry.max_attempts,
        epoch: None,
        replay_of: None,
        input: None,
        result: None,
        error: None,
        log: None,
    }
}

fn accepted(run: Run) -> Answer {
    let location = format!("/api/v1/runs/{}", run.id);
    Answer::accepted(location, &RunView::from(run))
}

/// A run that is running here may tell how far it is.
fn with_progress(state: &AppState, mut view: RunView) -> RunView {
    if view.state == RunState::Running {
        let progress = state.engine.progress(view.id);
        view.progress = progress.map(|progress| ProgressView {
            done: progress.done,
            total: progress.total,
            unit: progress.unit.to_owned(),
        });
    }
    view
}

async fn find(state: &AppState, id: RunId) -> Result<RunView, ApiProblem> {
    match state.store.run(id).await? {
        Some(run) => Ok(with_progress(state, run.into())),
        None => Err(no_run(&id.to_string())),
    }
}

#[cfg(test)]
#[path = "runs_tests.rs"]
mod tests;
