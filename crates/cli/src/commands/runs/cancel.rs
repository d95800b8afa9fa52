//! `autom8 runs cancel ID…`

use autom8_api::model::RunId;

use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A waiting run is cancelled at once, a running one as soon as it has stopped."
)]
pub(super) struct Arguments {
    /// The runs' numbers.
    #[arg(value_parser = super::parse_id, required = true, value_name = "ID")]
    ids: Vec<RunId>,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = server.client()?;
    let output = server.output();
    for id in &arguments.ids {
        let run = client.cancel_run(*id).await.map_err(|error| {
            super::explained_by_state(error, &format!("`autom8 runs retry {id}` runs it again"))
        })?;
        output.answer(&run, |run| match run.state.is_terminal() {
            true => format!("Run {id} is {}", run.state.as_str()),
            false => format!("Run {id} is being stopped\n  Next: autom8 runs show {id}"),
        })?;
    }
    Ok(Exit::Ok)
}
