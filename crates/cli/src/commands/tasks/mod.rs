//! `autom8 tasks`

mod add;
mod edit;
mod fields;
mod ls;
mod next;
mod pause;
mod resume;
mod rm;
mod run;
mod show;
mod unknown;
mod warnings;

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
    /// List the tasks with their schedules and next times.
    #[command(visible_alias = "list")]
    Ls(ls::Arguments),
    /// Show one task: its definition and its next time.
    Show(show::Arguments),
    /// Add a task: what to do, and when.
    Add(Box<add::Arguments>),
    /// Change a task by flags, or in an editor if no flag is given.
    Edit(Box<edit::Arguments>),
    /// Remove a task. Waiting runs are cancelled, running ones stopped; its history stays.
    Rm(rm::Arguments),
    /// Run a task now.
    Run(run::Arguments),
    /// Pause a task's schedule. Runs by hand are still accepted and wait.
    Pause(pause::Arguments),
    /// Let a paused task run again.
    Resume(resume::Arguments),
    /// Preview when a task will run.
    Next(next::Arguments),
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let server = &arguments.server;
    match arguments.command {
        Command::Ls(arguments) => ls::run(server, arguments).await,
        Command::Show(arguments) => show::run(server, &arguments).await,
        Command::Add(arguments) => add::run(server, &arguments).await,
        Command::Edit(arguments) => edit::run(server, &arguments).await,
        Command::Rm(arguments) => rm::run(server, &arguments).await,
        Command::Run(arguments) => run::run(server, &arguments).await,
        Command::Pause(arguments) => pause::run(server, &arguments).await,
        Command::Resume(arguments) => resume::run(server, &arguments).await,
        Command::Next(arguments) => next::run(server, &arguments).await,
    }
}
