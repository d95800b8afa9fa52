//! The values of a TOML text, each with its line.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::Fault;
use crate::suggest;
use crate::table::{SETTINGS, Setting};
use crate::value::Kind;

/// One value of the file that belongs to a setting and has its type.
pub(crate) struct Entry {
    pub(crate) setting: &'static Setting,
    /// The text form of the value.
    pub(crate) text: String,
    /// The first is 1.
    pub(crate) line: usize,
}

/// Finds every value; what is unknown or of the wrong type is a fault, and the rest goes on.
pub(crate) fn entries(path: &str, text: &str, faults: &mut Vec<Fault>) -> Vec<Entry> {
    let mut reader = Reader {
        path,
        text,
        faults,
        entries: Vec::new(),
    };
    match DeTable::parse(text) {
        Ok(table) => reader.table("", table.get_ref()),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            reader.fault(at, format!("this is not TOML: {}", error.message()));
        }
    }
    reader.entries
}

struct Reader<'a> {
    path: &'a str,
    text: &'a str,
    faults: &'a mut Vec<Fault>,
    entries: Vec<Entry>,
}

impl Reader<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = match prefix {
                "" => name.get_ref().to_string(),
                prefix => format!("{prefix}.{}", name.get_ref()),
            };
            let at = name.span().start;
            if let Some(setting) = Setting::by_key(&key) {
                self.value(setting, value, at);
                continue;
            }
            match value.get_ref() {
                DeValue::Table(inner) if is_section(&key) => self.table(&key, inner),
                _ if is_section(&key) => {
                    self.fault(at, format!("`{key}` is a section: write [{key}]"));
                }
                _ => self.unknown(&key, at),
            }
        }
    }

    fn value(&mut self, setting: &'static Setting, value: &Spanned<DeValue<'_>>, at: usize) {
        let text = match (setting.kind, value.get_ref()) {
            (Kind::Text, DeValue::String(text)) => Some(text.to_string()),
            (Kind::Switch, DeValue::Boolean(switch)) => Some(switch.to_string()),
            (Kind::Integer, DeValue::Integer(number)) => {
                i128::from_str_radix(number.as_str(), number.radix())
                    .ok()
                    .map(|number| number.to_string())
            }
            (Kind::List, DeValue::Array(entries)) => entries
                .iter()
                .map(|entry| entry.get_ref().as_str())
                .collect::<Option<Vec<_>>>()
                .map(|entries| entries.join(",")),
            _ => None,
        };
        match text {
            Some(text) => self.entries.push(Entry {
                setting,
                text,
                line: self.line(at),
            }),
            None => {
                self.fault(
                    at,
                    format!("`{}` wants {}", setting.key, setting.kind.expects()),
                );
            }
        }
    }

    fn unknown(&mut self, key: &str, at: usize) {
        let advice = match nearest_key(key) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`autom8 config explain` lists all settings".to_owned(),
        };
        self.fault(at, format!("unknown setting `{key}`: {advice}"));
    }

    fn fault(&mut self, at: usize, message: String) {
        let place = format!("{}:{}", self.path, self.line(at));
        self.faults.push(Fault::new(place, message));
    }

    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

fn is_section(key: &str) -> bool {
    SETTINGS.iter().any(|setting| {
        setting
            .key
            .strip_prefix(key)
            .is_some_and(|r| r.starts_with('.'))
    })
}

/// The sibling that is near, else the same name in another section, else the nearest section or
/// whole key.
fn nearest_key(key: &str) -> Option<&'static str> {
    let keys = || SETTINGS.iter().map(|setting| setting.key);
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let siblings = keys().filter(|known| {
        known
            .rsplit_once('.')
            .is_some_and(|(known_section, _)| known_section == section)
    });
    let sibling_names: Vec<&str> = siblings
        .clone()
        .filter_map(|known| known.rsplit_once('.').map(|(_, name)| name))
        .collect();
    if let Some(near) = suggest::nearest(name, sibling_names) {
        return siblings.into_iter().find(|known| known.ends_with(near));
    }
    if let Some(exact) = keys().find(|known| known.rsplit_once('.').is_some_and(|(_, n)| n == name))
    {
        return Some(exact);
    }
    let sections: Vec<&'static str> = keys()
        .filter_map(|known| known.rsplit_once('.').map(|(section, _)| section))
        .collect();
    suggest::nearest(key, sections).or_else(|| suggest::nearest(key, keys()))
}
