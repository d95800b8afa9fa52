//! Where and on what a figure was measured.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// The clock of the benchmarks: they time the product, so they do not ask it.
#[allow(
    clippy::disallowed_methods,
    reason = "a benchmark measures with its own clock"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// The pause between rounds, and the pacing of an offered rate.
#[allow(
    clippy::disallowed_methods,
    reason = "a benchmark paces its load itself"
)]
pub fn pause(time: std::time::Duration) {
    std::thread::sleep(time);
}

/// Prints the head of a result: question, machine, commit, load before the start.
pub fn print_head(question: &str, durability: &str) {
    println!("# {question}");
    println!("machine     {}", describe());
    println!("commit      {}", commit());
    println!("durability  {durability}");
    println!(
        "load        {} (1, 5, 15 min before the start)",
        load_average()
    );
    if cfg!(debug_assertions) {
        println!("WARNING     this is a debug build: its figures mean nothing");
    }
    println!();
}

fn describe() -> String {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, name: &str| {
        text.lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_else(|| "unknown".to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory_kb = after(&text("/proc/meminfo"), "MemTotal");
    let memory_kb: u64 = memory_kb
        .split(' ')
        .next()
        .and_then(|kb| kb.parse().ok())
        .unwrap_or_default();
    format!(
        "{cores} cores {}, {} GiB, Linux {}",
        after(&text("/proc/cpuinfo"), "model name"),
        memory_kb / 1024 / 1024,
        text("/proc/sys/kernel/osrelease").trim()
    )
}

pub fn commit() -> String {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .current_dir(repository_root())
        .output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

pub fn repository_root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

/// What all threads of this process have spent on the processors so far.
pub fn processor_time() -> std::time::Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    std::time::Duration::new(spent.tv_sec as u64, spent.tv_nsec as u32)
}

/// Memory of this process that is in RAM.
pub fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = text
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .unwrap_or(0);
    pages * rustix::param::page_size()
}

/// Bytes that this process has handed to the file system so far (`wchar`), and those that became
/// dirty pages (`write_bytes`).
pub fn bytes_written() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let number = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or(0)
    };
    (number("wchar:"), number("write_bytes:"))
}
