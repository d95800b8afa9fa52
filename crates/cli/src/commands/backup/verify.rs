//! `autom8 backup verify DIR`

use std::path::PathBuf;

use autom8_server::ops;

use super::summary;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::show;

#[derive(Debug, clap::Args)]
#[command(after_help = "Needs no server. Exits with 1 if the backup is not good.")]
pub(super) struct Arguments {
    /// The directory of the backup.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let contents = ops::backup::verify(&arguments.directory)
        .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let text = match arguments.json {
        true => serde_json::to_string(&contents).map_err(std::io::Error::from)?,
        false => format!(
            "{} is good: {}\n  Next: autom8 backup restore {} --data DIR",
            contents.path,
            summary(&contents),
            show::quoted(&contents.path)
        ),
    };
    Output::new(arguments.json).print(&text)?;
    Ok(Exit::Ok)
}
