//! `autom8 tasks rm NAME`

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use super::unknown;
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
        confirm(name)?;
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

fn confirm(name: &str) -> Result<(), Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::usage(format!(
            "removing `{name}` needs a yes, and nobody can be asked"
        ))
        .fix(format!("autom8 tasks rm {name} --yes")));
    }
    let mut answer = String::new();
    let mut stderr = std::io::stderr().lock();
    _ = write!(
        stderr,
        "Remove task `{name}` and cancel its waiting runs? [y/N] "
    );
    _ = stderr.flush();
    _ = stdin.lock().read_line(&mut answer);
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Failed, "nothing was removed")),
    }
}
