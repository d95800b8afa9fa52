//! A contact: a record that automations act on.
//!
//! What a client sends is read as [`ContactFields`], where a field may be absent, null or given;
//! [`ContactDraft`] and [`ContactPatch`] are what is left once every field has been judged, all
//! faults at once. A phone and an e-mail are kept as given; their *key*, the normalised form, is
//! what is unique and what a lookup asks for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::Timestamp;
use crate::id::ContactId;
use crate::invalid::Invalid;
use crate::limits;

/// A contact as it is stored and answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Contact {
    pub id: ContactId,
    pub name: String,
    pub phone: Phone,
    pub email: Option<Email>,
    pub tags: Vec<Tag>,
    /// A JSON object, as the bytes that came.
    pub attributes: Box<RawValue>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Contact {
    /// The fields of the JSON that only the server writes: a contact that was read may be sent
    /// back with them.
    pub const READ_ONLY_FIELDS: [&'static str; 3] = ["id", "created_at", "updated_at"];
    pub const FIELDS: [&'static str; 5] = ["name", "phone", "email", "tags", "attributes"];
}

/// A field of a request: left out, taken away or given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Field<T> {
    #[default]
    Absent,
    Null,
    Given(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::<T>::deserialize(deserializer)? {
            Some(value) => Field::Given(value),
            None => Field::Null,
        })
    }
}

/// What a client may write of a contact, not judged yet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContactFields {
    pub name: Field<String>,
    pub phone: Field<String>,
    pub email: Field<String>,
    pub tags: Field<Vec<String>>,
    pub attributes: Field<Box<RawValue>>,
}

/// A contact that may be created.
#[derive(Clone, Debug)]
pub struct ContactDraft {
    pub name: String,
    pub phone: Phone,
    pub email: Option<Email>,
    pub tags: Vec<Tag>,
    pub attributes: Box<RawValue>,
}

impl ContactDraft {
    /// # Errors
    /// Every field that is missing or wrong, at `/name`, `/phone`, `/email`, `/tags/3`,
    /// `/attributes`.
    pub fn new(fields: ContactFields) -> Result<Self, Vec<Invalid>> {
        let mut faults = Vec::new();
        let name = required("/name", fields.name, name, &mut faults);
        let phone = required("/phone", fields.phone, |text| text.parse(), &mut faults);
        let email =
            given(fields.email).and_then(|text| kept(text.parse::<Email>(), "/email", &mut faults));
        let tags = given(fields.tags).map(|tags| read_tags(tags, &mut faults));
        let attributes = given(fields.attributes)
            .and_then(|raw| kept(checked_attributes(raw), "/attributes", &mut faults));
        match (name, phone) {
            (Some(name), Some(phone)) if faults.is_empty() => Ok(ContactDraft {
                name,
                phone,
                email,
                tags: tags.unwrap_or_default(),
                attributes: attributes.unwrap_or_else(no_attributes),
            }),
            _ => Err(faults),
        }
    }
}

/// A change of a contact: what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct ContactPatch {
    pub name: Option<String>,
    pub phone: Option<Phone>,
    /// `Some(None)` takes it away.
    pub email: Option<Option<Email>>,
    pub tags: Option<Vec<Tag>>,
    pub attributes: Option<AttributesPatch>,
}

/// What becomes of the attributes.
#[derive(Clone, Debug)]
pub enum AttributesPatch {
    /// PUT: the object given takes the place of the old one.
    Replace(Box<RawValue>),
    /// PATCH: the object given is laid over the old one (JSON Merge Patch, RFC 7396).
    Merge(Box<RawValue>),
}

