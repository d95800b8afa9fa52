//! Waiting for the end of a run.

use std::time::Duration;

use autom8_api::RunView;
use autom8_api::client::{Answer, Client, ClientError};
use autom8_api::model::{Clock as _, HumanDuration, Monotonic, RunId, RunState, SystemClock};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::show;

/// Between two looks at the run: short at first, since most runs end at once, then so that a long
/// wait costs the server two requests a second.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(crate) struct WaitArguments {
    /// Wait for the end of the run; the exit code tells how it ended (10, 11, 12). A server that
    /// is away is waited for, up to 60 s.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Stop waiting after this time, e.g. 90s or 10m; the run goes on.
    #[arg(long, value_name = "DURATION", requires = "wait")]
    pub(crate) wait_timeout: Option<HumanDuration>,
}

/// Waits until a run has ended, telling its states on standard error.
pub(crate) async fn until_ended(
    client: &Client,
    id: RunId,
    limit: Option<HumanDuration>,
    output: Output,
) -> Result<Answer<RunView>, Failure> {
    let clock = SystemClock::new();
    let started = clock.monotonic();
    let mut interrupts = signal(SignalKind::interrupt()).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot listen for signals: {error}"))
    })?;
    let reattach =
        format!("the run is not stopped by this; follow it with `autom8 runs logs -f {id}`");
    let mut pause = PAUSE_MIN;
    let mut told = None;
    let mut outage = Outage::default();
    loop {
        let answer = match client.run(id).await {
            Ok(answer) => answer,
            Err(error) => {
                let pause =
                    outage
                        .pause(error, output)
                        .map_err(|error| match is_outage(&error) {
                            true => given_up(id, &error),
                            false => Failure::from(error),
                        })?;
                let left = limit.map(|limit| {
                    let waited = clock.monotonic().since(started);
                    limit.0.saturating_sub(waited)
                });
                if left == Some(Duration::ZERO) {
                    let what = format!("run {id} cannot be seen: its server is away");
                    return Err(Failure::new(Exit::RunTimedOut, what).fix(reattach));
                }
                let pause = pause.min(left.unwrap_or(pause));
                if tokio::time::timeout(pause, interrupts.recv()).await.is_ok() {
                    return Err(stopped_by_hand(id).fix(reattach));
                }
                continue;
            }
        };
        outage.over();
        let state = answer.value.state;
        if state.is_terminal() {
            return Ok(answer);
        }
        let standing = (state, answer.value.attempt);
        if told != Some(standing) && !output.json {
            output.note(&progress(&answer.value));
            told = Some(standing);
        }
        let waited = clock.monotonic().since(started);
        let left = limit.map(|limit| limit.0.saturating_sub(waited));
        if left == Some(Duration::ZERO) {
            let what = format!(
                "run {id} is still {} after {}",
                state.as_str(),
                show::millis(waited.as_secs_f64() * 1_000.0)
            );
            return Err(Failure::new(Exit::RunTimedOut, what).fix(reattach));
        }
        let pause_now = pause.min(left.unwrap_or(pause));
        if tokio::time::timeout(pause_now, interrupts.recv())
            .await
            .is_ok()
        {
            return Err(stopped_by_hand(id).fix(reattach));
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn stopped_by_hand(id: RunId) -> Failure {
    Failure::new(Exit::Failed, format!("stopped waiting for run {id}"))
}

/// The failure of an outage that has lasted too long.
pub(crate) fn given_up(id: RunId, error: &ClientError) -> Failure {
    let what = format!("run {id} cannot be seen any more: {error}");
    Failure::new(Exit::Unreachable, what).fix(format!(
        "the run is stored; when the server is back, go on with `autom8 runs logs -f {id}`, or \
         look with `autom8 runs show {id}`"
    ))
}

/// Whether the server may be back in a moment: it restarts, or recovers a large store.
pub(crate) fn is_outage(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::Interrupted { .. } => true,
        // A server that stops, or has not read its store yet, says so.
        ClientError::Refused(problem) => problem.status() == 503,
        ClientError::Address { .. }
        | ClientError::Exposed { .. }
        | ClientError::Unauthenticated { .. }
        | ClientError::Unreadable { .. } => false,
    }
}

/// How long a server that is away is waited for.
const OUTAGE_MAX: Duration = Duration::from_secs(60);
const OUTAGE_PAUSE: Duration = Duration::from_millis(500);

/// The time for which a server has not answered.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    clock: SystemClock,
    since: Option<Monotonic>,
}

