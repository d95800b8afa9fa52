//! `autom8 runs`

mod cancel;
mod logs;
mod ls;
mod retry;
mod show;

use autom8_api::client::ClientError;
use autom8_api::model::RunId;
use autom8_api::problem::ProblemCode;
use clap::Subcommand;

use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;

pub(super) use show::ended as show_ended;

#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    server: ServerArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List runs, newest first.
    #[command(visible_alias = "list")]
    Ls(ls::Arguments),
    /// Show one run with its times, result and error.
    Show(show::Arguments),
    /// Print the output of a run.
    #[command(visible_alias = "log")]
    Logs(logs::Arguments),
    /// Cancel runs that wait or are running.
    Cancel(cancel::Arguments),
    /// Run an ended run again, as a new run with the same input.
    Retry(retry::Arguments),
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let server = &arguments.server;
    match arguments.command {
        Command::Ls(arguments) => ls::run(server, arguments).await,
        Command::Show(arguments) => show::run(server, &arguments).await,
        Command::Logs(arguments) => logs::run(server, &arguments).await,
        Command::Cancel(arguments) => cancel::run(server, &arguments).await,
        Command::Retry(arguments) => retry::run(server, &arguments).await,
    }
}

/// The number of a run, as an argument.
fn parse_id(text: &str) -> Result<RunId, String> {
    match text.parse() {
        Ok(id) if id > 0 => Ok(RunId(id)),
        _ => Err("a run is named by its number, e.g. 42; `autom8 runs ls` lists them".to_owned()),
    }
}

/// The failure of a request about a run; one that is not there is looked for in the list.
fn explained(error: ClientError) -> Failure {
    match is(&error, ProblemCode::NotFound) {
        true => Failure::from(error)
            .fix("`autom8 runs ls` lists the runs that are kept, `autom8 tasks ls` the tasks"),
        false => Failure::from(error),
    }
}

/// The same for a request that a run's state can forbid.
fn explained_by_state(error: ClientError, fix: &str) -> Failure {
    match is(&error, ProblemCode::Conflict) {
        true => Failure::from(error).fix(fix),
        false => explained(error),
    }
}

fn is(error: &ClientError, code: ProblemCode) -> bool {
    matches!(error, ClientError::Refused(problem) if problem.code == code)
}
