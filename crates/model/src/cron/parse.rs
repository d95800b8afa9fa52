//! Reading an expression. Every refusal names the field, the position and the fix.

use std::fmt;

use super::{CronExpression, DayJoin, Pace};

/// The longest useful expression, all sixty minutes listed, has about 400 bytes.
const EXPRESSION_BYTES_MAX: usize = 512;

/// One of the five fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CronField {
    Minute,
    Hour,
    DayOfMonth,
    Month,
    DayOfWeek,
}

impl fmt::Display for CronField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CronField::Minute => "minute",
            CronField::Hour => "hour",
            CronField::DayOfMonth => "day of month",
            CronField::Month => "month",
            CronField::DayOfWeek => "day of week",
        })
    }
}

/// Why a text is not a cron expression, with the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct CronError {
    /// The field at fault; none if the expression as a whole is.
    pub field: Option<CronField>,
    /// Where in the text, in characters from 1.
    pub position: usize,
    pub problem: String,
    pub fix: String,
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cron")?;
        if let Some(field) = self.field {
            write!(f, " {field}")?;
        }
        write!(
            f,
            ", position {}: {}; {}",
            self.position, self.problem, self.fix
        )
    }
}

/// The values that one field may take.
struct Rule {
    field: CronField,
    min: u8,
    max: u8,
    /// Three-letter names; the first one means `names_from`.
    names: &'static [&'static str],
    names_from: u8,
    /// What a mistake is told to look like.
    example: &'static str,
}

const MONTHS: &[&str] = &[
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const fn numbers(field: CronField, min: u8, max: u8, example: &'static str) -> Rule {
    Rule {
        field,
        min,
        max,
        names: &[],
        names_from: 0,
        example,
    }
}

const RULES: [Rule; 5] = [
    numbers(CronField::Minute, 0, 59, "0-59"),
    numbers(CronField::Hour, 0, 23, "0-23"),
    numbers(CronField::DayOfMonth, 1, 31, "1-31"),
    Rule {
        field: CronField::Month,
        min: 1,
        max: 12,
        names: MONTHS,
        names_from: 1,
        example: "1-12 or jan-dec",
    },
    Rule {
        field: CronField::DayOfWeek,
        min: 0,
        max: 7,
        names: WEEKDAYS,
        names_from: 0,
        example: "0-7 or sun-sat (0 and 7 are Sunday)",
    },
];

const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

impl CronExpression {
    /// Reads an expression, refusing one that would never fire (`0 0 30 2 *`).
    pub fn parse(text: &str) -> Result<Self, CronError> {
        if text.len() > EXPRESSION_BYTES_MAX {
            return Err(whole(
                EXPRESSION_BYTES_MAX + 1,
                format!("it is longer than {EXPRESSION_BYTES_MAX} bytes"),
                "use ranges and steps instead of lists",
            ));
        }
        let trimmed = text.trim();
        if trimmed.starts_with('@') {
            let mut expression = parse_fields(nickname(text, trimmed)?)?;
            expression.text = trimmed.to_owned();
            return Ok(expression);
        }
        parse_fields(text)
    }
}

fn nickname(text: &str, trimmed: &str) -> Result<&'static str, CronError> {
    let position = chars_before(text, trimmed) + 1;
    if trimmed.eq_ignore_ascii_case("@reboot") {
        return Err(whole(
            position,
            "`@reboot` is not a time: a schedule survives restarts and must not fire on each",
            "use a time, or let the system's start-up post to the task's `run` route",
        ));
    }
    NICKNAMES
        .iter()
        .find(|(name, _)| trimmed.eq_ignore_ascii_case(name))
        .map(|(_, fields)| *fields)
        .ok_or_else(|| {
            whole(
                position,
                format!("`{}` is not known", head(trimmed)),
                "use @hourly, @daily, @weekly, @monthly, @yearly or five fields",
            )
        })
}

