//! What the device below the data directory does: its `stat` in `/sys`, else its line of
//! `/proc/diskstats` (`Documentation/admin-guide/iostats.rst`).
//!
//! The latencies are the kernel's: means of a sample interval, from clocks of whole milliseconds.
//! What a commit feels, its queue and its file system included, only the store can tell.

use super::mounts::{DeviceNumber, Mount, mount_of};
use super::proc_file::{Buffer, ProcFile};
use super::reading::{Absence, Counter, Interval, Reading, percent, round};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Sectors of diskstats are of this size, whatever the device's own are.
const SECTOR_BYTES: u64 = 512;

/// One line of diskstats, cumulative. Counts of merged requests and of discards are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskStats {
    pub device: String,
    pub reads: u64,
    pub read_bytes: u64,
    pub read_time_ms: u64,
    pub writes: u64,
    pub write_bytes: u64,
    pub write_time_ms: u64,
    /// Time in which at least one request was at the device.
    pub busy_time_ms: u64,
    /// The same, times the number of requests.
    pub weighted_time_ms: u64,
    /// Flushes and the time they took; kernels before 5.5 do not tell.
    pub flushes: Option<(u64, u64)>,
}

/// The line of one device; none if it is not listed or not well formed.
pub fn parse_diskstats(text: &str, device: DeviceNumber) -> Option<DiskStats> {
    text.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let major = words.next()?.parse().ok()?;
        let minor = words.next()?.parse().ok()?;
        if (DeviceNumber { major, minor }) != device {
            return None;
        }
        let name = words.next()?.to_owned();
        DiskStats::of(name, words)
    })
}

impl DiskStats {
    /// The counters of the device `device`, which are the same in both files.
    fn of<'a>(device: String, counters: impl Iterator<Item = &'a str>) -> Option<Self> {
        let columns: Vec<&str> = counters.collect();
        // The documentation of diskstats counts from 1 and from the major number on: the fourth is
        // the first one here.
        let column = |number: usize| columns.get(number - 4)?.parse::<u64>().ok();
        Some(DiskStats {
            device,
            reads: column(4)?,
            read_bytes: column(6)?.saturating_mul(SECTOR_BYTES),
            read_time_ms: column(7)?,
            writes: column(8)?,
            write_bytes: column(10)?.saturating_mul(SECTOR_BYTES),
            write_time_ms: column(11)?,
            busy_time_ms: column(13)?,
            weighted_time_ms: column(14)?,
            flushes: column(19).zip(column(20)),
        })
    }
}

/// Figures of one sample.
#[derive(Debug)]
pub struct DiskReading {
    /// The kernel's name of the device, such as `vda1`.
    pub device: Reading<String>,
    pub read_latency_ms: Reading<f64>,
    pub write_latency_ms: Reading<f64>,
    pub flush_latency_ms: Reading<f64>,
    pub read_iops: Reading<f64>,
    pub write_iops: Reading<f64>,
    pub read_bytes_per_s: Reading<f64>,
    pub write_bytes_per_s: Reading<f64>,
    pub busy_percent: Reading<f64>,
    /// Requests at the device on average.
    pub queue_depth: Reading<f64>,
    pub totals: Reading<DiskStats>,
}

#[derive(Debug)]
pub struct DiskProbe {
    counters: Reading<Counters>,
    read: Direction,
    write: Direction,
    flush: Direction,
    read_bytes: Counter,
    write_bytes: Counter,
    busy_time_ms: Counter,
    weighted_time_ms: Counter,
}

/// Where the counters of the device are read.
#[derive(Debug)]
enum Counters {
    /// The device's own file, a quarter of the cost of the list of all.
    OfDevice { device: String, stat: ProcFile },
    /// Where `/sys` is not mounted.
    OfAll {
        diskstats: ProcFile,
        device: DeviceNumber,
    },
}

impl Counters {
    fn open(proc_root: &Path, sys_root: &Path, device: DeviceNumber) -> Self {
        let DeviceNumber { major, minor } = device;
        // A link that leads to the folder with the kernel's name of the device.
        let own = sys_root.join(format!("dev/block/{major}:{minor}"));
        let name = own.canonicalize().ok();
        let name = name.and_then(|place| Some(place.file_name()?.to_str()?.to_owned()));
        match name.filter(|_| own.join("stat").exists()) {
            Some(device) => Counters::OfDevice {
                device,
                stat: ProcFile::open(own.join("stat")),
            },
            None => Counters::OfAll {
                diskstats: ProcFile::open(proc_root.join("diskstats")),
                device,
            },
        }
    }

    fn read(&self, buffer: &mut Buffer) -> Reading<DiskStats> {
        match self {
            Counters::OfDevice { device, stat } => stat.parse(buffer, |text| {
                DiskStats::of(device.clone(), text.split_ascii_whitespace())
            }),
            Counters::OfAll { diskstats, device } => {
                parse_diskstats(diskstats.read(buffer)?, *device).ok_or_else(|| {
                    let DeviceNumber { major, minor } = device;
                    Absence::explained(format!("/proc/diskstats does not list {major}:{minor}"))
                })
            }
        }
    }
}

