//! What a container or service manager allows this process: limits and use of its control group.
//!
//! Both hierarchies are understood, and the hybrid of the two. A limit of any ancestor binds, so
//! every figure is the minimum from the process's own group up to the root that is visible here.
//! The host's size is no answer inside a container: a pool sized by it gets throttled or killed.

use super::mounts::Mount;
use super::proc_file::{Buffer, ProcFile};
use super::reading::{Absence, Counter, Interval, Reading, round};
use std::path::{Component, Path, PathBuf};

/// Ancestors looked at; deeper trees are not built by any known manager.
const LEVELS_MAX: usize = 32;

/// A v1 limit at or above this is none: the kernel prints `i64::MAX` rounded down to a page.
const V1_UNLIMITED_BYTES: u64 = 1 << 62;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

/// One line of `/proc/self/cgroup` (cgroups(7)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Empty for the unified (v2) hierarchy.
    pub controllers: Vec<String>,
    pub path: PathBuf,
}

/// Parses `/proc/self/cgroup`, leaving out malformed lines.
pub fn parse_membership(text: &str) -> Vec<Membership> {
    let line = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next()?.split(',').filter(|name| !name.is_empty());
        let controllers = controllers.map(str::to_owned).collect();
        let path = parts.next().filter(|path| path.starts_with('/'))?;
        Some(Membership {
            controllers,
            path: PathBuf::from(path),
        })
    };
    text.lines().filter_map(line).collect()
}

/// The directories of one controller, from the process's own group up to the visible root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    pub version: Version,
    pub levels: Vec<PathBuf>,
}

/// Finds where `controller` rules this process. In the hybrid layout a controller belongs to v1 if
/// a v1 hierarchy lists it.
pub fn find_hierarchy(
    mounts: &[Mount],
    memberships: &[Membership],
    controller: &str,
) -> Option<Hierarchy> {
    let of_v1 = memberships
        .iter()
        .find(|membership| membership.controllers.iter().any(|name| name == controller));
    let Some(membership) = of_v1 else {
        return find_unified(mounts, memberships);
    };
    let mount = mounts.iter().find(|mount| {
        mount.filesystem == "cgroup"
            && mount
                .super_options
                .iter()
                .any(|option| option == controller)
    })?;
    Some(Hierarchy {
        version: Version::V1,
        levels: levels(mount, &membership.path),
    })
}

/// The v2 hierarchy, whichever controllers it has.
fn find_unified(mounts: &[Mount], memberships: &[Membership]) -> Option<Hierarchy> {
    let membership = memberships
        .iter()
        .find(|membership| membership.controllers.is_empty())?;
    let mount = mounts.iter().find(|mount| mount.filesystem == "cgroup2")?;
    Some(Hierarchy {
        version: Version::V2,
        levels: levels(mount, &membership.path),
    })
}

/// The path of a group is told from the hierarchy's root, the mount may show a part of it only.
/// Where the two do not fit (a group outside this namespace, told as `/../..`), the mount's own
/// root is the nearest group that can be seen.
fn levels(mount: &Mount, path: &Path) -> Vec<PathBuf> {
    let below = path
        .strip_prefix(&mount.root)
        .ok()
        .filter(|below| {
            below
                .components()
                .all(|part| matches!(part, Component::Normal(_)))
        })
        .unwrap_or(Path::new(""));
    let own = mount.mount_point.join(below);
    own.ancestors()
        .take_while(|level| level.starts_with(&mount.mount_point))
        .take(LEVELS_MAX)
        .map(Path::to_path_buf)
        .collect()
}

/// Parses `cpu.max` (v2), `"max 100000"` or `"150000 100000"`, into CPUs; `Some(None)` is no limit.
pub fn parse_cpu_max(text: &str) -> Option<Option<f64>> {
    let (quota, period) = text.trim().split_once(' ')?;
    if quota == "max" {
        return Some(None);
    }
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0 && period > 0).then(|| Some(quota as f64 / period as f64))
}

/// Parses `memory.max` (v2) or `memory.limit_in_bytes` (v1); `Some(None)` is no limit.
pub fn parse_memory_limit(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if text == "max" {
        return Some(None);
    }
    let limit_bytes: u64 = text.parse().ok()?;
    Some((limit_bytes < V1_UNLIMITED_BYTES).then_some(limit_bytes))
}

/// The value of `key` in a file of `key value` lines (`cpu.stat`, `memory.stat`, `memory.events`).
pub fn parse_keyed(text: &str, key: &str) -> Option<u64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
    value.trim().parse().ok()
}

