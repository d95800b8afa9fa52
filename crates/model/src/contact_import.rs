//! One row of an import of contacts, and what becomes of it.
//!
//! A row is judged before the store sees it ([`ImportRow::read`]); what it means depends on the
//! contact that has its key already, which only the store can say, and [`judge`] decides. A real
//! import and its rehearsal ask the same question here, so that they count alike.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::contact::{
    Contact, ContactDraft, ContactFields, ContactPatch, Email, Field, Phone, Tag,
};
use crate::id::ContactId;
use crate::invalid::Invalid;

/// What an import does with a row whose contact is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum OnDuplicate {
    /// The contact stays as it is.
    #[default]
    Skip,
    /// The fields that the row has replace those of the contact; attributes are merged.
    Update,
    /// The row fails.
    Fail,
}

/// The field by which the contact of a row is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ContactKey {
    #[default]
    Phone,
    Email,
}

impl OnDuplicate {
    pub const ALL: [OnDuplicate; 3] = [OnDuplicate::Skip, OnDuplicate::Update, OnDuplicate::Fail];

    pub fn as_str(self) -> &'static str {
        match self {
            OnDuplicate::Skip => "skip",
            OnDuplicate::Update => "update",
            OnDuplicate::Fail => "fail",
        }
    }
}

impl ContactKey {
    pub const ALL: [ContactKey; 2] = [ContactKey::Phone, ContactKey::Email];

    /// The name of the field.
    pub fn as_str(self) -> &'static str {
        match self {
            ContactKey::Phone => "phone",
            ContactKey::Email => "email",
        }
    }
}

impl FromStr for OnDuplicate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|one| one.as_str() == text)
            .ok_or_else(|| "must be skip, update or fail".to_owned())
    }
}

impl FromStr for ContactKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|one| one.as_str() == text)
            .ok_or_else(|| "must be phone or email".to_owned())
    }
}

/// How the rows of one import are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportRule {
    pub on_duplicate: OnDuplicate,
    pub key: ContactKey,
}

/// Why a row was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RowFailure {
    /// Where the row begins in the file; the first line is 1.
    pub line: u64,
    /// The column or field; `null` where it is the row as a whole.
    pub field: Option<String>,
    pub error: String,
}

/// What is wrong with a row, before its line is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFault {
    pub field: Option<String>,
    pub error: String,
}

/// Characters of one row's reason: a row may have fifty bad tags, and nobody reads that far.
const ERROR_CHARS_MAX: usize = 300;
/// Characters of the name of its field: that of a column may be as long as a row.
const FIELD_CHARS_MAX: usize = 100;

impl RowFault {
    pub fn of_row(error: impl Into<String>) -> Self {
        RowFault {
            field: None,
            error: error.into(),
        }
    }

    pub fn of_field(field: impl Into<String>, error: impl Into<String>) -> Self {
        RowFault {
            field: Some(field.into()),
            error: error.into(),
        }
    }

    /// One reason a row: the first field is named apart, the others are told behind it.
    pub fn of_faults(faults: Vec<Invalid>) -> Self {
        let mut faults = faults.into_iter();
        let Some(first) = faults.next() else {
            return RowFault::of_row("is not a contact");
        };
        let field = |path: &str| path.trim_start_matches('/').replace('/', ".");
        let mut error = first.message;
        for fault in faults {
            error.push_str("; ");
            error.push_str(&field(&fault.path));
            error.push_str(": ");
            error.push_str(&fault.message);
        }
        RowFault::of_field(field(&first.path), error)
    }

    pub fn at(self, line: u64) -> RowFailure {
        RowFailure {
            line,
            field: self.field.map(|field| shortened(field, FIELD_CHARS_MAX)),
            error: shortened(self.error, ERROR_CHARS_MAX),
        }
    }
}

