//! How long the threads of this process ran and waited to run: `/proc/self/task/*/schedstat`.
//!
//! The file of the process as a whole tells of its first thread only, which in a server sleeps.

use super::proc_file::{Buffer, ProcFile};
use super::reading::{Absence, Interval, Reading, increase, round};
use std::path::{Path, PathBuf};

/// Threads watched, each with an open file. A server has a thread per CPU and a few more; beyond
/// this the figures are absent, because a part of them would be wrong.
const THREADS_MAX: u64 = 256;

/// One thread's cumulative figures (`Documentation/scheduler/sched-stats.rst`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ThreadSchedule {
    pub run_nanos: u64,
    /// Time spent ready to run, on a run queue.
    pub delay_nanos: u64,
    /// How often the thread was given a CPU.
    pub switches: u64,
}

/// Parses a `schedstat` file.
pub fn parse_schedstat(text: &str) -> Option<ThreadSchedule> {
    let mut words = text.split_ascii_whitespace().map(|word| word.parse().ok());
    let (run_nanos, delay_nanos) = (words.next()??, words.next()??);
    Some(ThreadSchedule {
        run_nanos,
        delay_nanos,
        switches: words.next()??,
    })
}

/// What all threads together did between two samples.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleReading {
    pub run_s: f64,
    pub delay_ms_per_s: f64,
    pub switches_per_s: f64,
}

#[derive(Debug)]
pub struct ThreadsProbe {
    task_directory: PathBuf,
    threads: Vec<Thread>,
    has_listed: bool,
    switches_total: u64,
}

#[derive(Debug)]
struct Thread {
    id: u64,
    file: ProcFile,
    last: ThreadSchedule,
}

impl ThreadsProbe {
    pub fn open(own_directory: &Path) -> Self {
        let task_directory = own_directory.join("task");
        Self {
            task_directory,
            threads: Vec::new(),
            has_listed: false,
            switches_total: 0,
        }
    }

    /// Reads all threads; `count` is their number if known, which tells cheaply whether the list
    /// of them is still right.
    pub fn sample(
        &mut self,
        buffer: &mut Buffer,
        count: Option<u64>,
        interval: &Reading<Interval>,
    ) -> Reading<ScheduleReading> {
        if count.is_some_and(|count| count > THREADS_MAX) {
            self.threads.clear();
            self.has_listed = false;
            self.switches_total = 0;
            return Err(Absence::because("more threads than are watched one by one"));
        }
        let is_first = !self.has_listed;
        let mut sum = ThreadSchedule::default();
        let has_lost_one = self.read_known(buffer, &mut sum);
        if is_first || has_lost_one || count != Some(self.threads.len() as u64) {
            self.list_new(buffer, &mut sum)?;
        }
        self.switches_total += sum.switches;
        if is_first {
            return Err(Absence::FIRST_SAMPLE);
        }
        let interval = interval.clone()?;
        Ok(ScheduleReading {
            run_s: sum.run_nanos as f64 / 1e9,
            delay_ms_per_s: round(sum.delay_nanos as f64 / 1e6 / interval.seconds(), 3),
            switches_per_s: round(sum.switches as f64 / interval.seconds(), 1),
        })
    }

    /// Switches of all threads ever seen; what a thread did after its last sample is missing.
    pub fn switches_total(&self) -> Reading<u64> {
        match self.switches_total {
            0 => Err(Absence::because("no schedule statistics were read yet")),
            total => Ok(total),
        }
    }

    /// Adds what the known threads did since the last call; drops those that have ended and tells
    /// whether there were any.
    fn read_known(&mut self, buffer: &mut Buffer, sum: &mut ThreadSchedule) -> bool {
        let before = self.threads.len();
        self.threads.retain_mut(|thread| {
            let Ok(now) = thread.file.parse(buffer, parse_schedstat) else {
                return false;
            };
            sum.add_increase(&thread.last, &now);
            thread.last = now;
            true
        });
        self.threads.len() < before
    }

    /// Opens the threads that have started since the last call. All they did belongs to the
    /// interval; on the very first call there is no interval and the sum is not used.
    fn list_new(&mut self, buffer: &mut Buffer, sum: &mut ThreadSchedule) -> Reading<()> {
        let unreadable = |error: std::io::Error| {
            Absence::explained(format!("{}: {error}", self.task_directory.display()))
        };
        let entries = std::fs::read_dir(&self.task_directory).map_err(unreadable)?;
        for entry in entries.flatten() {
            let Some(id) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            if self.threads.iter().any(|thread| thread.id == id) {
                continue;
            }
            let file = ProcFile::open(entry.path().join("schedstat"));
            // A thread may end between the listing and the reading.
            if let Ok(last) = file.parse(buffer, parse_schedstat) {
                sum.add_increase(&ThreadSchedule::default(), &last);
                self.threads.push(Thread { id, file, last });
            }
        }
        self.has_listed = true;
        if self.threads.is_empty() {
            return Err(Absence::because("this kernel keeps no schedule statistics"));
        }
        Ok(())
    }
}

impl ThreadSchedule {
    fn add_increase(&mut self, earlier: &Self, now: &Self) {
        self.run_nanos += increase(earlier.run_nanos, now.run_nanos).unwrap_or(0);
        self.delay_nanos += increase(earlier.delay_nanos, now.delay_nanos).unwrap_or(0);
        self.switches += increase(earlier.switches, now.switches).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write(own: &Path, thread: u64, text: &str) {
        let directory = own.join("task").join(thread.to_string());
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("schedstat"), text).unwrap();
    }

    #[test]
    fn schedstat_is_three_numbers() {
        let expected = ThreadSchedule {
            run_nanos: 638_114,
            delay_nanos: 5,
            switches: 1,
        };
        assert_eq!(parse_schedstat("638114 5 1\n"), Some(expected));
        for odd in ["", "1 2", "1 2 x", "-1 2 3"] {
            assert_eq!(parse_schedstat(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn threads_that_start_and_end_are_followed() {
        let own = tempfile::tempdir().unwrap();
        write(own.path(), 1, "1000000000 0 5");
        let mut probe = ThreadsProbe::open(own.path());
        let mut buffer = Buffer::default();
        let interval = Interval::between(Some(0), 2_000_000);
        let mut sample = |count| probe.sample(&mut buffer, Some(count), &interval);
        assert_eq!(sample(1), Err(Absence::FIRST_SAMPLE));

        write(own.path(), 1, "1500000000 4000000 15");
        write(own.path(), 2, "250000000 0 10");
        let expected = ScheduleReading {
            run_s: 0.75,
            delay_ms_per_s: 2.0,
            switches_per_s: 10.0,
        };
        assert_eq!(sample(2), Ok(expected));

        // One thread ends and another takes its number of threads: its unreadable file shows it.
        write(own.path(), 2, "");
        write(own.path(), 3, "100000000 0 2");
        let expected = ScheduleReading {
            run_s: 0.1,
            delay_ms_per_s: 0.0,
            switches_per_s: 1.0,
        };
        assert_eq!(sample(2), Ok(expected));
        assert!(sample(THREADS_MAX + 1).is_err());
        assert_eq!(sample(2), Err(Absence::FIRST_SAMPLE));
    }
}
