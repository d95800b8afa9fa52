//! `autom8 config show`

use autom8_config::{Origin, SETTINGS};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::setting_arguments::SettingArguments;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Flags win over the environment, the environment over the file, the file \
over defaults."
)]
pub(crate) struct Arguments {
    /// Show where each value comes from.
    #[arg(long)]
    origin: bool,
    /// Print JSON: {"settings":[{"key","value","origin"}]}.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingArguments,
}

#[derive(Serialize)]
struct Shown {
    settings: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    key: &'static str,
    value: String,
    origin: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let config = arguments.settings.load()?;
    let settings: Vec<Row> = SETTINGS
        .iter()
        .map(|setting| {
            let origin = config.origin(setting);
            let value = match setting.is_secret && *origin != Origin::Default {
                true => "(secret)".to_owned(),
                false => config.shown(setting),
            };
            Row {
                key: setting.key,
                value,
                origin: origin.to_string(),
            }
        })
        .collect();
    let output = Output::new(arguments.json);
    let text = match (arguments.json, arguments.origin) {
        (true, _) => serde_json::to_string(&Shown { settings }).map_err(std::io::Error::from)?,
        (false, true) => output.table(
            ["SETTING", "VALUE", "ORIGIN"],
            settings
                .into_iter()
                .map(|row| [row.key.to_owned(), row.value, row.origin]),
        ),
        (false, false) => output.table(
            ["SETTING", "VALUE"],
            settings
                .into_iter()
                .map(|row| [row.key.to_owned(), row.value]),
        ),
    };
    output.print(&text)?;
    Ok(Exit::Ok)
}
