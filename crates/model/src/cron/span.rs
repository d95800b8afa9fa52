//! Many fires at once: how many lie in a span and which are its last, without walking them all.
//!
//! A minutely schedule that was down for a week has 10,080 missed fires, and there may be 10,000
//! such schedules at a start. Away from clock changes local time is a fixed offset away, so whole
//! days are counted as `minutes × hours`; only the day after a change is walked.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{CronExpression, Fire};
use crate::clock::Timestamp;

/// After this time a clock change is over: none moves the clock by more than a day.
const SETTLING: Duration = Duration::from_secs(25 * 3_600);
const MICROSECOND: Duration = Duration::from_micros(1);
const DAY: Duration = Duration::from_secs(86_400);

/// How many fires there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FireCount {
    pub fires: u64,
    /// False if counting stopped at its bound: there are at least as many.
    pub exact: bool,
}

impl CronExpression {
    /// Counts the fires in `(after, through]`, walking at most `steps_max` of them one by one.
    pub(crate) fn count_fires(
        &self,
        after: Timestamp,
        through: Timestamp,
        zone: &TimeZone,
        steps_max: u64,
    ) -> FireCount {
        let mut fires = 0;
        let mut steps_left = steps_max;
        let mut cursor = after;
        let mut settled = settled_after(cursor, zone);
        while cursor < through {
            if cursor < settled {
                let end = settled.min(through);
                while let Some(next) = self.next_after(cursor, zone).filter(|next| *next <= end) {
                    if steps_left == 0 {
                        return FireCount {
                            fires,
                            exact: false,
                        };
                    }
                    steps_left -= 1;
                    fires += 1;
                    cursor = next;
                }
                cursor = end;
                settled = settled_after(cursor, zone);
            } else {
                let offset = zone.to_offset(cursor.to_jiff());
                let change = zone
                    .following(cursor.to_jiff())
                    .next()
                    .map(|change| Timestamp::from_jiff(change.timestamp()))
                    .filter(|change| *change <= through);
                let end = change.map_or(through, |change| change.minus(MICROSECOND));
                fires += self.count_local(
                    offset.to_datetime(cursor.to_jiff()),
                    offset.to_datetime(end.to_jiff()),
                );
                cursor = end;
                if let Some(change) = change {
                    settled = change.plus(SETTLING);
                }
            }
        }
        FireCount { fires, exact: true }
    }

    /// The last `n` fires in `(after, through]`, oldest first.
    pub(crate) fn last_fires(
        &self,
        after: Timestamp,
        through: Timestamp,
        n: usize,
        zone: &TimeZone,
    ) -> Vec<Fire> {
        // Windows reach back from the end without a hole between them, each twice the last, so
        // that a dense expression is not walked for a whole day to find one fire.
        let mut found: Vec<Vec<Fire>> = Vec::new();
        let mut count = 0;
        let mut end = through;
        let mut width = Duration::from_secs(15 * 60);
        while end > after && count < n {
            let mut start = end.minus(width);
            if width >= DAY {
                start = start.min(self.before_last_matching_day(end, after, zone));
            }
            start = start.max(after);
            let mut window = Vec::new();
            let mut cursor = start;
            while let Some(fire) = self.next_fire(cursor, zone).filter(|fire| fire.at <= end) {
                cursor = fire.at;
                window.push(fire);
            }
            count += window.len();
            found.push(window);
            end = start;
            width = (width * 2).min(DAY);
        }
        let mut fires: Vec<Fire> = found.into_iter().rev().flatten().collect();
        fires.drain(..fires.len().saturating_sub(n));
        fires
    }

    /// An instant before all fires of the last matching day up to `end`, or `floor`.
    fn before_last_matching_day(
        &self,
        end: Timestamp,
        floor: Timestamp,
        zone: &TimeZone,
    ) -> Timestamp {
        let mut date = zone.to_datetime(end.to_jiff()).date();
        let first = zone.to_datetime(floor.to_jiff()).date();
        while !self.matches_day(date) {
            match date.yesterday() {
                Ok(yesterday) if yesterday >= first => date = yesterday,
                _ => return floor,
            }
        }
        jiff::tz::Offset::UTC
            .to_timestamp(date.at(0, 0, 0, 0))
            .map_or(floor, |midnight| {
                Timestamp::from_jiff(midnight).minus(SETTLING)
            })
    }

    /// How many local times in `(after, through]` match.
    fn count_local(&self, after: DateTime, through: DateTime) -> u64 {
        let mut count = 0;
        let mut date = after.date();
        while date <= through.date() {
            if self.matches_day(date) {
                count += match date == through.date() {
                    true => self.count_day_through(through),
                    false => u64::from(self.minutes.count_ones() * self.hours.count_ones()),
                };
                if date == after.date() {
                    count -= self.count_day_through(after);
                }
            }
            let Ok(tomorrow) = date.tomorrow() else { break };
            date = tomorrow;
        }
        count
    }

    /// How many times of day up to this one match.
    fn count_day_through(&self, local: DateTime) -> u64 {
        let (hour, minute) = (local.hour() as u32, local.minute() as u32);
        let hours_before = (self.hours & ((1 << hour) - 1)).count_ones();
        let in_hour = match self.hours >> hour & 1 {
            1 => (self.minutes & ((2 << minute) - 1)).count_ones(),
            _ => 0,
        };
        u64::from(hours_before * self.minutes.count_ones() + in_hour)
    }
}

/// When the last clock change up to `at` is over.
fn settled_after(at: Timestamp, zone: &TimeZone) -> Timestamp {
    zone.preceding(at.plus(MICROSECOND).to_jiff())
        .next()
        .map_or(at, |change| {
            Timestamp::from_jiff(change.timestamp()).plus(SETTLING)
        })
}
