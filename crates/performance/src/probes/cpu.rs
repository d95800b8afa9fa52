//! How busy the processors are: `/proc/stat` and `/proc/loadavg`.

use super::proc_file::{Buffer, ProcFile};
use super::reading::{Absence, Counter, Interval, Reading, increase, percent, round};
use std::path::Path;

/// Cumulative clock ticks of one CPU or of all, from a `cpu` line of `/proc/stat` (proc_stat(5)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTicks {
    pub user: u64,
    pub nice: u64,
    pub system: u64,
    pub idle: u64,
    pub iowait: u64,
    pub irq: u64,
    pub softirq: u64,
    pub steal: u64,
}

/// What `/proc/stat` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcStat {
    pub all: CpuTicks,
    /// By CPU number; the numbers of CPUs that are offline are missing.
    pub cores: Vec<(u32, CpuTicks)>,
    /// Context switches of the whole machine.
    pub context_switches: Option<u64>,
}

/// Parses `/proc/stat`. Columns that an old kernel lacks count as zero ticks, since it does not
/// tell that time apart; none without the `cpu` line.
pub fn parse_stat(text: &str) -> Option<ProcStat> {
    let mut stat = ProcStat::default();
    let mut has_total = false;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("cpu") {
            let (name, ticks) = rest.split_once(' ')?;
            let ticks = parse_ticks(ticks)?;
            if name.is_empty() {
                stat.all = ticks;
                has_total = true;
            } else {
                stat.cores.push((name.parse().ok()?, ticks));
            }
        } else if let Some(count) = line.strip_prefix("ctxt ") {
            stat.context_switches = count.trim().parse().ok();
        }
    }
    has_total.then_some(stat)
}

fn parse_ticks(text: &str) -> Option<CpuTicks> {
    let mut columns = [0u64; 8];
    let mut count = 0;
    for (column, word) in columns.iter_mut().zip(text.split_ascii_whitespace()) {
        *column = word.parse().ok()?;
        count += 1;
    }
    // Four columns have been there since Linux 2.4.
    let [user, nice, system, idle, iowait, irq, softirq, steal] = columns;
    (count >= 4).then_some(CpuTicks {
        user,
        nice,
        system,
        idle,
        iowait,
        irq,
        softirq,
        steal,
    })
}

/// Load averages over 1, 5 and 15 minutes from `/proc/loadavg`.
pub fn parse_loadavg(text: &str) -> Option<[f64; 3]> {
    let mut words = text
        .split_ascii_whitespace()
        .map(|word| word.parse::<f64>().ok());
    let averages = [words.next()??, words.next()??, words.next()??];
    averages
        .iter()
        .all(|load| load.is_finite() && *load >= 0.0)
        .then_some(averages)
}

