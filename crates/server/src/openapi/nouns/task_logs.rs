//! Runs in the words of the founding guide.

use autom8_api::{TaskLogList, TaskLogStats};
use axum::http::StatusCode;

use crate::openapi::operation::{Operation, get};
use crate::openapi::parameters::{page_limit, run_cursor, states, task_type};

pub(super) fn operations() -> Vec<Operation> {
    let list = get("/api/v1/task_logs", "listTaskLogs")
        .takes(task_type())
        .takes(states("status"))
        .takes(page_limit())
        .takes(run_cursor())
        .answers::<TaskLogList>(StatusCode::OK, "A page of task logs, newest first.");
    let stats = get("/api/v1/task_logs/stats", "getTaskLogStats")
        .describe("It costs the same whatever the history, and retention never lowers a total.")
        .answers::<TaskLogStats>(
            StatusCode::OK,
            "Totals since the beginning, and the latest minutes.",
        );
    vec![
        list.also_at("/api/v1/tasklogs", "listTaskLogsJoined"),
        stats.also_at("/api/v1/tasklogs/stats", "getTaskLogStatsJoined"),
        list.also_at("/tasklogs", "listTaskLogsShort"),
        stats.also_at("/tasklogs/stats", "getTaskLogStatsShort"),
        list,
        stats,
    ]
}
