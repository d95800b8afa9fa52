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
    /// The task's name.
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
fn action(action: &Action) -> String {
    match action {
        Action::Http(http) => format!("http {} {}", http.method, http.url),
        Action::Process(process) => {
            let words: Vec<String> = process.argv.iter().map(|word| show::quoted(word)).collect();
            format!("process {}", words.join(" "))
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_shown_in_words_that_could_be_typed() {
        let task: TaskView = serde_json::from_str(
            r#"{"name":"sync","do":{"process":{"argv":["sh","-c","exit 3"]}},
            "schedule":{"every":"2s"},"id":1,"rev":4,"created_at":"2026-01-01T00:00:00Z",
            "updated_at":"2026-01-01T01:00:00Z","next_run_at":"2026-01-01T02:00:02Z",
            "trigger":"every 2s"}"#,
        )
        .unwrap();
        let now = "2026-01-01T02:00:00Z".parse().unwrap();
        assert_eq!(
            people(Output::plain(), &task, now),
            "\
name      sync
state     enabled
when      every 2s
next      2026-01-01T02:00:02Z (in 2s)
does      process sh -c 'exit 3'
attempts  3 at most, 1s to 5m apart
timeout   15m
queue     default, priority 0
overlap   skip
catch up  latest
on crash  retry
created   2026-01-01T00:00:00Z (2h ago)
changed   2026-01-01T01:00:00Z (1h ago), revision 4
"
        );
    }
}
