//! `autom8 runs retry ID`

use autom8_api::model::RunId;

use super::show;
use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;
use crate::wait::{self, WaitArguments};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The run's number.
    #[arg(value_parser = super::parse_id)]
    id: RunId,
    #[command(flatten)]
    wait: WaitArguments,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = server.client()?;
    let output = server.output();
    let run = client.retry_run(arguments.id).await.map_err(|error| {
        let id = arguments.id;
        super::explained_by_state(
            error,
            &format!("wait for its end, or `autom8 runs cancel {id}`"),
        )
    })?;
    if !arguments.wait.wait {
        output.answer(&run, |run| {
            format!(
                "Run {} repeats run {}\n  Next: autom8 runs logs -f {}",
                run.id, arguments.id, run.id
            )
        })?;
        return Ok(Exit::Ok);
    }
    let limit = arguments.wait.wait_timeout;
    let ended = wait::until_ended(&client, run.value.id, limit, output).await?;
    show::ended(&client, &ended, output).await
}
