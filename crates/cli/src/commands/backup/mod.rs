//! `autom8 backup`

mod create;

use clap::Subcommand;

use crate::failure::{Exit, Failure};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Copy the data of the running server, online and verified.
    Create(create::Arguments),
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    match arguments.command {
        Command::Create(arguments) => create::run(&arguments).await,
    }
}
