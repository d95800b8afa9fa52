//! Which contacts a list shows, in which order, and where its next page begins.

use autom8_model::{Contact, ContactId, Timestamp};

/// Which contacts a list shows, and in which order.
#[derive(Clone, Debug, Default)]
pub struct ContactFilter {
    /// The beginning of a name, e-mail or phone; letters of either case are the same.
    pub query: Option<String>,
    pub tag: Option<String>,
    pub sort: ContactSort,
    pub descending: bool,
    /// Only contacts behind this position: the cursor.
    pub after: Option<ContactPosition>,
    /// Contacts to skip from there.
    pub offset: usize,
    pub limit: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ContactSort {
    #[default]
    Id,
    Name,
    CreatedAt,
    UpdatedAt,
}

/// A place in a sorted list; contacts that sort alike are told apart by their ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContactPosition {
    pub key: ContactSortKey,
    pub id: ContactId,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ContactSortKey {
    Id,
    /// As [`autom8_model::contact::name_key`] makes it.
    Name(String),
    /// Of creation or of the last change.
    Time(Timestamp),
}

#[derive(Clone, Debug, Default)]
pub struct ContactPage {
    pub contacts: Vec<Contact>,
    /// Where the next page starts, if there may be more.
    pub next: Option<ContactPosition>,
}
