//! `/api/v1/keys`: who may call, and what for.

use autom8_model::api_key::KeyLimit;
use autom8_model::{ApiKey, KeyId, Scope, Timestamp};
use serde::{Deserialize, Serialize};

use crate::page::PageMeta;

/// `POST /api/v1/keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// What people call it: the program that has it, or its owner.
    #[cfg_attr(
        feature = "schema",
        schema(
            min_length = 1,
            max_length = 64,
            pattern = r"^[^\s\x00-\x1F\x7F-\x9F]([^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F])?$"
        )
    )]
    pub name: String,
    /// At least one.
    #[cfg_attr(feature = "schema", schema(min_items = 1))]
    pub scopes: Vec<Scope>,
    /// In place of the server's own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<KeyLimit>,
    /// In the future; absent for a key that does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A key, all but its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct KeyView {
    pub id: KeyId,
    pub name: String,
    pub scopes: Vec<Scope>,
    /// Its first characters, by which its owner tells it from others.
    pub shown: String,
    /// `null` where the server's own limit holds.
    pub rate_limit: Option<KeyLimit>,
    pub created_at: Timestamp,
    /// `null` for a key that does not expire.
    pub expires_at: Option<Timestamp>,
    /// To the minute; `null` for a key that was never used.
    pub last_used_at: Option<Timestamp>,
}

impl From<&ApiKey> for KeyView {
    fn from(key: &ApiKey) -> Self {
        KeyView {
            id: key.id,
            name: key.name.clone(),
            scopes: key.scopes.iter().collect(),
            shown: key.shown.clone(),
            rate_limit: key.limit,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
        }
    }
}

/// The answer to `POST /api/v1/keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct KeyCreated {
    #[serde(flatten)]
    pub view: KeyView,
    /// The key itself. It is shown now and never again.
    pub key: String,
    /// What a person has to know now.
    pub message: String,
}

/// `GET /api/v1/keys`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct KeyList {
    pub keys: Vec<KeyView>,
    pub meta: PageMeta,
}

/// `DELETE /api/v1/keys/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct KeyDeleted {
    pub message: String,
}
