//! One command a file.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod contacts;
pub(crate) mod keys;
pub(crate) mod runs;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod tasks;

use crate::arguments::Command;
use crate::failure::{Exit, Failure};

pub(crate) fn run(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Tasks(arguments) => asking(tasks::run(arguments)),
        Command::Runs(arguments) => asking(runs::run(arguments)),
        Command::Contacts(arguments) => asking(contacts::run(arguments)),
        Command::Keys(arguments) => asking(keys::run(arguments)),
        Command::Audit(arguments) => asking(audit::run(arguments)),
        Command::Status(arguments) => asking(status::run(&arguments)),
        Command::Config(arguments) => config::run(&arguments),
        Command::Backup(arguments) => asking(backup::run(arguments)),
        Command::Completion(arguments) => completion::run(&arguments),
    }
}

/// Runs a command that speaks to a server. One thread is enough to ask.
fn asking(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot start an I/O loop: {error}"))
            .fix("allow more open files, e.g. `ulimit -n 1024`")
    })?;
    runtime.block_on(command)
}
