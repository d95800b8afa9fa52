//! What does one sample of the machine cost, and what one record of a request?

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::hint::black_box;
use std::time::Duration;

use anyhow::Result;
use autom8_benches::machine::{self, now};
use autom8_benches::percentiles::{Samples, median};
use autom8_performance::probes::Probes;
use autom8_performance::recorder::Recorder;

const SAMPLES: usize = 2_000;
const SAMPLE_BAR_US: f64 = 100.0;
const RECORDS: u64 = 2_000_000;
const RECORD_BAR_NS: f64 = 100.0;
const ROUNDS: usize = 9;

fn main() -> Result<()> {
    machine::print_head(
        "a sample of the machine, a record of a request",
        "nothing is written",
    );
    let folder = tempfile::tempdir()?;
    let mut probes = Probes::open(folder.path());
    let mut samples = Samples::with_capacity(SAMPLES);
    let started = now();
    for _ in 0..SAMPLES {
        let asked = now();
        let micros = u64::try_from((asked - started).as_micros())?;
        black_box(probes.sample(micros));
        samples.push(asked.elapsed());
        // Apart, so that no sample finds the kernel's caches hotter than it would once a second.
        machine::pause(Duration::from_micros(500));
    }
    println!(
        "sample of all probes   p50 {:>6.0} us  p99 {:>6.0} us  (bar {SAMPLE_BAR_US} us, {SAMPLES} samples)",
        samples.percentile_ms(50.0) * 1_000.0,
        samples.percentile_ms(99.0) * 1_000.0
    );

    let recorder = Recorder::new(Duration::from_millis(150), 0);
    let series = recorder.series("GET /api/v1/health");
    for threads in [1, 2] {
        let rounds = (0..ROUNDS)
            .map(|_| {
                let started = now();
                std::thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| {
                            for number in 0..RECORDS {
                                // Latencies of all sizes, so that no bucket stays in a register.
                                let micros = black_box((number * 7_919) % 200_000);
                                series.record(micros, micros.is_multiple_of(1_000));
                            }
                        });
                    }
                });
                started.elapsed().as_nanos() as f64 / RECORDS as f64
            })
            .collect();
        println!(
            "record, {threads} thread(s)    median {:>5.1} ns  (bar {RECORD_BAR_NS} ns, {ROUNDS} rounds of {RECORDS})",
            median(rounds)
        );
    }
    black_box(series.totals());
    Ok(())
}
