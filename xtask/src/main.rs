//! The project's chores in Rust: `cargo xtask test`, `cargo xtask tidy`, `cargo xtask campaign`.
//!
//! Reading order: [`test`] is what CI runs, stage by stage; [`tidy`] holds the rules of the house
//! that no compiler knows; [`campaign`] starts the bars that are too long for `test`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool prints"
)]

mod campaign;
mod schemathesis;
mod test;
mod tidy;
mod tools;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

const HELP: &str = "\
usage: cargo xtask COMMAND

  test [STAGE…]               everything CI runs, or only the stages named
  tidy                        the rules of the house that no compiler knows
  campaign [NAME [ARG…]]      run a long measurement; without a name, list them
  help                        this text

exit codes: 0 ok, 1 failed, 2 usage
";

/// Why a chore ended without success.
enum Failure {
    /// The chore ran and the answer is no; the details have been printed.
    Failed,
    /// The command line makes no sense.
    Usage(String),
    /// The chore could not be done.
    Broken(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Broken(error)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed) => ExitCode::from(1),
        Err(Failure::Usage(message)) => {
            eprintln!("{message}\n\n{HELP}");
            ExitCode::from(2)
        }
        Err(Failure::Broken(error)) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<(), Failure> {
    let root = repository_root();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", arguments),
    };
    if rest
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
        && command != "campaign"
    {
        println!("{HELP}\nstages of test:\n{}", test::stage_list());
        return Ok(());
    }
    match command {
        "test" => test::run(&root, rest),
        "tidy" if rest.is_empty() => tidy::run(&root),
        "tidy" => Err(Failure::Usage("tidy takes no arguments".to_owned())),
        "campaign" => campaign::run(&root, rest),
        "help" | "--help" | "-h" => {
            println!("{HELP}\nstages of test:\n{}", test::stage_list());
            Ok(())
        }
        other => Err(Failure::Usage(format!("there is no command `{other}`"))),
    }
}

/// The checkout that this xtask was built from.
fn repository_root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
    let mut root = PathBuf::from(manifest);
    root.pop();
    root
}

/// A cargo that sees what a cargo started by hand would see: `cargo run` leaves variables of this
/// package behind, and build scripts that watch them would run again for nothing.
fn cargo(root: &std::path::Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}
