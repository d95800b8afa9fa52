//! Pages of contacts, in the order asked for.
//!
//! A list walks the index of its order. A search first gathers what matches (`contact_search`):
//! few matches are sorted, and the page is exact. Many are walked in order and filtered on the way:
//! the more there are, the sooner a page is full, and a bound ends it where they lie thin. Contacts
//! of a tag are walked along the tag where the order is that of the ids.

use std::cmp::{Ordering, Reverse};

use autom8_model::contact::name_key;
use autom8_model::{Contact, ContactId, Invalid, limits};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::SqlResult;
use super::contact_search::{self, Matches, Wanted};
use super::contacts::{columns, read_contact};
use crate::{ContactFilter, ContactPage, ContactPosition, ContactSort, ContactSortKey};

/// Rows of a list that is read on the thread that asks.
const INLINE_ROWS_MAX: usize = 200;

/// What a page may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Matches that are gathered and sorted.
    pub gathered_max: usize,
    /// Rows that are looked at on the way, beside those that the offset skips.
    pub visits_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            gathered_max: limits::SEARCH_GATHER_MAX,
            visits_max: limits::PAGE_VISITS_MAX,
        }
    }
}

/// A page, or what is wrong with the question.
pub(crate) type PageAnswer = Result<ContactPage, Invalid>;

/// Whether a page is so cheap that a hop to another thread would cost more than the rows.
pub(crate) fn is_quick(filter: &ContactFilter) -> bool {
    filter.query.is_none() && filter.tag.is_none() && filter.offset + filter.limit < INLINE_ROWS_MAX
}

pub(crate) fn page(
    connection: &Connection,
    filter: &ContactFilter,
    bounds: Bounds,
) -> SqlResult<PageAnswer> {
    if let Some(after) = &filter.after
        && !is_of(filter.sort, after)
    {
        return Ok(Err(Invalid::new(
            "/cursor",
            "belongs to a list in another order: take it from a page of this one",
        )));
    }
    let wanted = Wanted::new(filter);
    if wanted.is_everything() {
        return whole_page(connection, filter, Along::Order);
    }
    // Several statements, one moment.
    let _moment = connection.unchecked_transaction()?;
    let by_id = matches!(filter.sort, ContactSort::Id | ContactSort::CreatedAt);
    match (&wanted.tag, &wanted.text) {
        (Some(tag), None) if by_id => whole_page(connection, filter, Along::Tag(tag)),
        _ => match contact_search::matches(connection, &wanted, by_id, bounds.gathered_max)? {
            Matches::All(ids) => sorted_page(connection, filter, ids),
            Matches::TooMany => match &wanted.tag {
                Some(tag) if by_id => {
                    filtered_page(connection, filter, &wanted, Along::Tag(tag), bounds)
                }
                _ => filtered_page(connection, filter, &wanted, Along::Order, bounds),
            },
        },
    }
}

/// What is walked.
#[derive(Clone, Copy)]
enum Along<'a> {
    /// The index of the order.
    Order,
    /// The contacts of a tag, by id.
    Tag(&'a str),
}

/// Every row that is walked belongs to the list, so that an offset visits no row of the table.
fn whole_page(
    connection: &Connection,
    filter: &ContactFilter,
    along: Along<'_>,
) -> SqlResult<PageAnswer> {
    let mut page = ContactPage::default();
    let (sql, mut parameters) = walk(filter, along);
    // One more than asked for tells whether there is a next page.
    parameters.push(integer(filter.limit.saturating_add(1)));
    parameters.push(integer(filter.offset));
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(params_from_iter(parameters))?;
    page.contacts.reserve(filter.limit.min(limits::PAGE_MAX));
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if page.contacts.len() == filter.limit || bytes >= limits::PAGE_BYTES_MAX {
            page.next = behind_last(&page, filter.sort);
            break;
        }
        let contact = read_contact(row)?;
        bytes += bytes_of(&contact);
        page.contacts.push(contact);
    }
    Ok(Ok(page))
}

/// Walks in order and takes what fits, until the page is full or enough was looked at.
fn filtered_page(
    connection: &Connection,
    filter: &ContactFilter,
    wanted: &Wanted<'_>,
    along: Along<'_>,
    bounds: Bounds,
) -> SqlResult<PageAnswer> {
    let mut page = ContactPage::default();
    let mut skip = filter.offset;
    let visits_max = bounds.visits_max.saturating_add(filter.offset);
    let (mut visits, mut bytes) = (0, 0);
    let (sql, mut parameters) = walk(filter, along);
    parameters.push(integer(visits_max));
    parameters.push(integer(0));
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(params_from_iter(parameters))?;
    while let Some(row) = rows.next()? {
        visits += 1;
        let fits = wanted.fits(row)?;
        if fits && skip > 0 {
            skip -= 1;
        } else if fits {
            if page.contacts.len() == filter.limit || bytes >= limits::PAGE_BYTES_MAX {
                page.next = behind_last(&page, filter.sort);
                return Ok(Ok(page));
            }
            let contact = read_contact(row)?;
            bytes += bytes_of(&contact);
            page.contacts.push(contact);
        }
        if visits == visits_max {
            if skip > 0 {
                return Ok(Err(Invalid::new(
                    "/offset",
                    "leads too far into a search that matches so much: follow `next_cursor`",
                )));
            }
            page.next = Some(position(&read_contact(row)?, filter.sort));
        }
    }
    Ok(Ok(page))
}

