//! `/api/v1/tasks`: what to do, and when.

use std::sync::Arc;

use autom8_api::page::PageMeta;
use autom8_api::problem::Problem;
use autom8_api::run::RunRequest;
use autom8_api::task::{NextFire, NextFires, TaskDeleted, TaskList, TaskView, Toggle};
use autom8_engine::executors::NetworkPolicy;
use autom8_model::{Action, Inputs, Task, TaskName, TaskSpec, Timestamp, Trigger, limits};
use autom8_store::{DeletedTask, Enqueue};
use axum::extract::{Request, State};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use tokio::sync::Mutex;

use crate::answer::Answer;
use crate::error::ApiProblem;
use crate::extract::path::no_task;
use crate::extract::{
    FromQuery, JsonBody, OptionalJsonBody, Parameters, Query, TaskPath, Writing, json, merge,
};
use crate::middleware::body_limit::BODY_BYTES_MAX;
use crate::state::AppState;
use crate::to_the_end::to_the_end;

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/tasks", get(list).post(create))
        .route(
            "/api/v1/tasks/{name}",
            get(show).patch(change).delete(delete),
        )
        .route("/api/v1/tasks/{name}/run", post(run))
        .route("/api/v1/tasks/{name}/pause", post(pause))
        .route("/api/v1/tasks/{name}/resume", post(resume))
        .route("/api/v1/tasks/{name}/toggle", put(toggle))
        .route("/api/v1/tasks/{name}/next", get(next))
}

struct ListQuery {
    after: Option<TaskName>,
    limit: usize,
}

impl FromQuery for ListQuery {
    fn take(parameters: &mut Parameters) -> Self {
        ListQuery {
            after: parameters.cursor(|text| text.parse().ok()),
            limit: parameters.page_limit(),
        }
    }
}

async fn list(
    State(state): State<AppState>,
    Query(query): Query<ListQuery>,
) -> Result<Json<TaskList>, ApiProblem> {
    // One more than asked for tells whether there is a next page.
    let mut tasks = state
        .store
        .tasks(query.after.as_ref(), query.limit + 1)
        .await?;
    let more = tasks.len() > query.limit;
    tasks.truncate(query.limit);
    let last = tasks.last().filter(|_| more);
    let next_cursor = last.map(|task| task.spec.name.to_string());
    let now = state.clock.now();
    let tasks = tasks.iter().map(|task| TaskView::of(task, now)).collect();
    Ok(Json(TaskList {
        tasks,
        meta: PageMeta { next_cursor },
    }))
}

async fn create(
    State(state): State<AppState>,
    _: Query<()>,
    writing: Writing,
    request: Request,
) -> Result<Answer, ApiProblem> {
    let body = json::read_json(request, BODY_BYTES_MAX).await?;
    let spec = read_spec(&merge::writable_fields(&body)?)?;
    check_allowed(&state, &spec)?;
    let now = state.clock.now();
    let answer = move |task: &Arc<Task>| {
        let location = format!("/api/v1/tasks/{}", task.spec.name);
        Answer::created(location, &TaskView::of(task, now))
    };
    let write = writing.answering(answer);
    to_the_end(async move {
        let task = state.store.create_task(spec, write).await?;
        state.engine.schedules_changed();
        Ok(answer(&task))
    })
    .await
}

async fn show(
    State(state): State<AppState>,
    TaskPath(name): TaskPath,
    _: Query<()>,
) -> Result<Json<TaskView>, ApiProblem> {
    let task = find(&state, &name).await?;
    Ok(Json(TaskView::of(&task, state.clock.now())))
}

/// One change at a time: a change reads the task, lays the patch over it and writes the whole
/// back, so that two at once could undo each other. This process is the only one that has the
/// store open, and changes are rare and short.
static CHANGES: Mutex<()> = Mutex::const_new(());

async fn change(
    State(state): State<AppState>,
    TaskPath(name): TaskPath,
    _: Query<()>,
    writing: Writing,
    request: Request,
) -> Result<Answer, ApiProblem> {
    let patch = json::read_json(request, BODY_BYTES_MAX).await?;
    to_the_end(async move { apply(&state, name, &patch, writing).await }).await
}

