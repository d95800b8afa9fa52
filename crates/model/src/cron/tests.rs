//! Tables of known clock changes, and an oracle that knows nothing of the matcher: it walks UTC
//! minutes and keeps the latest local time reached, as Debian's daemon does.
//!
//! Long because each clock change is a table of its own.

use std::collections::BTreeSet;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::*;

fn zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cron(text: &str) -> CronExpression {
    CronExpression::parse(text).unwrap()
}

/// The fires in `(from, from + hours]`, each as local time and UTC offset.
fn local_fires(expression: &str, zone_name: &str, from: &str, hours: i64) -> Vec<String> {
    let (expression, zone) = (cron(expression), zone(zone_name));
    let mut cursor = at(from);
    let end = cursor.plus(std::time::Duration::from_secs(hours as u64 * 3_600));
    let mut fires = Vec::new();
    while let Some(fire) = expression
        .next_fire(cursor, &zone)
        .filter(|fire| fire.at <= end)
    {
        cursor = fire.at;
        let dst = match fire.dst {
            None => "",
            Some(Dst::Gap) => " gap",
            Some(Dst::Overlap) => " overlap",
        };
        fires.push(format!(
            "{}{dst}",
            cursor
                .to_jiff()
                .to_zoned(zone.clone())
                .strftime("%d %H:%M%:z")
        ));
    }
    fires
}

