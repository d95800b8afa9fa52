//! Leads one attempt: its timeout, its stop, its panic, its output, and what comes of it.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use autom8_model::transition::{AttemptEnd, Circumstances, Decision, settle};
use autom8_model::{HumanDuration, Monotonic, Timestamp, limits};
use autom8_store::{Finish, Lease};
use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use crate::engine::Shared;
use crate::executor::{Ended, RunContext};
use crate::finisher::{Facts, Submission};
use crate::live::LiveRun;
use crate::observer::{EngineObserver as _, RunStarted};
use crate::occupancy::Hold;
use crate::timer;

/// How long an executor may take to end once it was asked to; then it is dropped. A process has
/// 5 s between SIGTERM and SIGKILL, and the rest is for its last output.
pub(crate) const WIND_DOWN: Duration = Duration::from_secs(10);

/// Executes the attempt that `lease` gives the right to, and hands in how it ended.
pub(crate) async fn lead(shared: Arc<Shared>, lease: Lease, hold: Hold) {
    let live = shared.live.register(lease.claimed.run);
    let begun = Begun::note(&shared, &lease, Reading::of(&shared));
    let (end, executed) = execute(&shared, &lease, &live).await;
    let (finish, facts) = begun.finish(
        &shared,
        &lease,
        Some(&live),
        (end, executed),
        Reading::of(&shared),
    );
    shared.finisher.submit(Submission {
        finishes: vec![finish],
        facts: vec![facts],
        hold,
        registration: Some(live),
    });
}

/// What an attempt left besides its end.
#[derive(Debug, Default)]
pub(crate) struct Left {
    result: Option<Vec<u8>>,
    error: Option<String>,
}

async fn execute(shared: &Shared, lease: &Lease, live: &LiveRun) -> (AttemptEnd, Left) {
    let task = &lease.task;
    let task_type = task.spec.action.task_type();
    let Some(executor) = shared.executor(task_type) else {
        return read_end(Ended::failed_for_good(format!(
            "this server has no executor for {} tasks",
            task_type.as_str()
        )));
    };
    let timeout = task.spec.timeout.0;
    // Of its own, so that an executor never hears of a stop before it is known here why.
    let cancel = CancellationToken::new();
    let context = RunContext {
        run: lease.claimed.run,
        attempt: lease.claimed.attempt,
        task: task.clone(),
        queued_at: lease.claimed.queued_at,
        timeout,
        input: lease.input.clone(),
        log: live.log.clone(),
        progress: live.progress.clone(),
        cancel: cancel.clone(),
    };
    let execution = AssertUnwindSafe(executor.execute(context)).catch_unwind();
    tokio::pin!(execution);
    let why = tokio::select! {
        biased;
        executed = &mut execution => return read_execution(shared, executed),
        () = live.stop.cancelled() => {
            if live.is_cancel_requested() { Stopped::Cancelled } else { Stopped::WithTheEngine }
        }
        () = timer::sleep(timeout) => Stopped::TimedOut,
    };
    live.log.note(&match why {
        Stopped::Cancelled => "cancelled: stopping".to_owned(),
        Stopped::WithTheEngine => "the server is stopping: this run will be given back".to_owned(),
        Stopped::TimedOut => format!("timed out after {}: stopping", HumanDuration(timeout)),
    });
    cancel.cancel();
    let executed = tokio::select! {
        biased;
        executed = &mut execution => Some(executed),
        () = timer::sleep(WIND_DOWN) => {
            live.log.note("it did not stop when asked to: dropped");
            None
        }
    };
    let (end, left) = match executed {
        Some(executed) => read_execution(shared, executed),
        None => (AttemptEnd::Cancelled, Left::default()),
    };
    match (why, end) {
        // What a run makes of its end after the deadline is no success: a job that was told to
        // stop may well exit with 0.
        (Stopped::TimedOut, _) => {
            let error = format!("timed out after {}", HumanDuration(timeout));
            (
                AttemptEnd::TimedOut,
                Left {
                    error: Some(error),
                    ..left
                },
            )
        }
        (Stopped::WithTheEngine, AttemptEnd::Cancelled) => {
            let error = "stopped with the server before it ended".to_owned();
            (
                AttemptEnd::Lost,
                Left {
                    error: Some(error),
                    ..left
                },
            )
        }
        (_, end) => (end, left),
    }
}

