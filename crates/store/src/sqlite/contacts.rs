//! Contacts: created, changed, deleted, and read by their keys. Lists are in `contact_lists`.

use autom8_model::contact::{Email, Phone, Tag, name_key};
use autom8_model::{Contact, ContactDraft, ContactId, ContactPatch, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql};
use serde_json::value::RawValue;

use super::SqlResult;
use super::group::Group;
use super::operation::Failure;
use super::writer::Writer;
use crate::StoreError;

/// What separates tags in a row: no tag has one.
pub(crate) const TAG_SEPARATOR: &str = ",";

/// Columns of a contact, in the order in which [`read_contact`] takes them. A macro, so that
/// statements are made when the program is.
macro_rules! columns {
    () => {
        "id, name, phone, phone_key, email, email_key, tags, attributes, created_at, updated_at"
    };
}
pub(crate) use columns;

/// What the writer knows of contacts beside the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContactCounts {
    pub contacts: u64,
    pub last_id: i64,
    /// Times of creation follow the ids, whatever the clock does: one order serves both.
    pub last_created_at: Timestamp,
}

impl Writer {
    pub(crate) fn create_contact(
        &mut self,
        draft: ContactDraft,
        group: &mut Group,
    ) -> Result<Contact, Failure> {
        let now = group.now.max(self.memory.contacts.last_created_at);
        let contact = Contact {
            id: ContactId(self.memory.contacts.last_id + 1),
            name: draft.name,
            phone: draft.phone,
            email: draft.email,
            tags: draft.tags,
            attributes: draft.attributes,
            created_at: now,
            updated_at: now,
        };
        let inserted = self
            .connection
            .prepare_cached(
                "INSERT INTO contacts (id, name, name_key, phone, phone_key, email, email_key,
                                       tags, attributes, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)",
            )?
            .execute((
                contact.id.0,
                &contact.name,
                name_key(&contact.name),
                contact.phone.as_str(),
                contact.phone.key(),
                contact.email.as_ref().map(Email::as_str),
                contact.email.as_ref().map(Email::key),
                joined(&contact.tags),
                contact.attributes.get(),
                now.as_micros(),
            ));
        inserted.map_err(|error| self.duplicate(&contact, error))?;
        self.insert_tags(&contact)?;
        self.memory.contacts.contacts += 1;
        self.memory.contacts.last_id = contact.id.0;
        self.memory.contacts.last_created_at = now;
        group.contacts.push(contact.id);
        Ok(contact)
    }

    /// Each for itself: a refused one leaves nothing behind.
    pub(crate) fn create_contacts(
        &mut self,
        drafts: Vec<ContactDraft>,
        group: &mut Group,
    ) -> Result<Vec<crate::Result<ContactId>>, Failure> {
        let before = self.memory.contacts;
        let mut answers = Vec::with_capacity(drafts.len());
        for draft in drafts {
            // A refused insert has undone itself, and its tags come after it.
            answers.push(match self.create_contact(draft, group) {
                Ok(contact) => {
                    group.rows += 1;
                    Ok(contact.id)
                }
                Err(Failure::Refused(refused)) => Err(refused),
                Err(failure) => {
                    self.memory.contacts = before;
                    return Err(failure);
                }
            });
        }
        Ok(answers)
    }

    pub(crate) fn update_contact(
        &mut self,
        id: ContactId,
        patch: &ContactPatch,
        group: &mut Group,
    ) -> Result<Contact, Failure> {
        let current = by_id(&self.connection, id)?.ok_or_else(|| no_contact(id))?;
        let mut changed = patch.apply(&current).map_err(StoreError::Invalid)?;
        changed.updated_at = group.now.max(current.updated_at);
        let updated = self
            .connection
            .prepare_cached(
                "UPDATE contacts
                 SET name = ?2, name_key = ?3, phone = ?4, phone_key = ?5, email = ?6,
                     email_key = ?7, tags = ?8, attributes = ?9, updated_at = ?10
                 WHERE id = ?1",
            )?
            .execute((
                id.0,
                &changed.name,
                name_key(&changed.name),
                changed.phone.as_str(),
                changed.phone.key(),
                changed.email.as_ref().map(Email::as_str),
                changed.email.as_ref().map(Email::key),
                joined(&changed.tags),
                changed.attributes.get(),
                changed.updated_at.as_micros(),
            ));
        updated.map_err(|error| self.duplicate(&changed, error))?;
        if changed.tags != current.tags {
            self.delete_tags(&current)?;
            self.insert_tags(&changed)?;
        }
        group.contacts.push(id);
        Ok(changed)
    }

    pub(crate) fn delete_contact(
        &mut self,
        id: ContactId,
        group: &mut Group,
    ) -> Result<(), Failure> {
        let current = by_id(&self.connection, id)?.ok_or_else(|| no_contact(id))?;
        self.delete_tags(&current)?;
        self.connection
            .prepare_cached("DELETE FROM contacts WHERE id = ?1")?
            .execute([id.0])?;
        self.memory.contacts.contacts = self.memory.contacts.contacts.saturating_sub(1);
        group.contacts.push(id);
        Ok(())
    }

    fn insert_tags(&self, contact: &Contact) -> SqlResult<()> {
        let mut insert = self
            .connection
            .prepare_cached("INSERT INTO contact_tags (tag, contact_id) VALUES (?1, ?2)")?;
        for tag in &contact.tags {
            insert.execute((tag.as_str(), contact.id.0))?;
        }
        Ok(())
    }

    fn delete_tags(&self, contact: &Contact) -> SqlResult<()> {
        let mut delete = self
            .connection
            .prepare_cached("DELETE FROM contact_tags WHERE tag = ?1 AND contact_id = ?2")?;
        for tag in &contact.tags {
            delete.execute((tag.as_str(), contact.id.0))?;
        }
        Ok(())
    }

    /// Which key is taken, and by whom. Asked only when the insert was refused: the ordinary one
    /// pays for no look-up.
    fn duplicate(&self, contact: &Contact, error: rusqlite::Error) -> Failure {
        if error.sqlite_error_code() != Some(rusqlite::ErrorCode::ConstraintViolation) {
            return error.into();
        }
        let found = || -> SqlResult<Option<(&'static str, ContactId)>> {
            let others = |found: Option<ContactId>| found.filter(|id| *id != contact.id);
            if let Some(holder) = others(id_by_phone(&self.connection, &contact.phone)?) {
                return Ok(Some(("phone", holder)));
            }
            let Some(email) = &contact.email else {
                return Ok(None);
            };
            let holder = others(id_by_email(&self.connection, email)?);
            Ok(holder.map(|holder| ("email", holder)))
        };
        match found() {
            Ok(Some((field, existing))) => StoreError::Duplicate { field, existing }.into(),
            Ok(None) => error.into(),
            Err(error) => error.into(),
        }
    }
}