/// Sorts what was gathered, and reads only the contacts of the page.
fn sorted_page(
    connection: &Connection,
    filter: &ContactFilter,
    ids: Vec<i64>,
) -> SqlResult<PageAnswer> {
    let after = filter.after.as_ref();
    let after_id = after.map(|after| after.id.0);
    let (ids, mut more) = match filter.sort {
        ContactSort::Id | ContactSort::CreatedAt => cut(
            filter,
            ids.into_iter().map(|id| ((), id)),
            after_id.map(|id| ((), id)),
        ),
        ContactSort::Name => {
            let keyed = keyed(
                connection,
                &ids,
                "SELECT name_key FROM contacts WHERE id = ?1",
            )?;
            let after = after.and_then(|after| match &after.key {
                ContactSortKey::Name(name) => Some((name.clone(), after.id.0)),
                _ => None,
            });
            cut(filter, keyed, after)
        }
        ContactSort::UpdatedAt => {
            let keyed = keyed(
                connection,
                &ids,
                "SELECT updated_at FROM contacts WHERE id = ?1",
            )?;
            let after = after.and_then(|after| match after.key {
                ContactSortKey::Time(time) => Some((time.as_micros(), after.id.0)),
                _ => None,
            });
            cut(filter, keyed, after)
        }
    };
    let mut page = ContactPage::default();
    let mut bytes = 0;
    for id in ids {
        if bytes >= limits::PAGE_BYTES_MAX {
            more = true;
            break;
        }
        if let Some(contact) = super::contacts::by_id(connection, ContactId(id))? {
            bytes += bytes_of(&contact);
            page.contacts.push(contact);
        }
    }
    if more {
        page.next = behind_last(&page, filter.sort);
    }
    Ok(Ok(page))
}

/// What makes one contact longer than another, but for a few hundred bytes.
fn bytes_of(contact: &Contact) -> usize {
    let tags: usize = contact.tags.iter().map(|tag| tag.as_str().len()).sum();
    contact.attributes.get().len() + tags
}

fn keyed<K: rusqlite::types::FromSql>(
    connection: &Connection,
    ids: &[i64],
    sql: &str,
) -> SqlResult<Vec<(K, i64)>> {
    let mut select = connection.prepare_cached(sql)?;
    ids.iter()
        .map(|id| Ok((select.query_row([id], |row| row.get(0))?, *id)))
        .collect()
}

/// The ids of the page, in order, and whether more come after it.
fn cut<K: Ord>(
    filter: &ContactFilter,
    all: impl IntoIterator<Item = (K, i64)>,
    after: Option<(K, i64)>,
) -> (Vec<i64>, bool) {
    let order = |one: &(K, i64), other: &(K, i64)| -> Ordering {
        if filter.descending {
            Reverse(one).cmp(&Reverse(other))
        } else {
            one.cmp(other)
        }
    };
    let mut left: Vec<(K, i64)> = all
        .into_iter()
        .filter(|one| {
            after
                .as_ref()
                .is_none_or(|after| order(one, after) == Ordering::Greater)
        })
        .collect();
    let needed = filter.offset.saturating_add(filter.limit);
    let more = left.len() > needed;
    if more {
        left.select_nth_unstable_by(needed, order);
        left.truncate(needed);
    }
    left.sort_unstable_by(order);
    let ids = left.into_iter().skip(filter.offset).map(|(_, id)| id);
    (ids.collect(), more)
}

/// A statement that walks, and its parameters but for the last two: how many rows, and how many
/// before them are left out.
fn walk(filter: &ContactFilter, along: Along<'_>) -> (&'static str, Vec<Value>) {
    let mut parameters = Vec::with_capacity(5);
    if let Along::Tag(tag) = along {
        parameters.push(Value::Text(tag.to_owned()));
    }
    let by_id = matches!(filter.sort, ContactSort::Id | ContactSort::CreatedAt);
    if let Some(after) = &filter.after {
        match &after.key {
            _ if by_id => {}
            ContactSortKey::Name(name) => parameters.push(Value::Text(name.clone())),
            ContactSortKey::Time(time) => parameters.push(Value::Integer(time.as_micros())),
            ContactSortKey::Id => {}
        }
        parameters.push(Value::Integer(after.id.0));
    }
    let walks = match (along, filter.sort) {
        (Along::Tag(_), _) => &BY_TAG,
        // Times of creation follow the ids.
        (Along::Order, ContactSort::Id | ContactSort::CreatedAt) => &BY_ID,
        (Along::Order, ContactSort::Name) => &BY_NAME,
        (Along::Order, ContactSort::UpdatedAt) => &BY_UPDATED_AT,
    };
    let sql = walks.of(filter.after.is_some(), filter.descending);
    (sql, parameters)
}