/// Why an attempt was asked to stop.
#[derive(Clone, Copy, Debug)]
enum Stopped {
    Cancelled,
    WithTheEngine,
    TimedOut,
}

fn read_execution(
    shared: &Shared,
    executed: Result<Ended, Box<dyn Any + Send>>,
) -> (AttemptEnd, Left) {
    match executed {
        Ok(ended) => read_end(ended),
        Err(panic) => {
            let error = format!("the executor panicked: {}", panic_message(panic.as_ref()));
            shared.observer.problem("attempt", &error);
            read_end(Ended::failed(error))
        }
    }
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

pub(crate) fn read_end(ended: Ended) -> (AttemptEnd, Left) {
    match ended {
        Ended::Completed { result } => (
            AttemptEnd::Completed,
            Left {
                result,
                error: None,
            },
        ),
        Ended::Failed {
            error,
            retry,
            result,
        } => (
            AttemptEnd::Failed(retry),
            Left {
                result,
                error: Some(error),
            },
        ),
        Ended::Cancelled => (AttemptEnd::Cancelled, Left::default()),
    }
}

/// Both clocks at one moment. For a run that does nothing, reading them is most of its cost, so
/// the end of one instant run is taken for the beginning of the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    at: Timestamp,
    monotonic: Monotonic,
}

impl Reading {
    pub(crate) fn of(shared: &Shared) -> Self {
        Reading {
            at: shared.clock.now(),
            monotonic: shared.clock.monotonic(),
        }
    }
}

/// When an attempt began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    reading: Reading,
    wait_micros: Option<u64>,
}

impl Begun {
    /// Notes the beginning and tells the observer.
    pub(crate) fn note(shared: &Shared, lease: &Lease, reading: Reading) -> Self {
        let wait_micros =
            (lease.claimed.attempt == 1).then(|| micros(reading.at.since(lease.claimed.queued_at)));
        shared.observer.run_started(&RunStarted {
            run: lease.claimed.run,
            task: &lease.task.spec.name,
            task_type: lease.task.spec.action.task_type(),
            attempt: lease.claimed.attempt,
            wait_micros,
        });
        Begun {
            reading,
            wait_micros,
        }
    }

    /// Decides what the end makes of the run, within the limits of what is kept.
    pub(crate) fn finish(
        &self,
        shared: &Shared,
        lease: &Lease,
        live: Option<&LiveRun>,
        (end, left): (AttemptEnd, Left),
        ended: Reading,
    ) -> (Finish, Facts) {
        let claimed = &lease.claimed;
        let spec = &lease.task.spec;
        let now = ended.at;
        let duration = ended.monotonic.since(self.reading.monotonic);
        let decision = match end {
            AttemptEnd::Completed => Decision::End(autom8_model::RunState::Completed),
            _ => settle(
                &end,
                &Circumstances {
                    attempt: claimed.attempt,
                    retry: &spec.retry,
                    on_crash: spec.on_crash,
                    cancel_requested: live.is_some_and(LiveRun::is_cancel_requested),
                    now,
                    jitter: shared.jitter(),
                },
            ),
        };
        let finish = Finish {
            run: claimed.run,
            epoch: lease.epoch,
            attempt: claimed.attempt,
            task_type: spec.action.task_type(),
            decision,
            started_at: self.reading.at,
            // The wall clock may have stepped back meanwhile; an end never precedes its start.
            finished_at: now.max(self.reading.at),
            result: left.result.map(bounded_result),
            error: left.error.map(bounded_error),
            log: live.and_then(|live| live.log.capture()),
        };
        let facts = Facts {
            task: lease.task.clone(),
            wait_micros: self.wait_micros,
            duration_micros: micros(duration),
            total_micros: micros(now.since(claimed.queued_at)),
        };
        (finish, facts)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn bounded_error(error: String) -> String {
    match error.char_indices().nth(limits::ERROR_CHARS_MAX) {
        None => error,
        Some(_) => {
            let kept: String = error.chars().take(limits::ERROR_CHARS_MAX - 1).collect();
            format!("{kept}…")
        }
    }
}

/// A result beyond the limit gives way to one that says so: cut JSON would not be JSON.
fn bounded_result(result: Vec<u8>) -> Vec<u8> {
    if result.len() <= limits::RESULT_BYTES_MAX {
        return result;
    }
    format!(r#"{{"truncated":true,"bytes":{}}}"#, result.len()).into_bytes()
}
