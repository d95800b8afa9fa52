//! How values look to a person.

use std::time::Duration;

use autom8_api::model::{HumanDuration, Timestamp};

/// Distance from now in one unit: "in 3m", "2h ago", "now".
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    let (ahead, behind) = (at.since(now), now.since(at));
    match (rough(ahead), rough(behind)) {
        (None, None) => "now".to_owned(),
        (Some(ahead), _) => format!("in {ahead}"),
        (_, Some(behind)) => format!("{behind} ago"),
    }
}

/// Whole units of the largest that fits; nothing below a second.
fn rough(distance: Duration) -> Option<String> {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let seconds = distance.as_secs();
    UNITS
        .into_iter()
        .find(|(unit, _)| seconds >= *unit)
        .map(|(unit, name)| format!("{}{name}", seconds / unit))
}

/// "2026-12-24T18:00:00Z (in 3d)".
pub(crate) fn absolute(at: Timestamp, now: Timestamp) -> String {
    format!("{at} ({})", relative(at, now))
}

/// A time as it was measured, with three digits that mean something: "1.23 ms", "4.5 s".
pub(crate) fn millis(millis: f64) -> String {
    match millis {
        ms if ms < 10.0 => format!("{ms:.2} ms"),
        ms if ms < 100.0 => format!("{ms:.1} ms"),
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        ms if ms < 60_000.0 => format!("{:.1} s", ms / 1_000.0),
        ms => {
            let whole_seconds =
                Duration::from_secs(Duration::from_secs_f64(ms / 1_000.0).as_secs());
            HumanDuration(whole_seconds).to_string()
        }
    }
}

/// "0 B", "1.5 KiB", "3.0 GiB".
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} B"),
    }
}

/// "1 run", "2 runs".
pub(crate) fn count(number: u64, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        number => format!("{number} {noun}s"),
    }
}

/// The beginning of the first line, for a column.
pub(crate) fn head(text: &str, chars_max: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.len() < text.trim_end().len() => format!("{line}…"),
        None => line.to_owned(),
    }
}

/// A word as a shell takes it for one.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/:._-+=,@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_told_in_one_unit() {
        let now = Timestamp::from_seconds(1_000_000);
        for (seconds, expected) in [
            (0, "now"),
            (1, "in 1s"),
            (-1, "1s ago"),
            (119, "in 1m"),
            (-7_200, "2h ago"),
            (86_400 * 3, "in 3d"),
        ] {
            assert_eq!(
                relative(Timestamp::from_seconds(1_000_000 + seconds), now),
                expected
            );
        }
    }

    #[test]
    fn measures_keep_digits_that_mean_something() {
        for (ms, expected) in [
            (0.1234, "0.12 ms"),
            (45.67, "45.7 ms"),
            (456.7, "457 ms"),
            (4_567.0, "4.6 s"),
            (90_500.0, "1m30s"),
        ] {
            assert_eq!(millis(ms), expected);
        }
        assert_eq!(
            [bytes(0), bytes(1536), bytes(3 << 30)],
            ["0 B", "1.5 KiB", "3.0 GiB"]
        );
        assert_eq!([count(1, "run"), count(0, "run")], ["1 run", "0 runs"]);
    }

    #[test]
    fn a_word_that_a_shell_would_take_apart_is_quoted() {
        for (word, shown) in [
            ("a-b/c.d", "a-b/c.d"),
            ("", "''"),
            ("it's $x", r"'it'\''s $x'"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }

    #[test]
    fn long_or_many_lines_are_cut_and_said_to_be() {
        assert_eq!(head("short", 10), "short");
        assert_eq!(head("äöüäöü", 3), "äöü…");
        assert_eq!(head("one\ntwo", 10), "one…");
        assert_eq!(head("one\n", 10), "one");
    }
}
