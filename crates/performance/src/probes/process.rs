//! What this process itself uses: `/proc/self/{stat,statm,status,io,smaps_rollup,fd}` and the
//! schedule statistics of its threads.

use super::cpu::parse_cpu_list;
use super::proc_file::{Buffer, ProcFile};
use super::reading::{Absence, Counter, Interval, Reading, percent, round};
use super::threads::ThreadsProbe;
use rustix::process::{Resource, getrlimit};
use std::path::{Path, PathBuf};

/// What `/proc/self/stat` says (proc_pid_stat(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStat {
    pub minor_faults: u64,
    pub major_faults: u64,
    pub user_ticks: u64,
    pub system_ticks: u64,
    pub threads: u64,
    /// Ticks after boot at which the process started.
    pub start_ticks: u64,
}

/// Parses `/proc/self/stat`. The name in parentheses may hold blanks and parentheses itself, so the
/// columns are counted from the last one on.
pub fn parse_process_stat(text: &str) -> Option<ProcessStat> {
    let (_, after_name) = text.rsplit_once(')')?;
    let columns: Vec<&str> = after_name.split_ascii_whitespace().collect();
    // The first column after the name is the third of the manual page.
    let column = |number: usize| columns.get(number - 3)?.parse::<u64>().ok();
    Some(ProcessStat {
        minor_faults: column(10)?,
        major_faults: column(12)?,
        user_ticks: column(14)?,
        system_ticks: column(15)?,
        threads: column(20)?,
        start_ticks: column(22)?,
    })
}

/// Pages of the address space and of the resident set from `/proc/self/statm`, whose sums are as
/// exact as those of `status`; `stat` tells them too, but less exactly the more CPUs there are.
pub fn parse_statm(text: &str) -> Option<(u64, u64)> {
    let mut words = text.split_ascii_whitespace().map(|word| word.parse().ok());
    Some((words.next()??, words.next()??))
}

/// What `/proc/self/status` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessStatus {
    pub rss_bytes: u64,
    pub peak_rss_bytes: u64,
    pub swap_bytes: Option<u64>,
    /// The CPUs this process may run on, by affinity and cpuset.
    pub allowed_cpus: Option<Vec<u32>>,
}

/// Parses `/proc/self/status`; none without the memory lines (a kernel thread has none).
pub fn parse_status(text: &str) -> Option<ProcessStatus> {
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
            .map(str::trim)
    };
    let bytes = |key: &str| {
        let kilobytes: u64 = value(key)?.strip_suffix(" kB")?.trim().parse().ok()?;
        kilobytes.checked_mul(1024)
    };
    Some(ProcessStatus {
        rss_bytes: bytes("VmRSS")?,
        peak_rss_bytes: bytes("VmHWM")?,
        swap_bytes: bytes("VmSwap"),
        allowed_cpus: value("Cpus_allowed_list").and_then(parse_cpu_list),
    })
}

/// Bytes read from and written to storage, from `/proc/self/io`.
pub fn parse_io(text: &str) -> Option<(u64, u64)> {
    let value = |key: &str| {
        let number = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))?;
        number.trim().parse::<u64>().ok()
    };
    Some((value("read_bytes")?, value("write_bytes")?))
}