/// Figures of one sample.
#[derive(Debug)]
pub struct CgroupReading {
    /// CPUs' worth of time that the tightest quota grants.
    pub quota_cpus: Reading<f64>,
    pub quota_source: Reading<&'static str>,
    /// CPUs' worth of time used by the group that the quota binds.
    pub used_cpus: Reading<f64>,
    /// Milliseconds in each second in which the group was held back.
    pub throttled_ms_per_s: Reading<f64>,
    pub memory_limit_bytes: Reading<u64>,
    pub memory_limit_source: Reading<&'static str>,
    /// Memory in use that cannot simply be dropped: all but inactive file pages.
    pub working_set_bytes: Reading<u64>,
    pub swap_used_bytes: Reading<u64>,
    /// Processes of the group killed for lack of memory.
    pub oom_kills: Reading<u64>,
}

#[derive(Debug)]
pub struct CgroupProbe {
    cpu: Reading<CpuController>,
    memory: Reading<MemoryController>,
    swap_used_bytes: Reading<u64>,
    oom_kills: Reading<u64>,
    /// The group's directory in the v2 hierarchy, where its pressure files are.
    unified: Option<PathBuf>,
}

impl CgroupProbe {
    /// Finds the process's groups; `mountinfo` and `membership` are the readings of
    /// `/proc/self/mountinfo` and `/proc/self/cgroup`.
    pub fn discover(mounts: &Reading<Vec<Mount>>, memberships: &Reading<Vec<Membership>>) -> Self {
        let find = |controller: &str| {
            let mounts = mounts.as_ref().map_err(Clone::clone)?;
            let memberships = memberships.as_ref().map_err(Clone::clone)?;
            find_hierarchy(mounts, memberships, controller)
                .ok_or(Absence::because("no control group hierarchy is mounted"))
        };
        // The root group is the host, whose pressure has its own files; only the root lacks a type.
        let unified = mounts
            .as_ref()
            .ok()
            .zip(memberships.as_ref().ok())
            .and_then(|(mounts, memberships)| find_unified(mounts, memberships))
            .and_then(|hierarchy| hierarchy.levels.into_iter().next())
            .filter(|directory| directory.join("cgroup.type").exists());
        Self {
            cpu: find("cpu").map(|cpu| CpuController::open(cpu, find("cpuacct").ok())),
            memory: find("memory").map(MemoryController::open),
            swap_used_bytes: Err(Absence::FIRST_SAMPLE),
            oom_kills: Err(Absence::FIRST_SAMPLE),
            unified,
        }
    }

    /// Where the group's own pressure files are, if it has any.
    pub fn pressure_directory(&self) -> Option<&Path> {
        self.unified.as_deref()
    }

    /// Reads the limits again: they may be changed while the process runs. Once a minute is enough.
    pub fn refresh_limits(&mut self, buffer: &mut Buffer) {
        if let Ok(cpu) = &mut self.cpu {
            cpu.refresh_limit(buffer);
        }
        if let Ok(memory) = &mut self.memory {
            memory.refresh_limit(buffer);
        }
    }

    /// Reads the swap and the kills, which are told until the next call: they move slowly, and
    /// cost up to three reads.
    pub fn refresh_swap(&mut self, buffer: &mut Buffer) {
        let memory = self.memory.as_ref().map_err(Clone::clone);
        self.swap_used_bytes = memory
            .clone()
            .and_then(|memory| memory.swap_used_bytes(buffer));
        self.oom_kills = memory.and_then(|memory| memory.oom_kills(buffer));
    }

    fn quota_source(&self) -> Reading<&'static str> {
        let cpu = self.cpu.as_ref().map_err(Clone::clone)?;
        Ok(match cpu.version {
            Version::V2 => "cgroup2:cpu.max",
            Version::V1 => "cgroup1:cpu.cfs_quota_us",
        })
    }

    pub fn sample(&mut self, buffer: &mut Buffer, interval: &Reading<Interval>) -> CgroupReading {
        let absent = |absence: &Absence| absence.clone();
        let (quota_cpus, used_cpus, throttled_ms_per_s) = match &mut self.cpu {
            Ok(cpu) => cpu.sample(buffer, interval),
            Err(why) => (Err(absent(why)), Err(absent(why)), Err(absent(why))),
        };
        let memory = self.memory.as_ref();
        CgroupReading {
            quota_source: quota_cpus.clone().and(self.quota_source()),
            quota_cpus,
            used_cpus,
            throttled_ms_per_s,
            memory_limit_bytes: memory
                .map_err(absent)
                .and_then(|memory| memory.limit.clone()),
            memory_limit_source: memory
                .map_err(absent)
                .and_then(MemoryController::limit_source),
            working_set_bytes: memory
                .map_err(absent)
                .and_then(|memory| memory.working_set_bytes(buffer)),
            swap_used_bytes: self.swap_used_bytes.clone(),
            oom_kills: self.oom_kills.clone(),
        }
    }
}

