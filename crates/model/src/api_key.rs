//! API keys: who may call, and what for.
//!
//! A key is 256 random bits behind the prefix `a8_` and a checksum that tells a slip of the pen
//! from a key that was never made. Only its SHA-256 is kept: with that much randomness a slow hash
//! would add nothing but a way to exhaust the server.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Timestamp;
use crate::id::KeyId;

/// What every key begins with, so that a leaked one is recognised.
pub const PREFIX: &str = "a8_";
/// 43 characters hold 256 bits at 62 characters an alphabet.
const SECRET_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
/// Characters of a key that lists show.
const SHOWN_CHARS: usize = PREFIX.len() + 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// One permission. Each of `read`, `run` and `admin` includes the ones before it; `debug` stands
/// apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// See everything but keys and the audit log.
    Read,
    /// Run tasks, and keep contacts.
    Run,
    /// Define tasks, make keys, read the audit log.
    Admin,
    /// Profile the running server.
    Debug,
}

impl Scope {
    pub const ALL: [Scope; 4] = [Scope::Read, Scope::Run, Scope::Admin, Scope::Debug];

    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Run => "run",
            Scope::Admin => "admin",
            Scope::Debug => "debug",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Scope::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not a scope: use read, run, admin or debug"))
    }
}

/// The scopes of a key, as they were given. JSON: `["run","debug"]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    pub fn of(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Scopes(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether these permit what asks for `needed`: `admin` includes `run`, and that `read`.
    pub fn permit(self, needed: Scope) -> bool {
        match needed {
            Scope::Debug => self.0 & Scope::Debug.bit() != 0,
            needed => Scope::ALL
                .into_iter()
                .filter(|scope| *scope >= needed && *scope != Scope::Debug)
                .any(|scope| self.0 & scope.bit() != 0),
        }
    }

    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .into_iter()
            .filter(move |scope| self.0 & scope.bit() != 0)
    }

    /// For the store.
    pub fn bits(self) -> i64 {
        i64::from(self.0)
    }

    /// `None` for bits that are no scope.
    pub fn from_bits(bits: i64) -> Option<Self> {
        let all = Self::of(Scope::ALL);
        let bits = u8::try_from(bits).ok()?;
        (bits & !all.0 == 0).then_some(Scopes(bits))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, scope) in self.iter().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Scopes::of(Vec::<Scope>::deserialize(deserializer)?))
    }
}

/// So many requests in so much time, in place of the server's own limit. Its text and JSON form is
/// `600 per minute`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLimit {
    /// At least 1.
    pub requests: u32,
    pub period_s: u32,
}

const PERIODS_S: [(&str, u32); 4] = [
    ("second", 1),
    ("minute", 60),
    ("hour", 3_600),
    ("day", 86_400),
];

impl FromStr for KeyLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(" per ").or_else(|| text.split_once('/'));
        let read = parts.and_then(|(requests, period)| {
            let requests = requests.trim().parse().ok().filter(|count| *count > 0)?;
            let period = period.trim();
            let (_, period_s) = PERIODS_S.into_iter().find(|(name, _)| *name == period)?;
            Some(KeyLimit { requests, period_s })
        });
        read.ok_or_else(|| {
            format!(
                "`{text}` is not a limit: write e.g. \"600 per minute\" (per second, minute, hour or \
                 day)"
            )
        })
    }
}

impl fmt::Display for KeyLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = PERIODS_S
            .into_iter()
            .find(|(_, period_s)| *period_s == self.period_s);
        match named {
            Some((name, _)) => write!(f, "{} per {name}", self.requests),
            None => write!(f, "{} per {} seconds", self.requests, self.period_s),
        }
    }
}

impl Serialize for KeyLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A key as the server knows it: all but the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    pub id: KeyId,
    pub name: String,
    pub scopes: Scopes,
    /// Its first characters, by which its owner tells it from others.
    pub shown: String,
    pub limit: Option<KeyLimit>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// To the minute.
    pub last_used_at: Option<Timestamp>,
}

