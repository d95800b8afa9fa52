//! Identities. Numbers stay below 2^53, so that a JSON reader that knows only doubles keeps them.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::limits;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// A run; ids rise in the order in which runs are accepted by one writer.
    RunId
);
number_id!(
    /// A task's row; outlives a rename and is never reused.
    TaskId
);
number_id!(
    /// A contact; ids rise in the order in which contacts are created, and are never reused.
    ContactId
);
number_id!(
    /// An API key's row; never reused, so that the audit log stays clear about who.
    KeyId
);
number_id!(
    /// An entry of the audit log; ids rise with time.
    AuditId
);
number_id!(
    /// The number of a claim receipt. It only rises, so it fences: of two holders of one run the
    /// one with the lower epoch is stale.
    Epoch
);

/// The name of a task: a slug of 1 to 64 characters out of `a-z 0-9 - _ .`, starting with a letter
/// or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TaskName(Arc<str>);

impl TaskName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TaskName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check_slug(text, limits::TASK_NAME_CHARS_MAX)?;
        Ok(TaskName(text.into()))
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Borrow<str> for TaskName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for TaskName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is not a name, with the fix.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    #[error("is empty: give 1 to {max} characters out of a-z 0-9 - _ .")]
    Empty { max: usize },
    #[error("has {chars} characters, the limit is {max}")]
    TooLong { chars: usize, max: usize },
    #[error("has {found:?}: use lower-case letters, digits, `-`, `_` and `.`, e.g. {suggestion:?}")]
    Character { found: char, suggestion: String },
    #[error("starts with {found:?}: start with a letter or a digit")]
    Start { found: char },
}

/// Checks a slug: task names and queue names share its rules.
pub fn check_slug(text: &str, chars_max: usize) -> Result<(), NameError> {
    let chars = text.chars().count();
    let Some(first) = text.chars().next() else {
        return Err(NameError::Empty { max: chars_max });
    };
    if chars > chars_max {
        return Err(NameError::TooLong {
            chars,
            max: chars_max,
        });
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if let Some(found) = text.chars().find(|c| !allowed(*c)) {
        let suggestion: String = text
            .chars()
            .map(|c| c.to_ascii_lowercase())
            .map(|c| if allowed(c) { c } else { '-' })
            .collect();
        return Err(NameError::Character { found, suggestion });
    }
    if !first.is_ascii_alphanumeric() {
        return Err(NameError::Start { found: first });
    }
    Ok(())
}

/// Who claims: the engine of this process, or a remote worker under its own name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerName(Arc<str>);

impl WorkerName {
    pub fn new(name: &str) -> Self {
        WorkerName(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One start of one process. Random, never derived from a host name: two boots must not look
/// like one (a reused node name hid orphaned jobs in other systems for months).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootId(pub u64);

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_name_is_answered_with_one_that_would_do() {
        let error = "Nightly Sync".parse::<TaskName>().unwrap_err();
        assert!(error.to_string().contains("\"nightly-sync\""), "{error}");
        assert!("".parse::<TaskName>().is_err());
        assert!("-x".parse::<TaskName>().is_err());
        assert!("a".repeat(65).parse::<TaskName>().is_err());
        assert!("../etc".parse::<TaskName>().is_err());
        assert_eq!(
            "nightly-sync.v2".parse::<TaskName>().unwrap().as_str(),
            "nightly-sync.v2"
        );
    }
}