impl DiskProbe {
    /// Watches the device below `directory`, which must exist.
    pub fn open(
        proc_root: &Path,
        sys_root: &Path,
        mounts: &Reading<Vec<Mount>>,
        directory: &Path,
    ) -> Self {
        Self {
            counters: device_below(mounts, directory)
                .map(|device| Counters::open(proc_root, sys_root, device)),
            read: Direction::new("no reads in the interval"),
            write: Direction::new("no writes in the interval"),
            flush: Direction::new("no flushes in the interval"),
            read_bytes: Counter::default(),
            write_bytes: Counter::default(),
            busy_time_ms: Counter::default(),
            weighted_time_ms: Counter::default(),
        }
    }

    pub fn sample(&mut self, buffer: &mut Buffer, interval: &Reading<Interval>) -> DiskReading {
        let counters = self.counters.as_ref().map_err(Clone::clone);
        let totals = counters.and_then(|counters| counters.read(buffer));
        let of = |part: fn(&DiskStats) -> u64| totals.as_ref().map(part).map_err(Clone::clone);
        let flushes = totals.clone().and_then(|totals| {
            totals
                .flushes
                .ok_or(Absence::because("this kernel does not count flushes"))
        });
        let flush_count = flushes.clone().map(|(count, _)| count);
        let (read_latency_ms, read_iops) =
            self.read
                .sample(of(|t| t.reads), of(|t| t.read_time_ms), interval);
        let (write_latency_ms, write_iops) =
            self.write
                .sample(of(|t| t.writes), of(|t| t.write_time_ms), interval);
        let (flush_latency_ms, _) =
            self.flush
                .sample(flush_count, flushes.map(|(_, time_ms)| time_ms), interval);
        let rate = |counter: &mut Counter, total: Reading<u64>, decimals: i32| {
            counter
                .per_second(total, interval)
                .map(|per_s| round(per_s, decimals))
        };
        DiskReading {
            read_latency_ms,
            write_latency_ms,
            flush_latency_ms,
            read_iops,
            write_iops,
            read_bytes_per_s: rate(&mut self.read_bytes, of(|t| t.read_bytes), 1),
            write_bytes_per_s: rate(&mut self.write_bytes, of(|t| t.write_bytes), 1),
            // The kernel adds up in steps of a tick, so a busy second may show as 1,004 ms.
            busy_percent: rate(&mut self.busy_time_ms, of(|t| t.busy_time_ms), 3)
                .map(|ms_per_s| percent(ms_per_s, 1_000.0).min(100.0)),
            queue_depth: rate(&mut self.weighted_time_ms, of(|t| t.weighted_time_ms), 3)
                .map(|ms_per_s| round(ms_per_s / 1_000.0, 3)),
            device: totals
                .as_ref()
                .map(|t| t.device.clone())
                .map_err(Clone::clone),
            totals,
        }
    }
}

/// Reads, writes or flushes, and the time they take.
#[derive(Debug)]
struct Direction {
    count: Counter,
    time_ms: Counter,
    idle: Absence,
}

impl Direction {
    fn new(idle: &'static str) -> Self {
        Self {
            count: Counter::default(),
            time_ms: Counter::default(),
            idle: Absence::because(idle),
        }
    }

    /// Mean latency in milliseconds and operations a second.
    fn sample(
        &mut self,
        count: Reading<u64>,
        time_ms: Reading<u64>,
        interval: &Reading<Interval>,
    ) -> (Reading<f64>, Reading<f64>) {
        let count = self.count.advance(count);
        let time_ms = self.time_ms.advance(time_ms);
        let latency_ms = count.clone().and_then(|count| match count {
            0 => Err(self.idle.clone()),
            count => Ok(round(time_ms? as f64 / count as f64, 3)),
        });
        let iops = count.and_then(|count| Ok(round(count as f64 / interval.clone()?.seconds(), 1)));
        (latency_ms, iops)
    }
}

/// The block device whose file system holds `directory`.
fn device_below(mounts: &Reading<Vec<Mount>>, directory: &Path) -> Reading<DeviceNumber> {
    let mounts = mounts.as_ref().map_err(Clone::clone)?;
    let place = directory
        .canonicalize()
        .map_err(|error| Absence::explained(format!("{}: {error}", directory.display())))?;
    let mount =
        mount_of(mounts, &place).ok_or(Absence::because("no mount holds the data directory"))?;
    if mount.device.major != 0 {
        return Ok(mount.device);
    }
    // File systems that span devices (btrfs) have an anonymous number but name a device.
    let source = std::fs::metadata(&mount.source)
        .ok()
        .filter(|_| mount.source.starts_with("/dev/"));
    let number = source
        .map(|metadata| metadata.rdev())
        .filter(|number| *number != 0);
    match number {
        Some(number) => Ok(DeviceNumber {
            major: rustix::fs::major(number),
            minor: rustix::fs::minor(number),
        }),
        None => Err(Absence::explained(format!(
            "{} has no block device of its own",
            mount.filesystem
        ))),
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
