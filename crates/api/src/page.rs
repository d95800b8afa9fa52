//! What the lists of tasks and runs have in common.

use serde::{Deserialize, Serialize};

/// Beside the rows of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PageMeta {
    /// To be given back as `cursor` for the next page; `null` on the last. A page of a filtered
    /// list may be short, or empty, and still have one.
    pub next_cursor: Option<String>,
}
