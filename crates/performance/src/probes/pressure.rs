//! Pressure stall information: how long work waited for a resource (`/proc/pressure/*`, or
//! `*.pressure` of a cgroup; the same text).

use super::proc_file::{Buffer, ProcFile};
use super::reading::{Absence, Counter, Interval, Reading, round};
use std::path::{Path, PathBuf};

/// One line of a pressure file.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StallLine {
    /// Share of time stalled over the last 10 s, 60 s and 300 s, in percent.
    pub avg10: f64,
    pub avg60: f64,
    pub avg300: f64,
    /// Cumulative stall time in microseconds.
    pub total_micros: u64,
}

/// A pressure file: `some` task waited, `full` all tasks waited. Kernels before 5.13 have no `full`
/// line for the CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StallText {
    pub some: StallLine,
    pub full: Option<StallLine>,
}

/// Parses a pressure file; none without a well-formed `some` line.
pub fn parse_pressure(text: &str) -> Option<StallText> {
    let line = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        let value = |key: &str| {
            let mut words = line.split_ascii_whitespace();
            words.find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        };
        let average = |key| {
            value(key)?
                .parse()
                .ok()
                .filter(|share: &f64| share.is_finite())
        };
        Some(StallLine {
            avg10: average("avg10")?,
            avg60: average("avg60")?,
            avg300: average("avg300")?,
            total_micros: value("total")?.parse().ok()?,
        })
    };
    Some(StallText {
        some: line("some")?,
        full: line("full"),
    })
}

/// Whose stalls they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PressureScope {
    Host,
    Cgroup,
}

/// The stalls of one resource in one sample.
#[derive(Debug, Clone)]
pub struct PressureReading {
    pub scope: PressureScope,
    pub some: StallLine,
    pub some_ms_per_s: Reading<f64>,
    pub full: Reading<StallLine>,
    pub full_ms_per_s: Reading<f64>,
}

/// Watches one resource: `cpu`, `memory` or `io`.
#[derive(Debug)]
pub struct PressureProbe {
    file: ProcFile,
    scope: PressureScope,
    some: Counter,
    full: Counter,
}

impl PressureProbe {
    /// Opens the cgroup's file where there is one, else the host's.
    pub fn open(proc_root: &Path, cgroup_directory: Option<&Path>, resource: &str) -> Self {
        let of_cgroup: Option<PathBuf> = cgroup_directory
            .map(|directory| directory.join(format!("{resource}.pressure")))
            .filter(|path| path.exists());
        let (path, scope) = match of_cgroup {
            Some(path) => (path, PressureScope::Cgroup),
            None => (
                proc_root.join("pressure").join(resource),
                PressureScope::Host,
            ),
        };
        let (some, full) = (Counter::default(), Counter::default());
        Self {
            file: ProcFile::open(path),
            scope,
            some,
            full,
        }
    }

    pub fn sample(
        &mut self,
        buffer: &mut Buffer,
        interval: &Reading<Interval>,
    ) -> Reading<PressureReading> {
        let text = self.file.parse(buffer, parse_pressure)?;
        let full = text
            .full
            .ok_or(Absence::because("this kernel tells no full stalls here"));
        let full_micros = full
            .as_ref()
            .map(|line| line.total_micros)
            .map_err(Clone::clone);
        Ok(PressureReading {
            scope: self.scope,
            some: text.some,
            some_ms_per_s: ms_per_s(&mut self.some, Ok(text.some.total_micros), interval),
            full,
            full_ms_per_s: ms_per_s(&mut self.full, full_micros, interval),
        })
    }
}

impl StallLine {
    pub fn total_s(&self) -> f64 {
        self.total_micros as f64 / 1e6
    }
}

/// Stalled milliseconds in each second: 1000 is a resource that was waited for all the time.
fn ms_per_s(
    counter: &mut Counter,
    total_micros: Reading<u64>,
    interval: &Reading<Interval>,
) -> Reading<f64> {
    let micros_per_s = counter.per_second(total_micros, interval)?;
    Ok(round(micros_per_s / 1000.0, 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: &str = "\
some avg10=0.13 avg60=0.85 avg300=1.49 total=22918649
full avg10=0.00 avg60=0.50 avg300=0.25 total=7
";

    #[test]
    fn both_lines_are_parsed() {
        let text = parse_pressure(MEMORY).unwrap();
        assert_eq!(
            (text.some.avg10, text.some.avg60, text.some.avg300),
            (0.13, 0.85, 1.49)
        );
        assert_eq!(text.some.total_micros, 22_918_649);
        assert_eq!(text.full.unwrap().total_micros, 7);
    }

    #[test]
    fn a_missing_full_line_is_accepted_and_odd_text_refused() {
        let old_cpu = parse_pressure("some avg10=0.13 avg60=0.85 avg300=1.49 total=2\n").unwrap();
        assert_eq!(old_cpu.full, None);
        for odd in [
            "",
            "some",
            "some \n",
            "full avg10=0.13 avg60=0.85 avg300=1.49 total=2",
            "some avg10=0.13 avg60=0.85 total=2",
            "some avg10=x avg60=0.85 avg300=1.49 total=2",
            "some avg10=NaN avg60=0.85 avg300=1.49 total=2",
            "some avg10=0 avg60=0 avg300=0 total=-2",
        ] {
            assert_eq!(parse_pressure(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn stall_time_is_told_a_second_and_prefers_the_cgroup() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("io.pressure");
        std::fs::write(&path, "some avg10=1 avg60=0 avg300=0 total=1000\n").unwrap();
        let mut probe = PressureProbe::open(Path::new("/proc"), Some(root.path()), "io");
        let mut buffer = Buffer::default();
        let reading = probe
            .sample(&mut buffer, &Interval::between(None, 0))
            .unwrap();
        assert_eq!(reading.scope, PressureScope::Cgroup);
        assert_eq!(reading.some_ms_per_s, Err(Absence::FIRST_SAMPLE));
        assert!(
            reading
                .full
                .unwrap_err()
                .reason()
                .contains("no full stalls")
        );

        std::fs::write(&path, "some avg10=1 avg60=0 avg300=0 total=45000\n").unwrap();
        let interval = Interval::between(Some(0), 2_000_000);
        let reading = probe.sample(&mut buffer, &interval).unwrap();
        assert_eq!(reading.some_ms_per_s, Ok(22.0));
    }
}
