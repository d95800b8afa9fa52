//! When a cron expression fires, by Debian's rules, in a time zone.
//!
//! - Five fields: minute, hour, day of month, month, day of week; or a name such as `@daily`.
//! - The two day fields join by AND if either begins with `*` (`*/2` too), else by OR.
//! - A *fixed* local time fires once over a clock change. In the gap of spring it fires when the
//!   gap ends; of a repeated time only the first pass counts.
//! - An expression whose minute or hour begins with `*` runs in *elapsed* time: it fires in both
//!   passes of a repeated hour and not at all for an hour that does not exist.
//!
//! The matcher is our own. croner 4.0.3 fires `15 1,2 * * *` twice in the autumn overlap and has
//! to be told how the day fields join; the scheduler would have had to judge its answers again.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Timestamp;

mod describe;
mod next;
mod parse;
mod span;
#[cfg(test)]
mod tests;

pub use parse::{CronError, CronField};
pub use span::FireCount;

/// A cron expression that is well formed and fires at some time.
///
/// Each field is a set of bits, bit n standing for the value n; Sunday is 0.
#[derive(Clone, PartialEq, Eq)]
pub struct CronExpression {
    /// As it was written, without surrounding space.
    text: String,
    minutes: u64,
    hours: u32,
    days_of_month: u32,
    months: u16,
    days_of_week: u8,
    day_join: DayJoin,
    pace: Pace,
}

/// How the two day fields make one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DayJoin {
    And,
    Or,
}

/// Whether the expression names times of day or a rhythm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Fixed,
    Elapsed,
}

/// One planned firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fire {
    pub at: Timestamp,
    /// Set if a clock change touched it.
    pub dst: Option<Dst>,
}

/// How a clock change touched a fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Dst {
    /// Its local time did not exist: it fires when the gap ends.
    Gap,
    /// Its local time happened twice.
    Overlap,
}

impl CronExpression {
    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl std::str::FromStr for CronExpression {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        CronExpression::parse(text)
    }
}

impl fmt::Display for CronExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for CronExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CronExpression({:?})", self.text)
    }
}

impl Serialize for CronExpression {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for CronExpression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
