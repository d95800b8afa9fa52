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
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn seconds(n: i64) -> Timestamp {
        Timestamp::from_seconds(n)
    }

    fn schedule(json: &str) -> Schedule {
        serde_json::from_str(json).unwrap()
    }

    fn decide(schedule: &Schedule, anchor: i64, through: i64, now: i64, catch_up: CatchUp) -> Due {
        let limits = CatchUpLimits::default();
        due(
            schedule,
            seconds(anchor),
            seconds(through),
            seconds(now),
            catch_up,
            &limits,
        )
    }

    fn span(first: i64, last: i64, count: u64) -> FireSpan {
        FireSpan {
            first: seconds(first),
            last: seconds(last),
            count,
            count_exact: true,
        }
    }

    fn runs(due: &Due) -> Vec<i64> {
        due.fires
            .iter()
            .filter(|fire| fire.outcome == FireOutcome::Run)
            .map(|fire| fire.planned_at.as_seconds())
            .collect()
    }

    #[test]
    fn json_is_read_and_written_back() {
        let cases = [
            (
                r#"{"cron":"0 2 * * *"}"#,
                r#"{"cron":"0 2 * * *","timezone":"UTC"}"#,
            ),
            (
                r#"{"cron":"@daily","timezone":"europe/berlin"}"#,
                r#"{"cron":"@daily","timezone":"Europe/Berlin"}"#,
            ),
            (r#"{"every":"2s"}"#, r#"{"every":"2s"}"#),
            (r#"{"every":"366d"}"#, r#"{"every":"366d"}"#),
            (
                r#"{"at":"2026-12-24T19:00:00+01:00"}"#,
                r#"{"at":"2026-12-24T18:00:00Z"}"#,
            ),
        ];
        for (read, written) in cases {
            let schedule = schedule(read);
            assert_eq!(serde_json::to_string(&schedule).unwrap(), written);
            assert_eq!(serde_json::from_str::<Schedule>(written).unwrap(), schedule);
        }
    }

    #[test]
    fn a_refusal_names_the_fix() {
        let cases = [
            (
                r#"{}"#,
                "exactly one of `cron`, `every` and `at`; this names none",
            ),
            (
                r#"{"every":"2s","at":"2026-12-24T18:00:00Z"}"#,
                "this names several",
            ),
            (
                r#"{"every":"2s","timezone":"UTC"}"#,
                "`timezone` belongs to `cron`",
            ),
            (
                r#"{"every":"500ms"}"#,
                "every 500ms is too often: write 1s or more",
            ),
            (r#"{"every":"0s"}"#, "every 0s is too often"),
            (
                r#"{"every":"367d"}"#,
                "every 367d is too seldom: write 366d or less",
            ),
            (r#"{"every":"1s1ns"}"#, "finer than a microsecond"),
            (r#"{"every":5}"#, "a duration as text with its unit"),
            (r#"{"cron":"0 2 * *"}"#, "there are 4 fields, not five"),
            (
                r#"{"corn":"0 2 * * *"}"#,
                "unknown field `corn`, expected one of `cron`",
            ),
            (r#"{"at":"tomorrow"}"#, "is not a time: write RFC 3339"),
            (r#""@daily""#, "an object with `cron`, `every` or `at`"),
            (
                r#"{"cron":"@daily","timezone":"Berlin"}"#,
                "`Berlin` is not a time zone; did you mean Europe/Berlin?",
            ),
            (
                r#"{"cron":"@daily","timezone":"Europe/Berln"}"#,
                "did you mean Europe/Berlin?",
            ),
            (
                r#"{"cron":"@daily","timezone":"America/New York"}"#,
                "America/New_York",
            ),
            (
                r#"{"cron":"@daily","timezone":"+02:00"}"#,
                "use an IANA name such as",
            ),
            (
                r#"{"cron":"@daily","timezone":"Etc/Unknown"}"#,
                "is not a time zone",
            ),
            (r#"{"cron":"@daily","timezone":""}"#, "is not a time zone"),
        ];
        for (json, expected) in cases {
            let message = serde_json::from_str::<Schedule>(json)
                .unwrap_err()
                .to_string();
            assert!(message.contains(expected), "{json}: {message}");
        }
    }

    #[test]
    fn triggers_are_told_in_one_line() {
        let cases = [
            (
                r#"{"cron":"0 2 * * *","timezone":"Europe/Berlin"}"#,
                "cron 0 2 * * * Europe/Berlin",
            ),
            (r#"{"every":"90s"}"#, "every 1m30s"),
            (
                r#"{"at":"2026-12-24T18:00:00Z"}"#,
                "at 2026-12-24T18:00:00Z",
            ),
        ];
        for (json, text) in cases {
            assert_eq!(schedule(json).trigger_text(), text);
        }
        let monday = schedule(r#"{"cron":"0 9 * * mon"}"#);
        assert_eq!(monday.describe(), "Mondays at 09:00 (UTC)");
    }

    #[test]
    fn intervals_keep_to_their_anchor() {
        let every = schedule(r#"{"every":"10s"}"#);
        for (after, next) in [
            (-50, 3),
            (2, 3),
            (3, 13),
            (12, 13),
            (13, 23),
            (1_000, 1_003),
        ] {
            let fire = every.next_after(seconds(after), seconds(3)).unwrap();
            assert_eq!(
                fire,
                Fire {
                    at: seconds(next),
                    dst: None
                },
                "after {after}"
            );
        }
        assert_eq!(every.next_after(Timestamp::MAX, seconds(3)), None);
    }

    #[test]
    fn a_preview_tells_clock_changes() {
        let daily = schedule(r#"{"cron":"30 2 * * *","timezone":"America/New_York"}"#);
        let preview = daily.preview(at("2026-03-07T12:00:00Z"), seconds(0), 2);
        assert_eq!(
            serde_json::to_string(&preview).unwrap(),
            r#"[{"at":"2026-03-08T07:00:00Z","dst":"gap"},{"at":"2026-03-09T06:30:00Z","dst":null}]"#
        );
        let once = schedule(r#"{"at":"2026-12-24T18:00:00Z"}"#);
        assert_eq!(once.preview(seconds(0), seconds(0), 5).len(), 1);
        assert_eq!(once.preview(at("2026-12-24T18:00:00Z"), seconds(0), 5), []);
    }

    #[test]
    fn on_time_every_policy_runs_the_one_fire() {
        let every = schedule(r#"{"every":"10s"}"#);
        for catch_up in [CatchUp::Latest, CatchUp::None, CatchUp::All] {
            let early = decide(&every, 0, 20, 29, catch_up);
            assert_eq!((early.fires.len(), early.fired_through), (0, seconds(20)));
            assert_eq!(early.next.unwrap().at, seconds(30));
            let due = decide(&every, 0, 20, 31, catch_up);
            assert_eq!(runs(&due), [30], "{catch_up:?}");
            assert_eq!((due.fires.len(), due.fired_through), (1, seconds(30)));
            assert_eq!(due.next.unwrap().at, seconds(40));
            // Asking again with the answer stored: nothing.
            assert_eq!(decide(&every, 0, 30, 31, catch_up).fires, []);
        }
    }

    #[test]
    fn latest_coalesces_the_older_fires() {
        let every = schedule(r#"{"every":"10s"}"#);
        let due = decide(&every, 0, 0, 1_005, CatchUp::Latest);
        let coalesced = PlannedFire {
            planned_at: seconds(990),
            outcome: FireOutcome::Coalesced(span(10, 990, 99)),
        };
        let run = PlannedFire {
            planned_at: seconds(1_000),
            outcome: FireOutcome::Run,
        };
        assert_eq!(due.fires, [coalesced, run]);
        assert_eq!(due.fired_through, seconds(1_000));
    }

    #[test]
    fn none_runs_only_what_lies_within_the_grace() {
        let every = schedule(r#"{"every":"30s"}"#);
        let due = decide(&every, 0, 0, 600, CatchUp::None);
        // 540 is exactly 60 s old and still on time.
        assert_eq!(runs(&due), [540, 570, 600]);
        assert_eq!(due.fires[0].outcome, FireOutcome::Missed(span(30, 510, 17)));

        let daily = schedule(r#"{"cron":"@daily"}"#);
        let due = decide(&daily, 0, 0, 3 * 86_400 + 61, CatchUp::None);
        assert_eq!(runs(&due), [] as [i64; 0]);
        assert_eq!(
            due.fires[0].outcome,
            FireOutcome::Missed(span(86_400, 259_200, 3))
        );
        assert_eq!(due.fired_through, seconds(259_200));
    }

    #[test]
    fn all_runs_each_fire_up_to_its_limit() {
        let every = schedule(r#"{"every":"2s"}"#);
        let due = decide(&every, 0, 0, 20, CatchUp::All);
        assert_eq!(runs(&due), (1..=10).map(|n| n * 2).collect::<Vec<_>>());
        let due = decide(&every, 0, 0, 4_000, CatchUp::All);
        assert_eq!(
            due.fires[0].outcome,
            FireOutcome::Missed(span(2, 2_000, 1_000))
        );
        assert_eq!(
            runs(&due),
            (1_001..=2_000).map(|n| n * 2).collect::<Vec<_>>()
        );
        let limits = CatchUpLimits {
            runs_max: 0,
            ..CatchUpLimits::default()
        };
        let due = super::due(
            &every,
            seconds(0),
            seconds(0),
            seconds(6),
            CatchUp::All,
            &limits,
        );
        assert_eq!(due.fires[0].outcome, FireOutcome::Missed(span(2, 6, 3)));
        assert_eq!(due.fired_through, seconds(6));
    }

    #[test]
    fn a_long_downtime_is_counted_not_walked() {
        let year = 365 * 86_400;
        let every = decide(
            &schedule(r#"{"every":"1s"}"#),
            0,
            0,
            50 * year,
            CatchUp::Latest,
        );
        let seconds_down = 50 * year;
        let expected = span(1, seconds_down - 1, seconds_down as u64 - 1);
        assert_eq!(every.fires[0].outcome, FireOutcome::Coalesced(expected));

        let minutely = schedule(r#"{"cron":"* * * * *","timezone":"Europe/Berlin"}"#);
        let from = at("2026-01-01T00:00:00Z");
        let now = at("2027-01-01T00:00:30Z");
        let limits = CatchUpLimits::default();
        let due = super::due(&minutely, from, from, now, CatchUp::Latest, &limits);
        let FireOutcome::Coalesced(span) = due.fires[0].outcome else {
            panic!("{due:?}")
        };
        assert_eq!((span.count, span.count_exact), (365 * 1_440 - 1, true));
        assert_eq!(span.last, at("2026-12-31T23:59:00Z"));
        assert_eq!(due.fired_through, at("2027-01-01T00:00:00Z"));
    }

    #[test]
    fn a_single_time_is_decided_once() {
        let once = schedule(r#"{"at":"1970-01-01T01:00:00Z"}"#);
        for (catch_up, outcome) in [
            (CatchUp::Latest, FireOutcome::Run),
            (CatchUp::All, FireOutcome::Run),
            (CatchUp::None, FireOutcome::Missed(span(3_600, 3_600, 1))),
        ] {
            let due = decide(&once, 0, 0, 90_000, catch_up);
            assert_eq!(
                due.fires,
                [PlannedFire {
                    planned_at: seconds(3_600),
                    outcome
                }]
            );
            assert_eq!((due.fired_through, due.next), (seconds(3_600), None));
            assert_eq!(decide(&once, 0, 3_600, 90_000, catch_up).fires, []);
        }
    }

    #[test]
    fn a_clock_that_went_back_fires_nothing_twice() {
        let every = schedule(r#"{"every":"10s"}"#);
        let due = decide(&every, 0, 1_000, 500, CatchUp::All);
        assert_eq!((due.fires.len(), due.fired_through), (0, seconds(1_000)));
        assert_eq!(due.next.unwrap().at, seconds(1_010));
    }

    proptest::proptest! {
        /// However often the scheduler looks, each planned time is settled exactly once, in order.
        #[test]
        fn looking_often_or_seldom_settles_the_same_fires(
            every in 1_i64..500,
            anchor in 0_i64..1_000,
            steps in proptest::collection::vec(0_i64..2_000, 1..20),
            policy in 0..3,
        ) {
            let schedule = Schedule::every(Duration::from_secs(every as u64)).unwrap();
            let catch_up = [CatchUp::Latest, CatchUp::None, CatchUp::All][policy as usize];
            let (mut through, mut now, mut settled) = (anchor, anchor, 0_u64);
            for step in steps {
                now += step;
                let due = decide(&schedule, anchor, through, now, catch_up);
                for fire in &due.fires {
                    proptest::prop_assert!(fire.planned_at > seconds(through));
                    through = fire.planned_at.as_seconds();
                    settled += match fire.outcome {
                        FireOutcome::Run => 1,
                        FireOutcome::Coalesced(span) | FireOutcome::Missed(span) => span.count,
                    };
                }
                proptest::prop_assert_eq!(due.fired_through, seconds(through));
            }
            proptest::prop_assert_eq!(settled, ((now - anchor) / every) as u64);
        }
    }
}
