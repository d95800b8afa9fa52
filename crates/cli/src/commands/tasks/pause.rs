//! `autom8 tasks pause NAME`

use super::unknown;
use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The task's name.
    name: String,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = server.client()?;
    let name = &arguments.name;
    let task = match client.pause_task(name).await {
        Ok(task) => task,
        Err(error) => return Err(unknown::explained(&client, name, error).await),
    };
    server.output().answer(&task, |_| {
        format!("Paused task `{name}`: waiting runs wait on\n  Next: autom8 tasks resume {name}")
    })?;
    Ok(Exit::Ok)
}
