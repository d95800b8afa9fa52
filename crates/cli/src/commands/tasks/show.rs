//! `autom8 tasks show NAME`

use autom8_api::TaskView;
use autom8_api::model::{Action, Clock as _, SystemClock, Timestamp};

use super::unknown;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::server_arguments::ServerArguments;
use crate::show;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    name: String,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = server.client()?;
    let task = match client.task(&arguments.name).await {
        Ok(task) => task,
        Err(error) => return Err(unknown::explained(&client, &arguments.name, error).await),
    };
    let output = server.output();
    let now = SystemClock::new().now();
    output.answer(&task, |task| people(output, task, now))?;
    Ok(Exit::Ok)
}

fn people(output: Output, task: &TaskView, now: Timestamp) -> String {
    let spec = &task.spec;
    let when = task.trigger.clone().unwrap_or_else(|| "by hand".to_owned());
    output.pairs([
        ("name", Some(spec.name.to_string())),
        (
            "state",
            Some(if spec.enabled { "enabled" } else { "paused" }.to_owned()),
        ),
        ("when", Some(when)),
        ("next", task.next_run_at.map(|at| show::absolute(at, now))),
        ("does", Some(action(&spec.action))),
        (
            "attempts",
            Some(format!(
                "{} at most, {} to {} apart",
                spec.retry.max_attempts, spec.retry.backoff, spec.retry.max_backoff
            )),
        ),
        ("timeout", Some(spec.timeout.to_string())),
        (
            "queue",
            Some(format!("{}, priority {}", spec.queue, spec.priority)),
        ),
        ("overlap", word(&spec.overlap)),
        ("catch up", word(&spec.catch_up)),
        ("on crash", word(&spec.on_crash)),
        ("created", Some(show::absolute(task.created_at, now))),
        (
            "changed",
            Some(format!(
                "{}, revision {}",
                show::absolute(task.updated_at, now),
                task.rev
            )),
        ),
    ])
}

/// What it does, in one line that could be typed.
pub(super) fn action(action: &Action) -> String {
    match action {
        Action::Http(http) => format!("http {} {}", http.method, http.url),
        Action::Process(process) => format!("process {}", process.argv.join(" ")),
        Action::Builtin(builtin) => format!("builtin {}", builtin.name()),
    }
}

/// A word as it is written in JSON.
fn word(value: &impl serde::Serialize) -> Option<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Some(word),
        _ => None,
    }
}