fn shortened(text: String, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text,
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// A row that can be taken, if the contacts that are there allow it.
#[derive(Clone, Debug)]
pub struct ImportRow {
    pub line: u64,
    /// What it changes of a contact that is there.
    pub patch: ContactPatch,
    /// What it makes where there is none: a row of changes may lack what a contact needs.
    pub draft: Result<ContactDraft, RowFault>,
}

impl ImportRow {
    /// Judges the fields of a row.
    ///
    /// # Errors
    /// With every field that is wrong, whatever is there already.
    pub fn read(line: u64, fields: ContactFields) -> Result<Self, RowFailure> {
        let draft = ContactDraft::new(fields.clone()).map_err(RowFault::of_faults);
        match ContactPatch::new(fields, true) {
            Ok(patch) => Ok(ImportRow { line, patch, draft }),
            // Missing fields are told beside the wrong ones.
            Err(faults) => Err(draft
                .err()
                .unwrap_or_else(|| RowFault::of_faults(faults))
                .at(line)),
        }
    }

    pub fn phone(&self) -> Option<&Phone> {
        self.patch.phone.as_ref()
    }

    pub fn email(&self) -> Option<&Email> {
        self.patch.email.as_ref()?.as_ref()
    }
}

/// The contacts that share a key with a row.
#[derive(Clone, Debug, Default)]
pub struct Holders {
    pub phone: Option<Contact>,
    pub email: Option<Contact>,
}

/// What becomes of a row.
#[derive(Debug)]
pub enum Verdict {
    Create(ContactDraft),
    /// The contact as it will be, all but its time of change.
    Update(Contact),
    /// It is there, and stays as it is.
    Skip,
    Fail(RowFault),
}

/// Decides what becomes of a row.
pub fn judge(row: ImportRow, holders: Holders, rule: ImportRule) -> Verdict {
    let found = match rule.key {
        ContactKey::Phone => holders.phone.as_ref(),
        ContactKey::Email => holders.email.as_ref(),
    };
    let Some(found) = found else {
        // Another contact may still have the other key.
        return match (row.draft, taken(&holders, None)) {
            (Err(fault), _) => Verdict::Fail(fault),
            (Ok(_), Some(fault)) => Verdict::Fail(fault),
            (Ok(draft), None) => Verdict::Create(draft),
        };
    };
    match rule.on_duplicate {
        OnDuplicate::Skip => Verdict::Skip,
        OnDuplicate::Fail => Verdict::Fail(held(rule.key.as_str(), found.id)),
        OnDuplicate::Update => {
            if let Some(fault) = taken(&holders, Some(found.id)) {
                return Verdict::Fail(fault);
            }
            match row.patch.apply(found) {
                Err(invalid) => Verdict::Fail(RowFault::of_faults(vec![invalid])),
                Ok(changed) if is_same(&changed, found) => Verdict::Skip,
                Ok(changed) => Verdict::Update(changed),
            }
        }
    }
}

/// A key of the row that a contact other than `own` has.
fn taken(holders: &Holders, own: Option<ContactId>) -> Option<RowFault> {
    [("phone", &holders.phone), ("email", &holders.email)]
        .into_iter()
        .find_map(|(field, holder)| {
            let holder = holder.as_ref().filter(|holder| Some(holder.id) != own)?;
            Some(held(field, holder.id))
        })
}

fn held(field: &str, holder: ContactId) -> RowFault {
    let error = match holder.0 {
        // In a rehearsal there is no such contact yet.
        line @ ..0 => format!("belongs to the contact of line {} already", -line),
        id => format!("belongs to contact {id} already"),
    };
    RowFault::of_field(field, error)
}

fn is_same(left: &Contact, right: &Contact) -> bool {
    let tags = |contact: &Contact| -> Vec<Tag> {
        let mut tags = contact.tags.clone();
        tags.sort();
        tags
    };
    left.name == right.name
        && left.phone == right.phone
        && left.email == right.email
        && tags(left) == tags(right)
        && left.attributes.get() == right.attributes.get()
}

/// How many rows came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportCounts {
    pub created: u64,
    pub updated: u64,
    pub skipped: u64,
    pub failed: u64,
}

impl ImportCounts {
    pub fn rows(&self) -> u64 {
        self.created + self.updated + self.skipped + self.failed
    }

    pub fn add(&mut self, other: &ImportCounts) {
        self.created += other.created;
        self.updated += other.updated;
        self.skipped += other.skipped;
        self.failed += other.failed;
    }
}

impl fmt::Display for ImportCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ImportCounts {
            created,
            updated,
            skipped,
            failed,
        } = self;
        write!(
            f,
            "{created} new, {updated} updated, {skipped} already there, {failed} failed"
        )
    }
}

