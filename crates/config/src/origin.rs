//! Where a value comes from.

use std::collections::BTreeMap;
use std::fmt;

/// The source of one value. The order is the precedence: later wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    #[default]
    Default,
    File {
        path: String,
        /// The first is 1.
        line: usize,
    },
    Environment {
        name: String,
    },
    Flag {
        /// With its dashes.
        name: String,
    },
}

impl Origin {
    /// Which layer this is; a higher one wins.
    pub(crate) fn layer(&self) -> u8 {
        match self {
            Origin::Default => 0,
            Origin::File { .. } => 1,
            Origin::Environment { .. } => 2,
            Origin::Flag { .. } => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{path}:{line}"),
            Origin::Environment { name } => write!(f, "environment {name}"),
            Origin::Flag { name } => write!(f, "flag {name}"),
        }
    }
}

/// The origins of the values that are not defaults, by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins(BTreeMap<&'static str, Origin>);

impl Origins {
    pub(crate) fn of(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }

    pub(crate) fn set(&mut self, key: &'static str, origin: Origin) {
        self.0.insert(key, origin);
    }
}
