//! `autom8 audit`

mod ls;

use clap::Subcommand;

use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;

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
    /// List writes, newest first: when, by whom, and what.
    #[command(visible_alias = "list")]
    Ls(ls::Arguments),
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    match arguments.command {
        Command::Ls(ls) => ls::run(&arguments.server, ls).await,
    }
}