/// Parses a CPU list such as `0-3,8,10-11`; none if it is malformed.
pub fn parse_cpu_list(text: &str) -> Option<Vec<u32>> {
    /// Far beyond any machine; refuses `0-4294967295`.
    const CPUS_MAX: u32 = 65_536;
    let mut cpus = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= CPUS_MAX {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

impl CpuTicks {
    /// Ticks of every kind. `guest` is not among them: the kernel counts it within `user`.
    fn total(&self) -> u64 {
        self.busy() + self.idle + self.iowait
    }

    /// Ticks in which the CPU did something, for us or (steal) for another guest.
    fn busy(&self) -> u64 {
        self.user + self.nice + self.system + self.irq + self.softirq + self.steal
    }

    /// The ticks since `earlier`. Single columns may fall back by a few ticks (`iowait` is
    /// documented to); that counts as none.
    fn since(&self, earlier: &Self) -> Self {
        let part = |now: u64, past: u64| increase(past, now).unwrap_or(0);
        Self {
            user: part(self.user, earlier.user),
            nice: part(self.nice, earlier.nice),
            system: part(self.system, earlier.system),
            idle: part(self.idle, earlier.idle),
            iowait: part(self.iowait, earlier.iowait),
            irq: part(self.irq, earlier.irq),
            softirq: part(self.softirq, earlier.softirq),
            steal: part(self.steal, earlier.steal),
        }
    }

    fn share(&self, part: u64) -> f64 {
        percent(part as f64, self.total() as f64)
    }

    fn busy_percent(&self) -> f64 {
        self.share(self.busy())
    }
}

/// CPU figures of one sample. Percentages are of all CPUs together: 100 is everything busy.
#[derive(Debug)]
pub struct CpuReading {
    pub percent: Reading<f64>,
    pub count: Reading<u64>,
    pub per_core_percent: Reading<Vec<f64>>,
    /// Busy share of the CPUs that this process may run on.
    pub allowed_percent: Reading<f64>,
    pub user_percent: Reading<f64>,
    pub system_percent: Reading<f64>,
    pub iowait_percent: Reading<f64>,
    pub steal_percent: Reading<f64>,
    pub context_switches_per_s: Reading<f64>,
    pub load: Reading<[f64; 3]>,
}

#[derive(Debug)]
pub struct CpuProbe {
    stat: ProcFile,
    loadavg: ProcFile,
    load: Reading<[f64; 3]>,
    last: Option<ProcStat>,
    context_switches: Counter,
}

impl CpuProbe {
    pub fn open(proc_root: &Path) -> Self {
        Self {
            stat: ProcFile::open(proc_root.join("stat")),
            loadavg: ProcFile::open(proc_root.join("loadavg")),
            load: Err(Absence::FIRST_SAMPLE),
            last: None,
            context_switches: Counter::default(),
        }
    }

    /// Reads the load averages, which are told until the next call.
    pub fn refresh_load(&mut self, buffer: &mut Buffer) {
        self.load = self.loadavg.parse(buffer, parse_loadavg);
    }

    /// Reads the CPUs. `allowed_cpus` are the ones this process may run on (affinity, cpuset).
    pub fn sample(
        &mut self,
        buffer: &mut Buffer,
        interval: &Reading<Interval>,
        allowed_cpus: &Reading<Vec<u32>>,
    ) -> CpuReading {
        let now = self.stat.parse(buffer, parse_stat);
        let switches = now.as_ref().map_err(Clone::clone).and_then(|stat| {
            stat.context_switches
                .ok_or(Absence::because("/proc/stat has no ctxt line"))
        });
        let change = now.as_ref().map_err(Clone::clone).and_then(|now| {
            let earlier = self.last.as_ref().ok_or(Absence::FIRST_SAMPLE)?;
            Change::between(earlier, now)
        });
        let of_all = |part: fn(&CpuTicks) -> u64| {
            change
                .as_ref()
                .map(|change| change.all.share(part(&change.all)))
                .map_err(Clone::clone)
        };
        let reading = CpuReading {
            percent: of_all(CpuTicks::busy),
            count: now
                .as_ref()
                .map(|stat| stat.cores.len() as u64)
                .map_err(Clone::clone),
            per_core_percent: change
                .as_ref()
                .map(Change::per_core_percent)
                .map_err(Clone::clone),
            allowed_percent: change.as_ref().map_err(Clone::clone).and_then(|change| {
                change.allowed_percent(allowed_cpus.as_ref().map_err(Clone::clone)?)
            }),
            user_percent: of_all(|ticks| ticks.user + ticks.nice),
            system_percent: of_all(|ticks| ticks.system + ticks.irq + ticks.softirq),
            iowait_percent: of_all(|ticks| ticks.iowait),
            steal_percent: of_all(|ticks| ticks.steal),
            context_switches_per_s: self
                .context_switches
                .per_second(switches, interval)
                .map(|rate| round(rate, 1)),
            load: self.load.clone(),
        };
        self.last = now.ok();
        reading
    }
}

/// Ticks between two samples.
#[derive(Debug)]
struct Change {
    all: CpuTicks,
    cores: Vec<(u32, CpuTicks)>,
}

impl Change {
    fn between(earlier: &ProcStat, now: &ProcStat) -> Reading<Self> {
        let all = now.all.since(&earlier.all);
        if all.total() == 0 {
            return Err(Absence::because(
                "no clock tick passed since the last sample",
            ));
        }
        // A CPU that came online in between has no earlier figure; its ticks start at zero then.
        let cores = now
            .cores
            .iter()
            .map(|(id, ticks)| {
                let past = earlier.cores.iter().find(|(past_id, _)| past_id == id);
                (
                    *id,
                    ticks.since(&past.map(|(_, ticks)| *ticks).unwrap_or_default()),
                )
            })
            .collect();
        Ok(Self { all, cores })
    }

    fn per_core_percent(&self) -> Vec<f64> {
        self.cores
            .iter()
            .map(|(_, ticks)| ticks.busy_percent())
            .collect()
    }

    fn allowed_percent(&self, allowed_cpus: &[u32]) -> Reading<f64> {
        let allowed = self
            .cores
            .iter()
            .filter(|(id, _)| allowed_cpus.contains(id));
        let (busy, total) = allowed.fold((0, 0), |(busy, total), (_, ticks)| {
            (busy + ticks.busy(), total + ticks.total())
        });
        if total == 0 {
            return Err(Absence::because(
                "no tick on the CPUs this process may run on",
            ));
        }
        Ok(percent(busy as f64, total as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "\
cpu  100 10 50 800 20 1 2 7 0 0
cpu0 60 5 25 400 10 1 1 3 0 0
cpu1 40 5 25 400 10 0 1 4 0 0
intr 462960 0 0 1
ctxt 1085338
btime 1763902800
";

    fn probe(directory: &Path, stat: &str) -> CpuProbe {
        std::fs::write(directory.join("stat"), stat).unwrap();
        std::fs::write(directory.join("loadavg"), "0.41 0.40 0.25 1/142 10474\n").unwrap();
        let mut probe = CpuProbe::open(directory);
        probe.refresh_load(&mut Buffer::default());
        probe
    }

    #[test]
    fn stat_is_parsed_by_column() {
        let stat = parse_stat(STAT).unwrap();
        assert_eq!(stat.all.user, 100);
        assert_eq!(stat.all.steal, 7);
        assert_eq!(stat.all.total(), 990);
        assert_eq!(
            stat.cores.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
            [0, 1]
        );
        assert_eq!(stat.context_switches, Some(1_085_338));
    }

    #[test]
    fn odd_stat_text_is_refused_or_read_as_far_as_it_goes() {
        let old_kernel = parse_stat("cpu 1 2 3 4\n").unwrap();
        assert_eq!(
            (old_kernel.all.total(), old_kernel.context_switches),
            (10, None)
        );
        let offline = parse_stat("cpu 1 2 3 4\ncpu3 1 2 3 4\n").unwrap();
        assert_eq!(offline.cores[0].0, 3);
        for odd in [
            "",
            "cpu\n",
            "cpu \n",
            "cpu 1 2 3\n",
            "cpu0 1 2 3 4\n",
            "cpu -1 2 3 4\n",
            "cpu 1 2 3 4\ncpux 1 2 3 4\n",
            "cpu 99999999999999999999 2 3 4\n",
            "\0\0\0",
        ] {
            assert_eq!(parse_stat(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn load_and_cpu_lists_are_parsed_or_refused() {
        assert_eq!(
            parse_loadavg("0.41 1.50 22.00 1/142 10474\n"),
            Some([0.41, 1.5, 22.0])
        );
        for odd in ["", "0.1 0.2", "a b c", "NaN 0 0", "-1 0 0", "inf 0 0"] {
            assert_eq!(parse_loadavg(odd), None, "{odd:?}");
        }
        assert_eq!(parse_cpu_list("0-2,5\n"), Some(vec![0, 1, 2, 5]));
        assert_eq!(parse_cpu_list(""), Some(vec![]));
        for odd in ["3-1", "a", "0-", "-", "0-4294967295"] {
            assert_eq!(parse_cpu_list(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn shares_are_of_the_ticks_between_two_samples() {
        let directory = tempfile::tempdir().unwrap();
        let (mut buffer, everywhere) = (Buffer::default(), Ok(vec![0, 1]));
        let mut probe = probe(
            directory.path(),
            "cpu 0 0 0 0\ncpu0 0 0 0 0\ncpu1 0 0 0 0\nctxt 5\n",
        );
        let first = probe.sample(&mut buffer, &Interval::between(None, 0), &everywhere);
        assert_eq!(first.percent, Err(Absence::FIRST_SAMPLE));
        assert_eq!(first.count, Ok(2));
        assert_eq!(first.load, Ok([0.41, 0.40, 0.25]));

        let later =
            "cpu 30 0 10 140 10 0 0 10\ncpu0 30 0 10 50 10\ncpu1 0 0 0 90 0 0 0 10\nctxt 205\n";
        std::fs::write(directory.path().join("stat"), later).unwrap();
        let interval = Interval::between(Some(0), 2_000_000);
        let second = probe.sample(&mut buffer, &interval, &Ok(vec![1]));
        assert_eq!(second.percent, Ok(25.0));
        assert_eq!(second.per_core_percent, Ok(vec![40.0, 10.0]));
        assert_eq!(second.allowed_percent, Ok(10.0));
        assert_eq!(
            (second.user_percent, second.system_percent),
            (Ok(15.0), Ok(5.0))
        );
        assert_eq!(
            (second.iowait_percent, second.steal_percent),
            (Ok(5.0), Ok(5.0))
        );
        assert_eq!(second.context_switches_per_s, Ok(100.0));
    }

    #[test]
    fn an_unchanged_stat_is_an_absence_and_not_zero_percent() {
        let directory = tempfile::tempdir().unwrap();
        let mut probe = probe(directory.path(), STAT);
        let (mut buffer, interval) = (Buffer::default(), Interval::between(Some(0), 1));
        probe.sample(&mut buffer, &interval, &Ok(vec![0]));
        assert!(
            probe
                .sample(&mut buffer, &interval, &Ok(vec![0]))
                .percent
                .is_err()
        );
    }
}
