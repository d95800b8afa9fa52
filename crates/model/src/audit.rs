//! The audit log: which write was made, by whom and when.
//!
//! An entry is written in the transaction of the write it tells of: neither is there without the
//! other.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::id::{AuditId, KeyId};

/// Who makes a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The key that was presented; `None` for a server that asks for none, and for the command
    /// line on the files themselves.
    pub key: Option<KeyId>,
    /// What people call it: the key's name, `open` without a key, `local` for the command line.
    pub principal: String,
    pub request_id: Option<String>,
    pub address: Option<IpAddr>,
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $code:literal $text:literal,)*) => {
        /// What was done. The text is `noun.verb`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum AuditAction {
            $($(#[$doc])* $name,)*
        }

        impl AuditAction {
            pub const ALL: &'static [AuditAction] = &[$(AuditAction::$name,)*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(AuditAction::$name => $text,)*
                }
            }

            /// For the store; never reused.
            pub fn code(self) -> i64 {
                match self {
                    $(AuditAction::$name => $code,)*
                }
            }

            pub fn from_code(code: i64) -> Option<Self> {
                match code {
                    $($code => Some(AuditAction::$name),)*
                    _ => None,
                }
            }
        }
    };
}

actions! {
    ContactCreate = 1 "contact.create",
    ContactUpdate = 2 "contact.update",
    ContactDelete = 3 "contact.delete",
    /// Many at once; the target says how many.
    ContactBatch = 4 "contact.batch",
    TaskCreate = 11 "task.create",
    TaskUpdate = 12 "task.update",
    TaskDelete = 13 "task.delete",
    TaskPause = 14 "task.pause",
    TaskResume = 15 "task.resume",
    RunEnqueue = 21 "run.enqueue",
    RunCancel = 22 "run.cancel",
    RunReplay = 23 "run.replay",
    KeyCreate = 31 "key.create",
    KeyDelete = 32 "key.delete",
}

impl fmt::Display for AuditAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AuditAction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        AuditAction::ALL
            .iter()
            .copied()
            .find(|action| action.as_str() == text)
            .ok_or_else(|| {
                let known: Vec<&str> = AuditAction::ALL.iter().map(|one| one.as_str()).collect();
                format!("`{text}` is not an action: use {}", known.join(", "))
            })
    }
}

impl Serialize for AuditAction {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for AuditAction {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub id: AuditId,
    pub at: Timestamp,
    pub author: Author,
    pub action: AuditAction,
    /// What it was done to: a task's name, the id of a contact, run or key, or how many.
    pub target: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_a_code_and_a_text_of_its_own() {
        for action in AuditAction::ALL {
            assert_eq!(AuditAction::from_code(action.code()), Some(*action));
            assert_eq!(action.as_str().parse(), Ok(*action));
        }
        assert!("contact.hug".parse::<AuditAction>().is_err());
    }
}
