//! `autom8 config explain`: the reference of all settings, printed from their table.

use autom8_config::{SETTINGS, Setting, suggest};

use crate::failure::{Exit, Failure};
use crate::output::Output;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  autom8 config explain
  autom8 config explain port")]
pub(crate) struct Arguments {
    /// A setting, a section, or a part of one.
    #[arg(value_name = "WORD")]
    word: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let word = arguments.word.as_deref().unwrap_or_default();
    let matching: Vec<&Setting> = SETTINGS
        .iter()
        .filter(|setting| setting.key.contains(word))
        .collect();
    if matching.is_empty() {
        let failure = Failure::new(Exit::NotFound, format!("no setting contains `{word}`"));
        let names = SETTINGS.iter().map(|setting| {
            setting
                .key
                .rsplit_once('.')
                .map_or(setting.key, |(_, name)| name)
        });
        let fix = match suggest::nearest(word, names) {
            Some(near) => format!("did you mean `autom8 config explain {near}`?"),
            None => "`autom8 config explain` lists all".to_owned(),
        };
        return Err(failure.fix(fix));
    }
    let entries: Vec<String> = matching.into_iter().map(entry).collect();
    Output::new(false).print(&entries.join("\n"))?;
    Ok(Exit::Ok)
}

fn entry(setting: &Setting) -> String {
    let own = setting.environment_name();
    let mut names = vec![own.clone()];
    names.extend(setting.guide_name.map(str::to_owned));
    if setting.is_secret {
        let files: Vec<String> = names.iter().map(|name| format!("{name}_FILE")).collect();
        names.extend(files);
    }
    let flag = setting.flag.map(|flag| match flag.value_name {
        Some(value) => format!("\n  flag         --{} {value}", flag.name),
        None => format!("\n  flag         --{}", flag.name),
    });
    format!(
        "{}\n  {}\n  default      {}\n  environment  {}{}\n",
        setting.key,
        setting.help,
        setting.default_shown(),
        names.join(", "),
        flag.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_names_every_way_to_set_it() {
        let port = Setting::by_key("server.port").unwrap();
        assert_eq!(
            entry(port),
            "server.port\n  TCP port; 0 takes a free one.\n  default      5000\n  \
             environment  AUTOM8_SERVER_PORT, API_PORT\n  flag         --port N\n"
        );
        let url = Setting::by_key("storage.database_url").unwrap();
        assert!(entry(url).contains("DATABASE_URL_FILE"), "{}", entry(url));
    }
}
