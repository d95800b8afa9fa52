//! `autom8 tasks add NAME …`

use autom8_api::TaskView;
use autom8_api::client::ClientError;
use autom8_api::model::{Clock as _, SystemClock, Timestamp};
use autom8_api::problem::ProblemCode;
use serde_json::value::RawValue;

use super::fields::Fields;
use super::warnings;
use crate::draft::Draft;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::server_arguments::ServerArguments;
use crate::show;

#[derive(Debug, clap::Args)]
#[command(
    override_usage = "autom8 tasks add NAME [OPTIONS] --http URL\n       \
                      autom8 tasks add NAME [OPTIONS] --builtin NAME\n       \
                      autom8 tasks add NAME [OPTIONS] -- PROGRAM [ARGUMENTS]\n       \
                      autom8 tasks add --file FILE",
    after_help = "Without a schedule a task runs by hand only.

Examples:
  autom8 tasks add ping --every 2s --http https://example.org/health
  autom8 tasks add hook --http https://example.org/hook --body '{\"from\": \"autom8\"}'
  autom8 tasks add sync --cron '*/5 * * * *' --timezone Europe/Berlin -- rsync -a src/ dst/
  autom8 tasks add nightly-backup --cron '0 3 * * *' --builtin backup --keep 14
  autom8 tasks add once --at 2026-12-24T18:00:00Z --builtin report
  autom8 tasks add --file task.json"
)]
pub(super) struct Arguments {
    /// Name of the task, out of a-z 0-9 - _ . and beginning with a letter or digit.
    #[arg(required_unless_present = "file")]
    name: Option<String>,
    /// Read the whole task from a file in JSON or TOML (by its ending), or - for JSON on
    /// standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "paused", "Fields"])]
    file: Option<String>,
    /// Add it paused.
    #[arg(long)]
    paused: bool,
    #[command(flatten)]
    fields: Fields,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = server.client()?;
    let added = match &arguments.file {
        Some(path) => client.add_task(&read_task(path)?).await,
        None => client.add_task(&draft(arguments)?).await,
    };
    let task = added.map_err(|error| {
        let taken = matches!(&error, ClientError::Refused(p) if p.code == ProblemCode::Conflict);
        let failure = Failure::from(error);
        match (taken, &arguments.name) {
            (false, _) => failure,
            (true, Some(name)) => failure.fix(format!(
                "choose another name, or change it: autom8 tasks edit {name}"
            )),
            (true, None) => {
                failure.fix("choose another name, or change it: autom8 tasks edit NAME")
            }
        }
    })?;
    let output = server.output();
    let now = SystemClock::new().now();
    output.answer(&task, |task| added_lines(task, now))?;
    warnings::print(&task.value, now, output);
    Ok(Exit::Ok)
}

fn added_lines(task: &TaskView, now: Timestamp) -> String {
    let name = &task.spec.name;
    let when = task.trigger.as_deref().unwrap_or("by hand");
    let (state, next) = match task.next_run_at {
        _ if !task.spec.enabled => ("; paused".to_owned(), format!("tasks resume {name}")),
        Some(at) => (
            format!("; next {}", show::absolute(at, now)),
            format!("runs ls --task {name}"),
        ),
        None => (String::new(), format!("tasks run {name} --wait")),
    };
    format!("Added task `{name}`: {when}{state}\n  Next: autom8 {next}")
}

fn draft(arguments: &Arguments) -> Result<Draft, Failure> {
    let mut draft = Draft::default();
    draft.put_if(&["name"], arguments.name.as_ref())?;
    if arguments.paused {
        draft.put(&["enabled"], &false)?;
    }
    arguments.fields.put_into(&mut draft)?;
    if !draft.has("do") {
        let name = arguments.name.as_deref().unwrap_or("NAME");
        return Err(
            Failure::usage(format!("it is not said what task `{name}` does"))
                .fix("add --http URL, --builtin NAME or -- PROGRAM"),
        );
    }
    Ok(draft)
}

/// A task file as JSON; what is JSON already stays as it is written.
fn read_task(path: &str) -> Result<Box<RawValue>, Failure> {
    let text = input::read_file(path)?;
    if !path.ends_with(".toml") {
        return serde_json::from_str(text.trim()).map_err(|error| {
            Failure::usage(format!("{path} is not JSON: {error}"))
                .fix("a file in TOML has to end in .toml")
        });
    }
    let table: toml::Table = toml::from_str(&text)
        .map_err(|error| Failure::usage(format!("{path} is not TOML: {}", error.message())))?;
    let json = serde_json::value::to_raw_value(&to_json(toml::Value::Table(table)));
    json.map_err(|error| Failure::usage(format!("{path} cannot be written as JSON: {error}")))
}