/// The statements of one order.
pub(crate) struct Walks {
    up: &'static str,
    down: &'static str,
    up_from: &'static str,
    down_from: &'static str,
}

impl Walks {
    fn of(&self, from: bool, descending: bool) -> &'static str {
        match (from, descending) {
            (false, false) => self.up,
            (false, true) => self.down,
            (true, false) => self.up_from,
            (true, true) => self.down_from,
        }
    }

    #[cfg(test)]
    pub(crate) fn all(&self) -> [&'static str; 4] {
        [self.up, self.down, self.up_from, self.down_from]
    }
}

/// Rows to walk: a contact, and the key of its name.
macro_rules! rows {
    ($($rest:expr),*) => {
        concat!("SELECT ", columns!(), ", name_key FROM ", $($rest),*)
    };
}

/// The contacts of a tag.
macro_rules! tagged {
    ($rest:literal) => {
        // CROSS: the tag is walked, and each contact looked up.
        rows!(
            "contact_tags CROSS JOIN contacts ON id = contact_id WHERE tag = ?1 ",
            $rest
        )
    };
}

/// An order by a column, and by the ids of those that are alike in it. From a cursor on it is two
/// ranges: SQLite would seek a pair by its first half, and step over all that are alike.
macro_rules! by_column {
    ($column:literal) => {
        Walks {
            up: rows!("contacts ORDER BY ", $column, ", id LIMIT ?1 OFFSET ?2"),
            down: rows!(
                "contacts ORDER BY ",
                $column,
                " DESC, id DESC LIMIT ?1 OFFSET ?2"
            ),
            up_from: concat!(
                rows!("contacts WHERE ", $column, " = ?1 AND id > ?2 UNION ALL "),
                rows!(
                    "contacts WHERE ",
                    $column,
                    " > ?1 ORDER BY ",
                    $column,
                    ", id "
                ),
                "LIMIT ?3 OFFSET ?4"
            ),
            down_from: concat!(
                rows!("contacts WHERE ", $column, " = ?1 AND id < ?2 UNION ALL "),
                rows!(
                    "contacts WHERE ",
                    $column,
                    " < ?1 ORDER BY ",
                    $column,
                    " DESC, id DESC "
                ),
                "LIMIT ?3 OFFSET ?4"
            ),
        }
    };
}

pub(crate) const BY_ID: Walks = Walks {
    up: rows!("contacts ORDER BY id LIMIT ?1 OFFSET ?2"),
    down: rows!("contacts ORDER BY id DESC LIMIT ?1 OFFSET ?2"),
    up_from: rows!("contacts WHERE id > ?1 ORDER BY id LIMIT ?2 OFFSET ?3"),
    down_from: rows!("contacts WHERE id < ?1 ORDER BY id DESC LIMIT ?2 OFFSET ?3"),
};
pub(crate) const BY_NAME: Walks = by_column!("name_key");
pub(crate) const BY_UPDATED_AT: Walks = by_column!("updated_at");
pub(crate) const BY_TAG: Walks = Walks {
    up: tagged!("ORDER BY contact_id LIMIT ?2 OFFSET ?3"),
    down: tagged!("ORDER BY contact_id DESC LIMIT ?2 OFFSET ?3"),
    up_from: tagged!("AND contact_id > ?2 ORDER BY contact_id LIMIT ?3 OFFSET ?4"),
    down_from: tagged!("AND contact_id < ?2 ORDER BY contact_id DESC LIMIT ?3 OFFSET ?4"),
};

fn behind_last(page: &ContactPage, sort: ContactSort) -> Option<ContactPosition> {
    page.contacts.last().map(|last| position(last, sort))
}

fn position(contact: &Contact, sort: ContactSort) -> ContactPosition {
    let key = match sort {
        ContactSort::Id => ContactSortKey::Id,
        ContactSort::Name => ContactSortKey::Name(name_key(&contact.name)),
        ContactSort::CreatedAt => ContactSortKey::Time(contact.created_at),
        ContactSort::UpdatedAt => ContactSortKey::Time(contact.updated_at),
    };
    ContactPosition {
        key,
        id: contact.id,
    }
}

fn is_of(sort: ContactSort, position: &ContactPosition) -> bool {
    match sort {
        ContactSort::Id => matches!(position.key, ContactSortKey::Id),
        ContactSort::Name => matches!(position.key, ContactSortKey::Name(_)),
        ContactSort::CreatedAt | ContactSort::UpdatedAt => {
            matches!(position.key, ContactSortKey::Time(_))
        }
    }
}

fn integer(number: usize) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
