//! A run: one intention to do a task, from its acceptance to its one outcome.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::id::{Epoch, RunId, TaskName};
use crate::task::TaskType;

/// Where a run stands.
///
/// `queued` → `running` → one of the four terminal states; [`crate::transition`] holds the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// Waits for a claim: new, backing off, or given back by a lost lease.
    Queued,
    /// A live receipt covers it; its attempt is counted.
    Running,
    /// Its task succeeded.
    Completed,
    /// Attempts exhausted, or an outcome that forbids a retry: a dead letter.
    Failed,
    /// Ended by a person, before or while it ran.
    Cancelled,
    /// Its worker died and the task says `on_crash: "fail"`.
    Interrupted,
}

impl RunState {
    pub const ALL: [RunState; 6] = [
        RunState::Queued,
        RunState::Running,
        RunState::Completed,
        RunState::Failed,
        RunState::Cancelled,
        RunState::Interrupted,
    ];

    pub fn is_terminal(self) -> bool {
        !matches!(self, RunState::Queued | RunState::Running)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            RunState::Queued => "queued",
            RunState::Running => "running",
            RunState::Completed => "completed",
            RunState::Failed => "failed",
            RunState::Cancelled => "cancelled",
            RunState::Interrupted => "interrupted",
        }
    }

    /// The number in an outcome's row; only terminal states are ever stored.
    pub fn code(self) -> i64 {
        match self {
            RunState::Queued => 0,
            RunState::Running => 1,
            RunState::Completed => 2,
            RunState::Failed => 3,
            RunState::Cancelled => 4,
            RunState::Interrupted => 5,
        }
    }

    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }
}

impl std::str::FromStr for RunState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| {
                let names: Vec<&str> = Self::ALL.iter().map(|state| state.as_str()).collect();
                format!("`{text}` is not a state: use one of {}", names.join(", "))
            })
    }
}

/// What made a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// A fire of the task's schedule.
    Schedule,
    /// `POST …/run`, by a person or a program.
    Manual,
    /// `POST /api/v1/runs/batch`.
    Batch,
    /// `POST …/retry` of an ended run, which it names.
    Replay,
}

impl Trigger {
    pub const ALL: [Trigger; 4] = [
        Trigger::Schedule,
        Trigger::Manual,
        Trigger::Batch,
        Trigger::Replay,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Trigger::Schedule => "schedule",
            Trigger::Manual => "manual",
            Trigger::Batch => "batch",
            Trigger::Replay => "replay",
        }
    }

    pub fn code(self) -> i64 {
        match self {
            Trigger::Schedule => 1,
            Trigger::Manual => 2,
            Trigger::Batch => 3,
            Trigger::Replay => 4,
        }
    }

    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|trigger| trigger.code() == code)
    }
}

impl std::str::FromStr for Trigger {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|trigger| trigger.as_str() == text)
            .ok_or_else(|| {
                format!("`{text}` is not a trigger: use schedule, manual, batch or replay")
            })
    }
}

/// A run as the store tells it.
#[derive(Clone, Debug)]
pub struct Run {
    pub id: RunId,
    pub task: TaskName,
    pub task_type: TaskType,
    pub state: RunState,
    pub trigger: Trigger,
    /// The fire's time, for runs of a schedule.
    pub planned_at: Option<Timestamp>,
    pub queued_at: Timestamp,
    /// When its latest attempt may begin, or might, if that lies after `queued_at`: a retry waits
    /// for its backoff first.
    pub run_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// The latest attempt; 0 before the first claim.
    pub attempt: u16,
    pub max_attempts: u16,
    pub epoch: Option<Epoch>,
    pub replay_of: Option<RunId>,
    /// JSON as it was given.
    pub input: Option<Vec<u8>>,
    /// JSON as the executor gave it.
    pub result: Option<Vec<u8>>,
    pub error: Option<String>,
    pub log: Option<LogSummary>,
}

/// How much output a run left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSummary {
    /// Bytes of captured output that are kept.
    pub bytes: u64,
    /// Whether the middle was dropped to stay within the limit.
    pub truncated: bool,
}

/// The inputs of one enqueue, in one allocation: ten thousand runs are ten thousand spans of the
/// request's own body, not ten thousand boxes.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    buffer: Arc<[u8]>,
    spans: Arc<[Range<u32>]>,
}

impl Inputs {
    /// One run without input.
    pub fn none() -> Self {
        Inputs {
            buffer: Arc::from([]),
            spans: Arc::from([Range::default()]),
        }
    }

    /// One run with one input.
    pub fn one(input: &[u8]) -> Self {
        let length = u32::try_from(input.len()).unwrap_or(u32::MAX);
        Inputs {
            buffer: input.into(),
            spans: Arc::from([Range {
                start: 0,
                end: length,
            }]),
        }
    }

    /// Runs whose inputs are spans of `buffer`; an empty span is a run without input. Spans
    /// beyond the buffer read as empty.
    pub fn from_spans(buffer: Arc<[u8]>, spans: Vec<Range<u32>>) -> Self {
        Inputs {
            buffer,
            spans: spans.into(),
        }
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The input of run `index`, if it has one.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let span = self.spans.get(index)?;
        self.buffer
            .get(span.start as usize..span.end as usize)
            .filter(|bytes| !bytes.is_empty())
    }

    /// Bytes held, the spans included.
    pub fn bytes(&self) -> usize {
        self.buffer.len() + self.spans.len() * size_of::<Range<u32>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_share_one_buffer_and_an_empty_span_is_no_input() {
        let inputs = Inputs::from_spans(Arc::from(*b"[1,{}]"), vec![1..2, 3..5, 0..0, 90..95]);
        assert_eq!(inputs.get(0), Some(&b"1"[..]));
        assert_eq!(inputs.get(1), Some(&b"{}"[..]));
        assert_eq!(inputs.get(2), None);
        assert_eq!(inputs.get(3), None);
        assert_eq!(inputs.len(), 4);
    }

    #[test]
    fn codes_and_names_lead_back_to_their_state() {
        for state in RunState::ALL {
            assert_eq!(RunState::from_code(state.code()), Some(state));
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        for trigger in Trigger::ALL {
            assert_eq!(Trigger::from_code(trigger.code()), Some(trigger));
            assert_eq!(trigger.as_str().parse(), Ok(trigger));
        }
    }
}