async fn apply(
    state: &AppState,
    name: TaskName,
    patch: &[u8],
    writing: Writing,
) -> Result<Answer, ApiProblem> {
    let _one_at_a_time = CHANGES.lock().await;
    let task = find(state, &name).await?;
    let before = write_spec(&task.spec)?;
    let spec = read_spec(&merge::apply(&before, patch)?)?;
    if spec.name != name {
        return Err(Problem::invalid_at(
            "/name",
            format!(
                "is `{}`: a task keeps its name; create a new one and delete this",
                spec.name
            ),
        )
        .into());
    }
    let answer = shown(state.clock.now());
    let after = write_spec(&spec)?;
    let task = if after == before {
        task
    } else {
        let switched = (spec.enabled != task.spec.enabled).then_some(spec.enabled);
        let only_switched = {
            let mut unswitched = spec.clone();
            unswitched.enabled = task.spec.enabled;
            write_spec(&unswitched)? == before
        };
        match switched {
            // Pausing and resuming is an operation of its own: it makes no new revision.
            Some(enabled) if only_switched => {
                let write = writing.answering(answer);
                state.store.set_task_enabled(&name, enabled, write).await?
            }
            _ => {
                check_allowed(state, &spec)?;
                let write = writing.answering(answer);
                state.store.update_task(spec, write).await?
            }
        }
    };
    state.engine.schedules_changed();
    Ok(answer(&task))
}

/// A task as it is after a change at this time.
fn shown(now: Timestamp) -> impl Fn(&Arc<Task>) -> Answer + Copy + Send + 'static {
    move |task| Answer::ok(&TaskView::of(task, now))
}

async fn delete(
    State(state): State<AppState>,
    TaskPath(name): TaskPath,
    _: Query<()>,
    writing: Writing,
) -> Result<Answer, ApiProblem> {
    let answer = |deleted: &DeletedTask| {
        Answer::ok(&TaskDeleted {
            message: "Task deleted".to_owned(),
            cancelled: deleted.cancelled,
            stopping: deleted.running.len() as u64,
        })
    };
    let write = writing.answering(answer);
    to_the_end(async move {
        let deleted = state.store.delete_task(&name, write).await?;
        state.engine.schedules_changed();
        state.engine.stop_runs(&deleted.running);
        Ok(answer(&deleted))
    })
    .await
}

pub(super) async fn run(
    State(state): State<AppState>,
    TaskPath(task): TaskPath,
    _: Query<()>,
    writing: Writing,
    OptionalJsonBody(request): OptionalJsonBody<RunRequest>,
) -> Result<Answer, ApiProblem> {
    let inputs = match request.input.as_deref() {
        None => Inputs::none(),
        Some(input) if input.get().len() > limits::INPUT_BYTES_MAX => {
            let message = json::input_too_long(input.get().len());
            return Err(Problem::invalid_at("/input", message).into());
        }
        Some(input) => Inputs::one(input.get().as_bytes()),
    };
    let enqueue = Enqueue {
        task,
        trigger: Trigger::Manual,
        inputs,
    };
    super::runs::enqueue_one(&state, enqueue, writing).await
}

pub(super) async fn pause(
    State(state): State<AppState>,
    TaskPath(name): TaskPath,
    _: Query<()>,
    writing: Writing,
) -> Result<Answer, ApiProblem> {
    set_enabled(state, name, false, writing).await
}

pub(super) async fn resume(
    State(state): State<AppState>,
    TaskPath(name): TaskPath,
    _: Query<()>,
    writing: Writing,
) -> Result<Answer, ApiProblem> {
    set_enabled(state, name, true, writing).await
}

async fn toggle(
    State(state): State<AppState>,
    TaskPath(name): TaskPath,
    _: Query<()>,
    writing: Writing,
    JsonBody(toggle): JsonBody<Toggle>,
) -> Result<Answer, ApiProblem> {
    set_enabled(state, name, toggle.enabled, writing).await
}

