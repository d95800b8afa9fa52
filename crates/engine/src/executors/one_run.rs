//! For the tests of executors: the context of one run.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use autom8_model::{Inputs, RunId, Task, TaskId, TaskSpec, Timestamp};
use autom8_store::RunInput;
use tokio_util::sync::CancellationToken;

use crate::executor::RunContext;
use crate::progress::Progress;
use crate::run_log::RunLog;

/// Descendants are known by their run, and several tests may share a process.
static RUNS: AtomicI64 = AtomicI64::new(0);

/// The first attempt of a run of its own, of a task whose `do` is `action`.
pub(crate) fn context(action: serde_json::Value) -> RunContext {
    let spec = serde_json::json!({"name": "job", "do": action});
    let spec: TaskSpec = serde_json::from_value(spec).unwrap();
    let task = Task {
        id: TaskId(1),
        rev: 1,
        spec,
        anchor_at: Timestamp::UNIX_EPOCH,
        fired_through: Timestamp::UNIX_EPOCH,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    };
    RunContext {
        run: RunId(RUNS.fetch_add(1, Ordering::Relaxed) + 1),
        attempt: 1,
        task: Arc::new(task),
        queued_at: Timestamp::UNIX_EPOCH,
        timeout: Duration::from_secs(60),
        input: None,
        log: RunLog::new(),
        progress: Progress::default(),
        cancel: CancellationToken::new(),
    }
}

pub(crate) fn with_input(mut context: RunContext, input: &str) -> RunContext {
    context.input = Some(RunInput::Shared(Inputs::one(input.as_bytes()), 0));
    context
}

pub(crate) fn log_text(context: &RunContext) -> String {
    let captured = context
        .log
        .capture()
        .map(|log| log.bytes)
        .unwrap_or_default();
    String::from_utf8_lossy(&captured).into_owned()
}
