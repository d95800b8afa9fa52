//! The body of `POST /api/v1/runs/batch`: `{"task":"name","inputs":[…],"return_ids":false}`.
//!
//! Ten thousand inputs become ten thousand spans of the one body, checked in one pass: no tree, no
//! box and no copy for each. That is what lets an HTTP batch keep up with the store.

use std::ops::Range;
use std::sync::Arc;

use autom8_model::{Inputs, TaskName, limits};

use super::json;
use super::scan::{Fault, FaultKind, Scanner};

#[derive(Clone, Debug)]
pub struct BatchRequest {
    pub task: TaskName,
    pub inputs: Inputs,
    pub return_ids: bool,
}

const FIELDS: [&str; 3] = ["task", "inputs", "return_ids"];

/// Reads a batch.
///
/// # Errors
/// The first thing that is wrong, with its place, e.g. `/inputs/17`.
pub fn read(body: &[u8]) -> Result<BatchRequest, Fault> {
    let mut scanner = Scanner::new(body)?;
    let (mut task, mut spans, mut return_ids) = (None, None, false);
    scanner.skip_space();
    scanner.object(|scanner, key| {
        match &*key {
            "task" => task = Some(read_task(scanner)?),
            "inputs" => spans = Some(read_inputs(scanner)?),
            "return_ids" => return_ids = scanner.boolean()?,
            unknown => return Err(scanner.refused(json::unknown_field(unknown, &FIELDS))),
        }
        Ok(())
    })?;
    scanner.end()?;
    let task = task.ok_or_else(|| missing("/task", "the name of the task to run"))?;
    let spans = spans.ok_or_else(|| missing("/inputs", "an array with one input a run"))?;
    Ok(BatchRequest {
        task,
        inputs: Inputs::from_spans(Arc::from(body), spans),
        return_ids,
    })
}

fn read_task(scanner: &mut Scanner<'_>) -> Result<TaskName, Fault> {
    if scanner.peek() != Some(b'"') {
        return Err(scanner.wrong_type("the name of a task, as a string"));
    }
    let name = scanner.string()?;
    name.parse()
        .map_err(|error| scanner.refused(format!("{error}")))
}

fn read_inputs(scanner: &mut Scanner<'_>) -> Result<Vec<Range<u32>>, Fault> {
    let mut spans = Vec::new();
    scanner.array(|scanner, index| {
        if index == limits::BATCH_RUNS_MAX {
            return Err(scanner.refused(format!(
                "is one more than a batch may have ({}): send several batches",
                limits::BATCH_RUNS_MAX
            )));
        }
        let span = scanner.value()?;
        if span.len() > limits::INPUT_BYTES_MAX {
            return Err(scanner.refused(json::input_too_long(span.len())));
        }
        let end = u32::try_from(span.end).map_err(|_| scanner.refused("lies beyond 4 GiB"))?;
        spans.push(end - span.len() as u32..end);
        Ok(())
    })?;
    if spans.is_empty() {
        return Err(scanner.refused("is empty: give at least one input; `{}` will do"));
    }
    Ok(spans)
}