async fn set_enabled(
    state: AppState,
    name: TaskName,
    enabled: bool,
    writing: Writing,
) -> Result<Answer, ApiProblem> {
    to_the_end(async move {
        let _one_at_a_time = CHANGES.lock().await;
        let answer = shown(state.clock.now());
        let write = writing.answering(answer);
        let task = state.store.set_task_enabled(&name, enabled, write).await?;
        state.engine.schedules_changed();
        Ok(answer(&task))
    })
    .await
}

/// Fires that one preview shows. A rare date (29 February on a Monday) takes a walk over decades
/// for each, and this is done while the request waits.
pub(crate) const PREVIEW_FIRES_MAX: usize = 100;
pub(crate) const PREVIEW_FIRES_DEFAULT: usize = 10;

struct NextQuery {
    fires: usize,
    from: Option<Timestamp>,
}

impl FromQuery for NextQuery {
    fn take(parameters: &mut Parameters) -> Self {
        NextQuery {
            fires: parameters.number("n", PREVIEW_FIRES_DEFAULT, PREVIEW_FIRES_MAX),
            from: parameters.one("from"),
        }
    }
}

/// When it would run next, also while it is paused; nothing for a task that runs by hand.
async fn next(
    State(state): State<AppState>,
    TaskPath(name): TaskPath,
    Query(query): Query<NextQuery>,
) -> Result<Json<NextFires>, ApiProblem> {
    let task = find(&state, &name).await?;
    let from = query.from.unwrap_or_else(|| state.clock.now());
    let fires = task
        .spec
        .schedule
        .as_ref()
        .map(|schedule| schedule.preview(from, task.anchor_at, query.fires));
    let next = fires.into_iter().flatten().map(|fire| NextFire {
        at: fire.at,
        dst: fire.dst,
    });
    Ok(Json(NextFires {
        next: next.collect(),
    }))
}

async fn find(state: &AppState, name: &TaskName) -> Result<Arc<Task>, ApiProblem> {
    state
        .store
        .task(name)
        .await?
        .ok_or_else(|| no_task(name.as_str()))
}

/// A definition from JSON that is checked already, judged as a whole.
fn read_spec(text: &str) -> Result<TaskSpec, Problem> {
    if text.len() > limits::TASK_SPEC_BYTES_MAX {
        let max = limits::TASK_SPEC_BYTES_MAX;
        return Err(Problem::invalid_at(
            "/",
            format!(
                "is a task of {} bytes, the limit is {max}: give data as input",
                text.len()
            ),
        ));
    }
    merge::check_shape(text)?;
    let spec: TaskSpec = json::parse_checked(text.as_bytes())?;
    spec.validate().map_err(Problem::invalid)?;
    Ok(spec)
}

fn write_spec(spec: &TaskSpec) -> Result<String, ApiProblem> {
    serde_json::to_string(spec)
        .map_err(|error| ApiProblem::internal(format!("writing task `{}`: {error}", spec.name)))
}

/// The widest policy there can be.
const ANY: NetworkPolicy = NetworkPolicy {
    open_private: true,
    allow_networks: Vec::new(),
};

/// What this server does not do, whatever the task says.
fn check_allowed(state: &AppState, spec: &TaskSpec) -> Result<(), Problem> {
    match &spec.action {
        Action::Process(_) if !state.config.executors.process.enabled => Err(Problem::not_enabled(
            "tasks may not start processes on this server: start it with --allow-process, \
             or set executors.process.enabled = true",
        )),
        // Whether a private address may be reached is judged when it is connected to; this one
        // never may, so the task could never succeed.
        Action::Http(http) => match http.literal_address().map(|address| ANY.check(address)) {
            Some(Err(refusal)) => Err(Problem::invalid_at("/do/http/url", refusal)),
            _ => Ok(()),
        },
        Action::Process(_) | Action::Builtin(_) => Ok(()),
    }
}

#[cfg(test)]
#[path = "tasks_tests.rs"]
mod tests;
