//! A utilisation as events: each minute is one, bad if its mean reached the limit.

use super::Counts;
use std::collections::VecDeque;

const SLICE_MICROS: u64 = 60_000_000;
/// Closed slices kept: an hour.
const SLICES_MAX: usize = 60;

/// The minutes of a utilisation in percent.
#[derive(Debug)]
pub struct Timeslices {
    limit_percent: f64,
    open: Option<OpenSlice>,
    /// End and verdict of closed slices, newest last.
    closed: VecDeque<(u64, bool)>,
    since_start: Counts,
    latest_mean_percent: Option<f64>,
}

#[derive(Debug)]
struct OpenSlice {
    began_at_micros: u64,
    /// Percent times microseconds, and the microseconds measured.
    weighted_sum: f64,
    measured_micros: u64,
    noted_at_micros: u64,
}

impl Timeslices {
    pub fn new(limit_percent: f64) -> Self {
        Self {
            limit_percent,
            open: None,
            closed: VecDeque::new(),
            since_start: Counts::default(),
            latest_mean_percent: None,
        }
    }

    /// Notes the mean since the last note. The first note only starts the clock.
    ///
    /// A pause longer than a slice (a suspended machine) closes nothing: what was not measured is
    /// neither good nor bad.
    pub fn note(&mut self, now_micros: u64, percent: Option<f64>) {
        let open = self.open.get_or_insert(OpenSlice::at(now_micros));
        let passed_micros = now_micros.saturating_sub(open.noted_at_micros);
        if passed_micros >= SLICE_MICROS {
            *open = OpenSlice::at(now_micros);
            return;
        }
        open.noted_at_micros = now_micros;
        if let Some(percent) = percent {
            open.weighted_sum += percent * passed_micros as f64;
            open.measured_micros += passed_micros;
        }
        if now_micros.saturating_sub(open.began_at_micros) < SLICE_MICROS {
            return;
        }
        let mean = open.mean_percent();
        self.open = Some(OpenSlice::at(now_micros));
        if let Some(mean) = mean {
            self.latest_mean_percent = Some(mean);
            self.close(now_micros, mean >= self.limit_percent);
        }
    }

    fn close(&mut self, now_micros: u64, is_bad: bool) {
        if self.closed.len() == SLICES_MAX {
            self.closed.pop_front();
        }
        self.closed.push_back((now_micros, is_bad));
        self.since_start.total += 1;
        self.since_start.bad += u64::from(is_bad);
    }

    /// Minutes that ended within the window before `now_micros`.
    pub fn counts(&self, now_micros: u64, window_micros: u64) -> Counts {
        let recent = self
            .closed
            .iter()
            .filter(|(end, _)| now_micros.saturating_sub(*end) < window_micros);
        recent.fold(Counts::default(), |sum, (_, is_bad)| Counts {
            total: sum.total + 1,
            bad: sum.bad + u64::from(*is_bad),
        })
    }

    pub fn since_start(&self) -> Counts {
        self.since_start
    }

    /// Mean of the latest full minute; none before the first has ended.
    pub fn latest_mean_percent(&self) -> Option<f64> {
        self.latest_mean_percent
    }
}

impl OpenSlice {
    fn at(now_micros: u64) -> Self {
        Self {
            began_at_micros: now_micros,
            weighted_sum: 0.0,
            measured_micros: 0,
            noted_at_micros: now_micros,
        }
    }

    fn mean_percent(&self) -> Option<f64> {
        (self.measured_micros > 0).then(|| self.weighted_sum / self.measured_micros as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const HOUR: u64 = 3_600 * SECOND;

    /// Feeds one figure a second over `seconds`, from the last one on.
    fn feed(slices: &mut Timeslices, seconds: std::ops::Range<u64>, percent: f64) {
        seconds.for_each(|second| slices.note(second * SECOND, Some(percent)));
    }

    #[test]
    fn a_minute_is_bad_by_its_mean_and_not_by_its_peak() {
        let mut slices = Timeslices::new(60.0);
        feed(&mut slices, 0..41, 10.0);
        feed(&mut slices, 41..61, 100.0);
        assert_eq!(slices.since_start(), Counts { total: 1, bad: 0 });
        assert_eq!(slices.latest_mean_percent(), Some(40.0));
        feed(&mut slices, 61..121, 60.0);
        assert_eq!(slices.since_start(), Counts { total: 2, bad: 1 });
    }

    #[test]
    fn a_window_forgets_and_the_start_does_not() {
        let mut slices = Timeslices::new(60.0);
        feed(&mut slices, 0..61, 90.0);
        feed(&mut slices, 61..(61 + 70 * 60), 5.0);
        let now = (60 + 70 * 60) * SECOND;
        assert_eq!(slices.counts(now, HOUR), Counts { total: 60, bad: 0 });
        assert_eq!(slices.counts(now, 300 * SECOND).total, 5);
        assert_eq!(slices.since_start().bad, 1);
    }

    #[test]
    fn what_was_not_measured_is_no_event() {
        let mut slices = Timeslices::new(60.0);
        (0..200).for_each(|second| slices.note(second * SECOND, None));
        assert_eq!(slices.since_start().total, 0);
        slices.note(10_000 * SECOND, Some(100.0));
        assert_eq!(
            (slices.since_start().total, slices.latest_mean_percent()),
            (0, None)
        );
    }
}