fn parse_fields(text: &str) -> Result<CronExpression, CronError> {
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    if let Some(first) = fields.first()
        && first.contains('=')
    {
        return Err(whole(
            chars_before(text, first) + 1,
            format!("`{}` is a variable, not a field", head(first)),
            "put a time zone into `timezone` beside `cron`",
        ));
    }
    let five: [&str; 5] = match fields.as_slice() {
        [minute, hour, day, month, weekday] => [minute, hour, day, month, weekday],
        [_, _, _, _, _, sixth, ..] => {
            return Err(whole(
                chars_before(text, sixth) + 1,
                format!("there are {} fields, not five", fields.len()),
                "leave out seconds, year and command; for less than a minute write \
                 {\"every\":\"10s\"}",
            ));
        }
        _ => {
            return Err(whole(
                text.chars().count().max(1),
                match fields.len() {
                    0 => "it is empty".to_owned(),
                    1 => "there is one field, not five".to_owned(),
                    n => format!("there are {n} fields, not five"),
                },
                "write minute, hour, day of month, month and day of week, e.g. `0 2 * * *`",
            ));
        }
    };
    let mut sets = [0_u64; 5];
    for ((set, field), rule) in sets.iter_mut().zip(five).zip(&RULES) {
        *set = parse_field(field, chars_before(text, field), rule)?;
    }
    let [minutes, hours, days_of_month, months, days_of_week] = sets;
    let [minute, hour, day_of_month, _, day_of_week] = five.map(|field| field.starts_with('*'));
    let expression = CronExpression {
        text: text.trim().to_owned(),
        minutes,
        // Each set holds only values that its rule allows, so the casts lose nothing. Sunday as 7
        // is folded onto 0.
        hours: hours as u32,
        days_of_month: days_of_month as u32,
        months: months as u16,
        days_of_week: (days_of_week & 0x7f | days_of_week >> 7) as u8,
        day_join: if day_of_month || day_of_week {
            DayJoin::And
        } else {
            DayJoin::Or
        },
        pace: if minute || hour {
            Pace::Elapsed
        } else {
            Pace::Fixed
        },
    };
    if expression.never_fires() {
        return Err(CronError {
            field: Some(CronField::DayOfMonth),
            position: chars_before(text, five[2]) + 1,
            problem: format!("day {} never comes in month {}", five[2], five[3]),
            fix: "choose a day that one of the months has".to_owned(),
        });
    }
    Ok(expression)
}

impl CronExpression {
    /// Whether no date matches. Within 400 years every date that exists falls on every weekday,
    /// so only days that their months lack can rule all dates out.
    fn never_fires(&self) -> bool {
        const LONGEST: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let some_date = (1_u8..=12).zip(LONGEST).any(|(month, days)| {
            self.has_month(month) && (1..=days).any(|day| self.days_of_month >> day & 1 == 1)
        });
        self.day_join == DayJoin::And && !some_date
    }
}

/// The values of one field as bits. `start` counts the characters before the field.
fn parse_field(text: &str, start: usize, rule: &Rule) -> Result<u64, CronError> {
    let mut bits = 0;
    let mut item_start = start;
    for item in text.split(',') {
        bits |= parse_item(item, item_start, rule)?;
        item_start += item.chars().count() + 1;
    }
    Ok(bits)
}

