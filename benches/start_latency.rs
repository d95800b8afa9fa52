//! How long from the call that enqueues a run to its start, with the claim durable in between?

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use autom8_benches::in_process::InProcess;
use autom8_benches::machine::{self, now, pause};
use autom8_benches::percentiles::Samples;
use autom8_engine::{EngineObserver, RunSettled, RunStarted};
use autom8_model::RunId;
use parking_lot::Mutex;

/// Offered runs a second, and for how long.
const RATES: [(u32, Duration); 2] = [
    (50, Duration::from_secs(20)),
    (2_000, Duration::from_secs(10)),
];
const P50_BAR_MS: f64 = 1.0;
const P99_BAR_MS: f64 = 3.0;

fn main() -> Result<()> {
    machine::print_head(
        "from the call to the start of a run, singles, 100 B",
        "full, synced",
    );
    for (rate_per_s, duration) in RATES {
        let mut samples = measure(rate_per_s, duration)?;
        println!(
            "{rate_per_s:>6}/s  p50 {:>6.2} ms  p99 {:>6.2} ms  p99.9 {:>6.2} ms  max {:>6.2} ms  \
             ({} runs; bar p50 {P50_BAR_MS}, p99 {P99_BAR_MS})",
            samples.percentile_ms(50.0),
            samples.percentile_ms(99.0),
            samples.percentile_ms(99.9),
            samples.percentile_ms(100.0),
            samples.len(),
        );
    }
    Ok(())
}

/// Notes when each attempt begins.
#[derive(Default)]
struct Starts(Mutex<Vec<(RunId, Instant)>>);

impl EngineObserver for Starts {
    fn run_started(&self, started: &RunStarted<'_>) {
        self.0.lock().push((started.run, now()));
    }

    fn run_settled(&self, _: &RunSettled<'_>) {}

    fn problem(&self, source: &str, message: &str) {
        println!("{source}: {message}");
    }
}

fn measure(rate_per_s: u32, duration: Duration) -> Result<Samples> {
    let folder = tempfile::tempdir()?;
    let mut product = InProcess::open(folder.path())?;
    let starts = Arc::new(Starts::default());
    product.start_engine(starts.clone());
    let runs = (f64::from(rate_per_s) * duration.as_secs_f64()) as u32;
    let started = now();
    let mut calls = Vec::with_capacity(runs as usize);
    for number in 0..runs {
        // An open load: the next call does not wait for an answer.
        let due = started + Duration::from_secs_f64(f64::from(number) / f64::from(rate_per_s));
        pause(due.saturating_duration_since(now()));
        let called_at = now();
        calls.push(
            product.spawn_one(move |answer| {
                answer.map(|enqueued| (enqueued.iter().next(), called_at))
            })?,
        );
    }
    let mut called = Vec::with_capacity(calls.len());
    for call in calls {
        let (run, called_at) = product.join(call)??;
        called.push((run.context("an accepted run has an id")?, called_at));
    }
    product.wait_for_completed(u64::from(runs))?;
    product.stop();
    let mut starts = std::mem::take(&mut *starts.0.lock());
    starts.sort_unstable_by_key(|(run, _)| *run);
    let mut samples = Samples::with_capacity(called.len());
    for (run, called_at) in called {
        let index = starts.binary_search_by_key(&run, |(run, _)| *run);
        let index = index
            .ok()
            .with_context(|| format!("run {run} was not seen to start"))?;
        samples.push(starts[index].1.saturating_duration_since(called_at));
    }
    Ok(samples)
}
