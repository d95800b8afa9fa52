//! A run as `/api/v1/runs` tells it.

use autom8_model::run::LogSummary;
use autom8_model::{Epoch, Run, RunId, RunState, TaskName, TaskType, Timestamp, Trigger};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::page::PageMeta;

/// `GET /api/v1/runs`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunList {
    pub runs: Vec<RunView>,
    pub meta: PageMeta,
}

/// One run. `input` and `result` are passed through byte for byte.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunView {
    pub id: RunId,
    pub task: TaskName,
    pub task_type: TaskType,
    pub state: RunState,
    pub trigger: Trigger,
    /// The fire's time, for runs of a schedule.
    pub planned_at: Option<Timestamp>,
    pub queued_at: Timestamp,
    /// When it may be claimed, while it waits for a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at: Option<Timestamp>,
    /// Start and end of the latest attempt.
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// The latest attempt; 0 before the first claim.
    pub attempt: u16,
    pub max_attempts: u16,
    pub epoch: Option<Epoch>,
    /// The ended run that this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<RunId>,
    #[cfg_attr(feature = "schema", schema(value_type = Value))]
    pub input: Option<Box<RawValue>>,
    #[cfg_attr(feature = "schema", schema(value_type = Value))]
    pub result: Option<Box<RawValue>>,
    pub error: Option<String>,
    /// How long the latest attempt waited for its start once it might have begun: earlier attempts
    /// and their backoff are not in it.
    pub wait_ms: Option<f64>,
    /// How long the latest attempt took; `null` until it has ended.
    pub duration_ms: Option<f64>,
    pub log: LogView,
    /// How far it is, while it runs and its task tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressView>,
    /// The attempts that did not end the run, oldest first. Told only where one run is asked for:
    /// a list would read them for each of its runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptView>,
}

/// One attempt that was followed by another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AttemptView {
    /// The first is 1.
    pub attempt: u16,
    pub epoch: Epoch,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub error: Option<String>,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ProgressView {
    pub done: u64,
    /// `null` where nobody knows.
    pub total: Option<u64>,
    /// What is counted, such as `bytes`.
    pub unit: String,
}

/// How much output a run left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LogView {
    /// Bytes kept; 0 also while the run is running.
    pub bytes: u64,
    /// Whether the middle was dropped to stay within the limit.
    pub truncated: bool,
}

impl From<LogSummary> for LogView {
    fn from(summary: LogSummary) -> Self {
        LogView {
            bytes: summary.bytes,
            truncated: summary.truncated,
        }
    }
}

impl From<Run> for RunView {
    fn from(run: Run) -> Self {
        let (wait_ms, duration_ms) = (wait_ms(&run), duration_ms(&run));
        RunView {
            id: run.id,
            task: run.task,
            task_type: run.task_type,
            state: run.state,
            trigger: run.trigger,
            planned_at: run.planned_at,
            queued_at: run.queued_at,
            run_at: run.run_at.filter(|_| run.state == RunState::Queued),
            started_at: run.started_at,
            finished_at: run.finished_at,
            attempt: run.attempt,
            max_attempts: run.max_attempts,
            epoch: run.epoch,
            replay_of: run.replay_of,
            input: run.input.map(raw_json),
            result: run.result.map(raw_json),
            error: run.error,
            wait_ms,
            duration_ms,
            log: run.log.map(LogView::from).unwrap_or_default(),
            progress: None,
            attempts: Vec::new(),
        }
    }
}

/// From when the latest attempt might have begun to when it did.
fn wait_ms(run: &Run) -> Option<f64> {
    let startable_at = run.run_at.map_or(run.queued_at, |at| at.max(run.queued_at));
    Some(run.started_at?.millis_since(startable_at))
}

pub(crate) fn duration_ms(run: &Run) -> Option<f64> {
    Some(run.finished_at?.millis_since(run.started_at?))
}

/// Stored JSON as it is. Bytes that are no JSON (an executor may have answered anything) become a
/// JSON string, so that one odd result never spoils the document around it.
pub(crate) fn raw_json(bytes: Vec<u8>) -> Box<RawValue> {
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(raw) => raw.to_owned(),
        // A string always serializes; `null` is said only to avoid a panic here.
        Err(_) => {
            serde_json::value::to_raw_value(&text).unwrap_or_else(|_| RawValue::NULL.to_owned())
        }
    }
}

/// `POST …/run`, optional body.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Value))]
    pub input: Option<Box<RawValue>>,
}

/// `GET …/log` as JSON: the output of each attempt that left some, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunLogView {
    pub run: RunId,
    pub attempts: Vec<AttemptLogView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AttemptLogView {
    pub attempt: u16,
    /// Output as text; bytes that are not UTF-8 are shown as U+FFFD.
    pub text: String,
    pub bytes: u64,
    pub truncated: bool,
    /// Whether it is still being written.
    pub live: bool,
}

/// `GET …/log?follow=1`: the data of an event named `log`. Its id is `attempt-offset`, with the
/// offset after it: given back as `Last-Event-ID`, the stream goes on from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LogChunk {
    pub attempt: u16,
    /// Where `text` begins in the output of its attempt, in bytes.
    pub offset: u64,
    pub text: String,
}

