//! `GET /api/v1/audit_log`: which write was made, by whom and when.

use std::net::IpAddr;

use autom8_model::{AuditAction, AuditEntry, AuditId, KeyId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::page::PageMeta;

/// A page, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AuditLog {
    pub audit_log: Vec<AuditEntryView>,
    pub meta: PageMeta,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AuditEntryView {
    pub id: AuditId,
    pub at: Timestamp,
    pub action: AuditAction,
    /// What it was done to: the name of a task, the id of a contact, run or key, or how many.
    pub target: String,
    /// The name of the key, `open` where none was asked for, `local` for the command line on the
    /// data directory.
    pub principal: String,
    /// `null` without a key.
    pub key_id: Option<KeyId>,
    /// `null` for the command line, and for what came through a Unix socket.
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub address: Option<IpAddr>,
    pub request_id: Option<String>,
}

impl From<AuditEntry> for AuditEntryView {
    fn from(entry: AuditEntry) -> Self {
        AuditEntryView {
            id: entry.id,
            at: entry.at,
            action: entry.action,
            target: entry.target,
            principal: entry.author.principal,
            key_id: entry.author.key,
            address: entry.author.address,
            request_id: entry.author.request_id,
        }
    }
}
