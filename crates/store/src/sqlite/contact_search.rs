//! What a search asks for, and which contacts match it: ranges of the indexes of names, e-mails
//! and phones, and of a tag.

use autom8_model::contact::{name_key, phone_prefix};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::SqlResult;
use super::contacts::TAG_SEPARATOR;
use crate::ContactFilter;

/// What a search asks of a contact. An empty text asks nothing.
pub(crate) struct Wanted<'a> {
    pub text: Option<Text>,
    pub tag: Option<&'a str>,
}

/// The beginning of a name, an e-mail or a phone.
pub(crate) struct Text {
    /// In the form of the keys of names and e-mails.
    words: String,
    /// Beginnings of the keys of phones, if it can be one: people leave out the `+`.
    numbers: Vec<String>,
}

impl<'a> Wanted<'a> {
    pub(crate) fn new(filter: &'a ContactFilter) -> Self {
        Wanted {
            text: filter.query.as_deref().and_then(Text::new),
            tag: filter.tag.as_deref(),
        }
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.text.is_none() && self.tag.is_none()
    }

    /// Judges a row of a list without making a contact of it: most are passed over.
    pub(crate) fn fits(&self, row: &Row<'_>) -> SqlResult<bool> {
        if let Some(tag) = self.tag
            && !row
                .get_ref(6)?
                .as_str()?
                .split(TAG_SEPARATOR)
                .any(|own| !own.is_empty() && own == tag)
        {
            return Ok(false);
        }
        match &self.text {
            None => Ok(true),
            Some(text) => Ok(text.begins(
                row.get_ref(10)?.as_str()?,
                row.get_ref(5)?.as_str_or_null()?,
                row.get_ref(3)?.as_str()?,
            )),
        }
    }
}

impl Text {
    fn new(query: &str) -> Option<Self> {
        // Nothing that is stored begins with a space; the end may be that of a first name.
        let query = query.trim_start();
        (!query.is_empty()).then(|| Text {
            words: name_key(query),
            numbers: numbers(query),
        })
    }

    fn begins(&self, name_key: &str, email_key: Option<&str>, phone_key: &str) -> bool {
        name_key.starts_with(&self.words)
            || email_key.is_some_and(|key| key.starts_with(&self.words))
            || self
                .numbers
                .iter()
                .any(|number| phone_key.starts_with(number.as_str()))
    }
}

/// What a phone's key may begin with: people leave out the `+`.
fn numbers(query: &str) -> Vec<String> {
    match phone_prefix(query) {
        None => Vec::new(),
        Some(number) if number.starts_with('+') => vec![number],
        Some(number) => vec![format!("+{number}"), number],
    }
}

/// Which contacts match.
pub(crate) enum Matches {
    /// These, each once, by id.
    All(Vec<i64>),
    /// More than are worth sorting.
    TooMany,
}

/// Gathers the matches of a search. `by_id` says that a tag, which is kept by id, can as well be
/// walked.
pub(crate) fn matches(
    connection: &Connection,
    wanted: &Wanted<'_>,
    by_id: bool,
    max: usize,
) -> SqlResult<Matches> {
    if let Some(text) = &wanted.text
        && let Matches::All(mut ids) = of_text(connection, text, max)?
    {
        if let Some(tag) = wanted.tag {
            ids = having_tag(connection, ids, tag)?;
        }
        return Ok(Matches::All(ids));
    }
    let Some(tag) = wanted.tag.filter(|_| !by_id) else {
        return Ok(Matches::TooMany);
    };
    match (of_tag(connection, tag, max)?, &wanted.text) {
        (Matches::All(ids), Some(text)) => Ok(Matches::All(beginning_with(connection, ids, text)?)),
        (matches, _) => Ok(matches),
    }
}

