//! The edge: what this process's environment and files say.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::error::{ConfigError, Fault};
use crate::layers::{FileText, Sources};
use crate::{Config, Setting};

/// The settings file that is read if it exists, from the working directory.
pub const CONFIG_FILE: &str = "autom8.toml";
/// Settings are a page of text; more is another file given by mistake.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;
/// The same for a secret.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Loads the settings of this process: `flags` over its environment over the settings file.
///
/// `file` must exist if it is given; [`CONFIG_FILE`] need not.
///
/// # Errors
/// Every fault of the file, the environment and the flags.
pub fn read(
    file: Option<&Path>,
    flags: &[(&'static Setting, String)],
) -> Result<Config, ConfigError> {
    let path = file.unwrap_or(Path::new(CONFIG_FILE));
    let shown = path.display().to_string();
    let file = match read_bounded(path, CONFIG_BYTES_MAX) {
        Ok(text) => Some(FileText { path: shown, text }),
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => None,
        Err(error) => {
            let fault = Fault::new(
                shown,
                format!(
                    "cannot read the settings: {error}: name a TOML file that this user may read"
                ),
            );
            return Err(ConfigError {
                faults: vec![fault],
            });
        }
    };
    // A variable that is not Unicode cannot be one of ours, since every name and value is.
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    Config::load(&Sources {
        file,
        environment,
        flags: flags.to_vec(),
        read_secret: &|path| read_bounded(path, SECRET_BYTES_MAX),
    })
}

fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<String> {
    use std::io::Read as _;

    let mut text = String::new();
    std::fs::File::open(path)?
        .take(bytes_max + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > bytes_max {
        return Err(io::Error::other(format!(
            "it is longer than {bytes_max} bytes"
        )));
    }
    Ok(text)
}