impl ContactPatch {
    /// `merge` says what is done with `attributes`: see [`AttributesPatch`].
    ///
    /// # Errors
    /// Every field that is wrong, as [`ContactDraft::new`].
    pub fn new(fields: ContactFields, merge: bool) -> Result<Self, Vec<Invalid>> {
        let mut faults = Vec::new();
        let patch = ContactPatch {
            name: changed("/name", fields.name, name, &mut faults),
            phone: changed("/phone", fields.phone, |text| text.parse(), &mut faults),
            email: match fields.email {
                Field::Absent => None,
                Field::Null => Some(None),
                Field::Given(text) => kept(text.parse::<Email>(), "/email", &mut faults).map(Some),
            },
            tags: match fields.tags {
                Field::Absent => None,
                Field::Null => Some(Vec::new()),
                Field::Given(tags) => Some(read_tags(tags, &mut faults)),
            },
            attributes: match fields.attributes {
                Field::Absent => None,
                Field::Null => Some(AttributesPatch::Replace(no_attributes())),
                Field::Given(raw) => {
                    kept(checked_attributes(raw), "/attributes", &mut faults).map(|raw| {
                        if merge {
                            AttributesPatch::Merge(raw)
                        } else {
                            AttributesPatch::Replace(raw)
                        }
                    })
                }
            },
        };
        if faults.is_empty() {
            Ok(patch)
        } else {
            Err(faults)
        }
    }

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        let ContactPatch {
            name,
            phone,
            email,
            tags,
            attributes,
        } = self;
        name.is_none()
            && phone.is_none()
            && email.is_none()
            && tags.is_none()
            && attributes.is_none()
    }

    /// The contact as it will be, all but its time of change.
    ///
    /// # Errors
    /// Attributes that are too large once merged.
    pub fn apply(&self, contact: &Contact) -> Result<Contact, Invalid> {
        let mut changed = contact.clone();
        if let Some(name) = &self.name {
            changed.name.clone_from(name);
        }
        if let Some(phone) = &self.phone {
            changed.phone.clone_from(phone);
        }
        if let Some(email) = &self.email {
            changed.email.clone_from(email);
        }
        if let Some(tags) = &self.tags {
            changed.tags.clone_from(tags);
        }
        match &self.attributes {
            None => {}
            Some(AttributesPatch::Replace(attributes)) => {
                changed.attributes.clone_from(attributes);
            }
            Some(AttributesPatch::Merge(patch)) => {
                let merged = merge_attributes(&contact.attributes, patch)
                    .map_err(|message| Invalid::new("/attributes", message))?;
                changed.attributes = merged;
            }
        }
        Ok(changed)
    }
}

fn given<T>(field: Field<T>) -> Option<T> {
    match field {
        Field::Given(value) => Some(value),
        Field::Absent | Field::Null => None,
    }
}

fn kept<T, E: fmt::Display>(
    read: Result<T, E>,
    path: &str,
    faults: &mut Vec<Invalid>,
) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(error) => {
            faults.push(Invalid::new(path, error));
            None
        }
    }
}

fn required<T, E: fmt::Display>(
    path: &str,
    field: Field<String>,
    read: impl FnOnce(&str) -> Result<T, E>,
    faults: &mut Vec<Invalid>,
) -> Option<T> {
    match field {
        Field::Given(text) => kept(read(&text), path, faults),
        Field::Absent | Field::Null => {
            let what = match path {
                "/name" => "is missing: a contact needs a name, e.g. \"Ada Lovelace\"",
                _ => "is missing: a contact needs a phone number, e.g. \"+44 20 7946 0018\"",
            };
            faults.push(Invalid::new(path, what));
            None
        }
    }
}

fn changed<T, E: fmt::Display>(
    path: &str,
    field: Field<String>,
    read: impl FnOnce(&str) -> Result<T, E>,
    faults: &mut Vec<Invalid>,
) -> Option<T> {
    match field {
        Field::Absent => None,
        Field::Given(text) => kept(read(&text), path, faults),
        Field::Null => {
            faults.push(Invalid::new(
                path,
                "is null: every contact has one; leave the field out to keep it as it is",
            ));
            None
        }
    }
}

fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    let chars = text.chars().count();
    if chars == 0 {
        return Err("is empty: give the contact a name".to_owned());
    }
    if chars > limits::CONTACT_NAME_CHARS_MAX {
        return Err(format!(
            "has {chars} characters, the limit is {}",
            limits::CONTACT_NAME_CHARS_MAX
        ));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(found) => Err(format!("has a control character ({found:?}): leave it out")),
        None => Ok(text.to_owned()),
    }
}

