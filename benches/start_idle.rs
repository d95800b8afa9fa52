//! How long from the start to the first healthy answer, and what does an idle server cost?

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use autom8_benches::ceiling::Volume;
use autom8_benches::in_process::InProcess;
use autom8_benches::percentiles::Samples;
use autom8_benches::{machine, product};
use autom8_engine::observer::Unobserved;

const STARTS: usize = 20;
const IDLE_SECONDS: u64 = 60;
const START_BAR_MS: f64 = 100.0;
/// Starts on a million runs; each reads what is open.
const FULL_STARTS: usize = 5;
const FULL_START_BAR_MS: f64 = 2_000.0;
const MILLION: Volume = Volume {
    runs: 1_000_000,
    batch_runs: 10_000,
    payload_bytes: 100,
};
const RSS_BAR_MB: f64 = 30.0;
const CPU_BAR_PERCENT: f64 = 0.2;
/// The first second belongs to the start.
const SETTLED: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    let idle_seconds = std::env::args().nth(1).map_or(Ok(IDLE_SECONDS), |text| {
        text.parse()
            .with_context(|| format!("usage: start_idle [SECONDS]; {text:?} is no number"))
    })?;
    let program = product::program()?;
    machine::print_head(
        "start to first healthy answer, and the cost of idling",
        "full",
    );
    let mut fresh = Samples::default();
    let mut again = Samples::default();
    for _ in 0..STARTS {
        let folder = tempfile::tempdir()?;
        for samples in [&mut fresh, &mut again] {
            let mut server = product::serve(&program, folder.path(), product::free_port()?)?;
            samples.push(server.wait_until_it_answers("/api/v1/health")?);
        }
    }
    for (what, samples) in [
        ("empty directory", &mut fresh),
        ("after kill -9", &mut again),
    ] {
        println!(
            "start, {what:<16} p50 {:>6.1} ms  p99 {:>6.1} ms  ({STARTS} starts, bar {START_BAR_MS} ms)",
            samples.percentile_ms(50.0),
            samples.percentile_ms(99.0),
        );
    }

    for what in [Runs::Waiting, Runs::Ended] {
        let mut samples = start_on_a_million(&program, what)?;
        println!(
            "start, 1 M runs {:<8} p50 {:>6.1} ms  p99 {:>6.1} ms  ({FULL_STARTS} starts after kill -9, bar {FULL_START_BAR_MS} ms)",
            what.as_str(),
            samples.percentile_ms(50.0),
            samples.percentile_ms(99.0),
        );
    }

    let folder = tempfile::tempdir()?;
    let mut server = product::serve(&program, folder.path(), product::free_port()?)?;
    server.wait_until_it_answers("/api/v1/health")?;
    machine::pause(SETTLED);
    let (from, ticks) = (machine::now(), cpu_ticks(server.process_id())?);
    machine::pause(Duration::from_secs(idle_seconds));
    let used = (cpu_ticks(server.process_id())? - ticks) as f64 / ticks_per_second();
    let percent = 100.0 * used / from.elapsed().as_secs_f64();
    let rss_mb = status_kb(server.process_id(), "VmRSS:")? as f64 / 1024.0;
    let peak_mb = status_kb(server.process_id(), "VmHWM:")? as f64 / 1024.0;
    println!(
        "idle, {idle_seconds} s            RSS {rss_mb:.1} MB (peak {peak_mb:.1}, bar {RSS_BAR_MB})  \
         CPU {percent:.3} % of a core (bar {CPU_BAR_PERCENT})"
    );
    Ok(())
}

/// What has become of the million.
#[derive(Clone, Copy)]
enum Runs {
    Waiting,
    Ended,
}

impl Runs {
    fn as_str(self) -> &'static str {
        match self {
            Runs::Waiting => "waiting",
            Runs::Ended => "ended",
        }
    }
}

fn start_on_a_million(program: &Path, what: Runs) -> Result<Samples> {
    let folder = tempfile::tempdir()?;
    let mut store = InProcess::open(folder.path())?;
    match what {
        Runs::Waiting => store.pause_task()?,
        Runs::Ended => store.start_engine(Arc::new(Unobserved)),
    }
    store.enqueue(MILLION)?;
    if let Runs::Ended = what {
        store.wait_for_completed(MILLION.runs as u64)?;
    }
    store.stop();
    let mut samples = Samples::default();
    for _ in 0..FULL_STARTS {
        let mut server = product::serve(program, folder.path(), product::free_port()?)?;
        samples.push(server.wait_until_it_answers("/api/v1/health")?);
    }
    Ok(samples)
}

/// User and system time of all threads so far.
fn cpu_ticks(process: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("/proc/…/stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |index: usize| -> Result<u64> {
        fields
            .get(index)
            .context("a field of /proc/…/stat")?
            .parse()
            .context("a number")
    };
    Ok(number(11)? + number(12)?)
}

fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

fn status_kb(process: u32, name: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status
        .lines()
        .find(|line| line.starts_with(name))
        .context("/proc/…/status")?;
    line.split_whitespace()
        .nth(1)
        .context("a value")?
        .parse()
        .context("a number")
}
