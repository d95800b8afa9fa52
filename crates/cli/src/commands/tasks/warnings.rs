//! What the server accepts and what is most likely not meant.

use std::path::Path;

use autom8_api::TaskView;
use autom8_api::model::{Action, Schedule, Timestamp};

use crate::output::Output;
use crate::show;

/// Says on standard error what is odd about a task that was added or changed.
pub(super) fn print(task: &TaskView, now: Timestamp, output: Output) {
    for warning in [never_fires(task, now), no_such_program(task)]
        .into_iter()
        .flatten()
    {
        output.note(&format!("warning: {warning}"));
    }
}

fn never_fires(task: &TaskView, now: Timestamp) -> Option<String> {
    let name = &task.spec.name;
    match &task.spec.schedule {
        Some(Schedule::At(at)) if *at <= now && task.next_run_at.is_none() => Some(format!(
            "{at} has passed: `{name}` never runs by itself\n  \
             Fix: autom8 tasks edit {name} --at TIME, or run it now: autom8 tasks run {name}"
        )),
        _ => None,
    }
}

/// A whole command line in one word, as a crontab has it. A file may have such a name, so it is
/// looked for; the server, which may see other files, has the last word.
fn no_such_program(task: &TaskView) -> Option<String> {
    let Action::Process(process) = &task.spec.action else {
        return None;
    };
    let program = process.argv.first()?;
    let path = match &process.cwd {
        Some(cwd) => Path::new(cwd).join(program),
        None => Path::new(program).to_owned(),
    };
    if !program.contains(' ') || path.exists() {
        return None;
    }
    Some(format!(
        "there is no program named {}: without a shell it is one word\n  \
         Fix: take the quotes away, or for a pipe use: -- sh -c {}",
        show::quoted(program),
        show::quoted(program)
    ))
}

/// What a change of the kind has taken away; `None` if the kind is the same.
pub(super) fn changed_kind(before: &TaskView, after: &TaskView) -> Option<String> {
    let (old, new) = (&before.spec.action, &after.spec.action);
    if old.task_type() == new.task_type() {
        return None;
    }
    let lost = fields(old);
    let lost = match lost.as_slice() {
        [] => String::new(),
        [only] => format!("; its {only} went"),
        [firsts @ .., last] => format!("; its {} and {last} went", firsts.join(", ")),
    };
    Some(format!(
        "changed `{}` from {} to {}{lost}",
        after.spec.name,
        old.task_type().as_str(),
        new.task_type().as_str()
    ))
}

/// What is said of an action, in words.
fn fields(action: &Action) -> Vec<&'static str> {
    let said = |fields: &[(&'static str, bool)]| {
        let said = fields.iter().filter(|(_, is_said)| *is_said);
        said.map(|(name, _)| *name).collect()
    };
    match action {
        Action::Http(http) => said(&[
            ("url", true),
            ("headers", !http.headers.is_empty()),
            ("body", http.body.is_some()),
        ]),
        Action::Process(process) => said(&[
            ("command", true),
            ("cwd", process.cwd.is_some()),
            ("env", !process.env.is_empty()),
            ("stdin", process.stdin.is_some()),
        ]),
        Action::Builtin(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(action: &str, schedule: &str) -> TaskView {
        let json = format!(
            r#"{{"name":"push","do":{action},"schedule":{schedule},"id":1,"rev":4,
            "created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T01:00:00Z",
            "next_run_at":null,"trigger":null}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn a_time_that_has_passed_is_said_to() {
        let now = "2026-01-01T02:00:00Z".parse().unwrap();
        let never = |schedule: &str| never_fires(&task(r#"{"builtin":"noop"}"#, schedule), now);
        assert!(
            never(r#"{"at":"2026-01-01T01:00:00Z"}"#).is_some_and(|said| {
                said.starts_with("2026-01-01T01:00:00Z has passed: `push` never runs by itself")
            })
        );
        assert_eq!(never(r#"{"at":"2026-01-01T03:00:00Z"}"#), None);
        assert_eq!(never(r#"{"every":"2s"}"#), None);
    }

    #[test]
    fn a_command_line_in_one_word_is_told_the_way_to_a_shell() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("my job"), "").unwrap();
        let of = |program: &str| {
            let action = serde_json::json!({"process": {"argv": [program], "cwd": folder.path()}});
            no_such_program(&task(&action.to_string(), "null"))
        };
        assert!(of("ls | wc -l").is_some_and(|said| said.ends_with("-- sh -c 'ls | wc -l'")));
        assert_eq!(of("my job"), None);
        assert_eq!(of("nowhere"), None);
    }

    #[test]
    fn a_change_of_the_kind_names_what_went() {
        let http = task(
            r#"{"http":{"url":"http://x/","headers":{"A":"b"},"body":1}}"#,
            "null",
        );
        let process = task(r#"{"process":{"argv":["ls"]}}"#, "null");
        for (before, after, expected) in [
            (
                &http,
                &process,
                Some("changed `push` from http to process; its url, headers and body went"),
            ),
            (
                &process,
                &http,
                Some("changed `push` from process to http; its command went"),
            ),
            (&http, &http, None),
        ] {
            assert_eq!(changed_kind(before, after).as_deref(), expected);
        }
    }
}
