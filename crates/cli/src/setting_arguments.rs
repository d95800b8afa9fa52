//! The flags of settings, made from the table of settings: a setting is said once.

use std::ffi::OsString;
use std::path::PathBuf;

use autom8_config::{Config, ConfigError, SETTINGS, Setting};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

/// `--config` and a flag for each setting that has one.
#[derive(Debug)]
pub(crate) struct SettingArguments {
    file: Option<PathBuf>,
    flags: Vec<(&'static Setting, String)>,
}

const FILE: &str = "config";

impl SettingArguments {
    /// Lays the flags over environment, file and defaults.
    pub(crate) fn load(&self) -> Result<Config, ConfigError> {
        autom8_config::read(self.file.as_deref(), &self.flags)
    }
}

impl FromArgMatches for SettingArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Vec::new();
        for setting in SETTINGS {
            match setting.flag {
                Some(flag) if flag.value_name.is_some() => {
                    if let Some(text) = matches.get_one::<String>(flag.name) {
                        flags.push((setting, text.clone()));
                    }
                }
                Some(flag) if matches.get_flag(flag.name) => {
                    flags.push((setting, "true".to_owned()))
                }
                _ => {}
            }
        }
        let file = matches.get_one::<OsString>(FILE).map(PathBuf::from);
        Ok(SettingArguments { file, flags })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = SettingArguments::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for SettingArguments {
    fn augment_args(command: Command) -> Command {
        let flags = SETTINGS.iter().filter_map(|setting| {
            let flag = setting.flag?;
            let mut help = setting.help.trim_end_matches('.').to_owned();
            let arg = Arg::new(flag.name).long(flag.name);
            let arg = match flag.value_name {
                Some(value_name) => {
                    help.push_str(&format!(" [default: {}]", setting.default_shown()));
                    arg.value_name(value_name)
                }
                None => arg.action(ArgAction::SetTrue),
            };
            Some(arg.help(help))
        });
        let file = Arg::new(FILE)
            .long(FILE)
            .value_name("FILE")
            .value_parser(clap::value_parser!(OsString))
            .help(format!(
                "Settings file [default: {}, if it exists]",
                autom8_config::CONFIG_FILE
            ));
        command.args(flags).arg(file)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
