//! What each column of a CSV file is, by its name in the header.

use autom8_api::contact_file::ColumnNote;
use autom8_config::suggest;
use autom8_model::Contact;
use autom8_model::contact::{ContactFields, Field};
use autom8_model::contact_import::{ContactKey, ImportRule, OnDuplicate, RowFault, given_text};
use serde_json::value::RawValue;

use super::COLUMNS_MAX;
use super::json_lines::checked_object;

/// Characters with which a spreadsheet begins a formula. The exporter writes an apostrophe in
/// front of them, as a spreadsheet does, and the importer takes it away.
pub(super) const FORMULA_BEGINNINGS: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\''];
/// What separates tags in a cell. A cell that begins with `[` is a JSON array instead.
pub(super) const TAG_SEPARATORS: [char; 3] = [';', '|', ','];
/// A column of this form is the attribute behind the dot.
const ATTRIBUTE_PREFIX: &str = "attributes.";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Name,
    Phone,
    Email,
    Tags,
    /// A JSON object.
    Attributes,
    /// One attribute, as text.
    Attribute(String),
    /// Without a name, or one that only the server writes.
    Ignored,
}

/// The columns of one file.
#[derive(Clone, Debug)]
pub struct Columns {
    columns: Vec<(String, Column)>,
}

impl Columns {
    /// # Errors
    /// What is wrong with the header, and what would be right.
    pub(super) fn read<'a>(header: impl Iterator<Item = &'a [u8]>) -> Result<Self, String> {
        let mut columns: Vec<(String, Column)> = Vec::new();
        for cell in header {
            let Ok(text) = std::str::from_utf8(cell) else {
                return Err("has bytes that are not UTF-8: save the file as UTF-8".to_owned());
            };
            let title = text.trim();
            let column = Column::named(title);
            let twin = columns
                .iter()
                .find(|(_, other)| *other == column && column != Column::Ignored);
            if let Some((other, _)) = twin {
                return Err(format!("names `{title}` twice (`{other}`)"));
            }
            columns.push((title.to_owned(), column));
        }
        if columns.len() >= COLUMNS_MAX {
            return Err(format!("has {COLUMNS_MAX} columns or more"));
        }
        Ok(Columns { columns })
    }

    /// Whether the columns are there without which no row can be taken.
    ///
    /// # Errors
    /// Which is missing, and which one was probably meant.
    pub fn check(&self, rule: ImportRule) -> Result<(), String> {
        let needed: &[Column] = match (rule.on_duplicate, rule.key) {
            (OnDuplicate::Update, ContactKey::Phone) => &[Column::Phone],
            (OnDuplicate::Update, ContactKey::Email) => &[Column::Email],
            _ => &[Column::Name, Column::Phone],
        };
        for column in needed {
            if self.columns.iter().any(|(_, known)| known == column) {
                continue;
            }
            let name = column.name();
            let others = self.columns.iter().map(|(title, _)| title.as_str());
            let near = suggest::nearest(name, others.filter(|title| !title.is_empty()));
            let hint = near.map_or_else(
                || {
                    format!(
                        "the first line of the file names the columns, e.g. name{0}phone{0}email",
                        ','
                    )
                },
                |near| format!("is it the one called `{near}`? Rename that to `{name}`"),
            );
            return Err(format!("has no column `{name}`: {hint}"));
        }
        Ok(())
    }

    /// How each column is understood, with a suggestion where a name is near another.
    pub fn notes(&self) -> Vec<ColumnNote> {
        let note = |(title, column): &(String, Column)| ColumnNote {
            column: title.clone(),
            field: match column {
                Column::Attribute(name) => Some(format!("{ATTRIBUTE_PREFIX}{name}")),
                Column::Ignored => None,
                known => Some(known.name().to_owned()),
            },
            suggestion: match column {
                Column::Attribute(name) if !title.starts_with(ATTRIBUTE_PREFIX) => {
                    let near = suggest::nearest(name, Contact::FIELDS);
                    near.filter(|near| !self.columns.iter().any(|(_, known)| known.name() == *near))
                        .map(str::to_owned)
                }
                _ => None,
            },
        };
        self.columns.iter().map(note).collect()
    }

    /// The contact of a record.
    ///
    /// # Errors
    /// With what makes it none.
    pub(super) fn contact<'a>(
        &self,
        record: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Result<ContactFields, RowFault> {
        let (found, expected) = (record.len(), self.columns.len());
        if found < expected {
            return Err(RowFault::of_row(format!(
                "has {found} fields, the header has {expected}"
            )));
        }
        let mut fields = ContactFields::default();
        let mut object = None;
        let mut attributes: Vec<(&str, String)> = Vec::new();
        let mut columns = self.columns.iter();
        for bytes in record {
            let (title, column) = match columns.next() {
                Some((title, column)) => (title.as_str(), column),
                None if bytes.is_empty() => continue,
                None => {
                    return Err(RowFault::of_row(format!(
                        "has {found} fields, the header has {expected}: \
                         quote a field that has a separator in it"
                    )));
                }
            };
            let Ok(text) = std::str::from_utf8(bytes) else {
                return Err(RowFault::of_field(
                    title,
                    "has bytes that are not UTF-8: save the file as UTF-8",
                ));
            };
            match column {
                Column::Ignored => {}
                Column::Name => fields.name = given_text(unguarded(text)),
                Column::Phone => fields.phone = given_text(unguarded(text)),
                Column::Email => fields.email = given_text(unguarded(text)),
                Column::Tags => fields.tags = tags(unguarded(text))?,
                Column::Attributes => object = attributes_object(text)?,
                Column::Attribute(name) => {
                    let text = unguarded(text);
                    if !text.trim().is_empty() {
                        attributes.push((name, text.to_owned()));
                    }
                }
            }
        }
        fields.attributes = joined(object, &attributes)?;
        Ok(fields)
    }
}

