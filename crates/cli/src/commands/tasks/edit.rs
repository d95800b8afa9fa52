//! `autom8 tasks edit NAME …`

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use autom8_api::TaskView;
use autom8_api::client::{Answer, Client};
use autom8_api::model::{Clock as _, SystemClock};
use serde_json::value::RawValue;

use super::fields::Fields;
use super::{unknown, warnings};
use crate::draft::Draft;
use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Only the fields given change; the rest stays. Without flags, $VISUAL or \
$EDITOR opens the task as JSON.

Examples:
  autom8 tasks edit ping --every 10s
  autom8 tasks edit ping --attempts 5 --timeout 30s
  autom8 tasks edit ping --set do.http.headers.Accept=null    remove a header
  autom8 tasks edit ping --by-hand                            remove the schedule
  autom8 tasks edit ping"
)]
pub(super) struct Arguments {
    /// The task's name.
    name: String,
    #[command(flatten)]
    fields: Fields,
    /// Remove the schedule: the task then runs by hand only.
    #[arg(long, conflicts_with_all = ["every", "cron", "at", "timezone"], help_heading = "When")]
    by_hand: bool,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = server.client()?;
    let output = server.output();
    let draft = draft(arguments)?;
    let before = match client.task(&arguments.name).await {
        Ok(task) => task,
        Err(error) => return Err(unknown::explained(&client, &arguments.name, error).await),
    };
    let changed = if draft.is_empty() {
        edit(&client, &arguments.name, &before).await?
    } else {
        match client.edit_task(&arguments.name, &draft).await {
            Ok(task) => Some(task),
            Err(error) => return Err(unknown::explained(&client, &arguments.name, error).await),
        }
    };
    // A change to what it is already makes no revision.
    let is_new = |task: &Answer<TaskView>| task.value.rev != before.value.rev;
    let Some(task) = changed.filter(is_new) else {
        if output.json {
            output.print(&before.text)?;
        }
        output.note("Nothing changed.");
        return Ok(Exit::Ok);
    };
    output.answer(&task, |task| {
        let when = task.trigger.as_deref().unwrap_or("by hand");
        format!(
            "Changed task `{}` (revision {}): {when}",
            task.spec.name, task.rev
        )
    })?;
    if let Some(change) = warnings::changed_kind(&before.value, &task.value) {
        output.note(&format!("note: {change}"));
    }
    warnings::print(&task.value, SystemClock::new().now(), output);
    Ok(Exit::Ok)
}

fn draft(arguments: &Arguments) -> Result<Draft, Failure> {
    let mut draft = Draft::default();
    if arguments.by_hand {
        draft.put(&["schedule"], &())?;
    }
    arguments.fields.put_into(&mut draft)?;
    Ok(draft)
}

/// Opens the task in an editor until the server accepts it or nothing is changed any more.
async fn edit(
    client: &Client,
    name: &str,
    before: &Answer<TaskView>,
) -> Result<Option<Answer<TaskView>>, Failure> {
    let original = serde_json::to_string_pretty(&before.value.spec)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot write the task: {error}")))?;
    let file = tempfile::Builder::new()
        .prefix("autom8-task-")
        .suffix(".json")
        .tempfile();
    let mut file = file.map_err(|error| temporary_failure(&error))?;
    writeln!(file, "{original}").map_err(|error| temporary_failure(&error))?;
    open_editor(file.path())?;
    let edited = std::fs::read_to_string(file.path()).map_err(|error| temporary_failure(&error))?;
    if edited.trim() == original {
        return Ok(None);
    }
    let task = match serde_json::from_str::<Box<RawValue>>(edited.trim()) {
        Ok(spec) => client
            .edit_task(name, &whole(&before.value, &spec)?)
            .await
            .map_err(Failure::from),
        Err(error) => Err(Failure::usage(format!(
            "what you wrote is not JSON: {error}"
        ))),
    };
    task.map(Some).map_err(|failure| {
        // What was typed must not be lost to a slip.
        match file.keep() {
            Ok((_, path)) => failure.fix(format!("your text is kept in {}", path.display())),
            Err(_) => failure,
        }
    })
}

/// What was edited as a patch in which a field that was taken out is `null`: then its default
/// holds again.
fn whole(before: &TaskView, edited: &RawValue) -> Result<Box<RawValue>, Failure> {
    let refused = |error: serde_json::Error| {
        Failure::usage(format!("what you wrote is not a task in JSON: {error}"))
    };
    let mut fields: std::collections::BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(edited.get()).map_err(refused)?;
    let known = serde_json::to_value(&before.spec).map_err(refused)?;
    for name in known
        .as_object()
        .into_iter()
        .flat_map(|object| object.keys())
    {
        fields
            .entry(name.clone())
            .or_insert_with(|| RawValue::NULL.to_owned());
    }
    serde_json::value::to_raw_value(&fields).map_err(refused)
}

fn open_editor(path: &Path) -> Result<(), Failure> {
    let editor = ["VISUAL", "EDITOR"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|editor| !editor.trim().is_empty())
        .unwrap_or_else(|| "vi".to_owned());
    // Editors are set with arguments ("code --wait"), which a shell takes apart.
    let status = Command::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(path)
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(
            Exit::Failed,
            format!("the editor `{editor}` ended with {status}"),
        )
        .fix("set EDITOR, or change the task by flags: autom8 tasks edit --help")),
        Err(error) => Err(
            Failure::new(Exit::Failed, format!("cannot start `{editor}`: {error}"))
                .fix("set EDITOR, or change the task by flags: autom8 tasks edit --help"),
        ),
    }
}

fn temporary_failure(error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("cannot use a temporary file: {error}"),
    )
    .fix("set TMPDIR to a directory you may write to")
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

    #[test]
    fn only_what_was_given_is_in_the_change() {
        for (line, expected) in [
            (&["a"][..], "{}"),
            (&["a", "--every", "3s"], r#"{"schedule":{"every":"3s"}}"#),
            (&["a", "--by-hand"], r#"{"schedule":null}"#),
            (&["a", "--body", "1"], r#"{"do":{"http":{"body":1}}}"#),
            (
                &["a", "--set", "do.http.headers.A=null"],
                r#"{"do":{"http":{"headers":{"A":null}}}}"#,
            ),
        ] {
            let line = Line::try_parse_from(["edit"].iter().chain(line)).unwrap();
            let json = serde_json::to_string(&draft(&line.arguments).unwrap()).unwrap();
            assert_eq!(json, expected);
        }
    }

    #[test]
    fn a_field_taken_out_in_the_editor_falls_back_to_its_default() {
        let before: TaskView = serde_json::from_str(
            r#"{"name":"a","do":{"builtin":"noop"},"schedule":{"every":"2s"},"id":1,"rev":1,
            "created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z",
            "next_run_at":null,"trigger":null}"#,
        )
        .unwrap();
        let edited =
            RawValue::from_string(r#"{"name":"a","do":{"builtin":"noop"}}"#.into()).unwrap();
        let patch = whole(&before, &edited).unwrap();
        assert!(patch.get().contains(r#""schedule":null"#), "{patch}");
        assert!(patch.get().contains(r#""timeout":null"#), "{patch}");
    }
}
