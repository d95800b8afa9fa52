//! `autom8 tasks show NAME`

use autom8_api::TaskView;
use autom8_api::model::task::BuiltinAction;
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
    let head = [
        ("name", Some(spec.name.to_string())),
        (
            "state",
            Some(if spec.enabled { "enabled" } else { "paused" }.to_owned()),
        ),
        ("when", Some(when)),
        ("next", task.next_run_at.map(|at| show::absolute(at, now))),
        ("does", Some(action(&spec.action))),
    ];
    let conditions = [
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
    ];
    output.pairs(
        head.into_iter()
            .chain(details(&spec.action))
            .chain(conditions),
    )
}

/// JSON of a body that is shown; a longer one is asked for with --json.
const BODY_CHARS_MAX: usize = 200;

/// What else belongs to what it does. Values of headers and variables are tokens more often than
/// not, and a screen is looked at by more than one: --json tells them.
fn details(action: &Action) -> Vec<(&'static str, Option<String>)> {
    match action {
        Action::Http(http) => {
            let headers = http
                .headers
                .keys()
                .map(|name| ("header", Some(format!("{name}: ****"))));
            let body = http.body.as_ref();
            let body = body.map(|body| show::head(body.get(), BODY_CHARS_MAX));
            headers.chain([("body", body)]).collect()
        }
        Action::Process(process) => {
            let variables = process
                .env
                .keys()
                .map(|name| ("env", Some(format!("{name}=****"))));
            let stdin = process.stdin.as_ref();
            let stdin = stdin.map(|text| show::bytes(text.len() as u64));
            let cwd = ("cwd", process.cwd.clone());
            [cwd]
                .into_iter()
                .chain(variables)
                .chain([("stdin", stdin)])
                .collect()
        }
        Action::Builtin(BuiltinAction::Backup { keep }) => {
            vec![("keep", Some(show::count(u64::from(*keep), "backup")))]
        }
        Action::Builtin(_) => Vec::new(),
    }
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
            r#"{"name":"sync","do":{"process":{"argv":["sh","-c","exit 3"],
            "cwd":"/srv","env":{"TOKEN":"secret"},"stdin":"four"}},
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
cwd       /srv
env       TOKEN=****
stdin     4 B
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

    #[test]
    fn a_header_is_named_and_its_value_is_kept_off_the_screen() {
        let action = serde_json::from_str(
            r#"{"http":{"url":"http://x/","headers":{"Authorization":"Bearer secret"},
            "body":{"n": 1.50}}}"#,
        )
        .unwrap();
        assert_eq!(
            details(&action),
            [
                ("header", Some("Authorization: ****".to_owned())),
                ("body", Some(r#"{"n": 1.50}"#.to_owned())),
            ]
        );
    }
}
