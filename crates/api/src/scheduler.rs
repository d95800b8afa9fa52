//! `/api/v1/scheduler`: the tasks that have a schedule, as jobs.

use autom8_model::{TaskId, TaskName, Timestamp};
use serde::{Deserialize, Serialize};

/// `GET /api/v1/scheduler/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SchedulerStatus {
    pub running: bool,
    pub jobs: Vec<Job>,
    /// Jobs that are not in `jobs`, which is bounded; `/api/v1/tasks` pages through all.
    pub more: bool,
}

/// One scheduled task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Job {
    pub id: TaskId,
    pub name: TaskName,
    /// `null` while paused, and after a one-shot's time.
    pub next_run_time: Option<Timestamp>,
    /// "cron 0 2 * * * Europe/Berlin", "every 2s", "at 2026-12-24T18:00:00Z".
    pub trigger: String,
    pub enabled: bool,
}