impl ApiKey {
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

/// A key with its secret: shown once, and never kept. Its `Debug` form hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Makes the text of 256 random bits, as [`random::secret_bits`](crate::random::secret_bits)
    /// gives them.
    pub fn new(bits: [u8; 32]) -> Self {
        let mut text = String::with_capacity(PREFIX.len() + SECRET_CHARS + CHECKSUM_CHARS);
        text.push_str(PREFIX);
        // The bits as one number, written in base 62: every character depends on them all.
        let mut number = bits;
        for _ in 0..SECRET_CHARS {
            let mut remainder = 0_u32;
            for byte in &mut number {
                let value = remainder << 8 | u32::from(*byte);
                *byte = (value / 62) as u8;
                remainder = value % 62;
            }
            text.push(char::from(ALPHABET[remainder as usize]));
        }
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Secret(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What lists show of it.
    pub fn shown(&self) -> &str {
        self.0.get(..SHOWN_CHARS).unwrap_or(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.shown())
    }
}

impl FromStr for Secret {
    type Err = NotAKey;

    /// Reads what may be a key: whether it is one, the store knows.
    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let rest = text.strip_prefix(PREFIX).ok_or(NotAKey::Prefix)?;
        if rest.len() != SECRET_CHARS + CHECKSUM_CHARS
            || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return Err(NotAKey::Length);
        }
        let (body, given) = text.split_at(PREFIX.len() + SECRET_CHARS);
        if checksum(body) != given {
            return Err(NotAKey::Checksum);
        }
        Ok(Secret(text.to_owned()))
    }
}

/// Why a text cannot be a key. None of these says anything about keys that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    #[error("an API key begins with `a8_`")]
    Prefix,
    #[error("an API key has {} letters and digits after `a8_`; this one is cut off or has others", SECRET_CHARS + CHECKSUM_CHARS)]
    Length,
    #[error("the end of this API key does not fit its beginning: it was copied with a slip")]
    Checksum,
}

/// FNV-1a, of which a slip of the pen is not meant to be a match; it guards against nothing else.
fn checksum(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut rest = hash ^ (hash >> 32);
    (0..CHECKSUM_CHARS)
        .map(|_| {
            let digit = ALPHABET[(rest % 62) as usize];
            rest /= 62;
            char::from(digit)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_a_slip_is_told_from_an_unknown_key() {
        let mut seen = std::collections::HashSet::new();
        for byte in 0..=u8::MAX {
            let mut bits = [byte; 32];
            bits[usize::from(byte) % 32] ^= 0x55;
            let secret = Secret::new(bits);
            assert!(seen.insert(secret.as_str().to_owned()));
            assert_eq!(secret.as_str().parse::<Secret>().as_ref(), Ok(&secret));
            assert!(!format!("{secret:?}").contains(secret.as_str()));
            let mut slipped = secret.as_str().to_owned();
            let last = slipped.pop().unwrap();
            slipped.push(if last == 'x' { 'y' } else { 'x' });
            assert_eq!(slipped.parse::<Secret>(), Err(NotAKey::Checksum));
            slipped.pop();
            assert_eq!(slipped.parse::<Secret>(), Err(NotAKey::Length));
        }
        assert_eq!("hunter2".parse::<Secret>(), Err(NotAKey::Prefix));
        assert_eq!("a8_é".parse::<Secret>(), Err(NotAKey::Length));
    }

    #[test]
    fn scopes_include_those_before_them_and_debug_stands_apart() {
        let permits = |given: &[Scope]| -> Vec<&str> {
            let scopes = Scopes::of(given.iter().copied());
            Scope::ALL
                .into_iter()
                .filter(|needed| scopes.permit(*needed))
                .map(Scope::as_str)
                .collect()
        };
        assert_eq!(permits(&[Scope::Read]), ["read"]);
        assert_eq!(permits(&[Scope::Run]), ["read", "run"]);
        assert_eq!(permits(&[Scope::Admin]), ["read", "run", "admin"]);
        assert_eq!(permits(&[Scope::Debug]), ["debug"]);
        assert_eq!(permits(&[Scope::Read, Scope::Debug]), ["read", "debug"]);
        assert!(permits(&[]).is_empty());
    }

    #[test]
    fn a_limit_is_read_as_it_is_written_and_what_limits_nothing_is_refused() {
        for text in ["1 per second", "600 per minute", "7 per hour", "9 per day"] {
            assert_eq!(text.parse::<KeyLimit>().unwrap().to_string(), text);
        }
        assert_eq!(
            "10/minute".parse(),
            Ok(KeyLimit {
                requests: 10,
                period_s: 60
            })
        );
        for text in [
            "",
            "600",
            "0 per minute",
            "-1 per minute",
            "many per minute",
            "5 per fortnight",
            "99999999999 per day",
        ] {
            let refused = text.parse::<KeyLimit>().unwrap_err();
            assert!(refused.contains("600 per minute"), "{refused}");
        }
    }

    #[test]
    fn scopes_survive_the_store_and_json() {
        for bits in 0..16 {
            let scopes = Scopes::from_bits(bits).unwrap();
            assert_eq!(scopes.bits(), bits);
            let json = serde_json::to_string(&scopes).unwrap();
            assert_eq!(serde_json::from_str::<Scopes>(&json).unwrap(), scopes);
        }
        assert_eq!(Scopes::from_bits(16), None);
        assert_eq!(Scopes::from_bits(-1), None);
    }
}
