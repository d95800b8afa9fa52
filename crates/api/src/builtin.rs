//! What the built-in tasks leave behind: the results of their runs, and the activity report.

use autom8_model::{RunId, RunState, TaskName, TaskType, Timestamp};
use serde::{Deserialize, Serialize};

use crate::task_log::TaskLogStats;
use crate::telemetry::SystemFigures;

/// The result of a `backup` run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupResult {
    /// The new directory, verified.
    pub path: String,
    pub bytes: u64,
    pub sha256: String,
    pub tasks: u64,
    pub runs: u64,
    /// Backups that are there now, this one included.
    pub kept: usize,
    /// Names of the older ones that were removed.
    pub removed: Vec<String>,
}

/// The result of a `cleanup` run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanupResult {
    pub segments_dropped: u64,
    pub runs_dropped: u64,
    pub fires_dropped: u64,
    pub audit_entries_dropped: u64,
    /// Answers that a repeated request would have been given again.
    pub answers_forgotten: u64,
    pub bytes_freed: u64,
    pub reports_removed: usize,
    /// Uploads, failures and exports of contacts that no run needs any more.
    #[serde(default)]
    pub contact_files_removed: usize,
}

/// The result of a `report` run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportResult {
    pub json: String,
    pub html: String,
    pub total_executions: u64,
    pub success_rate: f64,
}

/// The format of [`ActivityReport`]; it rises when a key changes its meaning.
pub const ACTIVITY_SCHEMA: &str = "autom8.activity/1";

/// What a `report` run writes: runs, and the system they ran on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ActivityReport {
    pub schema: String,
    pub generated_at: Timestamp,
    pub version: String,
    pub environment: String,
    pub store: ReportedStore,
    /// Tasks that are defined.
    pub tasks: u64,
    /// Runs that wait.
    pub queued: u64,
    /// Lifetime counts, and percentiles of the latest minutes.
    pub runs: TaskLogStats,
    /// The latest runs that were looked at for the lists below.
    pub examined: u64,
    /// The latest ended runs, oldest first.
    pub latest: Vec<ReportedRun>,
    /// The slowest of those examined.
    pub slowest: Vec<ReportedRun>,
    /// The last that failed, newest first.
    pub failed: Vec<ReportedRun>,
    /// The failures still in the history, by task; the task that failed last is first.
    #[serde(default)]
    pub failed_tasks: Vec<FailedTask>,
    /// The next planned times, soonest first.
    pub upcoming: Vec<UpcomingRun>,
    /// `null` until the machine was measured.
    pub system: Option<SystemFigures>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedStore {
    pub kind: String,
    pub library_version: String,
    pub durability: String,
    pub schema_version: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportedRun {
    pub id: RunId,
    pub task: TaskName,
    pub task_type: TaskType,
    pub state: RunState,
    pub finished_at: Option<Timestamp>,
    pub duration_ms: Option<f64>,
    /// The first line of it.
    pub error: Option<String>,
}

/// A task some of whose runs failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailedTask {
    pub task: TaskName,
    /// Of the failures that the report looked at.
    pub failures: u64,
    pub latest: ReportedRun,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpcomingRun {
    pub at: Timestamp,
    pub task: TaskName,
    /// The schedule in words.
    pub trigger: String,
}