fn of_text(connection: &Connection, text: &Text, max: usize) -> SqlResult<Matches> {
    const BY_NAME: &str = "SELECT id FROM contacts WHERE name_key >= ?1 AND name_key < ?2 LIMIT ?3";
    const BY_EMAIL: &str =
        "SELECT id FROM contacts WHERE email_key >= ?1 AND email_key < ?2 LIMIT ?3";
    const BY_PHONE: &str =
        "SELECT id FROM contacts WHERE phone_key >= ?1 AND phone_key < ?2 LIMIT ?3";
    let ranges = [(BY_NAME, &text.words), (BY_EMAIL, &text.words)]
        .into_iter()
        .chain(text.numbers.iter().map(|number| (BY_PHONE, number)));
    let mut ids = Vec::new();
    for (sql, beginning) in ranges {
        let mut select = connection.prepare_cached(sql)?;
        let found = select.query_map((beginning, end_of(beginning), max as i64 + 1), |row| {
            row.get(0)
        })?;
        let before = ids.len();
        for id in found {
            ids.push(id?);
        }
        if ids.len() - before > max {
            return Ok(Matches::TooMany);
        }
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(if ids.len() > max {
        Matches::TooMany
    } else {
        Matches::All(ids)
    })
}

/// The first text behind all that begin so. A BLOB is behind every text.
fn end_of(beginning: &str) -> Value {
    let mut end = beginning.to_owned();
    while let Some(last) = end.pop() {
        let next = match last {
            // Between these lie the surrogates, which are no characters.
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            end.push(next);
            return Value::Text(end);
        }
    }
    Value::Blob(Vec::new())
}

fn of_tag(connection: &Connection, tag: &str, max: usize) -> SqlResult<Matches> {
    let ids = connection
        .prepare_cached("SELECT contact_id FROM contact_tags WHERE tag = ?1 LIMIT ?2")?
        .query_map((tag, max as i64 + 1), |row| row.get(0))?
        .collect::<SqlResult<Vec<i64>>>()?;
    Ok(if ids.len() > max {
        Matches::TooMany
    } else {
        Matches::All(ids)
    })
}

fn having_tag(connection: &Connection, ids: Vec<i64>, tag: &str) -> SqlResult<Vec<i64>> {
    let mut select = connection
        .prepare_cached("SELECT 1 FROM contact_tags WHERE tag = ?1 AND contact_id = ?2")?;
    kept(ids, |id| select.exists((tag, id)))
}

fn beginning_with(connection: &Connection, ids: Vec<i64>, text: &Text) -> SqlResult<Vec<i64>> {
    let mut select = connection
        .prepare_cached("SELECT name_key, email_key, phone_key FROM contacts WHERE id = ?1")?;
    kept(ids, |id| {
        let begins = select
            .query_row([id], |row| {
                Ok(text.begins(
                    row.get_ref(0)?.as_str()?,
                    row.get_ref(1)?.as_str_or_null()?,
                    row.get_ref(2)?.as_str()?,
                ))
            })
            .optional()?;
        Ok(begins.unwrap_or(false))
    })
}

fn kept(ids: Vec<i64>, mut is_kept: impl FnMut(i64) -> SqlResult<bool>) -> SqlResult<Vec<i64>> {
    let mut kept = Vec::new();
    for id in ids {
        if is_kept(id)? {
            kept.push(id);
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_beginning_is_behind_all_that_begin_so_and_before_all_that_do_not() {
        let after = |beginning: &str| match end_of(beginning) {
            Value::Text(end) => end,
            other => format!("{other:?}"),
        };
        assert_eq!(after("ada"), "adb");
        assert_eq!(after("a\u{d7ff}"), "a\u{e000}");
        assert_eq!(after("a\u{7f}"), "a\u{80}");
        assert_eq!(after("a\u{10ffff}"), "b");
        assert_eq!(end_of("\u{10ffff}\u{10ffff}"), Value::Blob(Vec::new()));
    }

    #[test]
    fn a_number_is_looked_for_as_it_may_be_stored() {
        assert_eq!(numbers("+44 (20)"), ["+4420"]);
        assert_eq!(numbers("44-20"), ["+4420", "4420"]);
        assert_eq!(numbers("+"), ["+"]);
        assert!(numbers("ada").is_empty() && numbers("-").is_empty() && numbers("4+4").is_empty());
    }
}
