//! What an executor is: it knows how to do one kind of task.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use autom8_model::transition::RetryAdvice;
use autom8_model::{RunId, Task, TaskType, Timestamp};
use autom8_store::{Lease, RunInput};
use tokio_util::sync::CancellationToken;

use crate::progress::Progress;
use crate::run_log::RunLog;

/// Does one kind of task.
///
/// At the attempt's deadline, at a cancel and at the end of the engine `context.cancel` fires;
/// an `execute` that has not ended 10 s later is dropped and must leave nothing behind then:
/// children are killed with their group, connections closed. A panic is caught and counts as a
/// failure.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    fn task_type(&self) -> TaskType;

    async fn execute(&self, context: RunContext) -> Ended;

    /// Does a run whose task says [`autom8_model::Action::is_instant`] on the spot, without a
    /// context, a log or a task of its own; those cost more than such a run does. It must return
    /// within microseconds. `None` sends the run through [`Executor::execute`].
    fn execute_instant(&self, _lease: &Lease) -> Option<Ended> {
        None
    }
}

/// Everything an executor may know about its attempt.
#[derive(Clone, Debug)]
pub struct RunContext {
    pub run: RunId,
    /// The first is 1.
    pub attempt: u16,
    pub task: Arc<Task>,
    pub queued_at: Timestamp,
    /// The attempt's wall time; the engine enforces it, an executor may pass it on.
    pub timeout: Duration,
    /// JSON, if the run was given some.
    pub input: Option<RunInput>,
    /// Output goes here as it comes; it is bounded and live readers follow it.
    pub log: RunLog,
    /// For an executor that knows how far it is.
    pub progress: Progress,
    /// Fires when the run is to stop: then end soon with [`Ended::Cancelled`].
    pub cancel: CancellationToken,
}

impl RunContext {
    /// The key under which an effect of this run can be made once: the same for every attempt.
    pub fn idempotency_key(&self) -> String {
        format!("autom8-run-{}", self.run)
    }

    pub fn input_bytes(&self) -> &[u8] {
        self.input.as_ref().map_or(&[], RunInput::as_bytes)
    }
}

/// How an execution ended, as its executor sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// With a JSON result, if there is one.
    Completed { result: Option<Vec<u8>> },
    /// The message is for a person: what happened, with the exit code or status first. A result
    /// may still be worth keeping, e.g. the body of an error answer.
    Failed {
        error: String,
        retry: RetryAdvice,
        result: Option<Vec<u8>>,
    },
    /// It stopped because it was asked to.
    Cancelled,
}

impl Ended {
    pub fn failed(error: impl Into<String>) -> Self {
        Ended::Failed {
            error: error.into(),
            retry: RetryAdvice::Policy,
            result: None,
        }
    }

    pub fn failed_for_good(error: impl Into<String>) -> Self {
        Ended::Failed {
            error: error.into(),
            retry: RetryAdvice::Never,
            result: None,
        }
    }
}