/// Sets a field from text; empty text leaves it out.
pub fn given_text(text: &str) -> Field<String> {
    match text.trim() {
        "" => Field::Absent,
        text => Field::Given(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::contact::attributes;

    fn contact(id: i64, phone: &str, email: Option<&str>) -> Contact {
        Contact {
            id: ContactId(id),
            name: "Ada".to_owned(),
            phone: phone.parse().unwrap(),
            email: email.map(|email| email.parse().unwrap()),
            tags: Vec::new(),
            attributes: attributes::none(),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn row(name: &str, phone: &str, email: &str) -> ImportRow {
        let fields = ContactFields {
            name: given_text(name),
            phone: given_text(phone),
            email: given_text(email),
            ..ContactFields::default()
        };
        ImportRow::read(7, fields).unwrap()
    }

    fn rule(on_duplicate: OnDuplicate, key: ContactKey) -> ImportRule {
        ImportRule { on_duplicate, key }
    }

    fn fault(verdict: Verdict) -> RowFault {
        match verdict {
            Verdict::Fail(fault) => fault,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_failure_is_short_whatever_the_row_and_its_columns_are() {
        let failure = RowFault::of_field("ö".repeat(70_000), "ü".repeat(70_000)).at(7);
        assert_eq!(failure.field.unwrap(), "ö".repeat(100) + "…");
        assert_eq!(failure.error, "ü".repeat(300) + "…");
        let short = RowFault::of_field("ö".repeat(100), "ü".repeat(300)).at(7);
        assert_eq!(short.field.unwrap(), "ö".repeat(100));
        assert_eq!(short.error, "ü".repeat(300));
    }

    #[test]
    fn a_row_that_nobody_holds_is_new_unless_it_lacks_what_a_contact_needs() {
        let verdict = judge(
            row("Ada", "5550100", ""),
            Holders::default(),
            ImportRule::default(),
        );
        assert!(matches!(verdict, Verdict::Create(_)), "{verdict:?}");
        let verdict = judge(
            row("", "5550100", ""),
            Holders::default(),
            ImportRule::default(),
        );
        assert_eq!(fault(verdict).field.as_deref(), Some("name"));
    }

    #[test]
    fn a_held_key_is_skipped_updated_or_refused_as_the_rule_says() {
        let holders = Holders {
            phone: Some(contact(3, "5550100", None)),
            email: None,
        };
        let judged = |on_duplicate| {
            let row = row("Grace", "555-0100", "g@example.org");
            judge(row, holders.clone(), rule(on_duplicate, ContactKey::Phone))
        };
        assert!(matches!(judged(OnDuplicate::Skip), Verdict::Skip));
        match judged(OnDuplicate::Update) {
            Verdict::Update(after) => {
                assert_eq!(after.name, "Grace");
                assert_eq!(after.id.0, 3);
                assert_eq!(after.email.unwrap().as_str(), "g@example.org");
            }
            other => panic!("{other:?}"),
        }
        let refused = fault(judged(OnDuplicate::Fail));
        assert_eq!(refused.field.as_deref(), Some("phone"));
        assert_eq!(refused.error, "belongs to contact 3 already");
    }

    #[test]
    fn a_row_without_a_change_leaves_the_contact_alone() {
        let holders = Holders {
            phone: Some(contact(3, "5550100", None)),
            email: None,
        };
        let rule = rule(OnDuplicate::Update, ContactKey::Phone);
        let verdict = judge(row("Ada", "5550100", ""), holders.clone(), rule);
        assert!(matches!(verdict, Verdict::Skip), "{verdict:?}");
        let verdict = judge(row("", "5550100", ""), holders, rule);
        assert!(
            matches!(verdict, Verdict::Skip),
            "a name is not needed here"
        );
    }

    #[test]
    fn the_other_key_of_another_contact_fails_the_row_under_any_rule() {
        let holders = Holders {
            phone: Some(contact(3, "5550100", None)),
            email: Some(contact(4, "5550199", Some("g@example.org"))),
        };
        let judged = |key, on_duplicate| {
            judge(
                row("Grace", "5550100", "g@example.org"),
                holders.clone(),
                rule(on_duplicate, key),
            )
        };
        let refused = fault(judged(ContactKey::Phone, OnDuplicate::Update));
        assert_eq!(refused.field.as_deref(), Some("email"));
        let refused = fault(judged(ContactKey::Email, OnDuplicate::Update));
        assert_eq!(refused.field.as_deref(), Some("phone"));
        let alone = Holders {
            phone: None,
            ..holders.clone()
        };
        let row = row("Grace", "5550100", "g@example.org");
        let refused = fault(judge(row, alone, ImportRule::default()));
        assert_eq!(refused.error, "belongs to contact 4 already");
    }

    #[test]
    fn the_reason_of_a_row_names_its_first_field_and_tells_the_others_within_bounds() {
        let fields = ContactFields {
            phone: given_text("12"),
            email: given_text("nobody"),
            tags: Field::Given(vec![String::new(); 50]),
            ..ContactFields::default()
        };
        let failure = ImportRow::read(9, fields).unwrap_err();
        assert_eq!((failure.line, failure.field.as_deref()), (9, Some("name")));
        assert!(
            failure.error.contains("; phone: has 2 digits"),
            "{failure:?}"
        );
        assert!(failure.error.chars().count() <= ERROR_CHARS_MAX + 1);
    }
}
