//! What the server tells about itself: the health and performance report, the hardware figures,
//! objectives, the slow log and recent errors.
//!
//! Every key ends in its unit, and a percentage names what it is a part of. A figure that cannot be
//! known is null and has an entry in `unavailable[]` with the reason; it is never zero.

mod report;
mod system;

pub use report::*;
pub use system::*;

use autom8_model::{RunId, Timestamp};
use serde::{Deserialize, Serialize};

/// A null field and the reason for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Unavailable {
    /// Dotted path of the null field; a path to an object stands for everything below it.
    pub field: String,
    pub reason: String,
}

/// `GET /api/v1/slow_log`, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SlowLog {
    pub slow_log: Vec<SlowEntry>,
}

/// A request, statement or run that took longer than its threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SlowEntry {
    pub at: Timestamp,
    pub kind: SlowKind,
    /// The route, the statement or the task.
    pub name: String,
    pub duration_ms: f64,
    pub threshold_ms: f64,
    /// The status code of a request.
    pub status: Option<u16>,
    pub request_id: Option<String>,
    pub run: Option<RunId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum SlowKind {
    Request,
    Statement,
    Run,
}

/// `GET /api/v1/logs/errors`, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ErrorLog {
    pub errors: Vec<ErrorEntry>,
}

/// Something that went wrong inside the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ErrorEntry {
    pub at: Timestamp,
    /// Where: a route, a statement, a part of the server.
    pub source: String,
    pub message: String,
    pub request_id: Option<String>,
}
