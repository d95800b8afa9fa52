//! Lays a JSON Merge Patch (RFC 7396) over a task's JSON, as text over text: numbers keep their
//! digits and keys their order, which a tree of doubles and sorted maps would not.
//!
//! Two fields are read as what they are. `schedule` and `do` say one of several kinds: a patch
//! that names another kind replaces the old one, since the two together would mean nothing. And a
//! request's `body` is the user's own document: it is replaced whole, and its nulls are values.

use std::borrow::Cow;

use autom8_api::problem::Problem;
use autom8_api::task::{READ_ONLY_FIELDS, SPEC_FIELDS};

use super::json;
use super::scan::{Fault, Scanner};

/// The members of an object, as they are written.
type Members<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// A checked task of which nothing is left but what a client may write: a task that was read can
/// be sent back, and what only the server knows is not looked at.
///
/// # Errors
/// What [`super::scan`] refuses, and anything but an object.
pub fn writable_fields(text: &[u8]) -> Result<String, Problem> {
    let mut members = members(text)?;
    members.retain(|(key, _)| !READ_ONLY_FIELDS.contains(&&**key));
    Ok(write(&members))
}

/// Refuses a part of a task that is to be an object and is something else. Serde alone would take
/// an array for one, field after field.
///
/// # Errors
/// The part, e.g. `/do/http`.
pub fn check_shape(task: &str) -> Result<(), Problem> {
    for (field, value) in members(task.as_bytes())? {
        match &*field {
            "retry" => json::check_object("/retry", value.as_bytes())?,
            "schedule" if value != "null" => json::check_object("/schedule", value.as_bytes())?,
            "do" => {
                json::check_object("/do", value.as_bytes())?;
                for (kind, action) in members(value.as_bytes())? {
                    // A built-in may be a bare name, and an unknown kind has a better complaint.
                    if matches!(&*kind, "http" | "process") {
                        json::check_object(&format!("/do/{kind}"), action.as_bytes())?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The task with the patch applied, and without what only the server knows.
///
/// # Errors
/// What [`super::scan`] refuses; a patch that is no object, or has a field that no task has. The
/// whole is still to be judged.
pub fn apply(task: &str, patch: &[u8]) -> Result<String, Problem> {
    let mut task = members(task.as_bytes())?;
    for (key, patch) in members(patch)? {
        if READ_ONLY_FIELDS.contains(&&*key) {
            continue;
        }
        // Taking away what is not there is no error in a merge patch, but it is a slip here.
        if !SPEC_FIELDS.contains(&&*key) {
            let message = json::unknown_field(&key, &SPEC_FIELDS);
            return Err(Problem::invalid_at(
                format!("/{}", super::scan::shown_key(&key)),
                message,
            ));
        }
        lay_over(&mut task, key, patch)?;
    }
    Ok(write(&task))
}

fn lay_over<'a>(
    members: &mut Members<'a>,
    key: Cow<'a, str>,
    patch: Cow<'a, str>,
) -> Result<(), Fault> {
    let place = members.iter().position(|(name, _)| *name == key);
    match (place, &*patch) {
        (Some(place), "null") => drop(members.remove(place)),
        (None, "null") => {}
        (Some(place), _) => {
            let value = &mut members[place].1;
            *value = Cow::Owned(merged(&key, value, &patch)?);
        }
        (None, _) => members.push((key, Cow::Owned(without_nulls(&patch)?))),
    }
    Ok(())
}

/// One field's value, patched. `field` is its name.
fn merged(field: &str, value: &str, patch: &str) -> Result<String, Fault> {
    let is_object = |text: &str| text.starts_with('{');
    if field == "body" || !is_object(patch) || !is_object(value) {
        return Ok(patch.to_owned());
    }
    let patch_members = members(patch.as_bytes())?;
    let mut value_members = members(value.as_bytes())?;
    let kinds: &[&str] = match field {
        "schedule" => &["cron", "every", "at"],
        "do" => &["http", "process", "builtin"],
        _ => &[],
    };
    let names_another_kind = patch_members.iter().any(|(key, value)| {
        kinds.contains(&&**key)
            && value != "null"
            && !value_members.iter().any(|(present, _)| present == key)
    });
    if names_another_kind {
        return without_nulls(patch);
    }
    for (key, patch) in patch_members {
        lay_over(&mut value_members, key, patch)?;
    }
    Ok(write(&value_members))
}

/// A value that is new: in a patch, a null member means absence at every level.
fn without_nulls(patch: &str) -> Result<String, Fault> {
    if !patch.starts_with('{') {
        return Ok(patch.to_owned());
    }
    let mut members = members(patch.as_bytes())?;
    members.retain(|(_, value)| value != "null");
    for (key, value) in &mut members {
        if key != "body" {
            *value = Cow::Owned(without_nulls(value)?);
        }
    }
    Ok(write(&members))
}

fn members(text: &[u8]) -> Result<Members<'_>, Fault> {
    let mut scanner = Scanner::new(text)?;
    let mut members = Vec::new();
    scanner.skip_space();
    scanner.object(|scanner, key| {
        let span = scanner.value()?;
        members.push((key, Cow::Borrowed(scanner.text_of(span))));
        Ok(())
    })?;
    scanner.end()?;
    Ok(members)
}

fn write(members: &Members<'_>) -> String {
    let mut text = String::from("{");
    for (index, (key, value)) in members.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&quoted(key));
        text.push(':');
        text.push_str(value);
    }
    text.push('}');
    text
}

fn quoted(key: &str) -> String {
    // A string always has a JSON form.
    serde_json::to_string(key).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = r#"{"name":"a","do":{"http":{"method":"POST","url":"http://a/","headers":{"X":"1","Y":"2"},"body":{"n":1.50,"z":null}}},"schedule":{"cron":"0 2 * * *","timezone":"UTC"},"timeout":"15m"}"#;

    fn patched(patch: &str) -> String {
        apply(TASK, patch.as_bytes()).unwrap()
    }

    #[test]
    fn fields_given_change_and_the_others_stay_as_they_are() {
        assert_eq!(patched("{}"), TASK);
        assert_eq!(patched(r#"{"timeout":"5m"}"#), TASK.replace("15m", "5m"));
        assert_eq!(
            patched(r#"{"do":{"http":{"headers":{"X":"3","Y":null}}}}"#),
            TASK.replace(r#"{"X":"1","Y":"2"}"#, r#"{"X":"3"}"#)
        );
        let longer = format!(r#"{},"queue":"slow"}}"#, TASK.strip_suffix('}').unwrap());
        assert_eq!(patched(r#"{"queue":"slow"}"#), longer);
        assert!(!patched(r#"{"schedule":null}"#).contains("schedule"));
    }

    #[test]
    fn another_kind_replaces_the_old_one_and_the_same_kind_is_merged() {
        assert!(patched(r#"{"schedule":{"every":"2s"}}"#).contains(r#""schedule":{"every":"2s"}"#));
        assert!(
            patched(r#"{"schedule":{"timezone":"Europe/Berlin"}}"#)
                .contains(r#""schedule":{"cron":"0 2 * * *","timezone":"Europe/Berlin"}"#)
        );
        assert!(
            patched(r#"{"schedule":{"cron":null,"timezone":null,"at":"2030-01-01T00:00:00Z"}}"#)
                .contains(r#""schedule":{"at":"2030-01-01T00:00:00Z"}"#)
        );
        assert!(patched(r#"{"do":{"builtin":"noop"}}"#).contains(r#""do":{"builtin":"noop"}"#));
    }

    #[test]
    fn the_body_of_a_request_is_replaced_whole_with_its_nulls() {
        let task = patched(r#"{"do":{"http":{"body":{"a":null, "b":2.0}}}}"#);
        assert!(task.contains(r#""body":{"a":null, "b":2.0}"#), "{task}");
        let task = patched(r#"{"do":{"http":{"body":null}}}"#);
        assert!(!task.contains("body"), "{task}");
    }

    #[test]
    fn what_only_the_server_knows_is_left_out_of_a_write() {
        assert_eq!(patched(r#"{"id":9,"next_run_at":null,"rev":2}"#), TASK);
        let read = r#"{"name":"a","id":3,"do":{"builtin":"noop"},"trigger":null}"#;
        assert_eq!(
            writable_fields(read.as_bytes()).unwrap(),
            r#"{"name":"a","do":{"builtin":"noop"}}"#
        );
    }

    #[test]
    fn an_array_is_no_object_even_where_its_items_would_fit() {
        check_shape(TASK).unwrap();
        check_shape(r#"{"name":"a","do":{"builtin":"noop"},"schedule":null}"#).unwrap();
        for (task, path) in [
            (r#"{"retry":[3,"1s","5m"]}"#, "/retry"),
            (r#"{"do":["noop"]}"#, "/do"),
            (r#"{"do":{"process":[["date"]]}}"#, "/do/process"),
            (r#"{"schedule":["0 2 * * *","UTC",null,null]}"#, "/schedule"),
        ] {
            let problem = check_shape(task).unwrap_err();
            assert_eq!(problem.errors[0].path, path, "{problem:?}");
            assert!(
                problem.message.contains("must be an object, not an array"),
                "{problem}"
            );
        }
    }

    #[test]
    fn a_slip_in_a_patch_is_named_even_if_it_takes_away() {
        let problem = apply(TASK, br#"{"shedule":null}"#).unwrap_err();
        assert_eq!(problem.errors[0].path, "/shedule");
        assert!(
            problem.message.contains("did you mean `schedule`?"),
            "{problem}"
        );
        assert_eq!(apply(TASK, b"[]").unwrap_err().status(), 400);
    }
}
