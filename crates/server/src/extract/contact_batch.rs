//! The body of `POST /api/v1/contacts/batch`: a contact a line, or an array of contacts.
//!
//! Each item is judged for itself, and one that is wrong, even a line that is no JSON, is no fault
//! of the others. An array that is no JSON is refused whole: where its items end nobody can tell.

use std::fmt;

use autom8_api::problem::{Problem, ProblemCode};
use autom8_model::{ContactDraft, Invalid, limits};
use axum::extract::Request;
use axum::http::header;
use bytes::Bytes;
use serde::Deserializer as _;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{contact, json, scan};
use crate::error::ApiProblem;

/// How the contacts stand in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Array,
    Lines,
}

/// Contacts in the order in which they came, each with what is wrong with it.
pub type Items = Vec<Result<ContactDraft, Vec<Invalid>>>;

/// The bytes of a batch and what they are announced as.
///
/// # Errors
/// 400 without a body, 413, 415.
pub async fn receive(request: Request, bytes_max: u64) -> Result<(Bytes, Form), ApiProblem> {
    let content_type = request.headers().get(header::CONTENT_TYPE).cloned();
    let content_type = content_type.as_ref().and_then(|value| value.to_str().ok());
    let Some(announced) = content_type.filter(|announced| means_lines(announced)) else {
        let body = json::read_json(request, bytes_max).await?;
        return Ok((body, Form::Array));
    };
    json::check_encodings(request.headers(), announced)?;
    let body = json::read(request.into_body(), bytes_max).await?;
    Ok((body, Form::Lines))
}

fn means_lines(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    ["application/x-ndjson", "application/jsonl"]
        .iter()
        .any(|lines| media_type.eq_ignore_ascii_case(lines))
}

/// Reads every item.
///
/// # Errors
/// No items at all, more than a batch may have, and an array that is no JSON.
pub fn read(body: &[u8], form: Form) -> Result<Items, Problem> {
    let items = match form {
        Form::Array => array(body)?,
        Form::Lines => lines(body)?,
    };
    if items.is_empty() {
        return Err(Problem::invalid_at(
            "/",
            "is empty: send at least one contact",
        ));
    }
    let judged = items.into_iter().enumerate().map(|(index, text)| {
        contact::draft_of_many(text).map_err(|mut faults| {
            if form == Form::Lines && scan::Scanner::is_joined_lines(text) {
                for fault in &mut faults {
                    fault.message = format!("{}; {}", fault.message, scan::JOINED_LINES);
                }
            }
            let at_item = |fault: Invalid| Invalid {
                path: format!("/{index}{}", fault.path.trim_end_matches('/')),
                ..fault
            };
            faults.into_iter().map(at_item).collect()
        })
    });
    Ok(judged.collect())
}

fn lines(body: &[u8]) -> Result<Vec<&[u8]>, Problem> {
    let mut items = Vec::new();
    for line in body.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if items.len() == limits::BATCH_CONTACTS_MAX {
            return Err(too_many());
        }
        items.push(line);
    }
    Ok(items)
}

fn array(body: &[u8]) -> Result<Vec<&[u8]>, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = deserializer
        .deserialize_any(ItemsVisitor)
        .and_then(|items| deserializer.end().map(|()| items));
    match read {
        Ok(Some(items)) => Ok(items),
        Ok(None) => Err(too_many()),
        // Whatever it is, it does not begin as an array; several objects may be lines.
        Err(error) if error.is_data() => Err(match scan::Scanner::new(body)?.value() {
            Err(fault) if fault.kind == scan::FaultKind::Syntax => fault.into(),
            _ => Problem::invalid_at(
                "/",
                "must be an array of contacts, or be announced as application/x-ndjson and have \
                 one a line",
            ),
        }),
        Err(error) => Err(match scan::check(body) {
            Err(fault) if fault.kind == scan::FaultKind::Syntax => fault.into(),
            // What is refused in an item stands before what is no JSON.
            _ => {
                let text = format!("is not JSON: {error}");
                let mut problem = Problem::new(ProblemCode::MalformedJson, format!("/: {text}"));
                problem.errors = vec![Invalid::new("/", text)];
                problem
            }
        }),
    }
}

fn too_many() -> Problem {
    Problem::invalid_at(
        format!("/{}", limits::BATCH_CONTACTS_MAX),
        format!(
            "is one more than a batch may have ({}): send several batches",
            limits::BATCH_CONTACTS_MAX
        ),
    )
}