/// The data of the last event of such a stream, named `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LogEnd {
    pub state: RunState,
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn ended_run() -> Run {
        let at = |micros: i64| Timestamp::from_micros(1_792_000_000_000_000 + micros);
        Run {
            id: RunId(42),
            task: "nightly-sync".parse().unwrap(),
            task_type: TaskType::Http,
            state: RunState::Completed,
            trigger: Trigger::Schedule,
            planned_at: Some(at(0)),
            queued_at: at(0),
            run_at: None,
            started_at: Some(at(1_200)),
            finished_at: Some(at(13_500)),
            attempt: 1,
            max_attempts: 3,
            epoch: Some(Epoch(48_213)),
            replay_of: None,
            input: Some(b"{ \"a\": 1.10 }".to_vec()),
            result: Some(b"{}".to_vec()),
            error: None,
            log: Some(LogSummary {
                bytes: 120,
                truncated: false,
            }),
        }
    }

    #[test]
    fn a_run_is_written_as_the_contract_shows_it() {
        let json = serde_json::to_string(&RunView::from(ended_run())).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"id":42,"task":"nightly-sync","task_type":"http","state":"completed","#,
                r#""trigger":"schedule","planned_at":"2026-10-14T17:46:40Z","#,
                r#""queued_at":"2026-10-14T17:46:40Z","#,
                r#""started_at":"2026-10-14T17:46:40.0012Z","#,
                r#""finished_at":"2026-10-14T17:46:40.0135Z","#,
                r#""attempt":1,"max_attempts":3,"epoch":48213,"input":{ "a": 1.10 },"result":{},"#,
                r#""error":null,"wait_ms":1.2,"duration_ms":12.3,"#,
                r#""log":{"bytes":120,"truncated":false}}"#
            )
        );
        let back: RunView = serde_json::from_str(&json).unwrap();
        assert_eq!(back.input.unwrap().get(), r#"{ "a": 1.10 }"#);
    }

    #[test]
    fn the_wait_of_a_retry_begins_when_its_backoff_ends() {
        let wait_ms = |queued_at, run_at: Option<Timestamp>, started_at| {
            let run = Run {
                queued_at,
                run_at,
                started_at,
                ..ended_run()
            };
            RunView::from(run).wait_ms
        };
        let at = |millis: i64| Timestamp::from_micros(1_792_000_000_000_000 + millis * 1_000);
        assert_eq!(wait_ms(at(0), None, Some(at(7))), Some(7.0));
        assert_eq!(
            wait_ms(at(0), Some(at(4_000)), Some(at(4_003))),
            Some(3.0),
            "the first attempt and its backoff are no wait"
        );
        assert_eq!(wait_ms(at(5), Some(at(0)), Some(at(7))), Some(2.0));
        assert_eq!(wait_ms(at(0), Some(at(9)), Some(at(7))), Some(0.0));
        assert_eq!(wait_ms(at(0), Some(at(9)), None), None);
    }

    #[test]
    fn when_a_run_may_begin_is_told_only_while_it_waits() {
        for state in RunState::ALL {
            let run = Run {
                state,
                run_at: Some(Timestamp::from_seconds(1_792_000_060)),
                ..ended_run()
            };
            let json = serde_json::to_value(RunView::from(run)).unwrap();
            let is_told = json.get("run_at").is_some();
            assert_eq!(is_told, state == RunState::Queued, "{state:?}");
        }
    }

    #[test]
    fn earlier_attempts_are_told_where_there_are_some() {
        let mut view = RunView::from(ended_run());
        view.attempts.push(AttemptView {
            attempt: 1,
            epoch: Epoch(48_212),
            started_at: Timestamp::from_seconds(1_792_000_000),
            finished_at: Timestamp::from_seconds(1_792_000_001),
            error: Some("HTTP 500".to_owned()),
        });
        let json = serde_json::to_string(&view).unwrap();
        assert!(
            json.ends_with(concat!(
                r#""attempts":[{"attempt":1,"epoch":48212,"started_at":"2026-10-14T17:46:40Z","#,
                r#""finished_at":"2026-10-14T17:46:41Z","error":"HTTP 500"}]}"#
            )),
            "{json}"
        );
        let back: RunView = serde_json::from_str(&json).unwrap();
        assert_eq!(back.attempts, view.attempts);
    }

    #[test]
    fn a_waiting_run_has_nulls_where_nothing_is_known_yet() {
        let waiting = Run {
            state: RunState::Queued,
            started_at: None,
            finished_at: None,
            attempt: 0,
            epoch: None,
            input: None,
            result: None,
            log: None,
            replay_of: Some(RunId(7)),
            ..ended_run()
        };
        let json = serde_json::to_value(RunView::from(waiting)).unwrap();
        for null in [
            "started_at",
            "finished_at",
            "epoch",
            "input",
            "result",
            "wait_ms",
            "duration_ms",
        ] {
            assert!(json[null].is_null(), "{null} in {json}");
        }
        assert_eq!(json["replay_of"], 7);
        assert_eq!(json["log"]["bytes"], 0);
    }

    #[test]
    fn a_result_that_is_no_json_is_shown_as_text() {
        for (bytes, shown) in [
            (&b"{\"a\":"[..], r#""{\"a\":""#),
            (&b"plain"[..], r#""plain""#),
            (&b"\xff"[..], "\"\u{fffd}\""),
            (&b""[..], r#""""#),
        ] {
            assert_eq!(raw_json(bytes.to_vec()).get(), shown);
        }
    }
}
