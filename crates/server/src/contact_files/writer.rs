//! Contacts as a file that [`super::reader`] reads back to the letter, but for line ends between two
//! attributes, which NDJSON cannot have.

use std::io::{self, Write};

use autom8_model::Contact;
use autom8_model::contact::{Email, Tag};

use super::FileFormat;
use super::columns::{FORMULA_BEGINNINGS, TAG_SEPARATORS};

const HEADER: [&str; 8] = [
    "id",
    "name",
    "phone",
    "email",
    "tags",
    "attributes",
    "created_at",
    "updated_at",
];

/// Writes contacts, one after the other.
pub struct RowWriter<W: Write> {
    form: Form<W>,
}

enum Form<W: Write> {
    Csv(Box<csv::Writer<W>>),
    JsonLines(W),
}

impl<W: Write> RowWriter<W> {
    /// # Errors
    /// Those of the file.
    pub fn new(output: W, format: FileFormat) -> io::Result<Self> {
        let form = match format {
            FileFormat::Ndjson => Form::JsonLines(output),
            FileFormat::Csv => {
                let mut writer = csv::WriterBuilder::new()
                    .terminator(csv::Terminator::CRLF)
                    .from_writer(output);
                writer.write_record(HEADER).map_err(io::Error::from)?;
                Form::Csv(Box::new(writer))
            }
        };
        Ok(RowWriter { form })
    }

    /// # Errors
    /// Those of the file.
    pub fn write(&mut self, contact: &Contact) -> io::Result<()> {
        match &mut self.form {
            Form::JsonLines(output) => {
                let mut line = serde_json::to_vec(contact)?;
                // Attributes are as they came, on several lines maybe. What ends a line in JSON is
                // between two of its parts, never within a text.
                for byte in &mut line {
                    if matches!(byte, b'\r' | b'\n') {
                        *byte = b' ';
                    }
                }
                line.push(b'\n');
                output.write_all(&line)
            }
            Form::Csv(writer) => {
                let id = contact.id.to_string();
                let tags = tags(&contact.tags);
                let record = [
                    id.as_str(),
                    &guarded(&contact.name),
                    // Digits and the separators of a phone number make no formula that could do
                    // harm, and the apostrophe would be in the way of whoever dials it.
                    contact.phone.as_str(),
                    &guarded(contact.email.as_ref().map_or("", Email::as_str)),
                    &guarded(&tags),
                    contact.attributes.get(),
                    &contact.created_at.to_string(),
                    &contact.updated_at.to_string(),
                ];
                writer.write_record(record).map_err(io::Error::from)
            }
        }
    }

    /// What was written to, with everything in it.
    ///
    /// # Errors
    /// Those of the file.
    pub fn finish(self) -> io::Result<W> {
        match self.form {
            Form::JsonLines(mut output) => {
                output.flush()?;
                Ok(output)
            }
            Form::Csv(writer) => writer.into_inner().map_err(csv::IntoInnerError::into_error),
        }
    }
}

/// Text that no spreadsheet takes for a formula.
fn guarded(text: &str) -> String {
    if text.starts_with(FORMULA_BEGINNINGS) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

fn tags(tags: &[Tag]) -> String {
    let is_plain = |tag: &Tag| {
        !tag.as_str().contains(TAG_SEPARATORS) && !tag.as_str().starts_with(['[', '\''])
    };
    if tags.iter().all(is_plain) {
        let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
        return tags.join(";");
    }
    // Texts are JSON.
    serde_json::to_string(tags).unwrap_or_default()
}
