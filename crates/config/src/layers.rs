//! The sources laid over each other, and the judgement of the whole.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Config;
use crate::error::{ConfigError, Fault};
use crate::file;
use crate::listen::Listen;
use crate::origin::Origin;
use crate::suggest;
use crate::table::{SETTINGS, Setting};

/// Everything a configuration is made of; the defaults are in the table.
pub struct Sources<'a> {
    pub file: Option<FileText>,
    /// Of the whole process; what is not ours is passed over.
    pub environment: BTreeMap<String, String>,
    /// Settings given as flags, as text.
    pub flags: Vec<(&'static Setting, String)>,
    /// Reads the file that a `…_FILE` variable names.
    pub read_secret: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// The settings file, read.
pub struct FileText {
    /// As a person would name it in a message.
    pub path: String,
    pub text: String,
}

/// Variables of ours that are not settings of the server; the guard against unknown ones lets
/// them pass.
const OTHER_VARIABLES: &[&str] = &["AUTOM8_SERVER_URL"];

/// Behind a bucket that takes longer to fill stands a slip; the limiter counts no further.
const BURST_REFILL_MAX: Duration = Duration::from_secs(3 * 24 * 3_600);

pub(crate) fn load(sources: &Sources<'_>) -> Result<Config, ConfigError> {
    let mut layers = Layers {
        config: Config::default(),
        faults: Vec::new(),
    };
    layers.file(sources);
    layers.environment(sources);
    for (setting, text) in &sources.flags {
        let name = setting
            .flag
            .map_or_else(|| setting.key.to_owned(), |f| format!("--{}", f.name));
        layers.set(setting, text, Origin::Flag { name });
    }
    layers.settle_port();
    layers.settle_directory();
    layers.judge();
    match layers.faults.is_empty() {
        true => Ok(layers.config),
        false => Err(ConfigError {
            faults: layers.faults,
        }),
    }
}

pub(crate) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let listen = &config.server.listen;
    if !listen.is_local() {
        warnings.push(format!(
            "other machines can reach {listen}, and without TLS whoever is on the way reads API \
             keys and data: have a proxy in front end TLS, or listen on an address of a private \
             network only"
        ));
    }
    let everything = config
        .security
        .trusted_proxies
        .iter()
        .find(|network| network.is_everything());
    if let Some(network) = everything {
        warnings.push(format!(
            "security.trusted_proxies has {network}, so every client may write into \
             X-Forwarded-For who it is and escape its limit: name the proxies alone"
        ));
    }
    if !config.security.rate_limit_enabled && !listen.is_local() {
        warnings.push(
            "the rate limit is off, so that nothing slows down who guesses API keys: remove \
             security.rate_limit_enabled = false"
                .to_owned(),
        );
    }
    warnings
}

struct Layers {
    config: Config,
    faults: Vec<Fault>,
}

impl Layers {
    fn set(&mut self, setting: &'static Setting, text: &str, origin: Origin) {
        match (setting.set)(&mut self.config, text) {
            Ok(()) => self.config.origins.set(setting.key, origin),
            Err(message) => {
                self.faults
                    .push(Fault::new(origin, format!("{}: {message}", setting.key)));
            }
        }
    }

    fn file(&mut self, sources: &Sources<'_>) {
        let Some(file) = &sources.file else { return };
        for entry in file::entries(&file.path, &file.text, &mut self.faults) {
            let origin = Origin::File {
                path: file.path.clone(),
                line: entry.line,
            };
            self.set(entry.setting, &entry.text, origin);
        }
    }

    fn environment(&mut self, sources: &Sources<'_>) {
        for setting in SETTINGS {
            // The guide's name first: our own, if both are set, wins.
            let names = [
                setting.guide_name.map(str::to_owned),
                Some(setting.environment_name()),
            ];
            for name in names.into_iter().flatten() {
                if let Some((name, text)) = self.variable(setting, name, sources) {
                    self.set(setting, &text, Origin::Environment { name });
                }
            }
        }
        for name in sources.environment.keys() {
            self.refuse_unknown(name);
        }
    }

