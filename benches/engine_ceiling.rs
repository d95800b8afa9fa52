//! How many no-op runs a second does the engine put through SQLite with synced commits, and how
//! much of the bare ceiling is that?

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use anyhow::{Context, Result};
use autom8_benches::ceiling::{self, Throughput, Volume};
use autom8_benches::percentiles::median;
use autom8_benches::{in_process, machine};

const RUNS: usize = 300_000;
const BATCH_RUNS: usize = 10_000;
/// Pairs of measurements, product and ceiling in turns.
const ROUNDS: usize = 5;
/// The floor of this stage, enqueue to finish; the design's own bar is 300k and 0.35.
const FLOOR_RUNS_PER_S: f64 = 100_000.0;

fn main() -> Result<()> {
    let runs = std::env::args().nth(1).map_or(Ok(RUNS), |text| {
        text.parse()
            .with_context(|| format!("usage: engine_ceiling [RUNS]; {text:?} is no number"))
    })?;
    machine::print_head(
        "no-op runs on SQLite, in process, against the bare append-only ceiling",
        "full (WAL, synchronous=FULL), every commit synced",
    );
    println!("{runs} runs in batches of {BATCH_RUNS}, {ROUNDS} rounds in turns; medians\n");
    println!(
        "{:<32} {:>11} {:>11} {:>6}  {:>8} {:>8}",
        "", "autom8/s", "ceiling/s", "ratio", "B/run", "ceiling"
    );
    let small = Volume {
        runs,
        batch_runs: BATCH_RUNS,
        payload_bytes: 100,
    };
    let pipe = Pairs::measure(|folder| {
        Ok((
            in_process::pipe(&folder.join("a"), small)?,
            ceiling::pipe(folder, small)?,
        ))
    })?;
    pipe.print("enqueue to finish, 100 B");
    let mut drains = Pairs::default();
    let enqueues = Pairs::measure(|folder| {
        let ours = in_process::enqueue_then_drain(&folder.join("a"), small)?;
        let bare = ceiling::enqueue_then_drain(folder, small)?;
        drains.0.push((ours.1, bare.1));
        Ok((ours.0, bare.0))
    })?;
    enqueues.print("enqueue alone, 100 B");
    drains.print("drain alone, 100 B");
    let large = Volume {
        runs: runs / 3,
        payload_bytes: 1_000,
        ..small
    };
    Pairs::measure(|folder| {
        Ok((
            in_process::pipe(&folder.join("a"), large)?,
            ceiling::pipe(folder, large)?,
        ))
    })?
    .print("enqueue to finish, 1 kB");
    let reached = pipe.median_of(|pair| pair.0.runs_per_s);
    println!(
        "\nfloor {FLOOR_RUNS_PER_S:.0}/s, enqueue to finish: {}",
        if reached >= FLOOR_RUNS_PER_S {
            "held"
        } else {
            "MISSED"
        }
    );
    Ok(())
}

/// Product and ceiling, round by round.
#[derive(Default)]
struct Pairs(Vec<(Throughput, Throughput)>);

impl Pairs {
    fn measure(
        mut round: impl FnMut(&std::path::Path) -> Result<(Throughput, Throughput)>,
    ) -> Result<Pairs> {
        let mut pairs = Pairs::default();
        for _ in 0..ROUNDS {
            let folder = tempfile::tempdir()?;
            pairs.0.push(round(folder.path())?);
        }
        Ok(pairs)
    }

    fn median_of(&self, figure: impl Fn(&(Throughput, Throughput)) -> f64) -> f64 {
        median(self.0.iter().map(figure).collect())
    }

    fn print(&self, what: &str) {
        println!(
            "{what:<32} {:>11.0} {:>11.0} {:>6.2}  {:>8.0} {:>8.0}",
            self.median_of(|pair| pair.0.runs_per_s),
            self.median_of(|pair| pair.1.runs_per_s),
            self.median_of(|pair| pair.0.runs_per_s / pair.1.runs_per_s),
            self.median_of(|pair| pair.0.bytes_per_run),
            self.median_of(|pair| pair.1.bytes_per_run),
        );
    }
}
