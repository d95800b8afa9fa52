//! The hardware figures are true: each is compared with what this test reads from the kernel
//! itself.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use autom8_tests::{Client, Server, ServerOptions, wait};
use serde_json::Value;

fn system(client: &Client) -> Value {
    client.get("/api/v1/metrics/system").expect(200)
}

/// The next sample that begins after this call: one whole interval lies behind it.
fn fresh_sample(client: &Client) -> Value {
    let seen = system(client)["timestamp"].clone();
    let next = |seen: &Value| {
        wait::until("the next sample", wait::PROMPT, || {
            Some(system(client)).filter(|sample| sample["timestamp"] != *seen)
        })
    };
    let first = next(&seen);
    next(&first["timestamp"])
}

#[track_caller]
fn within_five_percent(what: &str, told: f64, real: f64) {
    let off = (told - real).abs() / real;
    assert!(off <= 0.05, "{what}: told {told}, the kernel says {real}");
}

/// A value of /proc/…/status or /proc/meminfo, in bytes.
fn kernel_bytes(file: &str, name: &str) -> f64 {
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<f64>()
        .unwrap()
        * 1024.0
}

#[test]
fn cpu_percent_moves_when_a_core_is_busy() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    let stop = AtomicBool::new(false);
    let (before, told, real) = std::thread::scope(|scope| {
        let idle = CpuTimes::now();
        let before = fresh_sample(&client)["cpu"]["percent"].as_f64().unwrap();
        let before = (before, CpuTimes::now().busy_percent_since(&idle));
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let _stop = Stop(&stop);
        // From here every core is busy; the first sample that knows only this is the one.
        let start = CpuTimes::now();
        let told = fresh_sample(&client);
        (before, told, CpuTimes::now().busy_percent_since(&start))
    });
    let percent = told["cpu"]["percent"].as_f64().unwrap();
    eprintln!("cpu.percent {before:?} idle (told, real), {percent} busy, real {real}");
    assert!(real > 90.0, "the load did not load: {real} %");
    assert!(
        (percent - real).abs() < 10.0,
        "told {percent} %, the kernel says {real} %"
    );
    let cores = told["cpu"]["count"].as_u64().unwrap();
    assert_eq!(
        told["cpu"]["per_core_percent"].as_array().unwrap().len() as u64,
        cores
    );
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The first line of /proc/stat: total and idle ticks of all cores.
struct CpuTimes {
    total: f64,
    idle: f64,
}

impl CpuTimes {
    fn now() -> CpuTimes {
        let text = std::fs::read_to_string("/proc/stat").unwrap();
        let ticks: Vec<f64> = text
            .lines()
            .next()
            .unwrap()
            .split_whitespace()
            .skip(1)
            .map(|word| word.parse().unwrap())
            .collect();
        // user nice system idle iowait irq softirq steal; guest time is within user.
        CpuTimes {
            total: ticks[..8].iter().sum(),
            idle: ticks[3] + ticks[4],
        }
    }

    fn busy_percent_since(&self, earlier: &CpuTimes) -> f64 {
        100.0 * (1.0 - (self.idle - earlier.idle) / (self.total - earlier.total))
    }
}

#[test]
fn resident_memory_is_what_the_kernel_says_of_the_process() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    let file = format!("/proc/{}/status", server.process_id());
    let sample = fresh_sample(&client);
    let real = kernel_bytes(&file, "VmRSS:");
    within_five_percent(
        "rss_bytes",
        sample["process"]["rss_bytes"].as_f64().unwrap(),
        real,
    );
    assert_eq!(sample["process"]["pid"], server.process_id());
}

#[test]
fn available_memory_is_the_kernels_or_the_groups_limit_whichever_is_less() {
    let server = Server::start(&ServerOptions::default());
    let sample = fresh_sample(&server.client());
    let host = kernel_bytes("/proc/meminfo", "MemAvailable:");
    let real = group_available().map_or(host, |group| group.min(host));
    within_five_percent(
        "available",
        sample["memory"]["available_bytes"].as_f64().unwrap(),
        real,
    );
    let mb = sample["memory"]["available_mb"].as_f64().unwrap();
    within_five_percent("available_mb", mb * 1024.0 * 1024.0, real);
}

/// What the tightest memory limit above this process leaves, if there is one (cgroup v2).
fn group_available() -> Option<f64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut folder = Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'));
    let mut least: Option<f64> = None;
    while folder.starts_with("/sys/fs/cgroup") {
        let number = |name: &str| -> Option<f64> {
            std::fs::read_to_string(folder.join(name))
                .ok()?
                .trim()
                .parse()
                .ok()
        };
        if let (Some(limit), Some(current)) = (number("memory.max"), number("memory.current")) {
            let stat = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
            let cached = stat
                .lines()
                .find_map(|line| line.strip_prefix("inactive_file "))
                .and_then(|text| text.parse::<f64>().ok())
                .unwrap_or(0.0);
            let left = limit - (current - cached);
            least = Some(least.map_or(left, |least| least.min(left)));
        }
        if !folder.pop() {
            break;
        }
    }
    least
}

/// Reads and writes of the device under the data directory: count and milliseconds, from
/// /proc/diskstats.
#[derive(Clone, Copy, Debug)]
struct DiskCounts {
    reads: f64,
    reads_ms: f64,
    writes: f64,
    writes_ms: f64,
}

impl DiskCounts {
    fn of(device: u64) -> DiskCounts {
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let text = std::fs::read_to_string("/proc/diskstats").unwrap();
        let fields: Vec<&str> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .find(|fields| fields[0] == major.to_string() && fields[1] == minor.to_string())
            .unwrap_or_else(|| panic!("no device {major}:{minor} in /proc/diskstats"));
        let number = |index: usize| fields[index].parse::<f64>().unwrap();
        DiskCounts {
            reads: number(3),
            reads_ms: number(6),
            writes: number(7),
            writes_ms: number(10),
        }
    }

