//! The next fire: first in local time, then in the zone.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, ToSpan as _};

use super::{CronExpression, DayJoin, Dst, Fire, Pace};
use crate::clock::Timestamp;

/// From this length on a gap is a date that the zone left out (Samoa, 2011-12-30), not an hour:
/// what was planned for a day that never came does not fire on the next.
const GAP_OF_A_DAY: SignedDuration = SignedDuration::from_hours(24);

impl CronExpression {
    /// The first time strictly after `after` at which it fires, if one can be said at all.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        self.next_fire(after, zone).map(|fire| fire.at)
    }

    /// As [`CronExpression::next_after`], with what a clock change did to the fire.
    pub fn next_fire(&self, after: Timestamp, zone: &TimeZone) -> Option<Fire> {
        let after = after.to_jiff();
        match self.pace {
            Pace::Fixed => self.next_fixed(after, zone),
            Pace::Elapsed => self.next_elapsed(after, zone),
        }
        .map(|(at, dst)| Fire {
            at: Timestamp::from_jiff(at),
            dst,
        })
    }

    /// Walks the matching local times and places each in the zone.
    ///
    /// The place of a local time (its first pass, or the end of its gap) never moves back as the
    /// local time moves on. So nothing before the local time of `after` can lie ahead, several
    /// times in one gap share its end, and the second pass of an overlap is passed over.
    fn next_fixed(&self, after: jiff::Timestamp, zone: &TimeZone) -> Option<Place> {
        let mut from = floor_to_minute(zone.to_datetime(after));
        loop {
            let local = self.local_from(from)?;
            from = local.checked_add(1.minute()).ok()?;
            let (at, dst) = match zone.to_ambiguous_timestamp(local).offset() {
                AmbiguousOffset::Unambiguous { offset } => (offset.to_timestamp(local).ok()?, None),
                AmbiguousOffset::Fold { before, .. } => {
                    (before.to_timestamp(local).ok()?, Some(Dst::Overlap))
                }
                AmbiguousOffset::Gap {
                    before,
                    after: later,
                } => {
                    let gap_end = gap_end(local, before, later, zone)?;
                    if later.duration_since(before) >= GAP_OF_A_DAY {
                        from = floor_to_minute(later.to_datetime(gap_end));
                        continue;
                    }
                    (gap_end, Some(Dst::Gap))
                }
            };
            if at > after {
                return Some((at, dst));
            }
        }
    }

    /// Walks the spans between clock changes; within each, local time is the offset away.
    fn next_elapsed(&self, after: jiff::Timestamp, zone: &TimeZone) -> Option<Place> {
        let mut from = after.checked_add(1.microsecond()).ok()?;
        loop {
            let offset = zone.to_offset(from);
            let local = self.local_from(ceil_to_minute(offset.to_datetime(from))?)?;
            let at = offset.to_timestamp(local).ok()?;
            match zone.following(from).next() {
                Some(change) if change.timestamp() <= at => from = change.timestamp(),
                _ => {
                    let twice = matches!(
                        zone.to_ambiguous_timestamp(local).offset(),
                        AmbiguousOffset::Fold { .. }
                    );
                    return Some((at, twice.then_some(Dst::Overlap)));
                }
            }
        }
    }

    /// The first matching local time at or after `from`, a whole minute.
    fn local_from(&self, from: DateTime) -> Option<DateTime> {
        let mut date = from.date();
        let (mut hour, mut minute) = (from.hour() as u8, from.minute() as u8);
        loop {
            if !self.has_month(date.month() as u8) {
                date = first_of_next_month(date)?;
            } else {
                if self.matches_day(date)
                    && let Some((hour, minute)) = self.time_from(hour, minute)
                {
                    return Some(date.at(hour as i8, minute as i8, 0, 0));
                }
                date = date.tomorrow().ok()?;
            }
            (hour, minute) = (0, 0);
        }
    }

    /// The first matching time of day at or after `hour:minute`.
    fn time_from(&self, hour: u8, minute: u8) -> Option<(u8, u8)> {
        if self.hours >> hour & 1 == 1 {
            let minutes = self.minutes >> minute << minute;
            if minutes != 0 {
                return Some((hour, minutes.trailing_zeros() as u8));
            }
        }
        // Hours run to 23, so the shift stays below 32.
        let later = self.hours >> (hour + 1) << (hour + 1);
        (later != 0).then(|| {
            (
                later.trailing_zeros() as u8,
                self.minutes.trailing_zeros() as u8,
            )
        })
    }

    pub(super) fn has_month(&self, month: u8) -> bool {
        self.months >> month & 1 == 1
    }

    /// Whether the month and the two day fields allow this date.
    pub(super) fn matches_day(&self, date: Date) -> bool {
        let day = self.days_of_month >> date.day() & 1 == 1;
        let weekday = self.days_of_week >> date.weekday().to_sunday_zero_offset() & 1 == 1;
        self.has_month(date.month() as u8)
            && match self.day_join {
                DayJoin::And => day && weekday,
                DayJoin::Or => day || weekday,
            }
    }
}

type Place = (jiff::Timestamp, Option<Dst>);

/// The instant at which the gap around `local` ends.
fn gap_end(
    local: DateTime,
    before: Offset,
    after: Offset,
    zone: &TimeZone,
) -> Option<jiff::Timestamp> {
    // Read with the later offset, a time in the gap lies before the change.
    let ahead_of_change = after.to_timestamp(local).ok()?;
    let behind_change = before.to_timestamp(local).ok()?;
    zone.following(ahead_of_change)
        .take_while(|change| change.timestamp() <= behind_change)
        .find(|change| change.offset() == after)
        .map(|change| change.timestamp())
}

fn first_of_next_month(date: Date) -> Option<Date> {
    date.first_of_month().checked_add(1.month()).ok()
}

fn floor_to_minute(local: DateTime) -> DateTime {
    local.date().at(local.hour(), local.minute(), 0, 0)
}

fn ceil_to_minute(local: DateTime) -> Option<DateTime> {
    let floor = floor_to_minute(local);
    if floor == local {
        Some(floor)
    } else {
        floor.checked_add(1.minute()).ok()
    }
}
