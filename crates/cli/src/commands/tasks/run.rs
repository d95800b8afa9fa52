//! `autom8 tasks run NAME`

use autom8_api::client::Client;
use autom8_api::model::RunState;
use autom8_api::run::RunRequest;

use super::unknown;
use crate::commands::runs;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;
use crate::server_arguments::ServerArguments;
use crate::wait::{self, WaitArguments};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --wait the exit code tells how the run ended: 0 completed, 10 failed, \
11 cancelled, 12 timed out.

Examples:
  autom8 tasks run ping --wait
  autom8 tasks run hook --input '{\"order\": 7}'
  autom8 tasks run hook --input @order.json --wait --wait-timeout 90s"
)]
pub(super) struct Arguments {
    /// The task's name.
    name: String,
    /// Input of the run: JSON, @FILE, or - for standard input.
    #[arg(long, value_name = "JSON")]
    input: Option<String>,
    #[command(flatten)]
    wait: WaitArguments,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = server.client()?;
    let output = server.output();
    let input = match &arguments.input {
        Some(input) => Some(input::read_json(input, "--input")?),
        None => None,
    };
    let run = match client
        .run_task(&arguments.name, &RunRequest { input })
        .await
    {
        Ok(run) => run,
        Err(error) => return Err(unknown::explained(&client, &arguments.name, error).await),
    };
    if run.value.state == RunState::Queued && !output.json {
        tell_if_paused(&client, &arguments.name, output).await?;
    }
    if !arguments.wait.wait {
        output.answer(&run, |run| {
            let state = run.state.as_str();
            format!(
                "Run {} is {state}\n  Next: autom8 runs logs -f {}",
                run.id, run.id
            )
        })?;
        return Ok(Exit::Ok);
    }
    let limit = arguments.wait.wait_timeout;
    let ended = wait::until_ended(&client, run.value.id, limit, output).await?;
    runs::show_ended(&client, &ended, output).await
}

/// A run of a paused task waits, which is better said than wondered at.
async fn tell_if_paused(client: &Client, name: &str, output: Output) -> Result<(), Failure> {
    if !client.task(name).await?.value.spec.enabled {
        output.note(&format!(
            "Task `{name}` is paused: the run waits until `autom8 tasks resume {name}`."
        ));
    }
    Ok(())
}
