//! The attributes of a contact: a JSON object that is kept as the text it came as.

use std::fmt;

use serde_json::value::RawValue;

use crate::limits;

pub(super) fn checked(raw: Box<RawValue>) -> Result<Box<RawValue>, String> {
    if !raw.get().starts_with('{') {
        return Err(
            "must be an object of names and values, e.g. {\"city\": \"London\"}".to_owned(),
        );
    }
    check_size(raw.get().len())?;
    Ok(raw)
}

fn check_size(bytes: usize) -> Result<(), String> {
    if bytes > limits::ATTRIBUTES_BYTES_MAX {
        return Err(format!(
            "are {bytes} bytes of JSON, the limit is {}",
            limits::ATTRIBUTES_BYTES_MAX
        ));
    }
    Ok(())
}

/// `{}`.
pub fn none() -> Box<RawValue> {
    // An empty object is JSON.
    RawValue::from_string("{}".to_owned()).unwrap_or_default()
}

/// Keys keep their order and numbers their digits: values are moved as the text they are.
pub(super) fn merged(old: &RawValue, patch: &RawValue) -> Result<Box<RawValue>, String> {
    let merged = merge(old.get(), patch.get())?;
    check_size(merged.len())?;
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
