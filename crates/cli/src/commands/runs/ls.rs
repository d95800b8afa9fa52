//! `autom8 runs ls`

use std::time::Duration;

use autom8_api::RunView;
use autom8_api::client::{PageQuery, RunQuery};
use autom8_api::model::{
    Clock as _, HumanDuration, RunState, SystemClock, TaskType, Timestamp, Trigger,
};
use autom8_api::problem::ProblemCode;

use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;
use crate::show;

/// Characters of an error that fit beside the rest of the row.
const ERROR_CHARS_MAX: usize = 60;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  autom8 runs ls --task ping
  autom8 runs ls --state failed --since 2h
  autom8 runs ls --state queued,running")]
pub(super) struct Arguments {
    /// Only runs of this task.
    #[arg(long, value_name = "NAME")]
    task: Option<String>,
    /// Only runs of tasks of this type: http, process or builtin.
    #[arg(long = "type", value_name = "TYPE")]
    task_type: Option<TaskType>,
    /// Only runs in these states: queued, running, completed, failed, cancelled, interrupted.
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<RunState>,
    /// Only runs made by: schedule, manual, batch or replay.
    #[arg(long, value_name = "TRIGGER")]
    trigger: Option<Trigger>,
    /// Only runs queued since: a time, or a duration back from now, e.g. 2h.
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Only runs queued until: a time, or a duration back from now.
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// Runs of one page, at most 1000.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Go on where the page before ended.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

/// A point in time, as a person says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    At(Timestamp),
    Ago(Duration),
}

impl std::str::FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(ago) = text.parse::<HumanDuration>() {
            return Ok(When::Ago(ago.0));
        }
        text.parse().map(When::At).map_err(|_| {
            "write a time such as 2026-12-24T18:00:00Z, or a duration back from now such as 2h"
                .to_owned()
        })
    }
}

impl When {
    fn from(self, now: Timestamp) -> Timestamp {
        match self {
            When::At(at) => at,
            When::Ago(ago) => now.minus(ago),
        }
    }
}

pub(super) async fn run(server: &ServerArguments, arguments: Arguments) -> Result<Exit, Failure> {
    let now = SystemClock::new().now();
    let query = query(arguments, now);
    let client = server.client()?;
    let list = client.runs(&query).await?;
    let output = server.output();
    output.answer(&list, |list| {
        let headings = [
            "ID", "TASK", "STATE", "BY", "QUEUED", "WAITED", "TOOK", "ATTEMPT", "ERROR",
        ];
        output.table(headings, list.runs.iter().map(|run| row(run, now)))
    })?;
    if output.json {
        return Ok(Exit::Ok);
    }
    if list.value.runs.is_empty() {
        output.note("No runs match.");
    }
    if let Some(name) = &query.task {
        let task = client.task(name).await;
        // The runs of a task that was removed are kept, so this is no failure. Nor is another
        // error here: the list is there.
        if task.is_err_and(|error| super::is(&error, ProblemCode::NotFound)) {
            output.note(&format!("No task is named `{name}` now."));
        }
    }
    if let Some(cursor) = &list.value.meta.next_cursor {
        output.note(&format!("More: repeat with --cursor {cursor}"));
    }
    Ok(Exit::Ok)
}

fn query(arguments: Arguments, now: Timestamp) -> RunQuery {
    let states: Vec<&str> = arguments.state.iter().map(|state| state.as_str()).collect();
    RunQuery {
        task: arguments.task,
        task_type: arguments
            .task_type
            .map(|task_type| task_type.as_str().to_owned()),
        state: (!states.is_empty()).then(|| states.join(",")),
        trigger: arguments.trigger.map(|trigger| trigger.as_str().to_owned()),
        since: arguments.since.map(|since| since.from(now)),
        until: arguments.until.map(|until| until.from(now)),
        page: PageQuery {
            limit: Some(arguments.limit),
            cursor: arguments.cursor,
        },
    }
}

fn row(run: &RunView, now: Timestamp) -> [String; 9] {
    [
        run.id.to_string(),
        run.task.to_string(),
        run.state.as_str().to_owned(),
        run.trigger.as_str().to_owned(),
        show::relative(run.queued_at, now),
        run.wait_ms.map_or_else(String::new, show::millis),
        run.duration_ms.map_or_else(String::new, show::millis),
        format!("{}/{}", run.attempt, run.max_attempts),
        run.error
            .as_deref()
            .map_or_else(String::new, |error| show::head(error, ERROR_CHARS_MAX)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_point_or_a_distance_back() {
        let now = Timestamp::from_seconds(10_000);
        let from = |text: &str| text.parse::<When>().map(|when| when.from(now));
        assert_eq!(from("1h"), Ok(Timestamp::from_seconds(6_400)));
        assert_eq!(from("1970-01-01T00:00:07Z"), Ok(Timestamp::from_seconds(7)));
        assert!(from("yesterday").is_err_and(|error| error.contains("2h")));
    }
}