#[test]
fn clock_changes_fire_fixed_times_once_and_rhythms_in_elapsed_time() {
    // (expression, zone, from, hours, fires)
    type Case = (
        &'static str,
        &'static str,
        &'static str,
        i64,
        &'static [&'static str],
    );
    let cases: &[Case] = &[
        // New York, 8 March 2026: 02:00 to 03:00 is left out.
        (
            "30 2 * * *",
            "America/New_York",
            "2026-03-07T12:00:00Z",
            48,
            &["08 03:00-04:00 gap", "09 02:30-04:00"],
        ),
        (
            "0,30 2,3 * * *",
            "America/New_York",
            "2026-03-08T05:00:00Z",
            12,
            &["08 03:00-04:00 gap", "08 03:30-04:00"],
        ),
        (
            "0 */1 * * *",
            "America/New_York",
            "2026-03-08T05:30:00Z",
            3,
            &["08 01:00-05:00", "08 03:00-04:00", "08 04:00-04:00"],
        ),
        (
            "*/30 2 * * *",
            "America/New_York",
            "2026-03-08T05:00:00Z",
            12,
            &[],
        ),
        // New York, 1 November 2026: 01:00 to 02:00 comes twice.
        (
            "15 1,2 * * *",
            "America/New_York",
            "2026-11-01T04:00:00Z",
            12,
            &["01 01:15-04:00 overlap", "01 02:15-05:00"],
        ),
        (
            "30 1 * * *",
            "America/New_York",
            "2026-11-01T04:00:00Z",
            30,
            &["01 01:30-04:00 overlap", "02 01:30-05:00"],
        ),
        (
            "*/30 * * * *",
            "America/New_York",
            "2026-11-01T04:45:00Z",
            2,
            &[
                "01 01:00-04:00 overlap",
                "01 01:30-04:00 overlap",
                "01 01:00-05:00 overlap",
                "01 01:30-05:00 overlap",
            ],
        ),
        (
            "30 * * * *",
            "America/New_York",
            "2026-11-01T04:45:00Z",
            3,
            &[
                "01 01:30-04:00 overlap",
                "01 01:30-05:00 overlap",
                "01 02:30-05:00",
            ],
        ),
        // Berlin, 29 March and 25 October 2026.
        (
            "0 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            48,
            &["29 03:00+02:00 gap", "30 02:00+02:00"],
        ),
        (
            "59 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            48,
            &["29 03:00+02:00 gap", "30 02:59+02:00"],
        ),
        (
            "0 3 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            24,
            &["29 03:00+02:00"],
        ),
        (
            "0 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            48,
            &["25 02:00+02:00 overlap", "26 02:00+01:00"],
        ),
        (
            "0 3 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            24,
            &["25 03:00+01:00"],
        ),
        // Lord Howe shifts by half an hour: 4 October 2026 and 5 April 2026 at 02:00.
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            48,
            &["04 02:30+11:00 gap", "05 02:15+11:00"],
        ),
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T00:00:00Z",
            48,
            &["05 01:45+11:00 overlap", "06 01:45+10:30"],
        ),
        (
            "*/15 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T13:00:00Z",
            4,
            &[
                "05 01:00+11:00",
                "05 01:15+11:00",
                "05 01:30+11:00 overlap",
                "05 01:45+11:00 overlap",
                "05 01:30+10:30 overlap",
                "05 01:45+10:30 overlap",
            ],
        ),
        // Chatham changes at 02:45: 27 September 2026 and 5 April 2026 (back at 03:45).
        (
            "0 3 * * *",
            "Pacific/Chatham",
            "2026-09-26T00:00:00Z",
            48,
            &["27 03:45+13:45 gap", "28 03:00+13:45"],
        ),
        (
            "0 3 * * *",
            "Pacific/Chatham",
            "2026-04-04T00:00:00Z",
            48,
            &["05 03:00+13:45 overlap", "06 03:00+12:45"],
        ),
        // Troll shifts by two hours: 29 March and 25 October 2026 at 01:00 UTC.
        (
            "30 1,2 * * *",
            "Antarctica/Troll",
            "2026-03-28T12:00:00Z",
            36,
            &["29 03:00+02:00 gap", "30 01:30+02:00"],
        ),
        (
            "30 1,2 * * *",
            "Antarctica/Troll",
            "2026-10-24T12:00:00Z",
            30,
            &["25 01:30+02:00 overlap", "25 02:30+02:00 overlap"],
        ),
        // Cairo changes at midnight: 24 April 2026 forward, 30 October 2026 back to 23:00.
        (
            "@daily",
            "Africa/Cairo",
            "2026-04-22T22:00:00Z",
            48,
            &["24 01:00+03:00 gap", "25 00:00+03:00"],
        ),
        (
            "30 23 * * *",
            "Africa/Cairo",
            "2026-10-29T12:00:00Z",
            36,
            &["29 23:30+03:00 overlap", "30 23:30+02:00"],
        ),
        // Nuuk's gap ends at midnight: the fire of the 28th comes as the 29th begins.
        (
            "30 23 * * *",
            "America/Nuuk",
            "2026-03-28T12:00:00Z",
            48,
            &["29 00:00-01:00 gap", "29 23:30-01:00"],
        ),
        // Samoa had no 30 December 2011, so nothing planned for it fires.
        (
            "0 12 * * *",
            "Pacific/Apia",
            "2011-12-29T12:00:00Z",
            48,
            &["29 12:00-10:00", "31 12:00+14:00"],
        ),
        (
            "0 0 * * *",
            "Pacific/Apia",
            "2011-12-29T12:00:00Z",
            24,
            &["31 00:00+14:00"],
        ),
    ];
    for (expression, zone, from, hours, expected) in cases {
        assert_eq!(
            local_fires(expression, zone, from, *hours),
            *expected,
            "{expression} {zone}"
        );
    }
}

#[test]
fn dates_follow_debians_day_rule() {
    let days = |expression: &str, n: usize| -> Vec<String> {
        let expression = cron(expression);
        let mut cursor = at("2026-01-01T00:00:00Z");
        (0..n)
            .map(|_| {
                cursor = expression.next_after(cursor, &TimeZone::UTC).unwrap();
                cursor.to_string()[..10].to_owned()
            })
            .collect()
    };
    // Both restricted: the 13th or a Friday.
    assert_eq!(
        days("1 0 13 * 5", 4),
        ["2026-01-02", "2026-01-09", "2026-01-13", "2026-01-16"]
    );
    // Either begins with `*`: both must hold.
    assert_eq!(
        days("1 0 */2 * 5", 3),
        ["2026-01-09", "2026-01-23", "2026-02-13"]
    );
    assert_eq!(
        days("1 0 13 * */5", 3),
        ["2026-02-13", "2026-03-13", "2026-09-13"]
    );
    assert_eq!(days("0 0 29 2 *", 2), ["2028-02-29", "2032-02-29"]);
    // A leap day on a Sunday.
    assert_eq!(days("0 0 29 2 */6", 2), ["2032-02-29", "2048-02-29"]);
    assert_eq!(days("0 0 31 2 mon", 1), ["2026-02-02"]);
}

