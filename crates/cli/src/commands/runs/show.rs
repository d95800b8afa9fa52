//! `autom8 runs show ID`

use autom8_api::RunView;
use autom8_api::client::{Answer, Client};
use autom8_api::model::{Clock as _, RunId, SystemClock, Timestamp};

use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::server_arguments::ServerArguments;
use crate::show;
use crate::wait;

/// JSON of an input or result that is shown in full; a longer one is asked for with --json.
const JSON_CHARS_MAX: usize = 2_000;

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
    output.pairs([
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
        ("input", json(&run.input)),
        ("result", json(&run.result)),
        ("output", output_summary(run)),
    ])
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
            "log":{"bytes":2048,"truncated":true}}"#,
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
"
        );
    }
}
