//! The parts of a contact that have a form of their own: phone, e-mail and tag.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::name_key;
use crate::limits;

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

    /// Its digits, behind a `+` if they begin with a country's code: the same for every way to
    /// write it.
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
        let (international, rest) = country_code(text);
        if international {
            key.push('+');
        }
        // The 0 in brackets is dialled within the country only.
        let (before, after) = match rest.split_once("(0)") {
            Some((before, after)) if international => (before, after),
            _ => (rest, ""),
        };
        for character in before.chars().chain(after.chars()) {
            match character {
                '0'..='9' => key.push(character),
                separator if is_separator(separator) => {}
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

/// Whether a number begins with a country's code, and what stands behind the `+` or the `00` that
/// says so.
fn country_code(text: &str) -> (bool, &str) {
    if let Some(rest) = text.strip_prefix('+') {
        return (true, rest);
    }
    match text.strip_prefix("00") {
        Some(rest) if rest.trim_start().starts_with(|c| ('1'..='9').contains(&c)) => (true, rest),
        _ => (false, text),
    }
}

/// What people put between digits, among it the dashes and spaces of word processors.
fn is_separator(character: char) -> bool {
    matches!(
        character,
        ' ' | '-' | '.' | '/' | '(' | ')' | '\u{a0}' | '\u{202f}' | '\u{2010}'..='\u{2015}'
    )
}

/// The beginning of a phone's key, if a search text can be one.
pub fn phone_prefix(query: &str) -> Option<String> {
    let (international, rest) = country_code(query.trim());
    let digits: String = rest.chars().filter(|c| !is_separator(*c)).collect();
    let prefix = if international {
        format!("+{digits}")
    } else {
        digits
    };
    let number = prefix.strip_prefix('+').unwrap_or(&prefix);
    (!prefix.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(prefix)
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
