//! `POST /api/v1/runs/batch`: many runs of one task in one request.

use autom8_model::RunId;
use serde::{Deserialize, Serialize};

/// The answer, 202. The request is `{"task":"name","inputs":[…],"return_ids":false}`; the server
/// reads it without building a tree, so it has no type here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BatchAccepted {
    pub accepted: u64,
    /// Inputs whose unique key was known already; 0 until tasks can have such keys.
    pub deduplicated: u64,
    /// In the order of the inputs; `null` unless `return_ids` was true.
    pub ids: Option<Vec<RunId>>,
}
