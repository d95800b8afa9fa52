//! A duration as people write it: `250ms`, `2s`, `1m30s`, `15m`, `24h`, `7d`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Units from the largest down, in nanoseconds. A day is 24 hours here, whatever the calendar
/// says; months and years have no fixed length and are left out.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A span of elapsed time whose text form is a string such as `"1m30s"`.
///
/// It is written back in its largest units (`"90s"` reads back as `"1m30s"`), so that equal
/// durations have one text. The text holds every duration without loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(pub Duration);

/// Why a text is not a duration, with the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration: {problem}")]
pub struct HumanDurationError {
    text: String,
    problem: String,
}

const EXAMPLES: &str = "250ms, 2s, 1m30s, 15m, 24h or 7d";

impl std::str::FromStr for HumanDuration {
    type Err = HumanDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text.trim())
            .map(HumanDuration)
            .map_err(|problem| HumanDurationError {
                text: text.trim().chars().take(40).collect(),
                problem,
            })
    }
}

fn parse(text: &str) -> Result<Duration, String> {
    if text.is_empty() {
        return Err(format!("it is empty; write e.g. {EXAMPLES}"));
    }
    if text.starts_with('-') {
        return Err("it is negative; a duration counts forwards".to_owned());
    }
    let too_long = || "it is longer than can be counted".to_owned();
    let mut rest = text;
    let mut units_left = &UNITS[..];
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let number_len = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after_number) = rest.split_at(number_len);
        if number.is_empty() {
            return Err(format!(
                "a number is missing before `{}`; write e.g. {EXAMPLES}",
                head(rest)
            ));
        }
        if after_number.starts_with(['.', ',']) {
            return Err("fractions are not read; use a smaller unit, e.g. 1s500ms".to_owned());
        }
        let unit_len = after_number
            .bytes()
            .take_while(u8::is_ascii_alphabetic)
            .count();
        let (unit, after_unit) = after_number.split_at(unit_len);
        if unit.is_empty() {
            return Err(match after_number.is_empty() {
                true => format!("{number} needs a unit, e.g. {}s", head(number)),
                false => format!(
                    "`{}` cannot follow a number; write e.g. {EXAMPLES}, without spaces",
                    head(after_number)
                ),
            });
        }
        let Some(position) = units_left.iter().position(|(name, _)| *name == unit) else {
            return Err(match UNITS.iter().any(|(name, _)| *name == unit) {
                true => format!("`{unit}` comes too late; write the larger unit first, once each"),
                false => format!("`{}` is not a unit; use ms, s, m, h or d", head(unit)),
            });
        };
        let nanos = units_left[position].1;
        let number: u128 = number.parse().map_err(|_| too_long())?;
        total = number
            .checked_mul(nanos)
            .and_then(|n| n.checked_add(total))
            .ok_or_else(too_long)?;
        units_left = &units_left[position + 1..];
        rest = after_unit;
    }
    let seconds = u64::try_from(total / 1_000_000_000).map_err(|_| too_long())?;
    // The remainder of a division by 1e9 fits a u32.
    Ok(Duration::new(seconds, (total % 1_000_000_000) as u32))
}

/// The beginning of a text, short enough for a message.
fn head(text: &str) -> String {
    text.chars().take(12).collect()
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0.as_nanos();
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, nanos) in UNITS {
            let count = left / nanos;
            if count > 0 {
                write!(f, "{count}{unit}")?;
                left %= nanos;
            }
        }
        Ok(())
    }
}

impl From<Duration> for HumanDuration {
    fn from(duration: Duration) -> Self {
        HumanDuration(duration)
    }
}

impl From<HumanDuration> for Duration {
    fn from(duration: HumanDuration) -> Self {
        duration.0
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl serde::de::Visitor<'_> for Text {
            type Value = HumanDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration as text with its unit, e.g. \"15m\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_and_written_back_in_their_largest_units() {
        let cases = [
            ("250ms", 250, "250ms"),
            ("2s", 2_000, "2s"),
            ("1m30s", 90_000, "1m30s"),
            ("90s", 90_000, "1m30s"),
            ("15m", 900_000, "15m"),
            ("24h", 86_400_000, "1d"),
            ("7d", 604_800_000, "7d"),
            ("1d2h3m4s5ms", 93_784_005, "1d2h3m4s5ms"),
            ("0s", 0, "0s"),
            ("007s", 7_000, "7s"),
        ];
        for (text, millis, written) in cases {
            let duration: HumanDuration = text.parse().unwrap();
            assert_eq!(duration.0, Duration::from_millis(millis), "{text}");
            assert_eq!(duration.to_string(), written, "{text}");
        }
    }

    #[test]
    fn a_refusal_names_the_fix() {
        let cases = [
            ("", "it is empty"),
            ("5", "5 needs a unit, e.g. 5s"),
            ("1.5s", "use a smaller unit, e.g. 1s500ms"),
            ("-5s", "negative"),
            ("5 s", "without spaces"),
            ("5x", "`x` is not a unit; use ms, s, m, h or d"),
            ("5min", "`min` is not a unit"),
            ("30s1m", "`m` comes too late"),
            ("1s1s", "`s` comes too late"),
            ("s", "a number is missing before `s`"),
            ("1mé", "a number is missing before `é`"),
            ("1é", "`é` cannot follow a number"),
            (
                "99999999999999999999999999999999999999999s",
                "longer than can be counted",
            ),
            (
                "340282366920938463463374607431768211455d",
                "longer than can be counted",
            ),
        ];
        for (text, expected) in cases {
            let message = text.parse::<HumanDuration>().unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn a_bare_number_in_json_is_refused_with_an_example() {
        let message = serde_json::from_str::<HumanDuration>("5")
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("a duration as text with its unit"),
            "{message}"
        );
    }

    proptest! {
        #[test]
        fn every_duration_survives_its_json(seconds: u64, nanos in 0u32..1_000_000_000) {
            let duration = HumanDuration(Duration::new(seconds, nanos));
            let json = serde_json::to_string(&duration).unwrap();
            prop_assert_eq!(serde_json::from_str::<HumanDuration>(&json).unwrap(), duration);
        }

        #[test]
        fn no_text_panics(text in "[0-9smhdé. -]{0,12}") {
            let _ = text.parse::<HumanDuration>();
        }
    }
}
