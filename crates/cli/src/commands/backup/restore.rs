//! `autom8 backup restore DIR --data DIR`

use std::path::PathBuf;

use autom8_server::ops;

use super::summary;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::show;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Needs no server. The backup is verified first. Nothing is ever overwritten: \
the data directory
must hold no database. To put a backup in the place of one, stop the server and move its data
directory away first.

Example:
  autom8 backup restore backups/today --data restored && autom8 serve --data restored"
)]
pub(super) struct Arguments {
    /// The directory of the backup.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The data directory to restore into; it must hold no database.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let contents = ops::backup::restore(&arguments.directory, &arguments.data)
        .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let text = match arguments.json {
        true => serde_json::to_string(&contents).map_err(std::io::Error::from)?,
        false => format!(
            "Restored {} into {}\n  Next: autom8 serve --data {}",
            summary(&contents),
            contents.path,
            show::quoted(&contents.path)
        ),
    };
    Output::new(arguments.json).print(&text)?;
    Ok(Exit::Ok)
}
