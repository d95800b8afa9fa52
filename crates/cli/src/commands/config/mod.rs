//! `autom8 config`: check, show and explain the configuration.

mod check;
mod explain;
mod show;

use clap::Subcommand;

use crate::failure::{Exit, Failure};

#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the configuration as `serve` would read it, without starting anything.
    Check(check::Arguments),
    /// Show every setting with its value.
    Show(show::Arguments),
    /// Explain all settings, or those whose key contains a word.
    Explain(explain::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::Check(arguments) => check::run(arguments),
        Command::Show(arguments) => show::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
    }
}
