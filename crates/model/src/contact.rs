//! A contact: a record that automations act on.
//!
//! What a client sends is read as [`ContactFields`], where a field may be absent, null or given;
//! [`ContactDraft`] and [`ContactPatch`] are what is left once every field has been judged, all
//! faults at once. A phone and an e-mail are kept as given; their *key*, the normalised form, is
//! what is unique and what a lookup asks for.

pub mod attributes;
mod parts;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::Timestamp;
use crate::id::ContactId;
use crate::invalid::Invalid;
use crate::limits;

pub use parts::{Email, Phone, Tag, phone_prefix};

/// A contact as it is stored and answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Contact {
    pub id: ContactId,
    pub name: String,
    pub phone: Phone,
    pub email: Option<Email>,
    pub tags: Vec<Tag>,
    /// A JSON object, as the bytes that came.
    pub attributes: Box<RawValue>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Contact {
    /// The fields of the JSON that only the server writes: a contact that was read may be sent
    /// back with them.
    pub const READ_ONLY_FIELDS: [&'static str; 3] = ["id", "created_at", "updated_at"];
    pub const FIELDS: [&'static str; 5] = ["name", "phone", "email", "tags", "attributes"];
}

/// A field of a request: left out, taken away or given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Field<T> {
    #[default]
    Absent,
    Null,
    Given(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::<T>::deserialize(deserializer)? {
            Some(value) => Field::Given(value),
            None => Field::Null,
        })
    }
}

/// What a client may write of a contact, not judged yet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContactFields {
    pub name: Field<String>,
    pub phone: Field<String>,
    pub email: Field<String>,
    pub tags: Field<Vec<String>>,
    pub attributes: Field<Box<RawValue>>,
}

/// A contact that may be created.
#[derive(Clone, Debug)]
pub struct ContactDraft {
    pub name: String,
    pub phone: Phone,
    pub email: Option<Email>,
    pub tags: Vec<Tag>,
    pub attributes: Box<RawValue>,
}

impl ContactDraft {
    /// # Errors
    /// Every field that is missing or wrong, at `/name`, `/phone`, `/email`, `/tags/3`,
    /// `/attributes`.
    pub fn new(fields: ContactFields) -> Result<Self, Vec<Invalid>> {
        let mut faults = Vec::new();
        let name = required("/name", fields.name, name, &mut faults);
        let phone = required("/phone", fields.phone, |text| text.parse(), &mut faults);
        let email =
            given(fields.email).and_then(|text| kept(text.parse::<Email>(), "/email", &mut faults));
        let tags = given(fields.tags).map(|tags| read_tags(tags, &mut faults));
        let attributes = given(fields.attributes)
            .and_then(|raw| kept(attributes::checked(raw), "/attributes", &mut faults));
        match (name, phone) {
            (Some(name), Some(phone)) if faults.is_empty() => Ok(ContactDraft {
                name,
                phone,
                email,
                tags: tags.unwrap_or_default(),
                attributes: attributes.unwrap_or_else(attributes::none),
            }),
            _ => Err(faults),
        }
    }
}

/// A change of a contact: what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct ContactPatch {
    pub name: Option<String>,
    pub phone: Option<Phone>,
    /// `Some(None)` takes it away.
    pub email: Option<Option<Email>>,
    pub tags: Option<Vec<Tag>>,
    pub attributes: Option<AttributesPatch>,
}

/// What becomes of the attributes.
#[derive(Clone, Debug)]
pub enum AttributesPatch {
    /// PUT: the object given takes the place of the old one.
    Replace(Box<RawValue>),
    /// PATCH: the object given is laid over the old one (JSON Merge Patch, RFC 7396).
    Merge(Box<RawValue>),
}

