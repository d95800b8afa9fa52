//! The status page: how it stands, what is planned, what ran last.

use std::sync::Arc;

use askama::Template;
use autom8_api::task::next_run_at;
use autom8_api::task_log::RunWindow;
use autom8_api::telemetry::HealthStatus;
use autom8_model::{Run, RunState, Task, Timestamp};
use autom8_store::{RunFilter, StoreError};
use axum::http::{HeaderMap, HeaderName, header};

use crate::endpoints::{self, PathSummary};
use crate::lifecycle::Stage;
use crate::shown;
use crate::state::AppState;

/// Rows of the page, which has to end: `autom8 tasks ls` and `autom8 runs ls` have them all.
const TASKS_SHOWN: usize = 20;
const RUNS_SHOWN: usize = 10;
/// Tasks whose last result lies so far back that the store gives up. Each may have cost it
/// 20,000 rows, so that after a few the page does without.
const LOOKS_IN_VAIN_MAX: usize = 3;

/// Where commands go that are told no other server, by its two names.
const DEFAULT_SERVER: &str = "http://127.0.0.1:5000";
const DEFAULT_SERVER_BY_NAME: &str = "http://localhost:5000";

/// What the page shows of the store.
pub(super) struct Stand {
    tasks: Vec<(Arc<Task>, LastResult)>,
    runs: Vec<Run>,
}

enum LastResult {
    Ended(Box<Run>),
    Never,
    /// Further back than was looked.
    Unknown,
}

/// Reads a bounded number of tasks and runs.
///
/// # Errors
/// Those of the store.
pub(super) async fn look(state: &AppState) -> Result<Stand, StoreError> {
    let latest = RunFilter {
        limit: RUNS_SHOWN,
        ..RunFilter::default()
    };
    let runs = state.store.runs(latest).await?.runs;
    let mut tasks = Vec::new();
    let mut looks_in_vain = 0;
    for task in state.store.tasks(None, TASKS_SHOWN).await? {
        let name = &task.spec.name;
        let at_hand = runs
            .iter()
            .find(|run| run.task == *name && run.state.is_terminal());
        let last = match at_hand {
            Some(run) => LastResult::Ended(Box::new(run.clone())),
            None if looks_in_vain == LOOKS_IN_VAIN_MAX => LastResult::Unknown,
            None => {
                let ended = RunFilter {
                    task: Some(name.clone()),
                    states: terminal_states(),
                    limit: 1,
                    ..RunFilter::default()
                };
                let page = state.store.runs(ended).await?;
                match (page.runs.into_iter().next(), page.next) {
                    (Some(run), _) => LastResult::Ended(Box::new(run)),
                    (None, None) => LastResult::Never,
                    (None, Some(_)) => {
                        looks_in_vain += 1;
                        LastResult::Unknown
                    }
                }
            }
        };
        tasks.push((task, last));
    }
    Ok(Stand { tasks, runs })
}

fn terminal_states() -> Vec<RunState> {
    let ended = |state: &RunState| state.is_terminal();
    RunState::ALL.into_iter().filter(ended).collect()
}

#[derive(Template)]
#[template(path = "status.html")]
pub(super) struct StatusPage<'a> {
    version: &'static str,
    environment: &'a str,
    state: &'static str,
    uptime: String,
    now: String,
    durability: &'static str,
    verdict: String,
    tasks: String,
    contacts: String,
    queued: String,
    running: String,
    completed: String,
    failed: String,
    task_rows: Vec<TaskRow<'a>>,
    /// Tasks that are not shown.
    tasks_more: u64,
    runs: Vec<RunRow<'a>>,
    endpoints: &'static [PathSummary],
    /// Where the reader has reached this server, e.g. `http://127.0.0.1:5001`.
    server: String,
}

impl StatusPage<'_> {
    /// Whether commands go to this server by themselves.
    fn is_where_commands_go(&self) -> bool {
        [DEFAULT_SERVER, DEFAULT_SERVER_BY_NAME].contains(&&*self.server)
    }
}

struct TaskRow<'a> {
    name: &'a str,
    /// The schedule in words.
    when: String,
    is_paused: bool,
    /// How far off, and when.
    next: Option<(String, String)>,
    last: Option<RunRow<'a>>,
    /// In place of a last result.
    no_last: &'static str,
}

struct RunRow<'a> {
    id: i64,
    task: &'a str,
    state: &'static str,
    /// Beside the word, so that the state is never told by colour alone.
    sign: &'static str,
    trigger: &'static str,
    /// When it started, or when it will; empty for a run that waits for a place alone.
    at: String,
    /// How far off that is, and what it is: "next try in 4 s", "2 min 3 s ago".
    from_now: String,
    is_waiting: bool,
    duration: String,
    error: Option<&'a str>,
}

