//! When a task runs, and what becomes of the times that were missed.
//!
//! Everything here is a pure function of its arguments: [`due`] is asked what lies between the
//! time a schedule has fired through and now, and answers with rows to write and runs to make.

use std::fmt;
use std::time::Duration;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Timestamp;
use crate::cron::{CronError, CronExpression, FireCount};
use crate::human_duration::HumanDuration;
use crate::limits;

pub use crate::cron::{Dst, Fire};

/// Below a second an interval is a loop, and belongs into the task.
const EVERY_MIN: Duration = Duration::from_secs(1);
/// Beyond a leap year an interval is a date.
const EVERY_MAX: Duration = Duration::from_secs(366 * 86_400);
const MICROSECOND: Duration = Duration::from_micros(1);

/// When a task runs by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// `{"cron":"0 2 * * *","timezone":"UTC"}`
    Cron {
        expression: CronExpression,
        zone: Zone,
    },
    /// `{"every":"2s"}`: at the anchor and every so much elapsed time after it.
    Every(Interval),
    /// `{"at":"2026-12-24T18:00:00Z"}`: once.
    At(Timestamp),
}

/// A length of time that a schedule may repeat by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(HumanDuration);

/// Why a schedule is refused, with the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error(transparent)]
    Cron(#[from] CronError),
    #[error(transparent)]
    Zone(#[from] ZoneError),
    #[error("every {0} is too often: write 1s or more, and loop inside the task for less")]
    TooOften(HumanDuration),
    #[error("every {0} is too seldom: write 366d or less, or a date with `cron` or `at`")]
    TooSeldom(HumanDuration),
    #[error("every {0} is finer than a microsecond: write whole milliseconds")]
    TooFine(HumanDuration),
    #[error("say when with exactly one of `cron`, `every` and `at`; this names {0}")]
    NotOne(&'static str),
    #[error("`timezone` belongs to `cron`; remove it, or write the offset into `at`")]
    StrayZone,
}

impl Interval {
    pub fn new(every: HumanDuration) -> Result<Self, ScheduleError> {
        match every.0 {
            short if short < EVERY_MIN => Err(ScheduleError::TooOften(every)),
            long if long > EVERY_MAX => Err(ScheduleError::TooSeldom(every)),
            // Timestamps count microseconds; a finer interval would drift.
            fine if fine.subsec_nanos() % 1_000 != 0 => Err(ScheduleError::TooFine(every)),
            _ => Ok(Interval(every)),
        }
    }

    pub fn duration(self) -> Duration {
        self.0.0
    }

    fn micros(self) -> i128 {
        self.0.0.as_micros() as i128
    }

    /// The number of the last fire at or before `at`; negative before the anchor.
    fn number_at(self, at: Timestamp, anchor: Timestamp) -> i128 {
        (i128::from(at.as_micros()) - i128::from(anchor.as_micros())).div_euclid(self.micros())
    }

    /// The number of the first fire after `after`. The anchor itself is fire 0.
    fn number_after(self, after: Timestamp, anchor: Timestamp) -> i128 {
        (self.number_at(after, anchor) + 1).max(0)
    }

    fn fire(self, number: i128, anchor: Timestamp) -> Option<Fire> {
        let micros = i128::from(anchor.as_micros()) + number * self.micros();
        let at = Timestamp::from_micros(i64::try_from(micros).ok()?);
        (at <= Timestamp::MAX).then_some(Fire { at, dst: None })
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Schedule {
    pub fn cron(expression: &str, timezone: &str) -> Result<Self, ScheduleError> {
        let expression = CronExpression::parse(expression)?;
        Ok(Schedule::Cron {
            expression,
            zone: Zone::named(timezone)?,
        })
    }

    pub fn every(every: Duration) -> Result<Self, ScheduleError> {
        Interval::new(HumanDuration(every)).map(Schedule::Every)
    }

    /// The first fire strictly after `after`. Only intervals look at `anchor`, and never fire
    /// before it.
    pub fn next_after(&self, after: Timestamp, anchor: Timestamp) -> Option<Fire> {
        match self {
            Schedule::Cron { expression, zone } => expression.next_fire(after, &zone.zone),
            Schedule::Every(interval) => {
                interval.fire(interval.number_after(after, anchor), anchor)
            }
            Schedule::At(at) => (*at > after).then_some(Fire { at: *at, dst: None }),
        }
    }

    /// The first `n` fires strictly after `from`.
    pub fn preview(&self, from: Timestamp, anchor: Timestamp, n: usize) -> Vec<Fire> {
        let first = self.next_after(from, anchor);
        std::iter::successors(first, |fire| self.next_after(fire.at, anchor))
            .take(n)
            .collect()
    }

    /// The last `n` fires in `(after, through]`, oldest first.
    fn last_fires(
        &self,
        after: Timestamp,
        through: Timestamp,
        anchor: Timestamp,
        n: usize,
    ) -> Vec<Fire> {
        match self {
            Schedule::Cron { expression, zone } => {
                expression.last_fires(after, through, n, &zone.zone)
            }
            Schedule::Every(interval) => {
                let last = interval.number_at(through, anchor);
                let first = interval
                    .number_after(after, anchor)
                    .max(last - n as i128 + 1);
                (first..=last)
                    .filter_map(|number| interval.fire(number, anchor))
                    .collect()
            }
            Schedule::At(_) => {
                let fire = self
                    .next_after(after, anchor)
                    .filter(|fire| fire.at <= through);
                fire.into_iter().take(n).collect()
            }
        }
    }

    /// How many fires lie in `(after, through]`.
    fn count_fires(
        &self,
        after: Timestamp,
        through: Timestamp,
        anchor: Timestamp,
        steps_max: u64,
    ) -> FireCount {
        match self {
            Schedule::Cron { expression, zone } => {
                expression.count_fires(after, through, &zone.zone, steps_max)
            }
            Schedule::Every(interval) => {
                let first = interval.number_after(after, anchor);
                let fires = interval.number_at(through, anchor) - first + 1;
                FireCount {
                    fires: u64::try_from(fires.max(0)).unwrap_or(u64::MAX),
                    exact: true,
                }
            }
            Schedule::At(at) => FireCount {
                fires: u64::from(*at > after && *at <= through),
                exact: true,
            },
        }
    }

    /// "cron 0 2 * * * Europe/Berlin", "every 2s", "at 2026-12-24T18:00:00Z".
    pub fn trigger_text(&self) -> String {
        match self {
            Schedule::Cron { expression, zone } => format!("cron {expression} {zone}"),
            Schedule::Every(interval) => format!("every {interval}"),
            Schedule::At(at) => format!("at {at}"),
        }
    }

    /// The same in plain words: "Mondays at 09:00 (Europe/Berlin)".
    pub fn describe(&self) -> String {
        match self {
            Schedule::Cron { expression, zone } => format!("{} ({zone})", expression.describe()),
            Schedule::Every(_) | Schedule::At(_) => self.trigger_text(),
        }
    }
}

/// The JSON form before it is judged.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an object with `cron`, `every` or `at`"
)]
struct Fields {
    cron: Option<String>,
    timezone: Option<String>,
    every: Option<HumanDuration>,
    at: Option<Timestamp>,
}

impl TryFrom<Fields> for Schedule {
    type Error = ScheduleError;

    fn try_from(fields: Fields) -> Result<Self, Self::Error> {
        if fields.cron.is_none() && fields.timezone.is_some() {
            return Err(ScheduleError::StrayZone);
        }
        match (fields.cron, fields.every, fields.at) {
            (Some(cron), None, None) => {
                Schedule::cron(&cron, fields.timezone.as_deref().unwrap_or("UTC"))
            }
            (None, Some(every), None) => Interval::new(every).map(Schedule::Every),
            (None, None, Some(at)) => Ok(Schedule::At(at)),
            (None, None, None) => Err(ScheduleError::NotOne("none")),
            _ => Err(ScheduleError::NotOne("several")),
        }
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Fields::deserialize(deserializer)?
            .try_into()
            .map_err(serde::de::Error::custom)
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Schedule::Cron { expression, zone } => {
                map.serialize_entry("cron", expression)?;
                map.serialize_entry("timezone", zone.name())?;
            }
            Schedule::Every(interval) => map.serialize_entry("every", &interval.0)?,
            Schedule::At(at) => map.serialize_entry("at", at)?,
        }
        map.end()
    }
}

/// An IANA time zone from the database that is built in, so that every node knows the same rules.
#[derive(Clone)]
pub struct Zone {
    name: Box<str>,
    zone: TimeZone,
}

/// A name that no time zone has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a time zone; {fix}")]
pub struct ZoneError {
    name: String,
    fix: String,
}

impl Zone {
    /// Finds a zone, in any letter case; the name is kept as IANA writes it.
    pub fn named(name: &str) -> Result<Self, ZoneError> {
        let name = name.trim();
        match TimeZoneDatabase::bundled().get(name) {
            Ok(zone) if !zone.is_unknown() => Ok(Zone {
                name: zone.iana_name().unwrap_or(name).into(),
                zone,
            }),
            _ => {
                let name: String = name.chars().take(ZONE_NAME_CHARS_MAX).collect();
                Err(ZoneError {
                    fix: zone_fix(&name),
                    name,
                })
            }
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn rules(&self) -> &TimeZone {
        &self.zone
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name)
    }
}

/// The longest IANA name has 32 characters; this also bounds the search for near names.
const ZONE_NAME_CHARS_MAX: usize = 40;
const NEAR_ZONES_MAX: usize = 3;

/// Names near a mistaken one: the same city, or few letters apart.
fn zone_fix(name: &str) -> String {
    let asked = name.to_ascii_lowercase().replace(' ', "_");
    let city = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let asked_city = city(&asked);
    let tolerance = (asked_city.chars().count() / 3).min(3);
    let database = TimeZoneDatabase::bundled();
    let mut near: Vec<(usize, String)> = database
        .available()
        .filter_map(|known| {
            let lower = known.as_str().to_ascii_lowercase();
            let distance =
                letters_apart(&lower, &asked).min(letters_apart(&city(&lower), &asked_city));
            (distance <= tolerance).then(|| (distance, known.as_str().to_owned()))
        })
        .collect();
    near.sort();
    if near.is_empty() {
        return "use an IANA name such as Europe/Berlin, America/New_York or UTC".to_owned();
    }
    let names: Vec<String> = near
        .into_iter()
        .take(NEAR_ZONES_MAX)
        .map(|(_, name)| name)
        .collect();
    format!("did you mean {}?", names.join(" or "))
}

/// Insertions, deletions and replacements between two texts (Levenshtein).
fn letters_apart(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

/// What becomes of fires that were missed while the scheduler was down or late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// The latest runs; the older ones are recorded as coalesced into it.
    #[default]
    Latest,
    /// Those within the grace run; the older ones are recorded as missed.
    None,
    /// Each one runs, up to a limit; those beyond it, the oldest, are recorded as missed.
    All,
}

/// Bounds of one decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatchUpLimits {
    /// Fires that one decision may run.
    pub runs_max: usize,
    /// How late a fire may be and still count as on time under [`CatchUp::None`].
    pub grace: Duration,
    /// Fires near clock changes that may be walked one by one for a count; cron only.
    pub count_steps_max: u64,
}

impl Default for CatchUpLimits {
    fn default() -> Self {
        CatchUpLimits {
            runs_max: limits::CATCH_UP_FIRES_MAX,
            grace: Duration::from_secs(60),
            count_steps_max: 100_000,
        }
    }
}

/// What to write and run now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// In order of time: at most one summary, then the runs.
    pub fires: Vec<PlannedFire>,
    /// To be stored with the fires: the last planned time that they settle. Unchanged if there
    /// are none.
    pub fired_through: Timestamp,
    /// The first fire after now, to wait for.
    pub next: Option<Fire>,
}

