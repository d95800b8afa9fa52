//! `report`: what ran and how well, as JSON for programs and as one HTML file for people.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use autom8_api::builtin::{
    ACTIVITY_SCHEMA, ActivityReport, FailedTask, ReportResult, ReportedRun, ReportedStore,
    UpcomingRun,
};
use autom8_api::task::next_run_at;
use autom8_config::Config;
use autom8_engine::executors::Builtin;
use autom8_engine::{Ended, RunContext};
use autom8_model::{Clock, Run, RunState, Task, Timestamp, limits};
use autom8_store::{RunFilter, Store};
use tokio::sync::Mutex;

use super::report_page;
use super::{BuiltinError, Measured, dated, lead, on_disk};
use crate::routes::task_logs::stats_of;

/// Runs that are looked at for the slowest: one page of the store.
const EXAMINED_MAX: usize = limits::PAGE_MAX;
/// Failures that are looked at and counted by task: one page of the store, too.
const FAILURES_MAX: usize = limits::PAGE_MAX;
/// Bars of the chart.
const LATEST_MAX: usize = 120;
/// Rows of each table.
const ROWS_MAX: usize = 10;
const ERROR_CHARS_MAX: usize = 200;

pub struct Report {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    config: Arc<Config>,
    folder: PathBuf,
    measure: Box<dyn Fn() -> Measured + Send + Sync>,
    /// One at a time: each would take the other's unfinished files for leftovers.
    alone: Mutex<()>,
}

impl Report {
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        config: Arc<Config>,
        folder: PathBuf,
        measure: Box<dyn Fn() -> Measured + Send + Sync>,
    ) -> Self {
        Report {
            store,
            clock,
            config,
            folder,
            measure,
            alone: Mutex::const_new(()),
        }
    }

    async fn write(&self, context: &RunContext) -> Result<ReportResult, BuiltinError> {
        let _alone = self.alone.lock().await;
        let report = self.gather().await?;
        let name = dated::name(report.generated_at, context.run);
        let zone = self.config.server.timezone.as_str();
        let html = report_page::render(&report, zone).map_err(|error| BuiltinError::Form {
            what: "HTML",
            reason: error.to_string(),
        })?;
        let json = serde_json::to_vec_pretty(&report).map_err(|error| BuiltinError::Form {
            what: "JSON",
            reason: error.to_string(),
        })?;
        let folder = self.folder.clone();
        let (json, html) = on_disk(move || {
            dated::prepare(&folder)?;
            let json = write_whole(&folder, &format!("{name}.json"), &json)?;
            let html = write_whole(&folder, &format!("{name}.html"), html.as_bytes())?;
            Ok((json, html))
        })
        .await?;
        context.log.note(&format!("written to {}", html.display()));
        Ok(ReportResult {
            json: json.display().to_string(),
            html: html.display().to_string(),
            total_executions: report.runs.counts.total_executions,
            success_rate: report.runs.counts.success_rate,
        })
    }

    async fn gather(&self) -> Result<ActivityReport, BuiltinError> {
        let now = self.clock.now();
        let measured = (self.measure)();
        let totals = self.store.totals();
        let described = self.store.describe();
        let examined = self
            .store
            .runs(RunFilter {
                limit: EXAMINED_MAX,
                ..RunFilter::default()
            })
            .await?
            .runs;
        let failures = RunFilter {
            states: vec![RunState::Failed, RunState::Interrupted],
            limit: FAILURES_MAX,
            ..RunFilter::default()
        };
        let failed = self.store.runs(failures).await?.runs;
        Ok(ActivityReport {
            schema: ACTIVITY_SCHEMA.to_owned(),
            generated_at: now,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            environment: self.config.server.environment.clone(),
            store: ReportedStore {
                kind: described.kind.to_owned(),
                library_version: described.library_version,
                durability: described.durability.to_owned(),
                schema_version: described.schema_version,
            },
            tasks: totals.tasks,
            queued: totals.queued,
            runs: stats_of(&totals, measured.window, || measured.hour),
            examined: examined.len() as u64,
            latest: latest(&examined),
            slowest: slowest(&examined),
            failed: failed.iter().take(ROWS_MAX).map(reported).collect(),
            failed_tasks: by_task(&failed),
            upcoming: self.upcoming(now).await?,
            system: measured.system,
        })
    }

    /// The soonest planned times of all tasks.
    async fn upcoming(&self, now: Timestamp) -> Result<Vec<UpcomingRun>, BuiltinError> {
        let mut soonest = Vec::new();
        let mut after = None;
        loop {
            let tasks = self.store.tasks(after.as_ref(), limits::PAGE_MAX).await?;
            soonest.extend(tasks.iter().filter_map(|task| upcoming(task, now)));
            soonest.sort_by(|left, right| (left.at, &left.task).cmp(&(right.at, &right.task)));
            soonest.truncate(ROWS_MAX);
            match tasks.last() {
                Some(last) if tasks.len() == limits::PAGE_MAX => {
                    after = Some(last.spec.name.clone());
                }
                _ => return Ok(soonest),
            }
        }
    }
}

