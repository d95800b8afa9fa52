//! Sizes, durations and states as people read them.

use std::time::Duration;

use autom8_model::RunState;

/// `1.5 MiB`, for people.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1_024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1_024.0;
    let mut unit = 0;
    // What would be shown as 1024.0 belongs to the next unit.
    while value >= 1_023.95 && unit < UNITS.len() - 1 {
        value /= 1_024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `12.3 ms`, `1.5 s`, `2 min 5 s`, for people.
pub(crate) fn millis(count: f64) -> String {
    let duration = Duration::from_secs_f64((count / 1_000.0).clamp(0.0, 1e12));
    match duration.as_secs() {
        0 => format!("{count:.1} ms"),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        seconds @ 60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// Beside the word, so that a state is never told by colour alone.
pub(crate) fn sign(state: RunState) -> &'static str {
    match state {
        RunState::Queued => "○",
        RunState::Running => "▶",
        RunState::Completed => "✓",
        RunState::Failed => "✗",
        RunState::Cancelled => "⊘",
        RunState::Interrupted => "!",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_and_durations_are_short_and_have_their_unit() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (1_610_612_736, "1.5 GiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(super::bytes(bytes), shown);
        }
        for (millis, shown) in [
            (0.0, "0.0 ms"),
            (12.34, "12.3 ms"),
            (1_500.0, "1.5 s"),
            (125_000.0, "2 min 5 s"),
            (7_260_000.0, "2 h 1 min"),
        ] {
            assert_eq!(super::millis(millis), shown);
        }
    }
}
