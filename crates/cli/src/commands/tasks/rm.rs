//! `autom8 tasks rm NAME`

use super::unknown;
use crate::confirm;
use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;
use crate::show;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The task's name.
    name: String,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = server.client()?;
    let name = &arguments.name;
    if !arguments.yes {
        // Whether there is such a task is known before anybody is asked about it.
        if let Err(error) = client.task(name).await {
            return Err(unknown::explained(&client, name, error).await);
        }
        confirm::ask(
            &format!("Remove task `{name}` and cancel its waiting runs?"),
            &format!("removing `{name}`"),
            &format!("autom8 tasks rm {name} --yes"),
        )?;
    }
    let deleted = match client.remove_task(name).await {
        Ok(deleted) => deleted,
        Err(error) => return Err(unknown::explained(&client, name, error).await),
    };
    server.output().answer(&deleted, |deleted| {
        format!(
            "Removed task `{name}`: {} cancelled, {} being stopped; its history stays",
            show::count(deleted.cancelled, "waiting run"),
            show::count(deleted.stopping, "running run")
        )
    })?;
    Ok(Exit::Ok)
}