fn upcoming(task: &Arc<Task>, now: Timestamp) -> Option<UpcomingRun> {
    let trigger = task.spec.schedule.as_ref()?.describe();
    Some(UpcomingRun {
        at: next_run_at(task, now)?,
        task: task.spec.name.clone(),
        trigger,
    })
}

fn latest(newest_first: &[Run]) -> Vec<ReportedRun> {
    let ended = newest_first.iter().filter(|run| run.state.is_terminal());
    let mut latest: Vec<ReportedRun> = ended.take(LATEST_MAX).map(reported).collect();
    latest.reverse();
    latest
}

/// Failures by their task, in the order of the latest of each.
fn by_task(newest_first: &[Run]) -> Vec<FailedTask> {
    let mut places = HashMap::new();
    let mut tasks: Vec<FailedTask> = Vec::new();
    for run in newest_first {
        let place = *places.entry(&run.task).or_insert(tasks.len());
        match tasks.get_mut(place) {
            Some(task) => task.failures += 1,
            None => tasks.push(FailedTask {
                task: run.task.clone(),
                failures: 1,
                latest: reported(run),
            }),
        }
    }
    tasks
}

fn slowest(runs: &[Run]) -> Vec<ReportedRun> {
    let mut runs: Vec<ReportedRun> = runs
        .iter()
        .map(reported)
        .filter(|run| run.duration_ms.is_some())
        .collect();
    runs.sort_by(|left, right| {
        right
            .duration_ms
            .unwrap_or(0.0)
            .total_cmp(&left.duration_ms.unwrap_or(0.0))
    });
    runs.truncate(ROWS_MAX);
    runs
}

fn reported(run: &Run) -> ReportedRun {
    let duration_ms = match (run.started_at, run.finished_at) {
        (Some(started), Some(finished)) => Some(finished.millis_since(started)),
        _ => None,
    };
    let first_line = run.error.as_deref().and_then(|error| error.lines().next());
    ReportedRun {
        id: run.id,
        task: run.task.clone(),
        task_type: run.task_type,
        state: run.state,
        finished_at: run.finished_at,
        duration_ms,
        error: first_line.map(|line| line.chars().take(ERROR_CHARS_MAX).collect()),
    }
}

/// Writes a file so that it is there whole and durable, or not at all.
fn write_whole(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, BuiltinError> {
    let (partial, path) = (dated::partial(folder, name), folder.join(name));
    let written = std::fs::File::create(&partial)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(dated::failed("cannot write", &partial))?;
    dated::publish(&partial, &path)?;
    Ok(path)
}

#[async_trait]
impl Builtin for Report {
    fn name(&self) -> &'static str {
        "report"
    }

    async fn run(&self, context: RunContext) -> Ended {
        lead(&context, self.write(&context)).await
    }
}
