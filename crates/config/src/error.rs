//! What is wrong with the settings.

use std::fmt;

/// Every fault of one load; there is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub faults: Vec<Fault>,
}

/// One value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `autom8.toml:7`, a variable of the environment, or a flag.
    pub place: String,
    /// What is wrong, why, and what to write instead.
    pub message: String,
}

impl Fault {
    pub(crate) fn new(place: impl fmt::Display, message: impl Into<String>) -> Self {
        Fault {
            place: place.to_string(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