impl ContactPatch {
    /// `merge` says what is done with `attributes`: see [`AttributesPatch`].
    ///
    /// # Errors
    /// Every field that is wrong, as [`ContactDraft::new`].
    pub fn new(fields: ContactFields, merge: bool) -> Result<Self, Vec<Invalid>> {
        let mut faults = Vec::new();
        let patch = ContactPatch {
            name: changed("/name", fields.name, name, &mut faults),
            phone: changed("/phone", fields.phone, |text| text.parse(), &mut faults),
            email: match fields.email {
                Field::Absent => None,
                Field::Null => Some(None),
                Field::Given(text) => kept(text.parse::<Email>(), "/email", &mut faults).map(Some),
            },
            tags: match fields.tags {
                Field::Absent => None,
                Field::Null => Some(Vec::new()),
                Field::Given(tags) => Some(read_tags(tags, &mut faults)),
            },
            attributes: match fields.attributes {
                Field::Absent => None,
                Field::Null => Some(AttributesPatch::Replace(attributes::none())),
                Field::Given(raw) => kept(attributes::checked(raw), "/attributes", &mut faults)
                    .map(|raw| {
                        if merge {
                            AttributesPatch::Merge(raw)
                        } else {
                            AttributesPatch::Replace(raw)
                        }
                    }),
            },
        };
        if faults.is_empty() {
            Ok(patch)
        } else {
            Err(faults)
        }
    }

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        let ContactPatch {
            name,
            phone,
            email,
            tags,
            attributes,
        } = self;
        name.is_none()
            && phone.is_none()
            && email.is_none()
            && tags.is_none()
            && attributes.is_none()
    }

    /// The contact as it will be, all but its time of change.
    ///
    /// # Errors
    /// Attributes that are too large once merged.
    pub fn apply(&self, contact: &Contact) -> Result<Contact, Invalid> {
        let mut changed = contact.clone();
        if let Some(name) = &self.name {
            changed.name.clone_from(name);
        }
        if let Some(phone) = &self.phone {
            changed.phone.clone_from(phone);
        }
        if let Some(email) = &self.email {
            changed.email.clone_from(email);
        }
        if let Some(tags) = &self.tags {
            changed.tags.clone_from(tags);
        }
        match &self.attributes {
            None => {}
            Some(AttributesPatch::Replace(attributes)) => {
                changed.attributes.clone_from(attributes);
            }
            Some(AttributesPatch::Merge(patch)) => {
                let merged = attributes::merged(&contact.attributes, patch)
                    .map_err(|message| Invalid::new("/attributes", message))?;
                changed.attributes = merged;
            }
        }
        Ok(changed)
    }
}

fn given<T>(field: Field<T>) -> Option<T> {
    match field {
        Field::Given(value) => Some(value),
        Field::Absent | Field::Null => None,
    }
}

fn kept<T, E: fmt::Display>(
    read: Result<T, E>,
    path: &str,
    faults: &mut Vec<Invalid>,
) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(error) => {
            faults.push(Invalid::new(path, error));
            None
        }
    }
}

fn required<T, E: fmt::Display>(
    path: &str,
    field: Field<String>,
    read: impl FnOnce(&str) -> Result<T, E>,
    faults: &mut Vec<Invalid>,
) -> Option<T> {
    match field {
        Field::Given(text) => kept(read(&text), path, faults),
        Field::Absent | Field::Null => {
            let what = match path {
                "/name" => "is missing: a contact needs a name, e.g. \"Ada Lovelace\"",
                _ => "is missing: a contact needs a phone number, e.g. \"+44 20 7946 0018\"",
            };
            faults.push(Invalid::new(path, what));
            None
        }
    }
}

fn changed<T, E: fmt::Display>(
    path: &str,
    field: Field<String>,
    read: impl FnOnce(&str) -> Result<T, E>,
    faults: &mut Vec<Invalid>,
) -> Option<T> {
    match field {
        Field::Absent => None,
        Field::Given(text) => kept(read(&text), path, faults),
        Field::Null => {
            faults.push(Invalid::new(
                path,
                "is null: every contact has one; leave the field out to keep it as it is",
            ));
            None
        }
    }
}

fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    let chars = text.chars().count();
    if chars == 0 {
        return Err("is empty: give the contact a name".to_owned());
    }
    if chars > limits::CONTACT_NAME_CHARS_MAX {
        return Err(format!(
            "has {chars} characters, the limit is {}",
            limits::CONTACT_NAME_CHARS_MAX
        ));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(found) => Err(format!("has a control character ({found:?}): leave it out")),
        None => Ok(text.to_owned()),
    }
}

fn read_tags(tags: Vec<String>, faults: &mut Vec<Invalid>) -> Vec<Tag> {
    if tags.len() > limits::CONTACT_TAGS_MAX {
        let message = format!(
            "has {} tags, the limit is {}",
            tags.len(),
            limits::CONTACT_TAGS_MAX
        );
        faults.push(Invalid::new("/tags", message));
        return Vec::new();
    }
    let mut read: Vec<Tag> = Vec::with_capacity(tags.len());
    for (index, text) in tags.into_iter().enumerate() {
        if let Some(tag) = kept(text.parse::<Tag>(), &format!("/tags/{index}"), faults)
            && !read.contains(&tag)
        {
            read.push(tag);
        }
    }
    read
}

/// The form of a name by which lists sort and searches compare. Each letter is lowered for itself,
/// so that the beginning of a name has the beginning of its key: the Greek sigma, which has
/// another form at the end of a word, would break that.
pub fn name_key(name: &str) -> String {
    name.chars()
        .flat_map(char::to_lowercase)
        .map(|letter| if letter == 'ς' { 'σ' } else { letter })
        .collect()
}

#[cfg(test)]
#[path = "contact/tests.rs"]
mod tests;
