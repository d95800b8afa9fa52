//! Which contacts a list shows, and whom a lookup asks for.
//!
//! A query that is read is a value of its own, the same for every spelling of it, so that a page
//! can be kept under it.

use std::str::FromStr;

use autom8_config::suggest;
use autom8_model::contact::{Email, Phone, Tag};
use autom8_model::{ContactId, Timestamp, limits};
use autom8_store::{ContactFilter, ContactPosition, ContactSort, ContactSortKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::query::{FromQuery, Parameters};
use super::scan::shown_key;

/// Contacts of a page unless the client says otherwise.
pub const LIMIT_DEFAULT: usize = 100;

/// The query of `GET /api/v1/contacts`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContactListQuery {
    /// The beginning of a name, e-mail or phone; never empty.
    pub search: Option<String>,
    pub tag: Option<Tag>,
    pub order: Order,
    pub after: Option<ContactPosition>,
    pub offset: usize,
    pub limit: usize,
}

/// `sort`: a field, with `-` before it to reverse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Order {
    pub sort: ContactSort,
    pub descending: bool,
}

/// The one contact that a lookup asks for.
#[derive(Clone, Debug)]
pub enum ContactLookup {
    Phone(Phone),
    Email(Email),
    /// The query was refused.
    Nobody,
}

impl FromQuery for ContactListQuery {
    fn take(parameters: &mut Parameters) -> Self {
        let order = parameters.one("sort").unwrap_or_default();
        let is_behind = parameters.is_given("cursor");
        let after = parameters.cursor(|text| read_cursor(text, order));
        let offset = parameters.number_from_zero("offset", limits::OFFSET_MAX);
        if is_behind && offset.is_some() {
            parameters.fault("offset", "is given beside `cursor`: use one of the two");
        }
        ContactListQuery {
            search: searched(parameters),
            tag: tagged(parameters),
            order,
            after,
            offset: offset.unwrap_or_default(),
            limit: parameters.number("limit", LIMIT_DEFAULT, limits::PAGE_MAX),
        }
    }
}

/// Takes `q`: the beginning of a name, e-mail or phone; never empty.
pub fn searched(parameters: &mut Parameters) -> Option<String> {
    parameters
        .one::<SearchText>("q")
        .and_then(|SearchText(text)| text)
}

/// Takes `tag`.
pub fn tagged(parameters: &mut Parameters) -> Option<Tag> {
    parameters.one("tag")
}

impl ContactListQuery {
    pub fn filter(&self) -> ContactFilter {
        ContactFilter {
            query: self.search.clone(),
            tag: self.tag.as_ref().map(|tag| tag.as_str().to_owned()),
            sort: self.order.sort,
            descending: self.order.descending,
            after: self.after.clone(),
            offset: self.offset,
            limit: self.limit,
        }
    }

    /// Whether it leaves contacts out by what they are.
    pub fn is_search(&self) -> bool {
        self.search.is_some() || self.tag.is_some()
    }
}

impl FromQuery for ContactLookup {
    fn take(parameters: &mut Parameters) -> Self {
        let given = ["phone", "email"].map(|name| parameters.is_given(name));
        let phone = parameters.one::<WrittenPhone>("phone");
        let email = parameters.one::<Email>("email");
        match given {
            [true, true] => parameters.fault("email", "is given beside `phone`: ask for one"),
            [false, false] => parameters.fault("email", "is missing: give `email` or `phone`"),
            _ => {}
        }
        match (phone, email) {
            (Some(WrittenPhone(phone)), None) => ContactLookup::Phone(phone),
            (None, Some(email)) => ContactLookup::Email(email),
            _ => ContactLookup::Nobody,
        }
    }
}

/// A phone as it stands in a query, where a bare `+` means a space.
struct WrittenPhone(Phone);

impl FromStr for WrittenPhone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix(' ') {
            Some(digits) => format!("+{digits}").parse(),
            None => text.parse(),
        }
        .map(WrittenPhone)
    }
}

/// Everything begins with nothing, so an empty one is none.
struct SearchText(Option<String>);