pub(super) fn page<'a>(
    state: &'a AppState,
    stand: &'a Stand,
    headers: &HeaderMap,
) -> StatusPage<'a> {
    let totals = state.store.totals();
    let sum = totals.sum();
    let now = state.clock.now();
    let status = state.telemetry.published().map(|latest| latest.status);
    StatusPage {
        version: env!("CARGO_PKG_VERSION"),
        environment: &state.config.server.environment,
        state: match (state.lifecycle.stage(), status) {
            (Stage::Starting, _) => "starting",
            (Stage::Draining, _) => "stopping",
            (Stage::Ready, None | Some(HealthStatus::Healthy)) => "healthy",
            (Stage::Ready, Some(HealthStatus::Warning)) => "warning",
            (Stage::Ready, Some(HealthStatus::Unhealthy)) => "unhealthy",
        },
        uptime: rough_duration(state.uptime_seconds()),
        now: shown_time(now),
        durability: state.store.describe().durability,
        verdict: verdict(state.telemetry.run_hour(), state.uptime_seconds()),
        tasks: grouped(totals.tasks),
        contacts: grouped(totals.contacts),
        queued: grouped(totals.queued),
        running: grouped(totals.running),
        completed: grouped(sum.completed),
        failed: grouped(sum.failed + sum.interrupted),
        task_rows: stand
            .tasks
            .iter()
            .map(|(task, last)| task_row(task, last, now))
            .collect(),
        tasks_more: totals.tasks.saturating_sub(stand.tasks.len() as u64),
        runs: stand.runs.iter().map(|run| row(run, now)).collect(),
        endpoints: endpoints::by_path(),
        server: reached_at(headers),
    }
}

/// The address that the request was sent to, as a command can name it. What is in the header goes
/// into a line for a shell, so only what a host is made of does.
fn reached_at(headers: &HeaderMap) -> String {
    let of = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let is_host = |host: &&str| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        !host.is_empty() && host.bytes().all(good)
    };
    match of(header::HOST).filter(is_host) {
        // Of a proxy that ends TLS. It is a word on a page for whoever sent it, and no more.
        Some(host) if of(X_FORWARDED_PROTO) == Some("https") => format!("https://{host}"),
        Some(host) => format!("http://{host}"),
        None => DEFAULT_SERVER.to_owned(),
    }
}

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What came of the runs of the last hour. It is counted in memory, from the start on.
fn verdict(hour: Option<RunWindow>, uptime_seconds: u64) -> String {
    let span = hour.map_or(HOUR_SECONDS, |hour| hour.seconds);
    let since = if uptime_seconds < span {
        "since the start"
    } else {
        "in the last hour"
    };
    match hour.map(|hour| (hour.count, hour.failed)) {
        None | Some((0, _)) => format!("No run has ended {since}."),
        Some((1, 0)) => format!("1 run ended {since}, and it did not fail."),
        Some((count, 0)) => format!("None of {} runs failed {since}.", grouped(count)),
        Some((1, _)) => format!("The only run {since} failed."),
        Some((count, failed)) => {
            format!(
                "{} of {} runs failed {since}.",
                grouped(failed),
                grouped(count)
            )
        }
    }
}

const HOUR_SECONDS: u64 = 3_600;

fn task_row<'a>(task: &'a Task, last: &'a LastResult, now: Timestamp) -> TaskRow<'a> {
    let schedule = task.spec.schedule.as_ref();
    TaskRow {
        name: task.spec.name.as_str(),
        when: schedule.map_or_else(|| "by hand".to_owned(), |schedule| schedule.describe()),
        is_paused: !task.spec.enabled,
        next: next_run_at(task, now).map(|at| (ahead(at, now), shown_time(at))),
        last: match last {
            LastResult::Ended(run) => Some(row(run, now)),
            LastResult::Never | LastResult::Unknown => None,
        },
        no_last: match last {
            LastResult::Unknown => "last result long ago",
            LastResult::Never | LastResult::Ended(_) => "no result yet",
        },
    }
}

fn row(run: &Run, now: Timestamp) -> RunRow<'_> {
    let duration = match (run.started_at, run.finished_at) {
        (Some(started), Some(finished)) => shown::millis(finished.millis_since(started)),
        _ => "–".to_owned(),
    };
    let is_waiting = run.state == RunState::Queued;
    let (at, from_now) = match (run.started_at, run.run_at) {
        (_, Some(at)) if is_waiting && at > now => {
            let what = if run.attempt > 0 { "next try" } else { "due" };
            (shown_time(at), format!("{what} {}", ahead(at, now)))
        }
        _ if is_waiting => (String::new(), "waits for a place".to_owned()),
        (Some(at), _) => (shown_time(at), ago(at, now)),
        // Cancelled before it began.
        (None, _) => (String::new(), "never".to_owned()),
    };
    RunRow {
        id: run.id.0,
        task: run.task.as_str(),
        state: run.state.as_str(),
        sign: shown::sign(run.state),
        trigger: run.trigger.as_str(),
        at,
        from_now,
        is_waiting,
        duration,
        error: run.error.as_deref().and_then(|error| error.lines().next()),
    }
}

fn ahead(at: Timestamp, now: Timestamp) -> String {
    match at.since(now).as_secs() {
        0 => "now".to_owned(),
        seconds => format!("in {}", rough_duration(seconds)),
    }
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    match now.since(at).as_secs() {
        0 => "now".to_owned(),
        seconds => format!("{} ago", rough_duration(seconds)),
    }
}

/// To the second, in UTC, e.g. `2026-12-24 18:00:00`.
fn shown_time(at: Timestamp) -> String {
    let text = Timestamp::from_seconds(at.as_seconds()).to_string();
    text.trim_end_matches('Z').replace('T', " ")
}

/// E.g. `10,482`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The two largest units, e.g. `3 d 4 h`.
fn rough_duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
#[path = "status_page_tests.rs"]
mod tests;