/// One item of a list: `*`, `5`, `1-5`, each range with a step or without.
fn parse_item(item: &str, start: usize, rule: &Rule) -> Result<u64, CronError> {
    let refuse = |position: usize, problem: String, fix: String| CronError {
        field: Some(rule.field),
        position: position + 1,
        problem,
        fix,
    };
    if item.is_empty() {
        return Err(refuse(
            start,
            "a value is missing beside a comma".to_owned(),
            "remove the comma or add the value".to_owned(),
        ));
    }
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (item, None),
    };
    let (first, last) = if range == "*" {
        // Sunday is already in as 0.
        (
            rule.min,
            rule.max.min(if rule.field == CronField::DayOfWeek {
                6
            } else {
                rule.max
            }),
        )
    } else if let Some((first_text, last_text)) = range.split_once('-') {
        let first = parse_value(first_text, start, rule)?;
        let last_start = start + first_text.chars().count() + 1;
        let mut last = parse_value(last_text, last_start, rule)?;
        if last == 0 && first > 0 && rule.field == CronField::DayOfWeek {
            // `fri-sun`: the name has two numbers and only one of them ends a range.
            last = 7;
        }
        if first > last {
            return Err(refuse(
                start,
                format!("the range `{}` runs backwards", head(range)),
                format!(
                    "write it as two, `{first}-{},{}-{last}`",
                    if rule.field == CronField::DayOfWeek {
                        6
                    } else {
                        rule.max
                    },
                    rule.min
                ),
            ));
        }
        (first, last)
    } else {
        let value = parse_value(range, start, rule)?;
        if let Some(step) = step {
            return Err(refuse(
                start,
                format!("a step needs a range, and `{}` is one value", head(range)),
                format!("write `{value}-{}/{}`", rule.max, head(step)),
            ));
        }
        (value, value)
    };
    let step = match step {
        None => 1,
        Some(step) => {
            let position = start + range.chars().count() + 1;
            let values = usize::from(rule.max - rule.min) + 1;
            match step.parse::<usize>() {
                Ok(step) if (1..values).contains(&step) && all_digits(item, range) => step,
                Ok(0) => {
                    return Err(refuse(
                        position,
                        "a step of 0 never moves on".to_owned(),
                        "use 1 or more".to_owned(),
                    ));
                }
                Ok(step) if step >= values => {
                    return Err(refuse(
                        position,
                        format!("the step {step} is beyond the field's {values} values"),
                        match rule.field {
                            CronField::Minute => {
                                format!("for a rhythm write {{\"every\":\"{step}m\"}}")
                            }
                            CronField::Hour => {
                                format!("for a rhythm write {{\"every\":\"{step}h\"}}")
                            }
                            _ => "name the value instead".to_owned(),
                        },
                    ));
                }
                _ => {
                    return Err(refuse(
                        position,
                        format!("the step `{}` is not a number", head(step)),
                        "write e.g. `*/5`".to_owned(),
                    ));
                }
            }
        }
    };
    Ok((first..=last)
        .step_by(step)
        .fold(0, |bits, value| bits | 1 << value))
}

/// Whether the step of `item` is digits alone; `usize::parse` would take a `+`.
fn all_digits(item: &str, range: &str) -> bool {
    item[range.len() + 1..]
        .bytes()
        .all(|byte| byte.is_ascii_digit())
}

fn parse_value(text: &str, start: usize, rule: &Rule) -> Result<u8, CronError> {
    let refuse = |problem: String, fix: String| CronError {
        field: Some(rule.field),
        position: start + 1,
        problem,
        fix,
    };
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse::<u8>() {
            Ok(value) if (rule.min..=rule.max).contains(&value) => Ok(value),
            _ => Err(refuse(
                format!("`{}` is out of range", head(text)),
                format!("use {}", rule.example),
            )),
        };
    }
    let named = |name: &str| {
        rule.names
            .iter()
            .position(|known| known.eq_ignore_ascii_case(name))
            .map(|at| at as u8)
    };
    if let Some(at) = named(text) {
        return Ok(rule.names_from + at);
    }
    if text.is_empty() {
        return Err(refuse(
            "a value is missing".to_owned(),
            format!("use {}", rule.example),
        ));
    }
    if text == "?" {
        return Err(refuse("`?` is not cron's".to_owned(), "use `*`".to_owned()));
    }
    if text.contains('*') {
        return Err(refuse(
            format!("`*` cannot be part of `{}`", head(text)),
            "use `*` alone or with a step, `*/5`".to_owned(),
        ));
    }
    let fix = match text.get(..3).filter(|short| named(short).is_some()) {
        Some(short) => format!("use `{}`", short.to_ascii_lowercase()),
        None => format!("use {}", rule.example),
    };
    let known = if rule.names.is_empty() {
        "a number"
    } else {
        "a number or name"
    };
    Err(refuse(format!("`{}` is not {known}", head(text)), fix))
}

/// How many characters of `text` come before its slice `part`.
fn chars_before(text: &str, part: &str) -> usize {
    let bytes = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    text.get(..bytes).map_or(0, |before| before.chars().count())
}

fn whole(position: usize, problem: impl Into<String>, fix: impl Into<String>) -> CronError {
    CronError {
        field: None,
        position,
        problem: problem.into(),
        fix: fix.into(),
    }
}

/// The beginning of a text, short enough for a message.
fn head(text: &str) -> String {
    text.chars().take(20).collect()
}