/// TOML's times become their text, as JSON has no type for them.
fn to_json(value: toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(switch) => switch.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(values) => values.into_iter().map(to_json).collect(),
        toml::Value::Table(table) => table
            .into_iter()
            .map(|(key, value)| (key, to_json(value)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn json(line: &[&str]) -> String {
        let line = Line::try_parse_from(["add"].iter().chain(line)).unwrap();
        serde_json::to_string(&draft(&line.arguments).unwrap()).unwrap()
    }

    #[test]
    fn flags_become_the_json_of_the_task() {
        for (line, expected) in [
            (
                &["ping", "--every", "2s", "--http", "http://x/"][..],
                r#"{"do":{"http":{"url":"http://x/"}},"name":"ping","schedule":{"every":"2s"}}"#,
            ),
            (
                &[
                    "hook",
                    "--http",
                    "http://x/",
                    "--body",
                    "{\"n\": 1.0}",
                    "--header",
                    "A.B: c: d",
                ],
                r#"{"do":{"http":{"body":{"n": 1.0},"headers":{"A.B":"c: d"},"method":"POST","url":"http://x/"}},"name":"hook"}"#,
            ),
            (
                &[
                    "sync",
                    "--cron",
                    "*/1 * * * *",
                    "--timezone",
                    "Europe/Berlin",
                    "--env",
                    "A=b=c",
                    "--",
                    "sh",
                    "-c",
                    "ls --all",
                ],
                r#"{"do":{"process":{"argv":["sh","-c","ls --all"],"env":{"A":"b=c"}}},"name":"sync","schedule":{"cron":"*/1 * * * *","timezone":"Europe/Berlin"}}"#,
            ),
            (
                &[
                    "b",
                    "--builtin",
                    "backup",
                    "--keep",
                    "3",
                    "--at",
                    "2026-12-24T18:00:00Z",
                    "--paused",
                ],
                r#"{"do":{"builtin":{"keep":3,"name":"backup"}},"enabled":false,"name":"b","schedule":{"at":"2026-12-24T18:00:00Z"}}"#,
            ),
            (
                &[
                    "n",
                    "--builtin",
                    "noop",
                    "--attempts",
                    "5",
                    "--priority",
                    "-7",
                    "--timeout",
                    "1m",
                    "--set",
                    "retry.backoff=2s",
                ],
                r#"{"do":{"builtin":"noop"},"name":"n","priority":-7,"retry":{"backoff":"2s","max_attempts":5},"timeout":"1m"}"#,
            ),
        ] {
            assert_eq!(json(line), expected);
        }
    }

    #[test]
    fn contradictions_are_matters_of_usage() {
        for line in [
            &["a", "--http", "http://x/", "--builtin", "noop"][..],
            &["a", "--builtin", "noop", "--", "ls"],
            &["a", "--every", "2s", "--cron", "* * * * *"],
            &["a", "--every", "2s", "--timezone", "UTC"],
            &["a", "--file", "x.json"],
            &["--every", "2s"],
        ] {
            assert!(
                Line::try_parse_from(["add"].iter().chain(line)).is_err(),
                "{line:?}"
            );
        }
    }

    #[test]
    fn what_is_missing_or_out_of_place_is_told_by_its_flag() {
        for (line, expected) in [
            (&["a"][..], "--http URL, --builtin NAME or -- PROGRAM"),
            (
                &["a", "--http", "http://x/", "--keep", "3"],
                "--keep belongs to --builtin backup",
            ),
        ] {
            let line = Line::try_parse_from(["add"].iter().chain(line)).unwrap();
            let failure = draft(&line.arguments).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.to_string().contains(expected), "{failure}");
        }
    }

    #[test]
    fn a_task_file_may_be_json_or_toml() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let json = r#"{"name": "a", "do": {"http": {"url": "http://x/", "body": 1.50}}}"#;
        assert_eq!(read_task(&write("a.json", json)).unwrap().get(), json);
        let toml = "name = \"a\"\ndo.builtin = \"noop\"\nschedule.at = 2026-12-24T18:00:00Z\n";
        assert_eq!(
            read_task(&write("a.toml", toml)).unwrap().get(),
            r#"{"do":{"builtin":"noop"},"name":"a","schedule":{"at":"2026-12-24T18:00:00Z"}}"#
        );
        let failure = read_task(&write("b.json", "name = 1"))
            .unwrap_err()
            .to_string();
        assert!(
            failure.contains("is not JSON") && failure.contains(".toml"),
            "{failure}"
        );
    }
}
