//! The probes on the machine that runs the tests, against the kernel's own texts.

use super::process::{parse_status, parse_uptime};
use super::threads::parse_schedstat;
use super::*;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The time since boot, in steps of 10 ms: monotonic, and fine enough for rates.
fn now_micros() -> u64 {
    let seconds = parse_uptime(&fs::read_to_string("/proc/uptime").unwrap()).unwrap();
    (seconds * 1e6) as u64
}

fn start() -> (Probes, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (Probes::open(directory.path()), directory)
}

fn within_five_percent(told: u64, exact: u64) -> bool {
    told.abs_diff(exact) as f64 <= 0.05 * exact as f64
}

#[test]
fn the_resident_set_is_that_of_proc_self_status() {
    let (mut probes, _directory) = start();
    let ballast = vec![1u8; 32 << 20];
    let told = probes.sample(now_micros()).process.rss_bytes.unwrap();
    let exact = parse_status(&fs::read_to_string("/proc/self/status").unwrap())
        .unwrap()
        .rss_bytes;
    assert!(within_five_percent(told, exact), "{told} for {exact}");
    assert!(told > ballast.len() as u64);
}

#[test]
fn available_memory_is_mem_available_or_what_a_limit_leaves() {
    let (mut probes, _directory) = start();
    let told = probes.sample(now_micros());
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
    let (mut probes, _directory) = start();
    probes.sample(now_micros());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let busy = poll(|| {
            let sample = probes.sample(now_micros());
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
    let (mut probes, _directory) = start();
    probes.sample(now_micros());
    assert!(poll(|| {
        let sample = probes.sample(now_micros());
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
fn poll(mut ask: impl FnMut() -> bool) -> bool {
    let (_never, wait) = std::sync::mpsc::channel::<()>();
    let deadline = now_micros() + 20_000_000;
    while now_micros() < deadline {
        let _ = wait.recv_timeout(Duration::from_millis(100));
        if ask() {
            return true;
        }
    }
    false
}

#[test]
fn a_sample_costs_far_less_than_a_thousandth_of_its_second() {
    const SAMPLES: u64 = 200;
    let (mut probes, _directory) = start();
    probes.sample(now_micros());
    // The time this thread ran, to the nanosecond: what else the machine does is not in it.
    let run_nanos = || {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        parse_schedstat(&text).unwrap().run_nanos
    };
    let before = run_nanos();
    for _ in 0..SAMPLES {
        probes.sample(now_micros());
    }
    let mean_micros = (run_nanos() - before) / SAMPLES / 1_000;
    println!("a sample costs {mean_micros} µs");
    // Ten times the budget of 100 µs, in an unoptimised build.
    assert!(mean_micros <= 1_000, "{mean_micros} µs");
}
