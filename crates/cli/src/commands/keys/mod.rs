//! `autom8 keys`

mod add;
mod ls;
mod place;
mod rm;
mod save;

use clap::Subcommand;

use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;

#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Without --server, the data directory itself is used, as `autom8 serve` would use \
it: so the first
key can be made before the first start, and a lost one replaced. While a server runs on that
directory, it is asked instead, and needs a key with `admin` from the first key on.

Examples:
  autom8 keys add ops --scope admin --save            the first key; kept for this command line
  K=$(autom8 keys add crm --scope run --quiet)
  autom8 keys rm crm"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    directory: place::DirectoryArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key. It is shown once.
    Add(add::Arguments),
    /// List the keys: what they may do, and when they were used last.
    #[command(visible_alias = "list")]
    Ls(ls::Arguments),
    /// Delete keys. What uses them is refused from then on.
    Rm(rm::Arguments),
    /// Keep a key, read from standard input, for this command line.
    Save(save::Arguments),
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let Arguments {
        server,
        directory,
        command,
    } = arguments;
    match command {
        Command::Add(arguments) => add::run(&server, &directory, arguments).await,
        Command::Ls(arguments) => ls::run(&server, &directory, arguments).await,
        Command::Rm(arguments) => rm::run(&server, &directory, &arguments).await,
        Command::Save(arguments) => save::run(&server, &arguments).await,
    }
}