/// One row of `fires`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedFire {
    /// Of a summary, the last time that it covers.
    pub planned_at: Timestamp,
    pub outcome: FireOutcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FireOutcome {
    Run,
    /// These gave way to a later fire that runs.
    Coalesced(FireSpan),
    /// These never run.
    Missed(FireSpan),
}

/// Several fires told as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FireSpan {
    pub first: Timestamp,
    pub last: Timestamp,
    pub count: u64,
    /// False if counting stopped at its bound and there may be more.
    pub count_exact: bool,
}

/// Decides about all fires in `(fired_through, now]`.
///
/// The cost does not grow with the downtime for intervals, and with its days for cron: fires that
/// do not run are counted, not walked. If the clock went back behind `fired_through`, nothing is
/// due until it has caught up: no planned time is decided twice.
pub fn due(
    schedule: &Schedule,
    anchor: Timestamp,
    fired_through: Timestamp,
    now: Timestamp,
    catch_up: CatchUp,
    limits: &CatchUpLimits,
) -> Due {
    let next = schedule.next_after(now.max(fired_through), anchor);
    let first = match schedule.next_after(fired_through, anchor) {
        Some(first) if first.at <= now => first.at,
        _ => {
            return Due {
                fires: Vec::new(),
                fired_through,
                next,
            };
        }
    };
    let (runs_after, runs_max) = match catch_up {
        CatchUp::Latest => (fired_through, 1),
        CatchUp::All => (fired_through, limits.runs_max),
        CatchUp::None => (
            fired_through.max(now.minus(limits.grace).minus(MICROSECOND)),
            limits.runs_max,
        ),
    };
    let runs = schedule.last_fires(runs_after, now, anchor, runs_max);
    let left_through = runs.first().map_or(now, |run| run.at.minus(MICROSECOND));
    let mut fires = Vec::with_capacity(runs.len() + 1);
    if first <= left_through {
        let last = schedule
            .last_fires(fired_through, left_through, anchor, 1)
            .last()
            .map_or(first, |fire| fire.at);
        let count =
            schedule.count_fires(fired_through, left_through, anchor, limits.count_steps_max);
        let span = FireSpan {
            first,
            last,
            count: count.fires.max(1),
            count_exact: count.exact,
        };
        fires.push(PlannedFire {
            planned_at: last,
            outcome: match catch_up {
                CatchUp::Latest => FireOutcome::Coalesced(span),
                CatchUp::None | CatchUp::All => FireOutcome::Missed(span),
            },
        });
    }
    fires.extend(runs.iter().map(|run| PlannedFire {
        planned_at: run.at,
        outcome: FireOutcome::Run,
    }));
    let fired_through = fires.last().map_or(fired_through, |fire| fire.planned_at);
    Due {
        fires,
        fired_through,
        next,
    }
}

#[cfg(test)]
mod tests;