/// The proportional set size in bytes from `/proc/self/smaps_rollup`.
pub fn parse_pss(text: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kilobytes: u64 = value.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Seconds since boot from `/proc/uptime`.
pub fn parse_uptime(text: &str) -> Option<f64> {
    let seconds: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then_some(seconds)
}

/// Figures of one sample. CPU percentages are of one CPU: 100 is one CPU kept busy.
#[derive(Debug)]
pub struct ProcessReading {
    pub pid: u32,
    pub uptime_s: Reading<f64>,
    pub cpu_percent: Reading<f64>,
    pub cpu_user_total_s: Reading<f64>,
    pub cpu_system_total_s: Reading<f64>,
    pub allowed_cpus: Reading<Vec<u32>>,
    pub rss_bytes: Reading<u64>,
    pub peak_rss_bytes: Reading<u64>,
    pub virtual_bytes: Reading<u64>,
    pub swap_bytes: Reading<u64>,
    pub pss_bytes: Reading<u64>,
    pub threads: Reading<u64>,
    pub open_fds: Reading<u64>,
    pub max_fds: Reading<u64>,
    pub run_queue_delay_ms_per_s: Reading<f64>,
    pub context_switches_per_s: Reading<f64>,
    /// Since the start, of all threads that were ever seen.
    pub context_switches_total: Reading<u64>,
    pub minor_faults_total: Reading<u64>,
    pub major_faults_total: Reading<u64>,
    pub minor_faults_per_s: Reading<f64>,
    pub major_faults_per_s: Reading<f64>,
    pub read_bytes_per_s: Reading<f64>,
    pub write_bytes_per_s: Reading<f64>,
}

#[derive(Debug)]
pub struct ProcessProbe {
    status: ProcFile,
    stat: ProcFile,
    statm: ProcFile,
    io: ProcFile,
    smaps_rollup: ProcFile,
    fd_directory: PathBuf,
    threads: ThreadsProbe,
    ticks_per_s: f64,
    /// Seconds since boot less the monotonic time, both at the start: adding a monotonic time gives
    /// the time since boot without reading a file each second.
    boot_offset_s: Reading<f64>,
    uptime: ProcFile,
    cpu_ticks: Counter,
    minor_faults: Counter,
    major_faults: Counter,
    read_bytes: Counter,
    write_bytes: Counter,
    pss_bytes: Reading<u64>,
    open_fds: Reading<u64>,
    last_status: Reading<ProcessStatus>,
}

impl ProcessProbe {
    pub fn open(proc_root: &Path) -> Self {
        let own = proc_root.join("self");
        Self {
            status: ProcFile::open(own.join("status")),
            stat: ProcFile::open(own.join("stat")),
            statm: ProcFile::open(own.join("statm")),
            io: ProcFile::open(own.join("io")),
            smaps_rollup: ProcFile::open(own.join("smaps_rollup")),
            fd_directory: own.join("fd"),
            threads: ThreadsProbe::open(&own),
            ticks_per_s: rustix::param::clock_ticks_per_second() as f64,
            boot_offset_s: Err(Absence::FIRST_SAMPLE),
            uptime: ProcFile::open(proc_root.join("uptime")),
            cpu_ticks: Counter::default(),
            minor_faults: Counter::default(),
            major_faults: Counter::default(),
            read_bytes: Counter::default(),
            write_bytes: Counter::default(),
            pss_bytes: Err(Absence::FIRST_SAMPLE),
            open_fds: Err(Absence::FIRST_SAMPLE),
            last_status: Err(Absence::FIRST_SAMPLE),
        }
    }

    /// Reads what seldom changes: the peak, the swap and the CPUs allowed, which are told until the
    /// next call.
    pub fn refresh_status(&mut self, buffer: &mut Buffer) {
        self.last_status = self.status.parse(buffer, parse_status);
    }

    /// The figures too dear for every second, kept until the next call: the proportional set size
    /// (the kernel walks all pages, 150 µs and more) and, on kernels before 6.2, the file
    /// descriptors.
    pub fn refresh_slow(&mut self, buffer: &mut Buffer, now_monotonic_micros: u64) {
        self.pss_bytes = self.smaps_rollup.parse(buffer, parse_pss);
        self.open_fds = count_entries(&self.fd_directory);
        if self.boot_offset_s.is_err() {
            let uptime_s = self.uptime.parse(buffer, parse_uptime);
            self.boot_offset_s = uptime_s.map(|s| s - now_monotonic_micros as f64 / 1e6);
        }
    }

    pub fn sample(
        &mut self,
        buffer: &mut Buffer,
        now_monotonic_micros: u64,
        interval: &Reading<Interval>,
    ) -> ProcessReading {
        let stat = self.stat.parse(buffer, parse_process_stat);
        let statm = self.statm.parse(buffer, parse_statm);
        let page_bytes = rustix::param::page_size() as u64;
        let of_statm = |part: fn(&(u64, u64)) -> u64| {
            let pages = statm.as_ref().map(part).map_err(Clone::clone);
            pages.map(|pages| pages.saturating_mul(page_bytes))
        };
        let rss_bytes = of_statm(|statm| statm.1);
        let status = &self.last_status;
        let io = self.io.parse(buffer, parse_io);
        let of_stat = |part: fn(&ProcessStat) -> u64| stat.as_ref().map(part).map_err(Clone::clone);
        let of_io = |part: fn(&(u64, u64)) -> u64| io.as_ref().map(part).map_err(Clone::clone);

        let threads = of_stat(|stat| stat.threads);
        let schedule = self
            .threads
            .sample(buffer, threads.as_ref().ok().copied(), interval);
        let seconds = |ticks: Reading<u64>| Ok(ticks? as f64 / self.ticks_per_s);
        let (user_ticks, system_ticks) = (of_stat(|s| s.user_ticks), of_stat(|s| s.system_ticks));
        let cpu_ticks = of_stat(|stat| stat.user_ticks + stat.system_ticks);
        let rate = |counter: &mut Counter, total: Reading<u64>| {
            counter
                .per_second(total, interval)
                .map(|per_s| round(per_s, 1))
        };
        ProcessReading {
            pid: std::process::id(),
            uptime_s: self.uptime_s(&stat, now_monotonic_micros),
            cpu_percent: cpu_percent(
                self.cpu_ticks
                    .advance(cpu_ticks)
                    .map(|ticks| ticks as f64 / self.ticks_per_s),
                schedule.as_ref().map(|schedule| schedule.run_s).ok(),
                1.0 / self.ticks_per_s,
                interval,
            ),
            cpu_user_total_s: seconds(user_ticks),
            cpu_system_total_s: seconds(system_ticks),
            allowed_cpus: status.clone().and_then(|status| {
                status
                    .allowed_cpus
                    .ok_or(Absence::because("status has no Cpus_allowed_list"))
            }),
            // What is resident now may be more than the peak was when it was read.
            peak_rss_bytes: status
                .as_ref()
                .map(|status| status.peak_rss_bytes.max(rss_bytes.clone().unwrap_or(0)))
                .map_err(Clone::clone),
            rss_bytes,
            virtual_bytes: of_statm(|statm| statm.0),
            swap_bytes: status.clone().and_then(|status| {
                status
                    .swap_bytes
                    .ok_or(Absence::because("status has no VmSwap"))
            }),
            pss_bytes: self.pss_bytes.clone(),
            threads,
            open_fds: self.open_fds(),
            max_fds: getrlimit(Resource::Nofile)
                .current
                .ok_or(Absence::because("file descriptors are not limited")),
            run_queue_delay_ms_per_s: schedule.clone().map(|schedule| schedule.delay_ms_per_s),
            context_switches_per_s: schedule.map(|schedule| schedule.switches_per_s),
            context_switches_total: self.threads.switches_total(),
            minor_faults_total: of_stat(|stat| stat.minor_faults),
            major_faults_total: of_stat(|stat| stat.major_faults),
            minor_faults_per_s: rate(&mut self.minor_faults, of_stat(|stat| stat.minor_faults)),
            major_faults_per_s: rate(&mut self.major_faults, of_stat(|stat| stat.major_faults)),
            read_bytes_per_s: rate(&mut self.read_bytes, of_io(|io| io.0)),
            write_bytes_per_s: rate(&mut self.write_bytes, of_io(|io| io.1)),
        }
    }

    fn uptime_s(&self, stat: &Reading<ProcessStat>, now_monotonic_micros: u64) -> Reading<f64> {
        let start_ticks = stat.as_ref().map_err(Clone::clone)?.start_ticks;
        let since_boot_s = self.boot_offset_s.clone()? + now_monotonic_micros as f64 / 1e6;
        Ok(round(
            (since_boot_s - start_ticks as f64 / self.ticks_per_s).max(0.0),
            3,
        ))
    }

    /// Since Linux 6.2 the directory's size is the number of open descriptors; listing ten thousand
    /// of them would take milliseconds.
    fn open_fds(&self) -> Reading<u64> {
        match std::fs::metadata(&self.fd_directory) {
            Ok(metadata) if metadata.len() > 0 => Ok(metadata.len()),
            _ => self.open_fds.clone(),
        }
    }
}

/// CPU time in percent of one CPU.
///
/// Ticks count everything but in steps of 10 ms, which at 1 Hz are steps of a whole percent. The
/// threads' own run time is exact to the nanosecond but misses a thread that ended since the last
/// sample. The truth is not below either, if a tick is granted to rounding.
fn cpu_percent(
    ticks_s: Reading<f64>,
    threads_s: Option<f64>,
    tick_s: f64,
    interval: &Reading<Interval>,
) -> Reading<f64> {
    let ticks_s = ticks_s?;
    let used_s = threads_s.map_or(ticks_s, |threads_s| threads_s.max(ticks_s - tick_s));
    Ok(percent(used_s, interval.clone()?.seconds()))
}

fn count_entries(directory: &Path) -> Reading<u64> {
    let entries = std::fs::read_dir(directory)
        .map_err(|error| Absence::explained(format!("{}: {error}", directory.display())))?;
    // The listing itself holds one descriptor.
    Ok((entries.count() as u64).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "10473 (a) b (c)) R 10456 10473 10456 0 -1 4194304 130 9 2 1 70 30 5 6 20 0 \
                        7 0 125000 3133440 408 18446744073709551615 1 1 0 0";

    #[test]
    fn stat_columns_are_counted_after_a_name_with_parentheses() {
        let stat = parse_process_stat(STAT).unwrap();
        assert_eq!((stat.minor_faults, stat.major_faults), (130, 2));
        assert_eq!((stat.user_ticks, stat.system_ticks), (70, 30));
        assert_eq!((stat.threads, stat.start_ticks), (7, 125_000));
    }

    #[test]
    fn odd_texts_are_refused() {
        for odd in [
            "",
            ")",
            "1 (x) R 1 2 3",
            "1 x R",
            &STAT.replace(" 70 ", " -70 "),
        ] {
            assert_eq!(parse_process_stat(odd), None, "{odd:?}");
        }
        for odd in ["", "VmRSS: 5 kB", "VmRSS: x kB\nVmHWM: 1 kB", "VmRSS"] {
            assert_eq!(parse_status(odd), None, "{odd:?}");
        }
        for odd in ["", "read_bytes: 1", "read_bytes: -1\nwrite_bytes: 1"] {
            assert_eq!(parse_io(odd), None, "{odd:?}");
        }
        for odd in ["", "1", "1 x", "-1 5"] {
            assert_eq!(parse_statm(odd), None, "{odd:?}");
        }
        assert_eq!(parse_pss("Pss_Dirty: 5 kB\n"), None);
        assert_eq!(parse_pss("Pss: 5 MB\n"), None);
        assert_eq!(parse_uptime("NaN 1"), None);
        assert_eq!(parse_uptime(""), None);
    }

    #[test]
    fn status_io_and_pss_are_told_in_bytes() {
        let status = "Name:\tx\nVmSize:\t    3060 kB\nVmHWM:\t    1700 kB\nVmRSS:\t    1632 kB\n\
                      VmSwap:\t       0 kB\nThreads:\t1\nCpus_allowed_list:\t0-1\n";
        let status = parse_status(status).unwrap();
        assert_eq!(
            (status.rss_bytes, status.peak_rss_bytes),
            (1632 << 10, 1700 << 10)
        );
        assert_eq!(
            (status.swap_bytes, status.allowed_cpus),
            (Some(0), Some(vec![0, 1]))
        );
        assert_eq!(parse_statm("765 408 323 8 0 108 0\n"), Some((765, 408)));
        let io = "rchar: 6987\nwchar: 11\nread_bytes: 4096\nwrite_bytes: 8192\n";
        assert_eq!(parse_io(io), Some((4096, 8192)));
        let rollup =
            "55809e66c000-7ffc986ce000 ---p 0 0:0 0 [rollup]\nRss: 1628 kB\nPss:  273 kB\n";
        assert_eq!(parse_pss(rollup), Some(273 << 10));
        assert_eq!(parse_uptime("350735.47 234388.90\n"), Some(350_735.47));
    }

    #[test]
    fn cpu_time_is_fine_grained_and_misses_no_ended_thread() {
        let second = Interval::between(Some(0), 1_000_000);
        let told = |ticks_s, threads_s| cpu_percent(Ok(ticks_s), threads_s, 0.01, &second);
        // Little use shows below the step of a tick.
        assert_eq!(told(0.0, Some(0.002)), Ok(0.2));
        // Half a second of a thread that has ended shows through the ticks.
        assert_eq!(told(0.5, Some(0.002)), Ok(49.0));
        assert_eq!(told(0.5, None), Ok(50.0));
    }
}