const NO_CPU_LIMIT: Absence = Absence::because("no control group limits the CPU");
const NO_MEMORY_LIMIT: Absence = Absence::because("no control group limits the memory");

/// The level with the least limit, and that limit.
fn tightest<T: PartialOrd + Copy>(limits: impl Iterator<Item = Option<T>>) -> Option<(usize, T)> {
    let limits = limits
        .enumerate()
        .filter_map(|(level, limit)| Some((level, limit?)));
    // On a tie the group nearest the process wins, whose use is the more telling.
    limits.reduce(|least, next| if next.1 < least.1 { next } else { least })
}

#[derive(Debug)]
struct CpuController {
    version: Version,
    levels: Vec<CpuLevel>,
    binding: usize,
    quota_cpus: Reading<f64>,
    used: Counter,
    throttled: Counter,
}

#[derive(Debug)]
struct CpuLevel {
    /// `cpu.max`, or quota and period of v1.
    limit: (ProcFile, Option<ProcFile>),
    stat: ProcFile,
    /// `cpuacct.usage` of v1.
    usage: Option<ProcFile>,
}

impl CpuController {
    fn open(hierarchy: Hierarchy, accounting: Option<Hierarchy>) -> Self {
        let level = |(i, directory): (usize, &PathBuf)| match hierarchy.version {
            Version::V2 => CpuLevel {
                limit: (ProcFile::open(directory.join("cpu.max")), None),
                stat: ProcFile::open(directory.join("cpu.stat")),
                usage: None,
            },
            Version::V1 => {
                let quota = ProcFile::open(directory.join("cpu.cfs_quota_us"));
                let period = ProcFile::open(directory.join("cpu.cfs_period_us"));
                let accounting = accounting.as_ref().and_then(|at| at.levels.get(i));
                CpuLevel {
                    limit: (quota, Some(period)),
                    stat: ProcFile::open(directory.join("cpu.stat")),
                    usage: accounting.map(|at| ProcFile::open(at.join("cpuacct.usage"))),
                }
            }
        };
        Self {
            version: hierarchy.version,
            levels: hierarchy.levels.iter().enumerate().map(level).collect(),
            binding: 0,
            quota_cpus: Err(NO_CPU_LIMIT),
            used: Counter::default(),
            throttled: Counter::default(),
        }
    }

    fn refresh_limit(&mut self, buffer: &mut Buffer) {
        let limits = self.levels.iter().map(|level| level.quota_cpus(buffer));
        let (binding, quota_cpus) = match tightest(limits) {
            Some((level, quota_cpus)) => (level, Ok(quota_cpus)),
            None => (0, Err(NO_CPU_LIMIT)),
        };
        if binding != self.binding {
            // Another group's counters: their difference to the old ones would mean nothing.
            (self.used, self.throttled) = (Counter::default(), Counter::default());
        }
        (self.binding, self.quota_cpus) = (binding, quota_cpus);
    }

    fn sample(
        &mut self,
        buffer: &mut Buffer,
        interval: &Reading<Interval>,
    ) -> (Reading<f64>, Reading<f64>, Reading<f64>) {
        let Some(level) = self.levels.get(self.binding) else {
            return (Err(NO_CPU_LIMIT), Err(NO_CPU_LIMIT), Err(NO_CPU_LIMIT));
        };
        let (used_micros, throttled_micros) = match self.version {
            Version::V2 => level.usage_v2(buffer),
            Version::V1 => level.usage_v1(buffer),
        };
        let used_cpus = self
            .used
            .per_second(used_micros, interval)
            .map(|micros| micros / 1e6);
        let throttled = self.throttled.per_second(throttled_micros, interval);
        let throttled_ms_per_s = match self.quota_cpus {
            Ok(_) => throttled.map(|micros| round(micros / 1000.0, 3)),
            // Without a quota nothing can be throttled: a known zero.
            Err(_) => Ok(0.0),
        };
        (self.quota_cpus.clone(), used_cpus, throttled_ms_per_s)
    }
}

impl CpuLevel {
    fn quota_cpus(&self, buffer: &mut Buffer) -> Option<f64> {
        match &self.limit {
            (limit, None) => limit.parse(buffer, parse_cpu_max).ok()?,
            (quota, Some(period)) => {
                // A quota of -1 is none and fails to parse as unsigned.
                let number = |text: &str| text.trim().parse::<u64>().ok().filter(|n| *n > 0);
                let quota_micros = quota.parse(buffer, number).ok()?;
                let period_micros = period.parse(buffer, number).ok()?;
                Some(quota_micros as f64 / period_micros as f64)
            }
        }
    }

