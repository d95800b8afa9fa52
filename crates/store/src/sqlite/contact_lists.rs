//! Pages of contacts: walked along the index of their order, and filtered on the way.

use autom8_model::contact::{Tag, name_key};
use autom8_model::{Contact, ContactId, Timestamp, limits};
use rusqlite::{Connection, ToSql};

use super::SqlResult;
use super::contacts::{COLUMNS, read_contact};
use crate::{ContactFilter, ContactPage, ContactPosition, ContactSort, ContactSortKey};

pub(crate) fn page(connection: &Connection, filter: &ContactFilter) -> SqlResult<ContactPage> {
    let wanted = Wanted::new(filter);
    let mut page = ContactPage::default();
    let mut skip = filter.offset;
    let mut visits = 0;
    let (sql, parameters) = walk(filter);
    let parameters: Vec<&dyn ToSql> = parameters.iter().map(|p| &**p as &dyn ToSql).collect();
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query(&parameters[..])?;
    while let Some(row) = rows.next()? {
        let contact = read_contact(row)?;
        visits += 1;
        let position = position(&contact, filter.sort);
        if wanted.fits(&contact) {
            if skip > 0 {
                skip -= 1;
            } else if page.contacts.len() == filter.limit {
                // One more than asked for: there is a next page, behind the last one shown.
                page.next = page
                    .contacts
                    .last()
                    .map(|last| self::position(last, filter.sort));
                break;
            } else {
                page.contacts.push(contact);
            }
        }
        if visits >= limits::PAGE_VISITS_MAX + filter.offset {
            page.next = Some(position);
            break;
        }
    }
    Ok(page)
}

/// What a search asks of a contact.
struct Wanted<'a> {
    text: Option<String>,
    digits: Option<String>,
    tag: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn new(filter: &'a ContactFilter) -> Self {
        Wanted {
            text: filter.query.as_deref().map(name_key),
            digits: filter.query.as_deref().and_then(phone_prefix),
            tag: filter.tag.as_deref(),
        }
    }

    fn fits(&self, contact: &Contact) -> bool {
        let tagged = self
            .tag
            .is_none_or(|tag| contact.tags.iter().any(|own| Tag::as_str(own) == tag));
        let found = self.text.as_deref().is_none_or(|text| {
            let key = contact.phone.key();
            name_key(&contact.name).starts_with(text)
                || contact
                    .email
                    .as_ref()
                    .is_some_and(|email| email.key().starts_with(text))
                || self.digits.as_deref().is_some_and(|digits| {
                    key.starts_with(digits)
                        || key
                            .strip_prefix('+')
                            .is_some_and(|key| key.starts_with(digits))
                })
        });
        tagged && found
    }
}

/// The beginning of a phone's key, if a search text can be one: people leave out the `+`.
fn phone_prefix(query: &str) -> Option<String> {
    let digits: String = query
        .trim()
        .chars()
        .filter(|c| !" -./()".contains(*c))
        .collect();
    let number = digits.strip_prefix('+').unwrap_or(&digits);
    (!digits.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

fn walk(filter: &ContactFilter) -> (String, Vec<Box<dyn ToSql>>) {
    let (beyond, order) = if filter.descending {
        ("<", "DESC")
    } else {
        (">", "ASC")
    };
    let column = match filter.sort {
        // Times of creation follow the ids.
        ContactSort::Id | ContactSort::CreatedAt => "id",
        ContactSort::Name => "name_key",
        ContactSort::UpdatedAt => "updated_at",
    };
    let mut parameters: Vec<Box<dyn ToSql>> = Vec::new();
    let from = match &filter.after {
        None => String::new(),
        Some(after) if column == "id" => {
            parameters.push(Box::new(after.id.0));
            format!("WHERE id {beyond} ?1")
        }
        Some(ContactPosition { key, id }) => {
            parameters.push(match key {
                ContactSortKey::Name(name) => Box::new(name.clone()),
                ContactSortKey::Time(time) => Box::new(time.as_micros()),
                ContactSortKey::Id => Box::new(id.0),
            });
            parameters.push(Box::new(id.0));
            format!("WHERE ({column}, id) {beyond} (?1, ?2)")
        }
    };
    let sql =
        format!("SELECT {COLUMNS} FROM contacts {from} ORDER BY {column} {order}, id {order}");
    (sql, parameters)
}

fn position(contact: &Contact, sort: ContactSort) -> ContactPosition {
    let key = match sort {
        ContactSort::Id => ContactSortKey::Id,
        ContactSort::Name => ContactSortKey::Name(name_key(&contact.name)),
        ContactSort::CreatedAt => time(contact.created_at),
        ContactSort::UpdatedAt => time(contact.updated_at),
    };
    ContactPosition {
        key,
        id: ContactId(contact.id.0),
    }
}

fn time(time: Timestamp) -> ContactSortKey {
    ContactSortKey::Time(time)
}