    /// The value of a variable or, for a secret, of the file that its `…_FILE` names. An empty
    /// variable counts as unset: compose files cannot leave one out.
    fn variable(
        &mut self,
        setting: &Setting,
        name: String,
        sources: &Sources<'_>,
    ) -> Option<(String, String)> {
        let lookup = |name: &str| {
            sources
                .environment
                .get(name)
                .filter(|value| !value.is_empty())
        };
        let direct = lookup(&name).cloned();
        if !setting.is_secret {
            return Some((name, direct?));
        }
        let file_name = format!("{name}_FILE");
        match (direct, lookup(&file_name)) {
            (direct, None) => Some((name, direct?)),
            (Some(_), Some(_)) => {
                let message = format!("{file_name} is set too: remove one of the two");
                self.faults
                    .push(Fault::new(format_args!("environment {name}"), message));
                None
            }
            (None, Some(path)) => match (sources.read_secret)(&PathBuf::from(path)) {
                Ok(text) => Some((file_name, text.trim_end_matches(['\r', '\n']).to_owned())),
                Err(error) => {
                    let message = format!("cannot read the file it names ({path}): {error}");
                    self.faults
                        .push(Fault::new(format_args!("environment {file_name}"), message));
                    None
                }
            },
        }
    }

    /// A variable that begins like one of our sections but names no setting is a typing error
    /// that would otherwise go unnoticed.
    fn refuse_unknown(&mut self, name: &str) {
        let of_a_section = SETTINGS.iter().any(|setting| {
            let section = setting
                .key
                .split('.')
                .next()
                .unwrap_or_default()
                .to_uppercase();
            name.strip_prefix("AUTOM8_")
                .and_then(|rest| rest.strip_prefix(&section))
                .is_some_and(|rest| rest.starts_with('_'))
        });
        let is_known = || {
            OTHER_VARIABLES.contains(&name)
                || SETTINGS.iter().any(|setting| {
                    let known = setting.environment_name();
                    name == known || (setting.is_secret && name == format!("{known}_FILE"))
                })
        };
        if !of_a_section || is_known() {
            return;
        }
        let known: Vec<String> = SETTINGS.iter().map(Setting::environment_name).collect();
        let advice = match suggest::nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None => "`autom8 config explain` lists all settings".to_owned(),
        };
        self.faults.push(Fault::new(
            format_args!("environment {name}"),
            format!("no setting has this name: {advice}"),
        ));
    }

    /// A port can be part of the address or stand alone. The higher layer wins; within one layer
    /// two different ports are a contradiction.
    fn settle_port(&mut self) {
        let Listen::Tcp {
            port: in_address, ..
        } = &mut self.config.server.listen
        else {
            return;
        };
        let Some(written) = in_address.take() else {
            return;
        };
        let address = self.origin("server.listen");
        let port = self.origin("server.port");
        if port.layer() > address.layer() {
            return;
        }
        if port.layer() == address.layer() && written != self.config.server.port {
            self.faults.push(Fault::new(
                &port,
                format!(
                    "server.port is {}, but the address ({address}) names port {written}: \
                     remove one of the two",
                    self.config.server.port
                ),
            ));
            return;
        }
        self.config.server.port = written;
        self.config.origins.set("server.port", address);
    }

    /// The same for the directory, which the database's URL may name.
    fn settle_directory(&mut self) {
        let Some(url) = &self.config.storage.database_url else {
            return;
        };
        let named = url.directory().to_owned();
        let url = self.origin("storage.database_url");
        let directory = self.origin("storage.directory");
        if directory.layer() > url.layer() {
            self.config.storage.database_url = None;
            self.config.origins.set("storage.database_url", directory);
            return;
        }
        if directory.layer() == url.layer() && named != self.config.storage.directory {
            self.faults.push(Fault::new(
                &directory,
                format!(
                    "storage.directory is {}, but storage.database_url ({url}) names {}: remove \
                     one of the two",
                    self.config.storage.directory.display(),
                    named.display()
                ),
            ));
            return;
        }
        self.config.storage.directory = named;
        self.config.origins.set("storage.directory", url);
    }

    fn origin(&self, key: &str) -> Origin {
        self.config.origins.of(key).clone()
    }

    /// What no single value can show.
    fn judge(&mut self) {
        let config = &self.config;
        let security = &config.security;
        let limit = security.rate_limit_default;
        let burst = security.rate_limit_burst.unwrap_or(limit.requests);
        if limit.period.saturating_mul(burst) / limit.requests > BURST_REFILL_MAX {
            self.faults.push(Fault::new(
                self.origin("security.rate_limit_burst"),
                format!(
                    "at {limit} it would take more than 3 days to save up {burst} requests, which \
                     nobody waits for: lessen security.rate_limit_burst"
                ),
            ));
        }
        if config.server.is_production()
            && !security.rate_limit_enabled
            && !security.allow_production_without_rate_limit
        {
            self.faults.push(Fault::new(
                self.origin("security.rate_limit_enabled"),
                "the rate limit is off and server.environment is production: remove \
                 security.rate_limit_enabled = false, or accept it with \
                 security.allow_production_without_rate_limit = true",
            ));
        }
    }
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
