//! `/api/v1/task_logs`: runs in the words of the founding guide.

use autom8_model::{Run, RunId, RunState, TaskName, TaskType, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::page::PageMeta;
use crate::run::{duration_ms, raw_json};

/// `GET /api/v1/task_logs`, newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TaskLogList {
    /// Entries of this page.
    pub count: usize,
    pub logs: Vec<TaskLog>,
    pub meta: PageMeta,
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TaskLog {
    pub id: RunId,
    pub task_type: TaskType,
    pub task_name: TaskName,
    pub status: RunState,
    pub started_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
    #[cfg_attr(feature = "schema", schema(value_type = Value))]
    pub result: Option<Box<RawValue>>,
    pub error: Option<String>,
    pub duration_ms: Option<f64>,
}

impl From<Run> for TaskLog {
    fn from(run: Run) -> Self {
        TaskLog {
            id: run.id,
            duration_ms: duration_ms(&run),
            task_type: run.task_type,
            task_name: run.task,
            status: run.state,
            started_at: run.started_at,
            completed_at: run.finished_at,
            result: run.result.map(raw_json),
            error: run.error,
        }
    }
}

/// `GET /api/v1/task_logs/stats`. Lifetime counts, which retention never lowers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TaskLogStats {
    #[serde(flatten)]
    pub counts: ExecutionCounts,
    pub by_type: Vec<TypeStats>,
    /// The latest minutes; `null` until something was measured.
    pub window: Option<RunWindow>,
    pub anomalies: Vec<Anomaly>,
}

/// `failed` counts failed and interrupted runs; `total_executions` = completed + failed +
/// cancelled + running; `success_rate` = 100 × completed / (completed + failed), two decimals, 0
/// when nothing has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ExecutionCounts {
    pub total_executions: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub running: u64,
    pub success_rate: f64,
}

impl ExecutionCounts {
    pub fn new(completed: u64, failed: u64, cancelled: u64, running: u64) -> Self {
        ExecutionCounts {
            total_executions: completed + failed + cancelled + running,
            completed,
            failed,
            cancelled,
            running,
            success_rate: success_rate(completed, failed),
        }
    }
}

/// In percent, rounded to two decimals; 0 when nothing has ended. A single failure among any
/// number of runs never rounds up to 100.
pub fn success_rate(completed: u64, failed: u64) -> f64 {
    let ended = u128::from(completed) + u128::from(failed);
    if ended == 0 {
        return 0.0;
    }
    let hundredths = (u128::from(completed) * 10_000 * 2 + ended) / (2 * ended);
    let most = if failed == 0 { 10_000 } else { 9_999 };
    hundredths.min(most) as f64 / 100.0
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TypeStats {
    pub task_type: TaskType,
    #[serde(flatten)]
    pub counts: ExecutionCounts,
}

/// Runs that ended lately.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunWindow {
    /// How far back it reaches.
    pub seconds: u64,
    pub count: u64,
    pub failed: u64,
    /// From queued to started.
    pub wait: Percentiles,
    /// From started to finished.
    pub run: Percentiles,
    /// From queued to finished.
    pub total: Percentiles,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Percentiles {
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
}

/// Something about the latest minutes that differs from before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Anomaly {
    pub kind: AnomalyKind,
    /// A sentence with both figures.
    pub message: String,
    /// Now, and what it is compared with, in the unit of the kind.
    pub value: f64,
    pub expected: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    /// Failures in percent, against the share of all runs before.
    FailureShare,
    /// 95th percentile of the run time in milliseconds, against that of the last hour.
    RunTime,
    /// 95th percentile of the wait in milliseconds, against what is bearable.
    WaitTime,
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_has_two_decimals_and_one_failure_is_never_rounded_away() {
        for (completed, failed, rate) in [
            (0, 0, 0.0),
            (0, 5, 0.0),
            (1, 0, 100.0),
            (2, 1, 66.67),
            (1, 2, 33.33),
            (999_999, 1, 99.99),
            (u64::MAX, 1, 99.99),
        ] {
            assert_eq!(
                success_rate(completed, failed),
                rate,
                "{completed} {failed}"
            );
        }
    }

    #[test]
    fn stats_are_written_as_the_contract_shows_them() {
        let stats = TaskLogStats {
            counts: ExecutionCounts::new(2, 1, 3, 4),
            by_type: vec![TypeStats {
                task_type: TaskType::Process,
                counts: ExecutionCounts::new(2, 1, 3, 4),
            }],
            window: None,
            anomalies: Vec::new(),
        };
        assert_eq!(
            serde_json::to_string(&stats).unwrap(),
            concat!(
                r#"{"total_executions":10,"completed":2,"failed":1,"cancelled":3,"running":4,"#,
                r#""success_rate":66.67,"by_type":[{"task_type":"process","total_executions":10,"#,
                r#""completed":2,"failed":1,"cancelled":3,"running":4,"success_rate":66.67}],"#,
                r#""window":null,"anomalies":[]}"#
            )
        );
    }
}
