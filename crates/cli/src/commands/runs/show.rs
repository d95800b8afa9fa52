//! `autom8 runs show ID`

use autom8_api::RunView;
use autom8_api::client::{Answer, Client};
use autom8_api::model::{Clock as _, RunId, RunState, SystemClock, Timestamp};

use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::server_arguments::ServerArguments;
use crate::show;
use crate::wait;

/// JSON of an input or result that is shown in full; a longer one is asked for with --json.
const JSON_CHARS_MAX: usize = 2_000;
/// The error of an earlier attempt that is shown; the latest one is shown in full.
const EARLIER_ERROR_CHARS_MAX: usize = 200;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The run's number.
    #[arg(value_parser = super::parse_id)]
    id: RunId,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let run = server.client()?.run(arguments.id).await;
    let run = run.map_err(super::explained)?;
    print(&run, server.output())?;
    Ok(Exit::Ok)
}

/// Shows a run that was waited for; the exit code tells how it ended.
pub(in crate::commands) async fn ended(
    client: &Client,
    run: &Answer<RunView>,
    output: Output,
) -> Result<Exit, Failure> {
    print(run, output)?;
    // What the task allows now; a task that is gone allows nothing that could be compared.
    let task = client.task(run.value.task.as_str()).await.ok();
    Ok(wait::exit_of(
        &run.value,
        task.map(|task| task.value.spec.timeout),
    ))
}

fn print(run: &Answer<RunView>, output: Output) -> Result<(), Failure> {
    let now = SystemClock::new().now();
    output.answer(run, |run| people(output, run, now))?;
    Ok(())
}

fn people(output: Output, run: &RunView, now: Timestamp) -> String {
    let time = |at: Option<Timestamp>| at.map(|at| show::absolute(at, now));
    let json = |raw: &Option<Box<serde_json::value::RawValue>>| {
        raw.as_ref()
            .map(|raw| show::head(raw.get(), JSON_CHARS_MAX))
    };
    let pairs = [
        ("run", Some(run.id.to_string())),
        (
            "task",
            Some(format!("{} ({})", run.task, run.task_type.as_str())),
        ),
        ("state", Some(run.state.as_str().to_owned())),
        ("error", run.error.clone()),
        ("made by", Some(run.trigger.as_str().to_owned())),
        ("repeats run", run.replay_of.map(|id| id.to_string())),
        ("planned", time(run.planned_at)),
        ("queued", time(Some(run.queued_at))),
        ("may start", time(run.run_at)),
        ("started", time(run.started_at)),
        ("finished", time(run.finished_at)),
        ("waited", run.wait_ms.map(show::millis)),
        ("took", run.duration_ms.map(show::millis)),
        (
            "attempt",
            Some(format!("{} of {}", run.attempt, run.max_attempts)),
        ),
        ("", lost_with_its_server(run)),
        ("input", json(&run.input)),
        ("result", json(&run.result)),
        ("output", output_summary(run)),
    ];
    let earlier = run.attempts.iter().map(|earlier| {
        let began = show::absolute(earlier.started_at, now);
        let took = show::millis(earlier.finished_at.millis_since(earlier.started_at));
        let error = earlier.error.as_deref().unwrap_or("no error told");
        (
            "earlier",
            Some(format!(
                "attempt {} at {began}, {took}: {}",
                earlier.attempt,
                show::head(error, EARLIER_ERROR_CHARS_MAX)
            )),
        )
    });
    output.pairs(pairs.into_iter().chain(earlier))
}

/// Why a run that was tried before waits without a time: a retry has one.
fn lost_with_its_server(run: &RunView) -> Option<String> {
    let waits_apart = run.state == RunState::Queued && run.attempt > 0 && run.run_at.is_none();
    waits_apart.then(|| {
        format!(
            "waits apart: attempt {} was lost with its server",
            run.attempt
        )
    })
}

fn output_summary(run: &RunView) -> Option<String> {
    let cut = if run.log.truncated {
        ", its middle dropped"
    } else {
        ""
    };
    (run.log.bytes > 0).then(|| {
        format!(
            "{}{cut}; autom8 runs logs {}",
            show::bytes(run.log.bytes),
            run.id
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_shown_with_its_times_and_without_what_is_not_known() {
        let run: RunView = serde_json::from_str(
            r#"{"id":42,"task":"nightly","task_type":"http","state":"failed","trigger":"replay",
            "planned_at":null,"queued_at":"2026-01-01T00:00:00Z",
            "started_at":"2026-01-01T00:00:00.0012Z","finished_at":"2026-01-01T00:00:00.0135Z",
            "attempt":3,"max_attempts":3,"epoch":9,"replay_of":41,"input":{"n": 1.50},
            "result":null,"error":"HTTP 500","wait_ms":1.2,"duration_ms":12.3,
            "log":{"bytes":2048,"truncated":true},
            "attempts":[{"attempt":2,"epoch":8,"started_at":"2026-01-01T00:00:00Z",
            "finished_at":"2026-01-01T00:00:00.25Z","error":"HTTP 503"}]}"#,
        )
        .unwrap();
        let now = Timestamp::from_micros(run.queued_at.as_micros() + 7_200_000_000);
        assert_eq!(
            people(Output::plain(), &run, now),
            "\
run          42
task         nightly (http)
state        failed
error        HTTP 500
made by      replay
repeats run  41
queued       2026-01-01T00:00:00Z (2h ago)
started      2026-01-01T00:00:00.0012Z (1h ago)
finished     2026-01-01T00:00:00.0135Z (1h ago)
waited       1.20 ms
took         12.3 ms
attempt      3 of 3
input        {\"n\": 1.50}
output       2.0 KiB, its middle dropped; autom8 runs logs 42
earlier      attempt 2 at 2026-01-01T00:00:00Z (2h ago), 250 ms: HTTP 503
"
        );
    }

    #[test]
    fn a_run_that_waits_after_a_crash_says_why() {
        let waiting = |attempt: u16, run_at: &str| -> RunView {
            let json = format!(
                r#"{{"id":7,"task":"t","task_type":"http","state":"queued","trigger":"manual",
                "planned_at":null,"queued_at":"2026-01-01T00:00:00Z","run_at":{run_at},
                "started_at":null,"finished_at":null,"attempt":{attempt},"max_attempts":3,
                "epoch":null,"input":null,"result":null,"error":null,"wait_ms":null,
                "duration_ms":null,"log":{{"bytes":0,"truncated":false}}}}"#
            );
            serde_json::from_str(&json).unwrap()
        };
        let said = lost_with_its_server(&waiting(2, "null"));
        assert_eq!(
            said.as_deref(),
            Some("waits apart: attempt 2 was lost with its server")
        );
        for other in [waiting(0, "null"), waiting(2, "\"2026-01-01T00:00:00Z\"")] {
            assert_eq!(lost_with_its_server(&other), None);
        }
    }
}