fn read_tags(tags: Vec<String>, faults: &mut Vec<Invalid>) -> Vec<Tag> {
    if tags.len() > limits::CONTACT_TAGS_MAX {
        let message = format!(
            "has {} tags, the limit is {}",
            tags.len(),
            limits::CONTACT_TAGS_MAX
        );
        faults.push(Invalid::new("/tags", message));
        return Vec::new();
    }
    let mut read: Vec<Tag> = Vec::with_capacity(tags.len());
    for (index, text) in tags.into_iter().enumerate() {
        if let Some(tag) = kept(text.parse::<Tag>(), &format!("/tags/{index}"), faults)
            && !read.contains(&tag)
        {
            read.push(tag);
        }
    }
    read
}

fn checked_attributes(raw: Box<RawValue>) -> Result<Box<RawValue>, String> {
    if !raw.get().starts_with('{') {
        return Err(
            "must be an object of names and values, e.g. {\"city\": \"London\"}".to_owned(),
        );
    }
    too_large(raw.get().len())?;
    Ok(raw)
}

fn too_large(bytes: usize) -> Result<(), String> {
    if bytes > limits::ATTRIBUTES_BYTES_MAX {
        return Err(format!(
            "are {bytes} bytes of JSON, the limit is {}",
            limits::ATTRIBUTES_BYTES_MAX
        ));
    }
    Ok(())
}

/// `{}`.
pub fn no_attributes() -> Box<RawValue> {
    // An empty object is JSON.
    RawValue::from_string("{}".to_owned()).unwrap_or_default()
}

/// Keys keep their order and numbers their digits: values are moved as the text they are.
fn merge_attributes(old: &RawValue, patch: &RawValue) -> Result<Box<RawValue>, String> {
    let merged = merge(old.get(), patch.get())?;
    too_large(merged.len())?;
    RawValue::from_string(merged).map_err(|error| error.to_string())
}

type Members = Vec<(String, Box<RawValue>)>;

fn merge(old: &str, patch: &str) -> Result<String, String> {
    let mut members = if old.starts_with('{') {
        members(old)?
    } else {
        Members::new()
    };
    for (key, value) in self::members(patch)? {
        let place = members.iter().position(|(name, _)| *name == key);
        if value.get() == "null" {
            if let Some(place) = place {
                members.remove(place);
            }
            continue;
        }
        let value = if value.get().starts_with('{') {
            let below = place.map_or("null", |place| members[place].1.get());
            let merged = merge(below, value.get())?;
            RawValue::from_string(merged).map_err(|error| error.to_string())?
        } else {
            value
        };
        match place {
            Some(place) => members[place].1 = value,
            None => members.push((key, value)),
        }
    }
    let mut text = String::from("{");
    for (place, (key, value)) in members.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        // A string is JSON.
        text.push_str(&serde_json::to_string(key).unwrap_or_default());
        text.push(':');
        text.push_str(value.get());
    }
    text.push('}');
    Ok(text)
}

fn members(text: &str) -> Result<Members, String> {
    struct Visitor;
    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = Members;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
            let mut members = Members::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }
    serde::Deserializer::deserialize_map(&mut serde_json::Deserializer::from_str(text), Visitor)
        .map_err(|error| error.to_string())
}

/// A telephone number: E.164 (`+` and up to 15 digits) or the digits of a national number, with
/// spaces, dots, dashes, slashes and brackets as people write them.
#[derive(Clone, Debug)]
pub struct Phone {
    given: String,
    key: String,
}

impl Phone {
    /// One that was read and judged before.
    pub fn stored(given: String, key: String) -> Self {
        Phone { given, key }
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.given
    }

