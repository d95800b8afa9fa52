//! `autom8 contacts`

mod add;
mod edit;
mod export;
mod fields;
mod follow;
mod import;
mod ls;
mod rm;
mod search;
mod show;
mod whom;

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
    /// List contacts.
    #[command(visible_alias = "list")]
    Ls(ls::Arguments),
    /// Show one contact, by its id, e-mail or phone.
    Show(show::Arguments),
    /// Add a contact.
    Add(add::Arguments),
    /// Change fields of a contact; the rest stays.
    Edit(edit::Arguments),
    /// Remove contacts.
    Rm(rm::Arguments),
    /// Find contacts by the beginning of their name, e-mail or phone.
    Search(search::Arguments),
    /// Import contacts from a CSV or NDJSON file.
    Import(import::Arguments),
    /// Export contacts into a CSV or NDJSON file.
    Export(export::Arguments),
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let server = &arguments.server;
    match arguments.command {
        Command::Ls(arguments) => ls::run(server, &arguments).await,
        Command::Show(arguments) => show::run(server, &arguments).await,
        Command::Add(arguments) => add::run(server, &arguments).await,
        Command::Edit(arguments) => edit::run(server, &arguments).await,
        Command::Rm(arguments) => rm::run(server, &arguments).await,
        Command::Search(arguments) => search::run(server, &arguments).await,
        Command::Import(arguments) => import::run(server, &arguments).await,
        Command::Export(arguments) => export::run(server, &arguments).await,
    }
}