    fn usage_v2(&self, buffer: &mut Buffer) -> (Reading<u64>, Reading<u64>) {
        let missing = || Absence::because("cpu.stat lacks the figure");
        match self.stat.read(buffer) {
            Ok(text) => (
                parse_keyed(text, "usage_usec").ok_or_else(missing),
                parse_keyed(text, "throttled_usec").ok_or_else(missing),
            ),
            Err(why) => (Err(why.clone()), Err(why)),
        }
    }

    fn usage_v1(&self, buffer: &mut Buffer) -> (Reading<u64>, Reading<u64>) {
        let usage = self
            .usage
            .as_ref()
            .ok_or(Absence::because("no cpuacct hierarchy is mounted"));
        let nanos = usage.and_then(|file| file.parse(buffer, |text| text.trim().parse().ok()));
        let throttled = self
            .stat
            .parse(buffer, |text| parse_keyed(text, "throttled_time"));
        (
            nanos.map(|nanos: u64| nanos / 1000),
            throttled.map(|nanos| nanos / 1000),
        )
    }
}

#[derive(Debug)]
struct MemoryController {
    version: Version,
    levels: Vec<MemoryLevel>,
    binding: usize,
    limit: Reading<u64>,
}

#[derive(Debug)]
struct MemoryLevel {
    limit: ProcFile,
    current: ProcFile,
    stat: ProcFile,
    swap: ProcFile,
    events: ProcFile,
}

impl MemoryController {
    fn open(hierarchy: Hierarchy) -> Self {
        let names = match hierarchy.version {
            Version::V2 => [
                "memory.max",
                "memory.current",
                "memory.swap.current",
                "memory.events",
            ],
            Version::V1 => [
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "memory.memsw.usage_in_bytes",
                "memory.oom_control",
            ],
        };
        let level = |directory: &PathBuf| {
            let [limit, current, swap, events] =
                names.map(|name| ProcFile::open(directory.join(name)));
            let stat = ProcFile::open(directory.join("memory.stat"));
            MemoryLevel {
                limit,
                current,
                stat,
                swap,
                events,
            }
        };
        Self {
            version: hierarchy.version,
            levels: hierarchy.levels.iter().map(level).collect(),
            binding: 0,
            limit: Err(NO_MEMORY_LIMIT),
        }
    }

    fn refresh_limit(&mut self, buffer: &mut Buffer) {
        let limits = self
            .levels
            .iter()
            .map(|level| level.limit.parse(buffer, parse_memory_limit).ok().flatten());
        (self.binding, self.limit) = match tightest(limits) {
            Some((level, limit_bytes)) => (level, Ok(limit_bytes)),
            None => (0, Err(NO_MEMORY_LIMIT)),
        };
    }

    fn limit_source(&self) -> Reading<&'static str> {
        self.limit.clone().map(|_| match self.version {
            Version::V2 => "cgroup2:memory.max",
            Version::V1 => "cgroup1:memory.limit_in_bytes",
        })
    }

    fn binding_level(&self) -> Reading<&MemoryLevel> {
        self.levels.get(self.binding).ok_or(NO_MEMORY_LIMIT)
    }

    /// Of the group whose limit binds, or of the own group when there is no limit.
    fn working_set_bytes(&self, buffer: &mut Buffer) -> Reading<u64> {
        let level = self.binding_level()?;
        let key = match self.version {
            Version::V2 => "inactive_file",
            Version::V1 => "total_inactive_file",
        };
        let used_bytes = level.current.parse(buffer, parse_number)?;
        let inactive_bytes = level.stat.parse(buffer, |text| parse_keyed(text, key))?;
        Ok(used_bytes.saturating_sub(inactive_bytes))
    }

    fn swap_used_bytes(&self, buffer: &mut Buffer) -> Reading<u64> {
        let level = self.binding_level()?;
        let swap_bytes = level.swap.parse(buffer, parse_number)?;
        match self.version {
            Version::V2 => Ok(swap_bytes),
            // v1 counts memory and swap together.
            Version::V1 => {
                let used_bytes = level.current.parse(buffer, parse_number)?;
                Ok(swap_bytes.saturating_sub(used_bytes))
            }
        }
    }

    fn oom_kills(&self, buffer: &mut Buffer) -> Reading<u64> {
        self.binding_level()?
            .events
            .parse(buffer, |text| parse_keyed(text, "oom_kill"))
    }
}

fn parse_number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