fn no_contact(id: ContactId) -> StoreError {
    StoreError::NotFound {
        what: format!("contact {id}"),
    }
}

pub(crate) fn joined(tags: &[Tag]) -> String {
    let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    tags.join(TAG_SEPARATOR)
}

pub(crate) fn by_id(connection: &Connection, id: ContactId) -> SqlResult<Option<Contact>> {
    one(
        connection,
        concat!("SELECT ", columns!(), " FROM contacts WHERE id = ?1"),
        &id.0,
    )
}

pub(crate) fn by_phone(connection: &Connection, phone: &Phone) -> SqlResult<Option<Contact>> {
    one(
        connection,
        concat!("SELECT ", columns!(), " FROM contacts WHERE phone_key = ?1"),
        &phone.key(),
    )
}

pub(crate) fn by_email(connection: &Connection, email: &Email) -> SqlResult<Option<Contact>> {
    one(
        connection,
        concat!("SELECT ", columns!(), " FROM contacts WHERE email_key = ?1"),
        &email.key(),
    )
}

fn id_by_phone(connection: &Connection, phone: &Phone) -> SqlResult<Option<ContactId>> {
    connection
        .prepare_cached("SELECT id FROM contacts WHERE phone_key = ?1")?
        .query_row([phone.key()], |row| row.get(0).map(ContactId))
        .optional()
}

fn id_by_email(connection: &Connection, email: &Email) -> SqlResult<Option<ContactId>> {
    connection
        .prepare_cached("SELECT id FROM contacts WHERE email_key = ?1")?
        .query_row([email.key()], |row| row.get(0).map(ContactId))
        .optional()
}

fn one(connection: &Connection, sql: &str, key: &dyn ToSql) -> SqlResult<Option<Contact>> {
    connection
        .prepare_cached(sql)?
        .query_row([key], read_contact)
        .optional()
}

pub(crate) fn read_contact(row: &Row<'_>) -> SqlResult<Contact> {
    let email: Option<String> = row.get(4)?;
    let email_key: Option<String> = row.get(5)?;
    let tags: String = row.get(6)?;
    let attributes: String = row.get(7)?;
    Ok(Contact {
        id: ContactId(row.get(0)?),
        name: row.get(1)?,
        phone: Phone::stored(row.get(2)?, row.get(3)?),
        email: email
            .zip(email_key)
            .map(|(given, key)| Email::stored(given, key)),
        tags: tags
            .split(TAG_SEPARATOR)
            .filter(|tag| !tag.is_empty())
            .map(|tag| Tag::stored(tag.to_owned()))
            .collect(),
        attributes: RawValue::from_string(attributes).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(
                7,
                rusqlite::types::Type::Text,
                Box::new(error),
            )
        })?,
        created_at: Timestamp::from_micros(row.get(8)?),
        updated_at: Timestamp::from_micros(row.get(9)?),
    })
}

/// How many there are, and where ids and times go on.
pub(crate) fn load_counts(connection: &Connection) -> SqlResult<ContactCounts> {
    connection.query_row(
        "SELECT contacts, last_id,
                (SELECT created_at FROM contacts ORDER BY id DESC LIMIT 1)
         FROM contact_counts WHERE node = 0",
        [],
        |row| {
            let contacts: i64 = row.get(0)?;
            let last_created_at: Option<i64> = row.get(2)?;
            Ok(ContactCounts {
                contacts: contacts.unsigned_abs(),
                last_id: row.get(1)?,
                last_created_at: last_created_at
                    .map_or(Timestamp::UNIX_EPOCH, Timestamp::from_micros),
            })
        },
    )
}

pub(crate) fn write_counts(connection: &Connection, counts: ContactCounts) -> SqlResult<()> {
    connection
        .prepare_cached("UPDATE contact_counts SET contacts = ?1, last_id = ?2 WHERE node = 0")?
        .execute((counts.contacts.cast_signed(), counts.last_id))?;
    Ok(())
}
