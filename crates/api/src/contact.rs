//! `/api/v1/contacts`: records that automations act on.
//!
//! A contact is read and written as [`Contact`] itself. What a client may leave out of a write, and
//! what is judged about it, is in [`autom8_model::contact`].

use autom8_model::{Contact, ContactId};
use serde::{Deserialize, Serialize};

/// `GET /api/v1/contacts`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ContactList {
    pub contacts: Vec<Contact>,
    pub meta: ContactListMeta,
}

/// Beside the rows of a page of contacts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ContactListMeta {
    /// Of all contacts; `null` with `q` or `tag`, since counting what fits would read everything.
    pub total: Option<u64>,
    pub limit: usize,
    /// `null` with `cursor`: how many rows lie before it is not counted.
    pub offset: Option<usize>,
    /// To be given back as `cursor` for the next page; `null` on the last. A page of a search, or
    /// of large contacts, may be short and still have one.
    pub next_cursor: Option<String>,
}

/// `DELETE /api/v1/contacts/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ContactDeleted {
    pub message: String,
}

/// `POST /api/v1/contacts/batch`, in the order of the items. The request is a line or an array
/// entry for each contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ContactBatchResults {
    pub results: Vec<ContactBatchResult>,
}

/// What became of one contact of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ContactBatchResult {
    /// From 0.
    pub index: usize,
    /// What a request with this contact alone would have been answered: 201, 400, 409.
    pub status: u16,
    /// Of the new contact.
    pub id: Option<ContactId>,
    /// Each field that is refused, with the fix.
    pub error: Option<String>,
}
