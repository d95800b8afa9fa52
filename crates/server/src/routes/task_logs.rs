//! `/api/v1/task_logs`, also as `/api/v1/tasklogs` and `/tasklogs`: runs in the words of the
//! founding guide, and what they add up to.

use autom8_api::page::PageMeta;
use autom8_api::task_log::{
    Anomaly, AnomalyKind, ExecutionCounts, RunWindow, TaskLog, TaskLogList, TaskLogStats, TypeStats,
};
use autom8_model::{RunState, TaskType};
use autom8_store::{RunFilter, Totals, TypeTotals};
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};

use super::runs::cursor;
use crate::error::ApiProblem;
use crate::extract::{FromQuery, Parameters, Query};
use crate::state::AppState;

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/task_logs", get(list))
        .route("/api/v1/tasklogs", get(list))
        .route("/tasklogs", get(list))
        .route("/api/v1/task_logs/stats", get(stats))
        .route("/api/v1/tasklogs/stats", get(stats))
        .route("/tasklogs/stats", get(stats))
}

struct ListQuery(RunFilter);

impl FromQuery for ListQuery {
    fn take(parameters: &mut Parameters) -> Self {
        ListQuery(RunFilter {
            task_type: parameters.one::<TaskType>("task_type"),
            states: parameters.list::<RunState>("status"),
            before: cursor(parameters),
            limit: parameters.page_limit(),
            ..RunFilter::default()
        })
    }
}

async fn list(
    State(state): State<AppState>,
    Query(ListQuery(filter)): Query<ListQuery>,
) -> Result<Json<TaskLogList>, ApiProblem> {
    let page = state.store.runs(filter).await?;
    let next_cursor = page.next.map(|run| run.to_string());
    let logs: Vec<TaskLog> = page.runs.into_iter().map(TaskLog::from).collect();
    Ok(Json(TaskLogList {
        count: logs.len(),
        logs,
        meta: PageMeta { next_cursor },
    }))
}

async fn stats(State(state): State<AppState>, _: Query<()>) -> Json<TaskLogStats> {
    let window = state.telemetry.run_window();
    Json(stats_of(&state.store.totals(), window, || {
        state.telemetry.run_hour()
    }))
}

/// What the counters, the latest minutes and the last hour say. It costs the same whatever the
/// history.
pub(crate) fn stats_of(
    totals: &Totals,
    window: Option<RunWindow>,
    hour: impl FnOnce() -> Option<RunWindow>,
) -> TaskLogStats {
    let counts = counts(&totals.sum());
    TaskLogStats {
        counts,
        by_type: totals
            .by_type
            .iter()
            .map(|(task_type, totals)| TypeStats {
                task_type: *task_type,
                counts: self::counts(totals),
            })
            .collect(),
        anomalies: window
            .map(|window| anomalies(&counts, &window, hour))
            .unwrap_or_default(),
        window,
    }
}

/// An interrupted run has failed, for those who count.
pub(crate) fn counts(totals: &TypeTotals) -> ExecutionCounts {
    ExecutionCounts::new(
        totals.completed,
        totals.failed + totals.interrupted,
        totals.cancelled,
        totals.running,
    )
}

/// Below this many runs a share says nothing.
const RUNS_JUDGED_MIN: u64 = 20;
/// Failures in percentage points beyond the usual that are worth a word, if they are also twice
/// the usual.
const FAILURE_POINTS_MIN: f64 = 5.0;
/// Run times beyond those of the last hour that are worth a word: twice as long, and long enough
/// to be felt.
const RUN_TIME_FACTOR_MIN: f64 = 2.0;
const RUN_TIME_MS_MIN: f64 = 10.0;
/// Runs start within milliseconds while there are free slots.
const WAIT_P95_MS_MAX: f64 = 5_000.0;

/// What differs in the latest minutes from all that was before.
fn anomalies(
    lifetime: &ExecutionCounts,
    window: &RunWindow,
    hour: impl FnOnce() -> Option<RunWindow>,
) -> Vec<Anomaly> {
    let mut found = Vec::new();
    if window.count < RUNS_JUDGED_MIN {
        return found;
    }
    // The lifetime counts have the window in them; what it is compared with should not.
    let ended_before = (lifetime.completed + lifetime.failed).saturating_sub(window.count);
    let failed_before = lifetime.failed.saturating_sub(window.failed);
    let share = percent(window.failed, window.count);
    let usual = percent(failed_before, ended_before);
    if share >= usual + FAILURE_POINTS_MIN && share >= 2.0 * usual {
        found.push(Anomaly {
            kind: AnomalyKind::FailureShare,
            message: format!(
                "{share} % of {} runs failed in the last {} s, {usual} % before",
                window.count, window.seconds
            ),
            value: share,
            expected: usual,
        });
    }
    // The hour is asked for only if it can matter: merging it costs more than all the rest.
    let hour = (window.run.p95_ms >= RUN_TIME_MS_MIN).then(hour).flatten();
    if let Some(hour) = hour.filter(|hour| hour.count >= window.count + RUNS_JUDGED_MIN) {
        let (now, usual) = (window.run.p95_ms, hour.run.p95_ms);
        if now >= RUN_TIME_FACTOR_MIN * usual && now - usual >= RUN_TIME_MS_MIN {
            found.push(Anomaly {
                kind: AnomalyKind::RunTime,
                message: format!(
                    "one run in twenty took {now:.0} ms or longer in the last {} s, {usual:.0} ms \
                     in the last hour",
                    window.seconds
                ),
                value: now,
                expected: usual,
            });
        }
    }
    if window.wait.p95_ms > WAIT_P95_MS_MAX {
        found.push(Anomaly {
            kind: AnomalyKind::WaitTime,
            message: format!(
                "one run in twenty waited {:.1} s or longer to start: add slots \
                 (executors.slots), or spread the schedules",
                window.wait.p95_ms / 1_000.0
            ),
            value: window.wait.p95_ms,
            expected: WAIT_P95_MS_MAX,
        });
    }
    found
}

/// With one decimal; 0 of nothing.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    (part as f64 / whole as f64 * 1_000.0).round() / 10.0
}

#[cfg(test)]
#[path = "task_logs_tests.rs"]
mod tests;
