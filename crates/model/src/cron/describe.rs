//! Common expressions in plain words; the others stay as they are.

use super::CronExpression;

const WEEKDAYS: [&str; 7] = [
    "Sundays",
    "Mondays",
    "Tuesdays",
    "Wednesdays",
    "Thursdays",
    "Fridays",
    "Saturdays",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WORKING_DAYS: u8 = 0b011_1110;
const WEEKEND: u8 = 0b100_0001;
/// More items than this are harder to read as words than as an expression.
const LIST_MAX: usize = 4;

/// What the values of a field form.
enum Shape {
    All,
    /// Every n-th value, dividing the field evenly, so that "every n" is true across its end.
    Every(usize),
    Values(Vec<u8>),
}

impl CronExpression {
    /// "at 02:00", "every 5 minutes", "Mondays at 09:00"; an unusual expression is given as it is.
    pub fn describe(&self) -> String {
        self.in_words().unwrap_or_else(|| self.text.clone())
    }

    fn in_words(&self) -> Option<String> {
        let time = self.time_in_words()?;
        let days = self.days_in_words()?;
        Some(match days {
            Days::Every => time,
            Days::Weekdays(words) => format!("{words} {time}"),
            Days::Dates(words) => format!("{time} {words}"),
        })
    }

    fn time_in_words(&self) -> Option<String> {
        match (shape(self.minutes, 0, 60), shape(self.hours.into(), 0, 24)) {
            (Shape::All, Shape::All) => Some("every minute".to_owned()),
            (Shape::Every(n), Shape::All) => Some(format!("every {n} minutes")),
            (Shape::Values(minutes), Shape::All) => match minutes.as_slice() {
                [0] => Some("every hour".to_owned()),
                [minute] => Some(format!("every hour at :{minute:02}")),
                _ => list(&minutes, |minute| format!(":{minute:02}"))
                    .map(|list| format!("every hour at {list}")),
            },
            (Shape::Values(minutes), Shape::Every(n)) => match minutes.as_slice() {
                [0] => Some(format!("every {n} hours")),
                [minute] => Some(format!("every {n} hours at :{minute:02}")),
                _ => None,
            },
            (Shape::Values(minutes), Shape::Values(hours)) => {
                if minutes.len() * hours.len() > LIST_MAX {
                    return None;
                }
                let times: Vec<(u8, u8)> = hours
                    .iter()
                    .flat_map(|hour| minutes.iter().map(|minute| (*hour, *minute)))
                    .collect();
                list(&times, |(hour, minute)| format!("{hour:02}:{minute:02}"))
                    .map(|list| format!("at {list}"))
            }
            _ => None,
        }
    }

    fn days_in_words(&self) -> Option<Days> {
        let days = shape(self.days_of_month.into(), 1, 31);
        let months = shape(self.months.into(), 1, 12);
        let weekdays = self.days_of_week;
        match (days, months, weekdays) {
            (Shape::All, Shape::All, 0x7f) => Some(Days::Every),
            (Shape::All, Shape::All, WORKING_DAYS) => {
                Some(Days::Weekdays("Mondays to Fridays".to_owned()))
            }
            (Shape::All, Shape::All, WEEKEND) => {
                Some(Days::Weekdays("Saturdays and Sundays".to_owned()))
            }
            // A restricted weekday beside `*`: with two restricted fields the rule of how they
            // join would have to be told as well.
            (Shape::All, Shape::All, _) => {
                let mut on: Vec<u8> = (0..7).filter(|day| weekdays >> day & 1 == 1).collect();
                // The week is read from Monday on.
                on.sort_by_key(|day| (day + 6) % 7);
                list(&on, |day| WEEKDAYS[usize::from(*day)].to_owned()).map(Days::Weekdays)
            }
            (Shape::Values(days), months, 0x7f) => {
                let days = list(&days, |day| ordinal(*day))?;
                let months = match months {
                    Shape::All => "every month".to_owned(),
                    _ => {
                        let months: Vec<u8> = (1..=12).filter(|n| self.has_month(*n)).collect();
                        list(&months, |month| MONTHS[usize::from(*month) - 1].to_owned())?
                    }
                };
                Some(Days::Dates(format!("on the {days} of {months}")))
            }
            _ => None,
        }
    }
}

enum Days {
    Every,
    /// Said before the time: "Mondays at 09:00".
    Weekdays(String),
    /// Said after it: "at 09:00 on the 1st of every month".
    Dates(String),
}

fn shape(bits: u64, min: u8, count: usize) -> Shape {
    let values: Vec<u8> = (min..64).filter(|value| bits >> value & 1 == 1).collect();
    if values.len() == count {
        return Shape::All;
    }
    if let [first, second, ..] = values[..] {
        let step = usize::from(second - first);
        let even = first == min
            && count.is_multiple_of(step)
            && values.len() == count / step
            && values
                .windows(2)
                .all(|pair| usize::from(pair[1] - pair[0]) == step);
        // Two values read better as two times than as a rhythm of half the field, unless they
        // are half-hours.
        if even && (values.len() > 2 || count == 60) {
            return Shape::Every(step);
        }
    }
    Shape::Values(values)
}

/// "a", "a and b", "a, b and c"; none if there are too many to read.
fn list<T>(items: &[T], word: impl Fn(&T) -> String) -> Option<String> {
    let words: Vec<String> = items.iter().map(word).collect();
    match words.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        [..] if words.len() > LIST_MAX => None,
        [head @ .., last] => Some(format!("{} and {last}", head.join(", "))),
    }
}

fn ordinal(n: u8) -> String {
    let suffix = match (n % 10, n / 10) {
        (_, 1) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{suffix}")
}
