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
    #[arg(value_parser = super::parse_id)]
    id: RunId,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let run = server.client()?.run(arguments.id).await?;
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
