//! How values are written: in TOML with its types, as text in the environment and in flags.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::host_name::HostName;
use crate::listen::Listen;
use crate::network::Network;
use crate::rate_limit::RateLimit;

/// The database's name within its directory: a lock, run logs and backups live beside it, so a
/// directory holds one.
pub const DATABASE_FILE: &str = "autom8.db";

/// Which TOML type a value has in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Integer,
    Switch,
    List,
}

impl Kind {
    /// For a message: "port wants …".
    pub fn expects(self) -> &'static str {
        match self {
            Kind::Text => "a text in quotes",
            Kind::Integer => "a whole number without quotes",
            Kind::Switch => "true or false without quotes",
            Kind::List => "a list of texts, e.g. [\"10.0.0.0/8\"]",
        }
    }
}

/// Something that can be set.
pub trait Value: Sized {
    const KIND: Kind;

    /// Reads the text form. A message says what is wrong and what to write.
    fn parse(text: &str) -> Result<Self, String>;

    /// The text form, for people.
    fn show(&self) -> String;
}

impl Value for bool {
    const KIND: Kind = Kind::Switch;

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(format!("`{text}` is neither true nor false")),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! whole_numbers {
    ($($number:ty),+) => {$(
        impl Value for $number {
            const KIND: Kind = Kind::Integer;

            fn parse(text: &str) -> Result<Self, String> {
                text.replace('_', "")
                    .parse()
                    .map_err(|_| format!("`{text}` is not a whole number from 0 to {}", Self::MAX))
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

whole_numbers!(u16, u32, u64);

impl Value for String {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for PathBuf {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("a path is missing".to_owned()),
            text if text.contains('\0') => Err("a path cannot contain a NUL".to_owned()),
            text => Ok(PathBuf::from(text)),
        }
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

/// Absent unless set.
impl<T: Value> Value for Option<T> {
    const KIND: Kind = T::KIND;

    fn parse(text: &str) -> Result<Self, String> {
        T::parse(text).map(Some)
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "unset".to_owned(), T::show)
    }
}

/// What a list may hold.
pub trait Entry: Clone + ToString {
    fn parse_entry(text: &str) -> Result<Self, String>;
}

impl Entry for Network {
    fn parse_entry(text: &str) -> Result<Self, String> {
        Network::parse(text)
    }
}

impl Entry for HostName {
    fn parse_entry(text: &str) -> Result<Self, String> {
        HostName::parse(text)
    }
}

/// In the environment and in flags the entries are separated by commas.
impl<T: Entry> Value for Vec<T> {
    const KIND: Kind = Kind::List;

    fn parse(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(T::parse_entry)
            .collect()
    }

    fn show(&self) -> String {
        match self.as_slice() {
            [] => "none".to_owned(),
            entries => entries
                .iter()
                .map(T::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
}

const UNITS_MILLIS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// A number and a unit, as in `20s`.
impl Value for Duration {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        let refused = || {
            format!("`{text}` is not a duration: write a number with ms, s, m, h or d, e.g. 20s")
        };
        let (number, unit) = split_unit(text);
        let number: u64 = number.parse().map_err(|_| refused())?;
        let millis = UNITS_MILLIS
            .iter()
            .find(|(name, _)| *name == unit)
            .and_then(|(_, millis)| number.checked_mul(*millis))
            .ok_or_else(refused)?;
        Ok(Duration::from_millis(millis))
    }

    fn show(&self) -> String {
        let millis = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        let unit = UNITS_MILLIS
            .iter()
            .rev()
            .find(|(_, unit)| millis.is_multiple_of(*unit));
        match unit {
            Some((name, unit)) if millis > 0 => format!("{}{name}", millis / unit),
            _ => format!("{millis}ms"),
        }
    }
}

/// A number of bytes, written `10GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

const UNITS_BYTES: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

impl Value for ByteSize {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        let refused = || {
            format!("`{text}` is not a size: write a number with B, KiB, MiB or GiB, e.g. 10GiB")
        };
        let (number, unit) = split_unit(text);
        let number: u64 = number.parse().map_err(|_| refused())?;
        UNITS_BYTES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .and_then(|(_, bytes)| number.checked_mul(*bytes))
            .map(ByteSize)
            .ok_or_else(refused)
    }

    fn show(&self) -> String {
        let unit = UNITS_BYTES
            .iter()
            .rev()
            .find(|(_, unit)| self.0.is_multiple_of(*unit));
        match unit {
            Some((name, unit)) if self.0 > 0 => format!("{}{name}", self.0 / unit),
            _ => format!("{}B", self.0),
        }
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (number, unit.trim_start())
}

impl Value for Listen {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        Listen::parse(text)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for RateLimit {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        RateLimit::parse(text)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Where the data is, as a URL: `sqlite:PATH`, or the path alone. The file's name is
/// [`DATABASE_FILE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseUrl {
    pub path: PathBuf,
}

impl DatabaseUrl {
    /// The data directory it stands for.
    pub fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }
}

impl Value for DatabaseUrl {
    const KIND: Kind = Kind::Text;

    // No message repeats the text: a URL may hold a password.
    fn parse(text: &str) -> Result<Self, String> {
        let scheme = text
            .split_once(':')
            .map(|(scheme, _)| scheme.to_ascii_lowercase());
        let path = match scheme.as_deref() {
            None => text,
            Some("sqlite") => {
                let rest = &text["sqlite:".len()..];
                // sqlite:///var/x is absolute, sqlite://x and sqlite:x are relative.
                rest.strip_prefix("//").unwrap_or(rest)
            }
            Some("postgres" | "postgresql") => {
                return Err(
                    "this build has SQLite only, so a PostgreSQL URL cannot be used: write \
                     sqlite:DIRECTORY/autom8.db, or leave it unset"
                        .to_owned(),
                );
            }
            Some(scheme) => {
                return Err(format!(
                    "the scheme `{scheme}` is unknown: write sqlite:DIRECTORY/{DATABASE_FILE}"
                ));
            }
        };
        let path = PathBuf::parse(path)?;
        if path.file_name().is_none_or(|name| name != DATABASE_FILE) {
            return Err(format!(
                "the database's file is always called {DATABASE_FILE}: write \
                 sqlite:DIRECTORY/{DATABASE_FILE}, or set storage.directory instead"
            ));
        }
        Ok(DatabaseUrl { path })
    }

    fn show(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }
}

/// One word of a few.
macro_rules! word {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $variant_doc:literal])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $variant_doc])* $variant,)+
        }

        impl $name {
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Value for $name {
            const KIND: Kind = Kind::Text;

            fn parse(text: &str) -> Result<Self, String> {
                match text.to_ascii_lowercase().as_str() {
                    $($word => Ok($name::$variant),)+
                    _ => Err(format!("`{text}` is not one of {}", [$($word),+].join(", "))),
                }
            }

            fn show(&self) -> String {
                self.as_str().to_owned()
            }
        }
    };
}

word! {
    /// When a write is accepted.
    Durability {
        /// Once it is synced to the disk: it survives a power loss.
        Full = "full",
        /// Once it is with the operating system: it survives a crash of the process only.
        Normal = "normal",
    }
}

word! {
    /// How log lines are written.
    LogFormat {
        Text = "text",
        Json = "json",
    }
}

/// The name of an IANA time zone that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeZoneName(String);

impl TimeZoneName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TimeZoneName {
    fn default() -> Self {
        TimeZoneName("UTC".to_owned())
    }
}

impl Value for TimeZoneName {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        match TimeZone::get(text) {
            Ok(_) => Ok(TimeZoneName(text.to_owned())),
            Err(_) => Err(format!(
                "`{text}` is not a time zone: use an IANA name such as Europe/Berlin or UTC"
            )),
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_read_again() {
        for text in ["1s", "90s", "20s", "30d", "250ms", "0ms", "36h"] {
            let duration = Duration::parse(text).unwrap();
            assert_eq!(Duration::parse(&duration.show()), Ok(duration), "{text}");
        }
        for text in ["10GiB", "1536 MiB", "7B", "0B", "1kib"] {
            let size = ByteSize::parse(text).unwrap();
            assert_eq!(ByteSize::parse(&size.show()), Ok(size), "{text}");
        }
        assert_eq!(Duration::from_secs(120).show(), "2m");
        assert_eq!(ByteSize(10 << 30).show(), "10GiB");
    }

    #[test]
    fn a_number_without_its_unit_is_refused() {
        for text in [
            "20",
            "s",
            "",
            "20 fortnights",
            "-1s",
            "99999999999999999999d",
        ] {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
        for text in ["10", "GB", "10TBs", ""] {
            assert!(ByteSize::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn database_urls_are_read_as_paths() {
        for (text, path, directory) in [
            ("sqlite:autom8.db", "autom8.db", "."),
            ("sqlite://data/autom8.db", "data/autom8.db", "data"),
            (
                "sqlite:///var/lib/a/autom8.db",
                "/var/lib/a/autom8.db",
                "/var/lib/a",
            ),
            ("data/autom8.db", "data/autom8.db", "data"),
        ] {
            let url = DatabaseUrl::parse(text).unwrap();
            assert_eq!(url.path, Path::new(path), "{text}");
            assert_eq!(url.directory(), Path::new(directory), "{text}");
        }
    }

    #[test]
    fn a_refused_database_url_says_what_this_build_can_do_and_never_shows_a_password() {
        for (text, says) in [
            ("postgres://u:geheim@db/x", "SQLite only"),
            ("postgresql://u:geheim@db/x", "SQLite only"),
            ("mysql://u:geheim@db/x", "`mysql` is unknown"),
            ("sqlite:geheim.sqlite3", "always called autom8.db"),
            ("sqlite::memory:", "always called autom8.db"),
        ] {
            let error = DatabaseUrl::parse(text).unwrap_err();
            assert!(
                error.contains(says) && !error.contains("geheim"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn an_unknown_zone_is_refused() {
        assert!(TimeZoneName::parse("Europe/Berlin").is_ok());
        assert!(TimeZoneName::parse("Mars/Olympus").is_err());
    }
}
