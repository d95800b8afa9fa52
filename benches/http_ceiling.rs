//! How much of a bare axum server's rate do the monitoring routes reach, sending the same bytes?

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use autom8_benches::load::{self, Load, Measured};
use autom8_benches::percentiles::median;
use autom8_benches::{machine, product, reference};

const PATHS: [&str; 3] = ["/api/v1/health", "/metrics", "/api/v1/metrics/system"];
const CONNECTIONS: usize = 64;
/// Pairs of measurements, product and reference in turns: drift of the machine hits both.
const ROUNDS: usize = 7;
const ROUND_SECONDS: u64 = 3;
/// The bar of this stage; the design's own is 0.8.
const FLOOR: f64 = 0.5;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, port, folder] = arguments.as_slice()
        && first == reference::ARGUMENT
    {
        return reference::serve(port.parse()?, Path::new(folder));
    }
    let seconds = arguments.first().map_or(Ok(ROUND_SECONDS), |text| {
        text.parse()
            .with_context(|| format!("usage: http_ceiling [SECONDS]; {text:?} is no number"))
    })?;
    let program = product::program()?;
    machine::print_head(
        "monitoring routes against bare axum sending the same bytes",
        "full (nothing is written)",
    );
    println!("{CONNECTIONS} connections, {ROUNDS} rounds of {seconds} s each, in turns; medians\n");
    println!(
        "{:<24} {:>9} {:>9} {:>6}  {:>9} {:>9} {:>6}  {:>6}",
        "route", "autom8/s", "axum/s", "ratio", "p99 ms", "axum p99", "ratio", "bytes"
    );
    let mut worst = f64::INFINITY;
    for path in PATHS {
        worst = worst.min(compare(&program, path, Duration::from_secs(seconds))?);
    }
    println!(
        "\nfloor {FLOOR}: {}",
        if worst >= FLOOR { "held" } else { "MISSED" }
    );
    Ok(())
}

fn compare(program: &Path, path: &str, duration: Duration) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut autom8 = product::serve(program, folder.path(), product::free_port()?)?;
    autom8.wait_until_it_answers(path)?;
    let answer = load::fetch(autom8.port, path)?;
    let answers = folder.path().join("answers");
    std::fs::create_dir(&answers)?;
    reference::write_answer(&answers, path, &answer)?;
    let mut bare = product::serve_reference(reference::ARGUMENT, &answers, product::free_port()?)?;
    bare.wait_until_it_answers(path)?;

    let ask = |port: u16| -> Result<Measured> {
        load::run(&Load {
            port,
            ask: load::always(path),
            connections: CONNECTIONS,
            duration,
        })
    };
    let (mut rates, mut p99s) = (Vec::new(), Vec::new());
    let (mut rate_ratios, mut p99_ratios) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        // Who begins changes with each round.
        let (ours, bares) = if round % 2 == 0 {
            let ours = ask(autom8.port)?;
            (ours, ask(bare.port)?)
        } else {
            let bares = ask(bare.port)?;
            (ask(autom8.port)?, bares)
        };
        if round == 0 {
            continue; // Warms both.
        }
        let (mut ours, mut bares) = (ours, bares);
        let (p99, bare_p99) = (
            ours.latencies.percentile_ms(99.0),
            bares.latencies.percentile_ms(99.0),
        );
        rates.push((ours.requests_per_s, bares.requests_per_s));
        p99s.push((p99, bare_p99));
        rate_ratios.push(ours.requests_per_s / bares.requests_per_s);
        p99_ratios.push(p99 / bare_p99);
    }
    let of = |pairs: &[(f64, f64)], first: bool| {
        median(
            pairs
                .iter()
                .map(|pair| if first { pair.0 } else { pair.1 })
                .collect(),
        )
    };
    let ratio = median(rate_ratios);
    println!(
        "{path:<24} {:>9.0} {:>9.0} {ratio:>6.2}  {:>9.2} {:>9.2} {:>6.2}  {:>6}",
        of(&rates, true),
        of(&rates, false),
        of(&p99s, true),
        of(&p99s, false),
        median(p99_ratios),
        answer.body.len()
    );
    Ok(ratio)
}