/// The texts of an array's items; none if there are too many.
struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Option<Vec<&'de [u8]>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of contacts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(item) = items.next_element::<&'de RawValue>()? {
            if texts.len() == limits::BATCH_CONTACTS_MAX {
                // To the end, so that what is no JSON is told as such.
                while items.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(None);
            }
            texts.push(item.get().as_bytes());
        }
        Ok(Some(texts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(n: usize) -> String {
        format!(r#"{{"name":"N{n}","phone":"+4420794{n:05}"}}"#)
    }

    #[track_caller]
    fn told(body: &[u8], form: Form) -> Vec<String> {
        let items = read(body, form).unwrap();
        let told = |item: Result<ContactDraft, Vec<Invalid>>| match item {
            Ok(draft) => draft.name,
            Err(faults) => faults[0].to_string(),
        };
        items.into_iter().map(told).collect()
    }

    #[test]
    fn a_bad_item_is_told_at_its_place_and_loses_no_other() {
        let bad = [
            (
                r#"{"phone":"1234567","name":5}"#,
                "/1/name: must be a string",
            ),
            (r#"{"phone":"1","name":"x"}"#, "/1/phone: has 1 digits"),
            (
                r#"{"name":"a\u0000","phone":"1234567"}"#,
                "/1/name: holds a NUL",
            ),
            (
                r#"{"name":"a","name":"b"}"#,
                "/1/name: is given more than once",
            ),
            (
                r#"{"nmae":"a","phone":"1234567"}"#,
                "/1/nmae: is not a field",
            ),
            ("[1]", "/1: must be an object, not an array"),
            ("null", "/1: must be an object, not null"),
        ];
        for (bad, says) in bad {
            let array = format!("[{},\n{bad} ,{}]", good(0), good(2));
            let lines = format!("{}\r\n{bad}\n\n{}\n", good(0), good(2));
            for (body, form) in [(array, Form::Array), (lines, Form::Lines)] {
                let told = told(body.as_bytes(), form);
                assert_eq!(
                    (told.len(), &*told[0], &*told[2]),
                    (3, "N0", "N2"),
                    "{body}"
                );
                assert!(told[1].starts_with(says), "{} lacks {says}", told[1]);
            }
        }
        for bad in [
            "{",
            "{\"name\":\"a\"}}",
            "x",
            "\u{feff}{}",
            "\"",
            "{\"name\":tru}",
        ] {
            let lines = format!("{}\n{bad}\n{}", good(0), good(2));
            let told = told(lines.as_bytes(), Form::Lines);
            assert_eq!((told.len(), &*told[0], &*told[2]), (3, "N0", "N2"), "{bad}");
            assert!(told[1].starts_with("/1"), "{}", told[1]);
        }
        let mut lines = good(0).into_bytes();
        lines.extend_from_slice(b"\n{\"name\":\"\xff\"}\n");
        lines.extend_from_slice(good(2).as_bytes());
        assert!(told(&lines, Form::Lines)[1].contains("UTF-8"));
    }

    #[test]
    fn lines_whose_ends_were_lost_on_the_way_are_told_how_to_keep_them() {
        let joined = format!("{} {}", good(0), good(1));
        let of = |text: &str| told(text.as_bytes(), Form::Lines).remove(0);
        let says = of(&joined);
        assert!(says.starts_with("/0: expected the end"), "{says}");
        assert!(says.contains("--data-binary"), "{says}");
        for other in [format!("{} x", good(0)), "{}".to_owned(), "{".to_owned()] {
            assert!(!of(&other).contains("--data-binary"), "{other}");
        }
    }

    #[test]
    fn what_is_no_batch_is_refused_whole() {
        let many = good(1) + ",";
        let too_many = format!("[{}{}]", many.repeat(limits::BATCH_CONTACTS_MAX), good(1));
        let too_many_lines = (good(1) + "\n").repeat(limits::BATCH_CONTACTS_MAX + 1);
        for (body, form, says) in [
            ("[]".to_owned(), Form::Array, "/: is empty"),
            ("\n \r\n".to_owned(), Form::Lines, "/: is empty"),
            (good(1), Form::Array, "application/x-ndjson"),
            (
                format!("{}\n{}", good(1), good(2)),
                Form::Array,
                "application/x-ndjson",
            ),
            (
                r#"{"contacts":[]}"#.to_owned(),
                Form::Array,
                "must be an array",
            ),
            ("7".to_owned(), Form::Array, "must be an array"),
            ("nope".to_owned(), Form::Array, "expected a value at byte 0"),
            (r#"{"name":"#.to_owned(), Form::Array, "the body ends"),
            (format!("[{}", good(1)), Form::Array, "the body ends"),
            (format!("[{}] x", good(1)), Form::Array, "expected the end"),
            (
                format!("[{},{{\"name\":}}]", good(1)),
                Form::Array,
                "/1/name: expected a value",
            ),
            (
                r#"[{"name":"\u0000"},{"name":}]"#.to_owned(),
                Form::Array,
                "is not JSON",
            ),
            (
                too_many,
                Form::Array,
                "/10000: is one more than a batch may have",
            ),
            (
                too_many_lines,
                Form::Lines,
                "/10000: is one more than a batch may have",
            ),
        ] {
            let problem = read(body.as_bytes(), form).expect_err(&body);
            assert_eq!(problem.status(), 400);
            assert!(problem.message.contains(says), "{}", problem.message);
        }
        assert_eq!(read(b"[\"\xff\"]", Form::Array).unwrap_err().status(), 400);
    }

    #[test]
    fn a_full_batch_is_read() {
        let lines = (good(1) + "\n").repeat(limits::BATCH_CONTACTS_MAX);
        let items = read(lines.as_bytes(), Form::Lines).unwrap();
        assert_eq!(items.len(), limits::BATCH_CONTACTS_MAX);
        assert!(items.iter().all(Result::is_ok));
    }

    #[test]
    fn lines_are_known_by_their_announcement() {
        for lines in [
            "application/x-ndjson",
            "Application/JSONL; charset=utf-8",
            "application/jsonl ;q=1",
        ] {
            assert!(means_lines(lines), "{lines}");
        }
        for other in [
            "application/json",
            "text/plain",
            "",
            "application/x-ndjson2",
        ] {
            assert!(!means_lines(other), "{other}");
        }
    }
}