fn missing(path: &str, what: &str) -> Fault {
    Fault {
        kind: FaultKind::Refused,
        path: path.to_owned(),
        message: format!("is missing: give {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::value::RawValue;

    /// What serde_json makes of the same body.
    #[derive(Deserialize)]
    struct Reference<'a> {
        task: String,
        #[serde(borrow)]
        inputs: Vec<&'a RawValue>,
        #[serde(default)]
        return_ids: bool,
    }

    fn assert_reads_as_reference(body: &str) {
        let batch = read(body.as_bytes()).unwrap();
        let reference: Reference<'_> = serde_json::from_str(body).unwrap();
        assert_eq!(batch.task.as_str(), reference.task);
        assert_eq!(batch.return_ids, reference.return_ids);
        let inputs: Vec<&[u8]> = (0..batch.inputs.len())
            .map(|index| batch.inputs.get(index).unwrap())
            .collect();
        let expected: Vec<&[u8]> = reference
            .inputs
            .iter()
            .map(|raw| raw.get().as_bytes())
            .collect();
        assert_eq!(inputs, expected);
    }

    #[test]
    fn inputs_are_any_json_and_stay_as_they_were_written() {
        assert_reads_as_reference(
            r#"{"task":"ping","inputs":[1, {} ,"a\n\u00e9", null,[ 1.50 ]]}"#,
        );
        assert_reads_as_reference(
            " {\n\"return_ids\" : true, \"inputs\":\t[ {\"a\": [ ]} ], \"\\u0074ask\":\"p\"} ",
        );
    }

    #[test]
    fn a_bad_batch_is_refused_with_its_place() {
        let too_long = format!(
            r#"{{"task":"p","inputs":[1,"{}"]}}"#,
            "x".repeat(limits::INPUT_BYTES_MAX)
        );
        let too_many = format!(
            r#"{{"task":"p","inputs":[{}1]}}"#,
            "1,".repeat(limits::BATCH_RUNS_MAX)
        );
        for (body, path, message) in [
            ("[]", "/", "must be an object, not an array"),
            ("", "/", "the body ends"),
            (r#"{"inputs":[1]}"#, "/task", "is missing"),
            (r#"{"task":"p"}"#, "/inputs", "is missing"),
            (
                r#"{"task":"p","inputs":{}}"#,
                "/inputs",
                "must be an array, not an object",
            ),
            (r#"{"task":"p","inputs":[]}"#, "/inputs", "is empty"),
            (
                r#"{"task":5,"inputs":[1]}"#,
                "/task",
                "must be the name of a task, as a string, not a number",
            ),
            (
                r#"{"task":"Big Task","inputs":[1]}"#,
                "/task",
                "\"big-task\"",
            ),
            (
                r#"{"task":"p","inptus":[1]}"#,
                "/inptus",
                "did you mean `inputs`?",
            ),
            (
                r#"{"task":"p","inputs":[1],"return_ids":1}"#,
                "/return_ids",
                "true or false, not a number",
            ),
            (
                r#"{"task":"p","inputs":[1],"inputs":[2]}"#,
                "/inputs",
                "more than once",
            ),
            (
                r#"{"task":"p","inputs":[{"a":1},{"a":1,"a":2}]}"#,
                "/inputs/1/a",
                "more than once",
            ),
            (r#"{"task":"p","inputs":[1,"\u0000"]}"#, "/inputs/1", "NUL"),
            (r#"{"task":"p","inputs":[1]} x"#, "/", "expected the end"),
            (&too_long, "/inputs/1", "262146 bytes"),
            (&too_many, "/inputs/10000", "send several batches"),
        ] {
            let fault = read(body.as_bytes()).expect_err(body);
            assert_eq!(fault.path, path, "{fault:?}");
            assert!(fault.message.contains(message), "{fault:?}");
        }
    }

    #[test]
    fn a_full_batch_is_accepted() {
        let body = format!(
            r#"{{"task":"p","inputs":[{}1]}}"#,
            "1,".repeat(limits::BATCH_RUNS_MAX - 1)
        );
        assert_eq!(
            read(body.as_bytes()).unwrap().inputs.len(),
            limits::BATCH_RUNS_MAX
        );
    }

    proptest! {
        #[test]
        fn spans_are_what_serde_json_calls_the_raw_values(
            inputs in prop::collection::vec(
                (super::super::scan::tests::any_json(), "[ \t\r\n]{0,2}", "[ \t\r\n]{0,2}"), 1..12),
            return_ids in any::<bool>(),
        ) {
            let inputs: Vec<String> =
                inputs.into_iter().map(|(json, a, b)| format!("{a}{json}{b}")).collect();
            assert_reads_as_reference(&format!(
                r#"{{"task":"p","inputs":[{}],"return_ids":{return_ids}}}"#, inputs.join(",")));
        }

        #[test]
        fn a_damaged_batch_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut body = br#"{"task":"p","inputs":[{"a":[1,"\u00e9"]},2],"return_ids":true}"#.to_vec();
            let at = at.index(body.len());
            body[at] = byte;
            let _ = read(&body);
        }
    }
}
