//! `/api/v1/runs`: what was intended, and what came of it.

use autom8_api::batch::BatchAccepted;
use autom8_api::page::PageMeta;
use autom8_api::problem::Problem;
use autom8_api::run::{AttemptView, RunList, RunView};
use autom8_model::{RunId, RunState, TaskName, TaskType, Timestamp, Trigger};
use autom8_store::{Attempt, Enqueue, RunFilter, Write};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::tasks::Created;
use crate::error::ApiProblem;
use crate::extract::path::no_run;
use crate::extract::{FromQuery, Parameters, Query, RunPath, batch, json};
use crate::middleware::body_limit::BATCH_BODY_BYTES_MAX;
use crate::state::AppState;

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
    let positive = |text: &str| text.parse().ok().filter(|id| *id > 0);
    parameters.cursor(|text| positive(text).map(RunId))
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
    let runs = page.runs.into_iter().map(RunView::from).collect();
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
) -> Result<(StatusCode, Json<RunView>), ApiProblem> {
    state.engine.cancel_run(id, Write::unattended()).await?;
    Ok((StatusCode::ACCEPTED, Json(find(&state, id).await?)))
}

async fn retry(
    State(state): State<AppState>,
    RunPath(id): RunPath,
    _: Query<()>,
) -> Result<Created<RunView>, ApiProblem> {
    let replay = state.store.replay_run(id, Write::unattended()).await?;
    accepted(&state, replay.run).await
}

async fn run_batch(
    State(state): State<AppState>,
    _: Query<()>,
    request: Request,
) -> Result<(StatusCode, Json<BatchAccepted>), ApiProblem> {
    let body = json::read_json(request, BATCH_BODY_BYTES_MAX).await?;
    let batch = batch::read(&body).map_err(Problem::from)?;
    let enqueued = state
        .store
        .enqueue(
            Enqueue {
                task: batch.task,
                trigger: Trigger::Batch,
                inputs: batch.inputs,
            },
            Write::unattended(),
        )
        .await?;
    let accepted = BatchAccepted {
        accepted: enqueued.count(),
        deduplicated: 0,
        ids: batch.return_ids.then(|| enqueued.iter().collect()),
    };
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

/// The 202 of a run that was queued just now; it may be further already.
pub(super) async fn accepted(state: &AppState, id: RunId) -> Result<Created<RunView>, ApiProblem> {
    let location = format!("/api/v1/runs/{id}");
    let view = find(state, id).await?;
    Ok((
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        Json(view),
    ))
}

async fn find(state: &AppState, id: RunId) -> Result<RunView, ApiProblem> {
    match state.store.run(id).await? {
        Some(run) => Ok(run.into()),
        None => Err(no_run(&id.to_string())),
    }
}

#[cfg(test)]
#[path = "runs_tests.rs"]
mod tests;