impl Column {
    fn named(title: &str) -> Self {
        let plain: String = title
            .chars()
            .filter(|c| !matches!(c, ' ' | '-' | '_'))
            .flat_map(char::to_lowercase)
            .collect();
        match plain.as_str() {
            "name" => Column::Name,
            "phone" => Column::Phone,
            "email" => Column::Email,
            "tags" => Column::Tags,
            "attributes" => Column::Attributes,
            "" | "id" | "createdat" | "updatedat" => Column::Ignored,
            _ => {
                let name = title.strip_prefix(ATTRIBUTE_PREFIX).unwrap_or(title);
                Column::Attribute(name.to_owned())
            }
        }
    }

    fn name(&self) -> &str {
        match self {
            Column::Name => "name",
            Column::Phone => "phone",
            Column::Email => "email",
            Column::Tags => "tags",
            Column::Attributes => "attributes",
            Column::Attribute(name) => name,
            Column::Ignored => "",
        }
    }
}

/// Text without the apostrophe that keeps a spreadsheet from taking it for a formula.
fn unguarded(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(rest) if rest.starts_with(FORMULA_BEGINNINGS) => rest,
        _ => text,
    }
}

fn tags(text: &str) -> Result<Field<Vec<String>>, RowFault> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Field::Absent);
    }
    if text.starts_with('[') {
        return serde_json::from_str(text).map(Field::Given).map_err(|_| {
            RowFault::of_field("tags", "begins with [ and is no JSON array of texts")
        });
    }
    let tags = text.split(TAG_SEPARATORS).map(str::trim);
    Ok(Field::Given(
        tags.filter(|tag| !tag.is_empty())
            .map(str::to_owned)
            .collect(),
    ))
}

fn attributes_object(text: &str) -> Result<Option<Box<RawValue>>, RowFault> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    checked_object(text.as_bytes())
        .and_then(|()| RawValue::from_string(text.to_owned()).map_err(|error| error.to_string()))
        .map(Some)
        .map_err(|error| RowFault::of_field("attributes", error))
}

/// The attributes of a row: those of the object as they are, and the columns behind them.
fn joined(
    object: Option<Box<RawValue>>,
    attributes: &[(&str, String)],
) -> Result<Field<Box<RawValue>>, RowFault> {
    if attributes.is_empty() {
        return Ok(object.map_or(Field::Absent, Field::Given));
    }
    let mut text = object.map_or_else(|| "{}".to_owned(), |object| object.get().to_owned());
    let known: std::collections::HashMap<String, serde::de::IgnoredAny> =
        serde_json::from_str(&text)
            .map_err(|error| RowFault::of_field("attributes", error.to_string()))?;
    text.pop();
    let mut is_first = known.is_empty();
    for (name, value) in attributes {
        if known.contains_key(*name) {
            return Err(RowFault::of_field(
                *name,
                "is a column and in `attributes` as well",
            ));
        }
        if !is_first {
            text.push(',');
        }
        is_first = false;
        // Texts are JSON.
        text.push_str(&serde_json::to_string(name).unwrap_or_default());
        text.push(':');
        text.push_str(&serde_json::to_string(value).unwrap_or_default());
    }
    text.push('}');
    RawValue::from_string(text)
        .map(Field::Given)
        .map_err(|error| RowFault::of_field("attributes", error.to_string()))
}
