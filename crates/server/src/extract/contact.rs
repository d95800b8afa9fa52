//! A contact as a body gives it, read in one pass: no tree is built, and a field of the wrong type
//! hides no fault of another one.

use autom8_api::problem::Problem;
use autom8_model::contact::{ContactFields, Field};
use autom8_model::{Contact, ContactDraft, ContactPatch, Invalid};
use serde_json::value::RawValue;

use super::json::unknown_field;
use super::query::FAULTS_MAX;
use super::scan::{Fault, FaultKind, Scanner};

/// Reads a contact to create.
///
/// # Errors
/// Everything that is wrong with its fields.
pub fn draft(body: &[u8]) -> Result<ContactDraft, Problem> {
    let Read { fields, faults } = read(body)?;
    judged(faults, ContactDraft::new(fields)).map_err(Problem::invalid)
}

/// Reads a change; `merge` says what becomes of the attributes, as in [`ContactPatch::new`].
///
/// # Errors
/// Everything that is wrong with its fields.
pub fn patch(body: &[u8], merge: bool) -> Result<ContactPatch, Problem> {
    let Read { fields, faults } = read(body)?;
    judged(faults, ContactPatch::new(fields, merge)).map_err(Problem::invalid)
}

/// The same for one of many, whose text need not be JSON.
///
/// # Errors
/// What is wrong with it, as paths within it.
pub(super) fn draft_of_many(text: &[u8]) -> Result<ContactDraft, Vec<Invalid>> {
    match read(text) {
        Ok(Read { fields, faults }) => judged(faults, ContactDraft::new(fields)),
        Err(fault) => Err(vec![Invalid::new(fault.path, fault.message)]),
    }
}

struct Read {
    fields: ContactFields,
    faults: Vec<Invalid>,
}

/// # Errors
/// What is no JSON, or is JSON that is accepted nowhere.
fn read(text: &[u8]) -> Result<Read, Fault> {
    let mut scanner = Scanner::new(text)?;
    let mut fields = ContactFields::default();
    let mut faults = Faults::default();
    scanner.skip_space();
    scanner.object(|scanner, key| {
        match &*key {
            "name" => fields.name = string(scanner, &mut faults)?,
            "phone" => fields.phone = string(scanner, &mut faults)?,
            "email" => fields.email = string(scanner, &mut faults)?,
            "tags" => fields.tags = tags(scanner, &mut faults)?,
            "attributes" => fields.attributes = attributes(scanner, &mut faults)?,
            // A contact that was read can be sent back.
            known if Contact::READ_ONLY_FIELDS.contains(&known) => {
                scanner.value()?;
            }
            unknown => {
                let fault = scanner.refused(unknown_field(unknown, &Contact::FIELDS));
                faults.pass_over(scanner, fault)?;
            }
        }
        Ok(())
    })?;
    scanner.end()?;
    Ok(Read {
        fields,
        faults: faults.0,
    })
}

/// Complaints about fields, up to as many as are told.
#[derive(Default)]
struct Faults(Vec<Invalid>);

impl Faults {
    /// Notes the fault of a value and goes on behind it, if that is possible.
    fn pass_over(&mut self, scanner: &mut Scanner<'_>, fault: Fault) -> Result<(), Fault> {
        if fault.kind == FaultKind::Syntax {
            return Err(fault);
        }
        if self.0.len() < FAULTS_MAX {
            self.0.push(Invalid::new(fault.path, fault.message));
        }
        scanner.value().map(drop)
    }
}

fn string(scanner: &mut Scanner<'_>, faults: &mut Faults) -> Result<Field<String>, Fault> {
    match scanner.peek() {
        Some(b'"') => Ok(Field::Given(scanner.string()?.into_owned())),
        Some(b'n') => scanner.value().map(|_| Field::Null),
        _ => {
            let fault = scanner.wrong_type("a string");
            faults.pass_over(scanner, fault)?;
            Ok(Field::Absent)
        }
    }
}

fn tags(scanner: &mut Scanner<'_>, faults: &mut Faults) -> Result<Field<Vec<String>>, Fault> {
    match scanner.peek() {
        Some(b'[') => {}
        Some(b'n') => return scanner.value().map(|_| Field::Null),
        _ => {
            let fault = scanner.wrong_type("an array of strings");
            faults.pass_over(scanner, fault)?;
            return Ok(Field::Absent);
        }
    }
    let (mut tags, mut all_are_strings) = (Vec::new(), true);
    scanner.array(|scanner, _| {
        if scanner.peek() == Some(b'"') {
            tags.push(scanner.string()?.into_owned());
            return Ok(());
        }
        all_are_strings = false;
        let fault = scanner.wrong_type("a string");
        faults.pass_over(scanner, fault)
    })?;
    // The places of the others would no longer be theirs.
    Ok(if all_are_strings {
        Field::Given(tags)
    } else {
        Field::Absent
    })
}

fn attributes(
    scanner: &mut Scanner<'_>,
    faults: &mut Faults,
) -> Result<Field<Box<RawValue>>, Fault> {
    match scanner.peek() {
        Some(b'{') => {
            let span = scanner.value()?;
            let text = scanner.text_of(span).to_owned();
            match RawValue::from_string(text) {
                Ok(attributes) => Ok(Field::Given(attributes)),
                Err(error) => Err(scanner.refused(format!("is not readable: {error}"))),
            }
        }
        Some(b'n') => scanner.value().map(|_| Field::Null),
        _ => {
            let fault = scanner.wrong_type("an object of names and values");
            faults.pass_over(scanner, fault)?;
            Ok(Field::Absent)
        }
    }
}

/// Both kinds of faults together. A field of the wrong type is absent to the model, which would
/// complain that it is missing.
fn judged<T>(mut faults: Vec<Invalid>, judged: Result<T, Vec<Invalid>>) -> Result<T, Vec<Invalid>> {
    match judged {
        Ok(value) if faults.is_empty() => return Ok(value),
        Ok(_) => {}
        Err(others) => {
            let told = faults.len();
            for other in others {
                let is_told = faults[..told].iter().any(|fault| fault.path == other.path);
                if !is_told && faults.len() < FAULTS_MAX {
                    faults.push(other);
                }
            }
        }
    }
    Err(faults)
}

#[cfg(test)]
#[path = "contact_tests.rs"]
mod tests;