#[test]
fn refusals_name_the_field_the_position_and_the_fix() {
    let cases = [
        (
            "60 * * * *",
            "cron minute, position 1: `60` is out of range; use 0-59",
        ),
        (
            "0 24 * * *",
            "cron hour, position 3: `24` is out of range; use 0-23",
        ),
        (
            "0 0 0 * *",
            "cron day of month, position 5: `0` is out of range; use 1-31",
        ),
        (
            "0 0 1 13 *",
            "cron month, position 7: `13` is out of range; use 1-12 or jan-dec",
        ),
        (
            "0 0 * * 8",
            "cron day of week, position 9: `8` is out of range; use 0-7 or sun-sat (0 and 7 are Sunday)",
        ),
        (
            "0 0 * * monday",
            "cron day of week, position 9: `monday` is not a number or name; use `mon`",
        ),
        (
            "  0,,5 * * * *",
            "cron minute, position 5: a value is missing beside a comma; remove the comma or add the value",
        ),
        (
            "0 22-2 * * *",
            "cron hour, position 3: the range `22-2` runs backwards; write it as two, `22-23,0-2`",
        ),
        (
            "5/15 * * * *",
            "cron minute, position 1: a step needs a range, and `5` is one value; write `5-59/15`",
        ),
        (
            "*/0 * * * *",
            "cron minute, position 3: a step of 0 never moves on; use 1 or more",
        ),
        (
            "*/90 * * * *",
            "cron minute, position 3: the step 90 is beyond the field's 60 values; for a rhythm write {\"every\":\"90m\"}",
        ),
        (
            "*/+5 * * * *",
            "cron minute, position 3: the step `+5` is not a number; write e.g. `*/5`",
        ),
        (
            "*/ * * * *",
            "cron minute, position 3: the step `` is not a number; write e.g. `*/5`",
        ),
        (
            "0 0 ? * *",
            "cron day of month, position 5: `?` is not cron's; use `*`",
        ),
        (
            "0 0 L * *",
            "cron day of month, position 5: `L` is not a number; use 1-31",
        ),
        (
            "0 0 1- * *",
            "cron day of month, position 7: a value is missing; use 1-31",
        ),
        (
            "0 0 * * 1-*",
            "cron day of week, position 11: `*` cannot be part of `*`; use `*` alone or with a step, `*/5`",
        ),
        (
            "é 0 * * *",
            "cron minute, position 1: `é` is not a number; use 0-59",
        ),
        (
            "0 0 30 2 *",
            "cron day of month, position 5: day 30 never comes in month 2; choose a day that one of the months has",
        ),
        (
            "0 0 31 4,6,9,11 *",
            "cron day of month, position 5: day 31 never comes in month 4,6,9,11; choose a day that one of the months has",
        ),
        (
            "",
            "cron, position 1: it is empty; write minute, hour, day of month, month and day of week, e.g. `0 2 * * *`",
        ),
        (
            "0 2 * *",
            "cron, position 7: there are 4 fields, not five; write minute, hour, day of month, month and day of week, e.g. `0 2 * * *`",
        ),
        (
            "0 0 2 * * *",
            "cron, position 11: there are 6 fields, not five; leave out seconds, year and command; for less than a minute write {\"every\":\"10s\"}",
        ),
        (
            "CRON_TZ=UTC 0 2 * * *",
            "cron, position 1: `CRON_TZ=UTC` is a variable, not a field; put a time zone into `timezone` beside `cron`",
        ),
        (
            "@reboot",
            "cron, position 1: `@reboot` is not a time: a schedule survives restarts and must not fire on each; use a time, or let the system's start-up post to the task's `run` route",
        ),
        (
            "@dayly",
            "cron, position 1: `@dayly` is not known; use @hourly, @daily, @weekly, @monthly, @yearly or five fields",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(
            CronExpression::parse(text).unwrap_err().to_string(),
            expected,
            "{text}"
        );
    }
    assert!(CronExpression::parse(&"1,".repeat(400)).is_err());
}

#[test]
fn equal_meanings_are_read_alike() {
    let pairs = [
        ("0 0 * * sun", "0 0 * * 7"),
        ("0 0 * * 0", "0 0 * * 7"),
        ("0 0 * JAN-mar Mon-FRI", "0 0 * 1-3 1-5"),
        ("0 0 * * fri-sun", "0 0 * * 5,6,0"),
        ("@daily", "0 0 * * *"),
        ("@Midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("\t05  1-9/4 * * *  ", "5 1,5,9 * * *"),
    ];
    for (left, right) in pairs {
        let left = CronExpression {
            text: String::new(),
            ..cron(left)
        };
        assert!(
            left == CronExpression {
                text: String::new(),
                ..cron(right)
            },
            "{right}"
        );
    }
}

#[test]
fn common_expressions_are_described_in_words() {
    let cases = [
        ("* * * * *", "every minute"),
        ("*/5 * * * *", "every 5 minutes"),
        ("0,30 * * * *", "every 30 minutes"),
        ("@hourly", "every hour"),
        ("15 * * * *", "every hour at :15"),
        ("15,45 * * * *", "every hour at :15 and :45"),
        ("0 */2 * * *", "every 2 hours"),
        ("30 */6 * * *", "every 6 hours at :30"),
        ("0 2 * * *", "at 02:00"),
        ("0 9,17 * * *", "at 09:00 and 17:00"),
        ("0 0,12 * * *", "at 00:00 and 12:00"),
        ("0 9 * * 1", "Mondays at 09:00"),
        ("0 9 * * 0,3", "Wednesdays and Sundays at 09:00"),
        ("0 9 * * mon-fri", "Mondays to Fridays at 09:00"),
        ("0 9 * * 6,7", "Saturdays and Sundays at 09:00"),
        ("@monthly", "at 00:00 on the 1st of every month"),
        (
            "0 6 2,23 * *",
            "at 06:00 on the 2nd and 23rd of every month",
        ),
        ("@yearly", "at 00:00 on the 1st of January"),
        (
            "0 6 1 */3 *",
            "at 06:00 on the 1st of January, April, July and October",
        ),
        ("*/7 * * * *", "*/7 * * * *"),
        ("0 0 13 * 5", "0 0 13 * 5"),
        ("0-59/5 9-17 * * 1-5", "0-59/5 9-17 * * 1-5"),
    ];
    for (expression, words) in cases {
        assert_eq!(cron(expression).describe(), words, "{expression}");
    }
}

/// SplitMix64: the same cases in every run, from a seed that a failure can name.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A field made as text and values side by side, so that the parser is judged as well.
struct OracleField {
    text: String,
    values: BTreeSet<i64>,
    starred: bool,
}

fn oracle_field(random: &mut Random, min: i64, max: i64, star_in: u64) -> OracleField {
    let span = (max - min + 1) as u64;
    if random.one_in(star_in) {
        let step = if random.one_in(2) {
            1
        } else {
            1 + random.below(span.min(20) - 1) as i64
        };
        let text = if step == 1 {
            "*".to_owned()
        } else {
            format!("*/{step}")
        };
        let values = (min..=max)
            .filter(|value| (value - min) % step == 0)
            .collect();
        return OracleField {
            text,
            values,
            starred: true,
        };
    }
    let mut texts = Vec::new();
    let mut values = BTreeSet::new();
    for _ in 0..=random.below(3) {
        let first = min + random.below(span) as i64;
        if random.one_in(3) {
            let last = first + random.below((max - first + 1) as u64) as i64;
            let step = 1 + random.below(4) as i64;
            texts.push(format!("{first}-{last}/{step}"));
            values.extend((first..=last).filter(|value| (value - first) % step == 0));
        } else {
            texts.push(first.to_string());
            values.insert(first);
        }
    }
    OracleField {
        text: texts.join(","),
        values,
        starred: false,
    }
}

struct Oracle {
    text: String,
    fields: [OracleField; 5],
}

impl Oracle {
    fn random(random: &mut Random) -> Oracle {
        let mut weekday = oracle_field(random, 0, 7, 2);
        if weekday.values.contains(&7) {
            weekday.values.insert(0);
        }
        let fields = [
            oracle_field(random, 0, 59, 4),
            // Clock changes happen in the small hours: aim there.
            match random.one_in(2) {
                true => oracle_field(random, 0, 4, 1_000),
                false => oracle_field(random, 0, 23, 3),
            },
            oracle_field(random, 1, 31, 2),
            OracleField {
                text: "*".to_owned(),
                values: (1..=12).collect(),
                starred: true,
            },
            weekday,
        ];
        let text = fields
            .iter()
            .map(|f| f.text.as_str())
            .collect::<Vec<_>>()
            .join(" ");
        Oracle { text, fields }
    }

    fn matches(&self, local: &LocalMinute) -> bool {
        let [minute, hour, day, month, weekday] = &self.fields;
        let on_day = day.values.contains(&local.day);
        let on_weekday = weekday.values.contains(&local.weekday);
        minute.values.contains(&local.minute)
            && hour.values.contains(&local.hour)
            && month.values.contains(&local.month)
            && if day.starred || weekday.starred {
                on_day && on_weekday
            } else {
                on_day || on_weekday
            }
    }

    /// The fires among these minutes, which follow one another in UTC.
    fn fires(&self, minutes: &[(Timestamp, LocalMinute)]) -> Vec<Timestamp> {
        let rhythm = self.fields[0].starred || self.fields[1].starred;
        let mut reached = minutes[0].1.number - 1;
        let mut fires = Vec::new();
        for (at, local) in minutes {
            let fire = if rhythm {
                self.matches(local)
            } else if local.number <= reached {
                false
            } else if local.number - reached > 24 * 60 {
                self.matches(local)
            } else {
                (reached + 1..=local.number).any(|n| self.matches(&LocalMinute::numbered(n)))
            };
            if fire {
                fires.push(*at);
            }
            reached = reached.max(local.number);
        }
        fires
    }
}

#[derive(Clone, Copy)]
struct LocalMinute {
    /// Minutes since 1970-01-01T00:00 on the local clock.
    number: i64,
    minute: i64,
    hour: i64,
    day: i64,
    month: i64,
    weekday: i64,
}

impl LocalMinute {
    fn numbered(number: i64) -> LocalMinute {
        let days = number.div_euclid(1_440);
        let minute_of_day = number.rem_euclid(1_440);
        // Civil date from a day number, after Howard Hinnant's "chrono-compatible algorithms".
        let z = days + 719_468;
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        LocalMinute {
            number,
            minute: minute_of_day % 60,
            hour: minute_of_day / 60,
            day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
            month: if shifted_month < 10 {
                shifted_month + 3
            } else {
                shifted_month - 9
            },
            // 1970-01-01 was a Thursday.
            weekday: (days + 4).rem_euclid(7),
        }
    }

    fn of(at: Timestamp, zone: &TimeZone) -> LocalMinute {
        let offset = i64::from(zone.to_offset(at.to_jiff()).seconds());
        LocalMinute::numbered((at.as_seconds() + offset).div_euclid(60))
    }
}

const ORACLE_ZONES: [&str; 22] = [
    "UTC",
    "America/New_York",
    "America/St_Johns",
    "America/Havana",
    "America/Santiago",
    "America/Nuuk",
    "America/Scoresbysund",
    "America/Sao_Paulo",
    "Europe/Berlin",
    "Europe/Dublin",
    "Europe/London",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Jerusalem",
    "Asia/Kathmandu",
    "Antarctica/Troll",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Norfolk",
    "Pacific/Apia",
];

/// The clock changes of a zone in the years asked for.
fn changes(zone: &TimeZone, from: &str, until: &str) -> Vec<Timestamp> {
    let until = at(until).to_jiff();
    zone.following(at(from).to_jiff())
        .map(|change| change.timestamp())
        .take_while(|change| *change < until)
        .map(Timestamp::from_jiff)
        .collect()
}

const HOUR: std::time::Duration = std::time::Duration::from_secs(3_600);

#[test]
fn the_matcher_agrees_with_a_minute_by_minute_oracle() {
    let mut random = Random(20_261_129);
    let mut compared = 0;
    for zone_name in ORACLE_ZONES {
        let zone = zone(zone_name);
        let mut weeks = changes(&zone, "2010-01-01T00:00:00Z", "2030-01-01T00:00:00Z");
        weeks.push(at("2026-02-28T12:00:00Z"));
        for _ in 0..4 {
            let change = weeks[random.below(weeks.len() as u64) as usize];
            let start = change.minus(36 * HOUR);
            let minutes: Vec<(Timestamp, LocalMinute)> = (0..4 * 1_440)
                .map(|n| {
                    let at = Timestamp::from_seconds(start.as_seconds() + n * 60);
                    (at, LocalMinute::of(at, &zone))
                })
                .collect();
            let end = minutes[minutes.len() - 1].0;
            for _ in 0..12 {
                let oracle = Oracle::random(&mut random);
                let Ok(expression) = CronExpression::parse(&oracle.text) else {
                    continue;
                };
                let expected = oracle.fires(&minutes);
                // A walk over the change, and steps from times between the fires.
                let mut cursors = vec![start.minus(std::time::Duration::from_secs(1))];
                cursors.extend((0..10).map(|_| {
                    change
                        .minus(4 * HOUR)
                        .plus(std::time::Duration::from_secs(random.below(28_800)))
                }));
                for (n, from) in cursors.into_iter().enumerate() {
                    let mut cursor = from;
                    let first = expected.partition_point(|fire| *fire <= from);
                    let steps = if n == 0 { 40 } else { 4 };
                    for expected in expected[first..].iter().take(steps) {
                        let next = expression.next_after(cursor, &zone).unwrap();
                        assert_eq!(
                            next, *expected,
                            "`{}` {zone_name} after {cursor}",
                            oracle.text
                        );
                        cursor = next;
                        compared += 1;
                    }
                    if expected.len() - first < steps {
                        let next = expression.next_after(cursor, &zone);
                        assert!(
                            next.is_none_or(|next| next > end),
                            "`{}` {zone_name} after {cursor}: {next:?}",
                            oracle.text
                        );
                    }
                }
            }
        }
    }
    assert!(compared > 10_000, "only {compared} fires compared");
}

#[test]
fn counts_and_last_fires_agree_with_walking() {
    let mut random = Random(7);
    for round in 0..250 {
        let zone_name = ORACLE_ZONES[round % ORACLE_ZONES.len()];
        let zone = zone(zone_name);
        let oracle = Oracle::random(&mut random);
        let Ok(expression) = CronExpression::parse(&oracle.text) else {
            continue;
        };
        let weeks = changes(&zone, "2008-01-01T00:00:00Z", "2030-01-01T00:00:00Z");
        let near = weeks.get(random.below(weeks.len().max(1) as u64) as usize);
        let from = near
            .copied()
            .unwrap_or_else(|| at("2026-01-01T00:00:00Z"))
            .minus(std::time::Duration::from_secs(random.below(4 * 86_400)));
        let days = if round % 10 == 0 { 300 } else { 6 };
        let through = from.plus(std::time::Duration::from_secs(random.below(days * 86_400)));
        let mut walked = Vec::new();
        let mut cursor = from;
        while let Some(fire) = expression
            .next_fire(cursor, &zone)
            .filter(|f| f.at <= through)
        {
            cursor = fire.at;
            walked.push(fire);
            if walked.len() > 20_000 {
                break;
            }
        }
        if walked.len() > 20_000 {
            continue;
        }
        let context = format!("`{}` {zone_name} ({from}, {through}]", oracle.text);
        let count = expression.count_fires(from, through, &zone, u64::MAX);
        assert_eq!(
            count,
            FireCount {
                fires: walked.len() as u64,
                exact: true
            },
            "{context}"
        );
        for n in [1, 2, 50] {
            let last = expression.last_fires(from, through, n, &zone);
            assert_eq!(
                last,
                walked[walked.len().saturating_sub(n)..],
                "{context} last {n}"
            );
        }
    }
}

#[test]
fn a_count_that_stops_at_its_bound_says_so() {
    let berlin = zone("Europe/Berlin");
    let (from, through) = (at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
    let exact = cron("* * * * *").count_fires(from, through, &berlin, 100_000);
    assert_eq!(
        exact,
        FireCount {
            fires: 365 * 1_440,
            exact: true
        }
    );
    let bounded = cron("* * * * *").count_fires(from, through, &berlin, 100);
    assert!(!bounded.exact && bounded.fires < exact.fires);
}

/// The local dates that a daily fixed time was meant for, given its fires: a fire moved by a gap
/// belongs to the date before the gap's end, if the gap reaches over midnight.
fn daily_fires_match_days(
    zone_name: &str,
    hour: i8,
    minute: i8,
    from: jiff::civil::Date,
    days: usize,
) {
    let zone = zone(zone_name);
    let expression = cron(&format!("{minute} {hour} * * *"));
    let planned = |date: jiff::civil::Date| date.at(hour, minute, 0, 0);
    // From a day before, so that the first one is not cut.
    let mut cursor = Timestamp::from_jiff(
        zone.to_ambiguous_timestamp(planned(from))
            .compatible()
            .unwrap(),
    );
    let mut date = from;
    for _ in 0..days {
        date = date.tomorrow().unwrap();
        let fire = expression.next_fire(cursor, &zone).unwrap();
        // `compatible` moves a time in a gap on by the gap's length, past its end but by less
        // than a day; of a repeated time it takes the first pass.
        let expected = Timestamp::from_jiff(
            zone.to_ambiguous_timestamp(planned(date))
                .compatible()
                .unwrap(),
        );
        match fire.dst {
            Some(Dst::Gap) => assert!(
                fire.at <= expected && expected.since(fire.at) < 3 * HOUR,
                "{zone_name} {date} {hour}:{minute}: {} for {expected}",
                fire.at
            ),
            _ => assert_eq!(fire.at, expected, "{zone_name} {date} {hour}:{minute}"),
        }
        cursor = fire.at;
    }
}

#[test]
fn a_daily_time_fires_once_on_every_local_day() {
    let mut random = Random(2_040);
    let names: Vec<String> = TimeZoneDatabase::bundled()
        .available()
        .map(|name| name.as_str().to_owned())
        .collect();
    assert!(names.len() > 400);
    for (n, name) in names.iter().enumerate() {
        // Every zone around two of its changes, at their hour and at a random one.
        let zone = zone(name);
        let changes = changes(&zone, "2020-01-01T00:00:00Z", "2040-12-31T00:00:00Z");
        for _ in 0..changes.len().min(2) {
            let change = changes[random.below(changes.len() as u64) as usize];
            let local = zone.to_datetime(change.to_jiff());
            let before = local.date().yesterday().unwrap().yesterday().unwrap();
            let near = (local.hour() + 23 + random.below(3) as i8) % 24;
            for hour in [near, random.below(24) as i8] {
                daily_fires_match_days(name, hour, random.below(60) as i8, before, 4);
            }
        }
        // Every fortieth zone on every day.
        if n % 40 == 0 {
            let (hour, minute) = (random.below(5) as i8, random.below(60) as i8);
            daily_fires_match_days(name, hour, minute, jiff::civil::date(2019, 12, 31), 7_671);
        }
    }
}

#[test]
fn the_ends_of_time_are_answers_not_panics() {
    for zone_name in ["UTC", "Europe/Berlin", "Pacific/Kiritimati"] {
        let zone = zone(zone_name);
        for expression in ["* * * * *", "0 0 29 2 *", "30 2 * * 1"] {
            let expression = cron(expression);
            assert_eq!(expression.next_after(Timestamp::MAX, &zone), None);
            assert_eq!(
                expression.next_after(Timestamp::from_micros(i64::MAX), &zone),
                None
            );
            let earliest = Timestamp::from_micros(i64::MIN);
            assert!(expression.next_after(earliest, &zone).is_some());
            assert_eq!(
                expression
                    .last_fires(earliest, at("2026-01-01T00:00:00Z"), 2, &zone)
                    .len(),
                2
            );
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[0-9*/,@a-zé \\-]{0,24}") {
        let _ = CronExpression::parse(&text);
    }
}
