//! NDJSON: one contact a line, as the API takes it and as the export writes it.

use autom8_model::contact::{ContactFields, Field};
use autom8_model::contact_import::RowFault;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::extract::{json, scan};

/// A contact as it is answered, or as it is sent: what only the server writes is passed over.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Line {
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "created_at")]
    _created_at: Option<IgnoredAny>,
    #[serde(rename = "updated_at")]
    _updated_at: Option<IgnoredAny>,
    name: Field<String>,
    phone: Field<String>,
    email: Field<String>,
    tags: Field<Vec<String>>,
    attributes: Field<Box<RawValue>>,
}

/// The contact of a line.
///
/// # Errors
/// With what makes it none.
pub fn contact(line: &[u8]) -> Result<ContactFields, RowFault> {
    let Line {
        name,
        phone,
        email,
        tags,
        attributes,
        ..
    } = json::parse(line).map_err(|problem| {
        let mut faults = problem.errors;
        faults.retain(|fault| fault.path != "/");
        match faults.is_empty() {
            true if scan::Scanner::is_joined_lines(line) => {
                RowFault::of_row(format!("{}; {}", problem.message, scan::JOINED_LINES))
            }
            true => RowFault::of_row(problem.message),
            false => RowFault::of_faults(faults),
        }
    })?;
    Ok(ContactFields {
        name,
        phone,
        email,
        tags,
        attributes,
    })
}

/// Whether text is a JSON object that is accepted here.
///
/// # Errors
/// Why not.
pub(super) fn checked_object(text: &[u8]) -> Result<(), String> {
    if text.first() != Some(&b'{') {
        return Err("must be an object of names and values, e.g. {\"city\":\"London\"}".to_owned());
    }
    scan::check(text).map_err(|fault| fault.message)
}
