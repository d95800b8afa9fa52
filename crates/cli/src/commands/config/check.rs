//! `autom8 config check`

use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::setting_arguments::SettingArguments;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: SettingArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let config = arguments.settings.load()?;
    let output = Output::new(false);
    for warning in config.warnings() {
        output.note(&format!("warning: {warning}"));
    }
    output.print("The configuration is valid.")?;
    Ok(Exit::Ok)
}