    fn read_ms_since(self, earlier: DiskCounts) -> f64 {
        (self.reads_ms - earlier.reads_ms) / (self.reads - earlier.reads)
    }

    fn write_ms_since(self, earlier: DiskCounts) -> f64 {
        (self.writes_ms - earlier.writes_ms) / (self.writes - earlier.writes)
    }
}

/// Steady direct reads and writes, past the page cache, until told to stop.
fn load_disk(file: &Path, stop: &AtomicBool) {
    const O_DIRECT: i32 = rustix::fs::OFlags::DIRECT.bits() as i32;
    const BLOCK: usize = 4096;
    const BLOCKS: u64 = 1024;
    let mut file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(O_DIRECT)
        .open(file)
        .expect("direct I/O on the file system of the temporary folder (not a tmpfs)");
    // Direct I/O wants memory that begins at a block.
    let buffer = Aligned([0x5a; BLOCK]);
    let mut buffer = Box::new(buffer);
    for _ in 0..BLOCKS {
        file.write_all(&buffer.0).unwrap();
    }
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        number = (number + 389) % BLOCKS;
        file.seek(SeekFrom::Start(number * BLOCK as u64)).unwrap();
        file.read_exact(&mut buffer.0).unwrap();
        file.seek(SeekFrom::Start(number * BLOCK as u64)).unwrap();
        file.write_all(&buffer.0).unwrap();
    }
}

#[repr(align(4096))]
struct Aligned([u8; 4096]);

#[test]
fn disk_latency_is_the_delta_of_the_kernels_own_counters() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    let device = std::fs::metadata(server.data()).unwrap().dev();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let file = server.folder().join("direct");
        let stopping = &stop;
        scope.spawn(move || load_disk(&file, stopping));
        let _stop = Stop(&stop);
        // Counts are read at each change of the server's sample. Its interval then lies between
        // two readings of this test, but for the time a poll takes at both ends.
        let mut last_timestamp = fresh_sample(&client)["timestamp"].clone();
        let mut last_counts = DiskCounts::of(device);
        let mut ratios: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for _ in 0..4 {
            let sample = wait::until("the next sample", wait::PROMPT, || {
                wait::pause_for(Duration::from_millis(5));
                Some(system(&client)).filter(|sample| sample["timestamp"] != last_timestamp)
            });
            let counts = DiskCounts::of(device);
            for (name, real) in [
                ("read_latency_ms", counts.read_ms_since(last_counts)),
                ("write_latency_ms", counts.write_ms_since(last_counts)),
            ] {
                let told = sample["disk"][name].as_f64();
                let told = told.unwrap_or_else(|| panic!("{name} is null under load: {sample}"));
                eprintln!("{name}: told {told:.4}, the kernel's deltas {real:.4}");
                ratios.entry(name).or_default().push(told / real);
            }
            last_timestamp = sample["timestamp"].clone();
            last_counts = counts;
        }
        for (name, mut ratios) in ratios {
            ratios.sort_by(f64::total_cmp);
            let median = (ratios[1] + ratios[2]) / 2.0;
            assert!((0.8..=1.25).contains(&median), "{name}: {ratios:?}");
        }
    });
}

#[test]
fn free_space_is_the_file_systems() {
    let server = Server::start(&ServerOptions::default());
    let sample = fresh_sample(&server.client());
    let stat = rustix::fs::statvfs(server.data()).unwrap();
    let disk = &sample["disk"];
    let total = (stat.f_blocks * stat.f_frsize) as f64;
    let free = (stat.f_bfree * stat.f_frsize) as f64;
    within_five_percent("total_bytes", disk["total_bytes"].as_f64().unwrap(), total);
    within_five_percent("free_bytes", disk["free_bytes"].as_f64().unwrap(), free);
    assert!(
        disk["percent"].is_number() && disk["free_gb"].is_number(),
        "{disk}"
    );
}

#[test]
fn the_servers_own_syncs_are_timed() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    for number in 0..20 {
        client.create_task(&autom8_tests::steps::noop_task(&format!("t{number}")));
    }
    let fsync = wait::until("syncs in a sample", wait::PROMPT, || {
        let fsync = system(&client)["disk"]["fsync"].clone();
        fsync["p50_ms"]
            .as_f64()
            .filter(|ms| *ms > 0.0)
            .map(|_| fsync)
    });
    let of = |name: &str| fsync[name].as_f64().unwrap();
    assert!(
        of("p50_ms") <= of("p95_ms") && of("p95_ms") <= of("p99_ms"),
        "{fsync}"
    );
}

#[test]
fn what_cannot_be_known_is_null_with_its_reason() {
    let server = Server::start(&ServerOptions::default());
    let sample = fresh_sample(&server.client());
    let reasons: Vec<&str> = sample["unavailable"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            assert!(
                entry["reason"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{entry}"
            );
            entry["field"].as_str().unwrap()
        })
        .collect();
    for (section, fields) in sample.as_object().unwrap() {
        let Value::Object(fields) = fields else {
            continue;
        };
        for (name, value) in fields {
            let field = format!("{section}.{name}");
            // A reason may be given for a whole section.
            let explained = reasons.iter().any(|reason| {
                *reason == field || *reason == section || field.starts_with(&format!("{reason}."))
            });
            assert!(
                !value.is_null() || explained,
                "{field} is null without a reason: {sample}"
            );
        }
    }
}
