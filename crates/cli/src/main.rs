//! The command line: one program that serves, and that speaks to a server.
//!
//! [`arguments`] says what can be asked; each command is a file of [`commands`] and answers with
//! what to print, through [`output`], or with a `Failure`, which says what went wrong, what to
//! do and which exit code that is. Data goes to standard output, talk to standard error.

mod arguments;
mod commands;
mod confirm;
mod credentials;
mod draft;
mod failure;
mod input;
mod output;
mod patience;
mod server_arguments;
mod setting_arguments;
mod show;
mod wait;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::Arguments;

fn main() -> ExitCode {
    // A wrong command line ends here, with 2 and a suggestion.
    let arguments = Arguments::parse();
    match commands::run(arguments.command) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print();
            failure.exit.into()
        }
    }
}
