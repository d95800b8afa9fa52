//! One complaint about one field of an input.

use serde::{Deserialize, Serialize};

/// What is wrong with a field, and what would be right.
///
/// `path` is a JSON pointer-like path such as `/schedule/cron`; `/` is the whole body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Invalid {
    pub path: String,
    pub message: String,
}

impl Invalid {
    pub fn new(path: impl Into<String>, message: impl ToString) -> Self {
        Invalid {
            path: path.into(),
            message: message.to_string(),
        }
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}
