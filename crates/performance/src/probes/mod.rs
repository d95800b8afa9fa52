//! What the machine and this process do, read from the kernel once a second.
//!
//! [`Probes::open`] opens every file once; [`Probes::sample`] reads them by offset, parses, and
//! forms rates and shares since the sample before. A figure is a [`reading::Reading`]: a value, or
//! why there is none. Inside a container the figures are the container's ([`cgroup`], [`grant`]).

pub mod cgroup;
pub mod cpu;
pub mod disk;
pub mod filesystem;
pub mod grant;
pub mod memory;
pub mod mounts;
pub mod pressure;
pub mod proc_file;
pub mod process;
pub mod reading;
pub mod threads;

use cgroup::{CgroupProbe, CgroupReading, parse_membership};
use cpu::{CpuProbe, CpuReading};
use disk::{DiskProbe, DiskReading};
use filesystem::{FilesystemProbe, FilesystemReading};
use grant::CpuGrant;
use memory::{MemoryProbe, MemoryReading};
use mounts::{mount_of, parse_mountinfo};
use pressure::{PressureProbe, PressureReading};
use proc_file::{Buffer, read_once};
use process::{ProcessProbe, ProcessReading};
use reading::{Absence, Interval, Reading};
use std::path::Path;

/// How often limits, the proportional set size and the like are read again: they change seldom or
/// cost more than all the rest (`smaps_rollup` 150 µs and up).
const SLOW_REFRESH_MICROS: u64 = 60_000_000;

/// How often the load averages, which the kernel forms anew this often, and what moves slowly
/// (the peak and the swap in `status`, 9 µs; the group's swap and kills; stalls, averages of 10 s
/// and more, 10 µs) are read again.
const STEADY_REFRESH_MICROS: u64 = 5_000_000;

/// Every probe, with its files open.
#[derive(Debug)]
pub struct Probes {
    buffer: Buffer,
    cpu: CpuProbe,
    process: ProcessProbe,
    memory: MemoryProbe,
    cgroup: CgroupProbe,
    disk: DiskProbe,
    filesystem: FilesystemProbe,
    filesystem_type: Reading<String>,
    cpu_pressure: Pressure,
    memory_pressure: Pressure,
    io_pressure: Pressure,
    sampled_at_micros: Option<u64>,
    refreshed_slow_at_micros: Option<u64>,
    refreshed_steady_at_micros: Option<u64>,
}

/// The stalls of one resource, as they were last read.
#[derive(Debug)]
struct Pressure {
    probe: PressureProbe,
    told: Reading<PressureReading>,
}

impl Pressure {
    fn refresh(&mut self, buffer: &mut Buffer, interval: &Reading<Interval>) {
        self.told = self.probe.sample(buffer, interval);
    }
}

/// One sample of everything.
#[derive(Debug)]
pub struct SystemReading {
    /// Since the sample before.
    pub interval: Reading<Interval>,
    pub cpu: CpuReading,
    pub grant: CpuGrant,
    pub process: ProcessReading,
    pub memory: MemoryReading,
    pub cgroup: CgroupReading,
    pub disk: DiskReading,
    pub filesystem: Reading<FilesystemReading>,
    /// Such as `ext4`.
    pub filesystem_type: Reading<String>,
    pub cpu_pressure: Reading<PressureReading>,
    pub memory_pressure: Reading<PressureReading>,
    pub io_pressure: Reading<PressureReading>,
}

impl Probes {
    /// Opens the files of `/proc` and of the control groups; `data_directory` must exist. What
    /// cannot be opened is absent in every sample, with the reason.
    pub fn open(data_directory: &Path) -> Self {
        let proc_root = Path::new("/proc");
        let mounts =
            read_once(Path::new("/proc/self/mountinfo")).map(|text| parse_mountinfo(&text));
        let memberships =
            read_once(Path::new("/proc/self/cgroup")).map(|text| parse_membership(&text));
        let cgroup = CgroupProbe::discover(&mounts, &memberships);
        let pressure = |resource| Pressure {
            probe: PressureProbe::open(proc_root, cgroup.pressure_directory(), resource),
            told: Err(Absence::FIRST_SAMPLE),
        };
        let filesystem_type = mounts.clone().and_then(|mounts| {
            let place = data_directory.canonicalize();
            let place = place.map_err(|error| Absence::explained(error.to_string()))?;
            let mount = mount_of(&mounts, &place);
            let mount = mount.ok_or(Absence::because("no mount holds the data directory"))?;
            Ok(mount.filesystem.clone())
        });
        Self {
            cpu: CpuProbe::open(proc_root),
            process: ProcessProbe::open(proc_root),
            memory: MemoryProbe::open(proc_root),
            disk: DiskProbe::open(proc_root, Path::new("/sys"), &mounts, data_directory),
            filesystem: FilesystemProbe::open(data_directory),
            filesystem_type,
            cpu_pressure: pressure("cpu"),
            memory_pressure: pressure("memory"),
            io_pressure: pressure("io"),
            cgroup,
            buffer: Buffer::default(),
            sampled_at_micros: None,
            refreshed_slow_at_micros: None,
            refreshed_steady_at_micros: None,
        }
    }

    /// Reads everything. `now_monotonic_micros` is of any clock that never steps, the same at each
    /// call.
    pub fn sample(&mut self, now_monotonic_micros: u64) -> SystemReading {
        let buffer = &mut self.buffer;
        let is_due = |refreshed_at_micros: Option<u64>, period_micros| {
            refreshed_at_micros
                .is_none_or(|at| now_monotonic_micros.saturating_sub(at) >= period_micros)
        };
        if is_due(self.refreshed_slow_at_micros, SLOW_REFRESH_MICROS) {
            self.cgroup.refresh_limits(buffer);
            self.process.refresh_slow(buffer, now_monotonic_micros);
            self.refreshed_slow_at_micros = Some(now_monotonic_micros);
        }
        if is_due(self.refreshed_steady_at_micros, STEADY_REFRESH_MICROS) {
            self.cgroup.refresh_swap(buffer);
            self.cpu.refresh_load(buffer);
            self.process.refresh_status(buffer);
            let interval = Interval::between(self.refreshed_steady_at_micros, now_monotonic_micros);
            for pressure in [
                &mut self.cpu_pressure,
                &mut self.memory_pressure,
                &mut self.io_pressure,
            ] {
                pressure.refresh(buffer, &interval);
            }
            self.refreshed_steady_at_micros = Some(now_monotonic_micros);
        }
        let interval = Interval::between(self.sampled_at_micros, now_monotonic_micros);
        let process = self.process.sample(buffer, now_monotonic_micros, &interval);
        let cpu = self.cpu.sample(buffer, &interval, &process.allowed_cpus);
        let cgroup = self.cgroup.sample(buffer, &interval);
        let (limit, working_set) = (&cgroup.memory_limit_bytes, &cgroup.working_set_bytes);
        let reading = SystemReading {
            grant: CpuGrant::of(&cgroup, &cpu, &process),
            memory: self.memory.sample(buffer, limit, working_set),
            disk: self.disk.sample(buffer, &interval),
            filesystem: self.filesystem.sample(),
            filesystem_type: self.filesystem_type.clone(),
            cpu_pressure: self.cpu_pressure.told.clone(),
            memory_pressure: self.memory_pressure.told.clone(),
            io_pressure: self.io_pressure.told.clone(),
            interval,
            cpu,
            process,
            cgroup,
        };
        self.sampled_at_micros = Some(now_monotonic_micros);
        reading
    }
}

#[cfg(test)]
mod tests;
