//! What can be asked on the command line.

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand};

use crate::commands::{
    audit, backup, completion, config, contacts, keys, runs, serve, status, tasks,
};
use crate::failure::EXIT_CODES_HELP;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold());

const EXAMPLES: &str = "Examples:
  autom8 serve                                            start a server in this directory
  autom8 tasks add ping --every 2s --http https://example.org/
  autom8 tasks run ping --wait                            run it now, and wait for its end
  autom8 runs ls                                          what ran, newest first
  autom8 runs logs -f 42                                  follow the output of run 42
";

/// Autom8 runs your automations: scheduled or by hand, durably, with logs and live metrics.
#[derive(Debug, Parser)]
#[command(
    name = "autom8",
    version,
    styles = STYLES,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = format!("{EXAMPLES}\n{EXIT_CODES_HELP}")
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the server.
    Serve(serve::Arguments),
    /// What to do and when: list, add, edit, run and pause tasks.
    Tasks(tasks::Arguments),
    /// What ran and what waits: list, follow, cancel and retry runs.
    Runs(runs::Arguments),
    /// Records that automations act on: list, show, add, edit, remove and search contacts.
    Contacts(contacts::Arguments),
    /// Who may call the server, and what for: make, list and delete API keys.
    Keys(keys::Arguments),
    /// Which write was made, by whom and when.
    Audit(audit::Arguments),
    /// Tell whether the server is well and what it is doing.
    Status(status::Arguments),
    /// Check, show and explain the configuration.
    Config(config::Arguments),
    /// Copy the data of a server, check a copy, and put it back.
    Backup(backup::Arguments),
    /// Print the completions of a shell.
    Completion(completion::Arguments),
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;
