//! The probes on the machine that runs the tests, against the kernel's own texts.

use super::process::parse_status;
use super::*;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A monotonic time for the probes.
#[allow(
    clippy::disallowed_methods,
    reason = "a test of real rates needs the real time"
)]
fn now_micros(started: Instant) -> u64 {
    started.elapsed().as_micros() as u64
}

#[allow(
    clippy::disallowed_methods,
    reason = "a test of real rates needs the real time"
)]
fn start() -> (Probes, Instant, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (Probes::open(directory.path()), Instant::now(), directory)
}

fn within_five_percent(told: u64, exact: u64) -> bool {
    told.abs_diff(exact) as f64 <= 0.05 * exact as f64
}

#[test]
fn the_resident_set_is_that_of_proc_self_status() {
    let (mut probes, started, _directory) = start();
    let ballast = vec![1u8; 32 << 20];
    let told = probes
        .sample(now_micros(started))
        .process
        .rss_bytes
        .unwrap();
    let exact = parse_status(&fs::read_to_string("/proc/self/status").unwrap())
        .unwrap()
        .rss_bytes;
    assert!(within_five_percent(told, exact), "{told} for {exact}");
    assert!(told > ballast.len() as u64);
}

#[test]
fn available_memory_is_mem_available_or_what_a_limit_leaves() {
    let (mut probes, started, _directory) = start();
    let told = probes.sample(now_micros(started));
    let meminfo = memory::parse_meminfo(&fs::read_to_string("/proc/meminfo").unwrap()).unwrap();
    let host = meminfo.available_bytes.unwrap();
    let expected = match (
        &told.cgroup.memory_limit_bytes,
        &told.cgroup.working_set_bytes,
    ) {
        (Ok(limit), Ok(used)) if *limit < meminfo.total_bytes => host.min(limit - used),
        _ => host,
    };
    let told = told.memory.available_bytes.unwrap();
    assert!(within_five_percent(told, expected), "{told} for {expected}");
}

#[test]
fn cpu_shares_move_when_a_core_is_busy() {
    let (mut probes, started, _directory) = start();
    probes.sample(now_micros(started));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let busy = poll(started, || {
            let sample = probes.sample(now_micros(started));
            let process = sample.process.cpu_percent.unwrap_or(0.0);
            let all = sample.cpu.percent.unwrap_or(0.0);
            // On a machine shared with other builds a whole core may not be had.
            process > 30.0 && all * sample.cpu.count.unwrap_or(1) as f64 > 30.0
        });
        stop.store(true, Ordering::Relaxed);
        assert!(busy, "a busy thread did not show");
    });
}

#[test]
fn everything_a_plain_linux_has_is_known_at_the_second_sample() {
    let (mut probes, started, _directory) = start();
    probes.sample(now_micros(started));
    assert!(poll(started, || {
        let sample = probes.sample(now_micros(started));
        sample.cpu.percent.is_ok()
            && sample.cpu.load.is_ok()
            && sample.grant.percent.is_ok()
            && sample.process.run_queue_delay_ms_per_s.is_ok()
            && sample.process.uptime_s.is_ok()
            && sample.process.open_fds.is_ok()
            && sample.process.pss_bytes.is_ok()
            && sample.memory.total_bytes.is_ok()
            && sample.filesystem.is_ok()
    }));
}

/// Asks every 100 ms until the answer is yes, for at most 20 s.
fn poll(started: Instant, mut ask: impl FnMut() -> bool) -> bool {
    let (_never, wait) = std::sync::mpsc::channel::<()>();
    let deadline = now_micros(started) + 20_000_000;
    while now_micros(started) < deadline {
        let _ = wait.recv_timeout(Duration::from_millis(100));
        if ask() {
            return true;
        }
    }
    false
}

#[test]
fn a_sample_costs_far_less_than_a_thousandth_of_its_second() {
    let (mut probes, started, _directory) = start();
    probes.sample(now_micros(started));
    let mut costs: Vec<u64> = (0..200)
        .map(|_| {
            let before = now_micros(started);
            probes.sample(before);
            now_micros(started) - before
        })
        .collect();
    costs.sort_unstable();
    println!("sample: median {} µs, p95 {} µs", costs[100], costs[190]);
    // Ten times the budget of 100 µs, in an unoptimised build.
    assert!(costs[100] <= 1_000, "{} µs", costs[100]);
}