impl Outage {
    /// How long to wait before the server is asked again.
    ///
    /// # Errors
    /// With the error itself if it is not one that passes, or has lasted for [`OUTAGE_MAX`].
    pub(crate) fn pause(
        &mut self,
        error: ClientError,
        output: Output,
    ) -> Result<Duration, ClientError> {
        if !is_outage(&error) {
            return Err(error);
        }
        let now = self.clock.monotonic();
        if self.since.is_none() && !output.json {
            output.note(&format!(
                "{error}; trying again for {} s.",
                OUTAGE_MAX.as_secs()
            ));
        }
        let since = *self.since.get_or_insert(now);
        match now.since(since) < OUTAGE_MAX {
            true => Ok(OUTAGE_PAUSE),
            false => Err(error),
        }
    }

    /// The server has answered.
    pub(crate) fn over(&mut self) {
        self.since = None;
    }
}

fn progress(run: &RunView) -> String {
    match run.attempt {
        0 => format!("run {} {}", run.id, run.state.as_str()),
        attempt => format!(
            "run {} {} (attempt {attempt} of {})",
            run.id,
            run.state.as_str(),
            run.max_attempts
        ),
    }
}

/// The exit code of a run that has ended. `timeout` is what its task allowed an attempt: a run
/// that failed after all of that time was stopped by it.
pub(crate) fn exit_of(run: &RunView, timeout: Option<HumanDuration>) -> Exit {
    let allowed_ms = timeout.map(|timeout| timeout.0.as_secs_f64() * 1_000.0);
    let timed_out = match (run.duration_ms, allowed_ms) {
        (Some(took), Some(allowed)) => took >= allowed,
        _ => false,
    };
    match run.state {
        RunState::Completed => Exit::Ok,
        RunState::Cancelled => Exit::RunCancelled,
        RunState::Failed if timed_out => Exit::RunTimedOut,
        RunState::Failed | RunState::Interrupted => Exit::RunFailed,
        // Callers ask about ended runs only; one that has not ended has not succeeded either.
        RunState::Queued | RunState::Running => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(state: &str, duration_ms: &str) -> RunView {
        let json = format!(
            r#"{{"id":7,"task":"t","task_type":"http","state":"{state}","trigger":"manual",
            "planned_at":null,"queued_at":"2026-01-01T00:00:00Z","started_at":null,
            "finished_at":null,"attempt":2,"max_attempts":3,"epoch":null,"input":null,
            "result":null,"error":null,"wait_ms":null,"duration_ms":{duration_ms},
            "log":{{"bytes":0,"truncated":false}}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn the_exit_code_tells_how_a_run_ended() {
        let second = Some(HumanDuration(Duration::from_secs(1)));
        for (state, duration_ms, timeout, exit) in [
            ("completed", "5000", second, Exit::Ok),
            ("failed", "10", second, Exit::RunFailed),
            ("failed", "1000.2", second, Exit::RunTimedOut),
            ("failed", "1000.2", None, Exit::RunFailed),
            ("failed", "null", second, Exit::RunFailed),
            ("interrupted", "null", second, Exit::RunFailed),
            ("cancelled", "10", second, Exit::RunCancelled),
        ] {
            assert_eq!(
                exit_of(&run(state, duration_ms), timeout),
                exit,
                "{state} {duration_ms}"
            );
        }
    }

    #[test]
    fn progress_names_the_attempt_once_there_is_one() {
        assert_eq!(
            progress(&run("running", "null")),
            "run 7 running (attempt 2 of 3)"
        );
    }
}