    /// Its digits, with the `+` if it has one: the same for every way to write it.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl FromStr for Phone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const HOW: &str = "write e.g. \"+44 20 7946 0018\", or 7 to 15 digits";
        let text = text.trim();
        if text.is_empty() {
            return Err(format!("is empty: {HOW}"));
        }
        if text.chars().count() > limits::PHONE_CHARS_MAX {
            return Err(format!(
                "has more than {} characters: {HOW}",
                limits::PHONE_CHARS_MAX
            ));
        }
        let mut key = String::with_capacity(limits::PHONE_DIGITS_MAX + 1);
        for (place, character) in text.char_indices() {
            match character {
                '+' if place == 0 => key.push('+'),
                '0'..='9' => key.push(character),
                ' ' | '-' | '.' | '/' | '(' | ')' => {}
                other => return Err(format!("has {other:?}, which no phone number has: {HOW}")),
            }
        }
        let digits = key.trim_start_matches('+').len();
        if !(limits::PHONE_DIGITS_MIN..=limits::PHONE_DIGITS_MAX).contains(&digits) {
            return Err(format!("has {digits} digits: {HOW}"));
        }
        if key.starts_with("+0") {
            return Err(format!("has a country code that begins with 0: {HOW}"));
        }
        Ok(Phone {
            given: text.to_owned(),
            key,
        })
    }
}

/// An e-mail address. Letters of either case are the same address.
#[derive(Clone, Debug)]
pub struct Email {
    given: String,
    key: String,
}

impl Email {
    /// One that was read and judged before.
    pub fn stored(given: String, key: String) -> Self {
        Email { given, key }
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.given
    }

    /// In lower case.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl FromStr for Email {
    type Err = String;

    /// Judges what can be judged from the outside: whether mail arrives, only sending tells.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let refused = |why: &str| {
            Err(format!(
                "is not an e-mail address ({why}): write e.g. \"ada@example.org\""
            ))
        };
        if text.is_empty() {
            return refused("it is empty; null takes it away");
        }
        if text.len() > limits::EMAIL_BYTES_MAX {
            return refused("it is longer than 254 bytes");
        }
        if text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || "<>,;:\"()[]\\".contains(c))
        {
            return refused("it has a character that no address has");
        }
        let Some((local, domain)) = text.split_once('@') else {
            return refused("it has no @");
        };
        if domain.contains('@') {
            return refused("it has more than one @");
        }
        if local.is_empty() || local.len() > limits::EMAIL_LOCAL_BYTES_MAX {
            return refused("before the @ stand 1 to 64 characters");
        }
        if local.starts_with('.') || local.ends_with('.') || local.contains("..") {
            return refused("it has a dot where none may be");
        }
        let label_is_good = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        };
        if !domain.split('.').all(label_is_good) {
            return refused("after the @ stands a domain such as example.org");
        }
        Ok(Email {
            given: text.to_owned(),
            key: name_key(text),
        })
    }
}

macro_rules! text_json {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

text_json!(Phone);
text_json!(Email);
text_json!(Tag);

impl PartialEq for Phone {
    fn eq(&self, other: &Self) -> bool {
        self.given == other.given
    }
}

impl PartialEq for Email {
    fn eq(&self, other: &Self) -> bool {
        self.given == other.given
    }
}

/// A word that contacts are grouped by, compared as it is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// One that was read and judged before.
    pub fn stored(text: String) -> Self {
        Tag(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let chars = text.chars().count();
        if !(1..=limits::TAG_CHARS_MAX).contains(&chars) {
            return Err(format!(
                "has {chars} characters: a tag has 1 to {}",
                limits::TAG_CHARS_MAX
            ));
        }
        if text.chars().any(|c| c.is_control() || c == ',') {
            return Err(
                "has a comma or a control character, which separate tags elsewhere".to_owned(),
            );
        }
        Ok(Tag(text.to_owned()))
    }
}

/// The form of a name by which lists sort and searches compare. Each letter is lowered for itself,
/// so that the beginning of a name has the beginning of its key: the Greek sigma, which has
/// another form at the end of a word, would break that.
pub fn name_key(name: &str) -> String {
    name.chars()
        .flat_map(char::to_lowercase)
        .map(|letter| if letter == 'ς' { 'σ' } else { letter })
        .collect()
}

#[cfg(test)]
#[path = "contact/tests.rs"]
mod tests;
