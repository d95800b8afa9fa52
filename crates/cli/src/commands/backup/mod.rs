//! `autom8 backup`

mod create;
mod restore;
mod verify;

use autom8_api::backup::BackupContents;
use clap::Subcommand;

use crate::failure::{Exit, Failure};
use crate::show;

#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Copy the data of the running server, online and verified.
    Create(create::Arguments),
    /// Check a backup: every file, every page, every count.
    Verify(verify::Arguments),
    /// Put a backup into a data directory, for `serve` to start on.
    Restore(restore::Arguments),
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    match arguments.command {
        Command::Create(arguments) => create::run(&arguments).await,
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Restore(arguments) => restore::run(&arguments),
    }
}

/// What a backup holds, in one line.
fn summary(contents: &BackupContents) -> String {
    format!(
        "{} and {}, {}, in {}",
        show::count(contents.tasks, "task"),
        show::count(contents.runs, "run"),
        show::bytes(contents.bytes),
        show::count(contents.files as u64, "file")
    )
}