impl FromStr for SearchText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let chars = text.chars().count();
        if chars > limits::EMAIL_BYTES_MAX {
            return Err(format!(
                "has {chars} characters, the limit is {}: it is the beginning of a name, e-mail or \
                 phone",
                limits::EMAIL_BYTES_MAX
            ));
        }
        Ok(SearchText((!text.is_empty()).then(|| text.to_owned())))
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const NAMES: [&str; 4] = ["id", "name", "created_at", "updated_at"];
        let (descending, name) = match text.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, text),
        };
        let sort = match name {
            "id" => ContactSort::Id,
            "name" => ContactSort::Name,
            "created_at" => ContactSort::CreatedAt,
            "updated_at" => ContactSort::UpdatedAt,
            other => {
                let shown = shown_key(other);
                return Err(match suggest::nearest(other, NAMES) {
                    Some(meant) => format!("is `{shown}`; did you mean `{meant}`?"),
                    None => format!(
                        "is `{shown}`: use {}, with - before it to reverse",
                        NAMES.join(", ")
                    ),
                });
            }
        };
        Ok(Order { sort, descending })
    }
}

impl Order {
    /// First byte of a cursor: it belongs to one order.
    fn mark(self) -> u8 {
        let sort = match self.sort {
            ContactSort::Id => b'i',
            ContactSort::Name => b'n',
            ContactSort::CreatedAt => b'c',
            ContactSort::UpdatedAt => b'u',
        };
        if self.descending {
            sort.to_ascii_uppercase()
        } else {
            sort
        }
    }
}

/// The place where a page ends, as clients carry it: the order, the id, and what is sorted by.
pub fn write_cursor(position: &ContactPosition, order: Order) -> String {
    let mut bytes = vec![order.mark()];
    bytes.extend_from_slice(&position.id.0.to_be_bytes());
    match &position.key {
        ContactSortKey::Id => {}
        ContactSortKey::Name(name) => bytes.extend_from_slice(name.as_bytes()),
        ContactSortKey::Time(time) => bytes.extend_from_slice(&time.as_micros().to_be_bytes()),
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read_cursor(text: &str, order: Order) -> Option<ContactPosition> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let rest = bytes.strip_prefix(&[order.mark()])?;
    let (id, key) = rest.split_first_chunk()?;
    let id = i64::from_be_bytes(*id);
    let key = match order.sort {
        ContactSort::Id => key.is_empty().then_some(ContactSortKey::Id)?,
        ContactSort::Name => ContactSortKey::Name(std::str::from_utf8(key).ok()?.to_owned()),
        ContactSort::CreatedAt | ContactSort::UpdatedAt => {
            let micros = i64::from_be_bytes(key.try_into().ok()?);
            ContactSortKey::Time(Timestamp::from_micros(micros))
        }
    };
    (id > 0).then_some(ContactPosition {
        key,
        id: ContactId(id),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_order() -> impl Strategy<Value = Order> {
        let sorts = [
            ContactSort::Id,
            ContactSort::Name,
            ContactSort::CreatedAt,
            ContactSort::UpdatedAt,
        ];
        (prop::sample::select(sorts.to_vec()), any::<bool>())
            .prop_map(|(sort, descending)| Order { sort, descending })
    }

    fn position(order: Order, id: i64, name: String, micros: i64) -> ContactPosition {
        let key = match order.sort {
            ContactSort::Id => ContactSortKey::Id,
            ContactSort::Name => ContactSortKey::Name(name),
            _ => ContactSortKey::Time(Timestamp::from_micros(micros)),
        };
        ContactPosition {
            key,
            id: ContactId(id),
        }
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_the_position_it_was_and_under_no_other_order(
            order in any_order(), other in any_order(),
            id in 1..i64::MAX, name in ".{0,40}", micros in any::<i64>(),
        ) {
            let position = position(order, id, name, micros);
            let cursor = write_cursor(&position, order);
            prop_assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
            prop_assert_eq!(read_cursor(&cursor, order), Some(position));
            if other != order {
                prop_assert_eq!(read_cursor(&cursor, other), None);
            }
        }

        #[test]
        fn what_was_made_up_is_no_cursor_and_no_panic(text in "[A-Za-z0-9_=.-]{0,30}", order in any_order()) {
            if let Some(position) = read_cursor(&text, order) {
                prop_assert_eq!(write_cursor(&position, order), text);
            }
        }
    }
}
