//! How fast are contacts read, listed, created and looked up, against a bare server on the same
//! database, and as they grow in number?

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Error, Result, ensure};
use autom8_benches::in_process::InProcess;
use autom8_benches::load::{self, Ask, Load, Measured, Request};
use autom8_benches::machine::{self, now, pause};
use autom8_benches::percentiles::median;
use autom8_benches::product::{self, Running};
use autom8_benches::random::Random;
use autom8_benches::{contact_rows, reference_contacts};
use serde_json::json;

const CONTACTS: u64 = 100_000;
const CONNECTIONS: usize = 64;
/// Pairs of measurements, product and reference in turns: drift of the machine hits both.
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
/// The bar of this stage; the design's own are 0.8, 2 and 0.8.
const FLOOR: f64 = 0.5;
const WRITES_PER_S: u32 = 10;
/// Numbers of contacts that no round before has created.
static NEXT: AtomicU64 = AtomicU64::new(1_000_000_000);

const BATCH_RUNS: usize = 10_000;
const BESIDE_BATCHES: Duration = Duration::from_secs(10);
const BESIDE_BATCHES_BAR_MS: f64 = 5.0;

/// Rows at which lookups are measured; an argument adds a last size.
const SIZES: [u64; 3] = [1_000, 100_000, 1_000_000];
const LOOKUPS: usize = 20_000;
const LOOKUP_ROUND: Duration = Duration::from_secs(1);
/// Few, so that the time is that of the answer and not of a queue.
const LOOKUP_CONNECTIONS: usize = 2;
const LOOKUP_BAR: f64 = 1.25;
const STORE_BAR: f64 = 3.0;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, port, folder] = arguments.as_slice()
        && first == reference_contacts::ARGUMENT
    {
        return reference_contacts::serve(port.parse()?, Path::new(folder));
    }
    let (lookups_only, rows) = match arguments.split_first() {
        Some((first, rest)) if first == "lookups" => (true, rest.first()),
        other => (false, other.map(|(first, _)| first)),
    };
    let largest = rows.map(|text| text.parse()).transpose();
    let largest: Option<u64> =
        largest.context("usage: contacts [lookups] [ROWS_OF_THE_LAST_LOOKUP]")?;
    let program = product::program()?;
    machine::print_head(
        "contacts against bare axum and rusqlite on the same rows",
        "full (WAL, synchronous=FULL), every commit synced",
    );
    println!(
        "{CONTACTS} contacts, {CONNECTIONS} connections, {ROUNDS} rounds of {ROUND:?} in turns; \
         medians. No rate limit.\n"
    );
    if lookups_only {
        return lookups(&program, largest);
    }
    let pair = Pair::start(&program)?;
    println!(
        "{:<28} {:>9} {:>9} {:>6}  {:>8} {:>8} {:>8} {:>8} {:>6}",
        "", "autom8/s", "bare/s", "ratio", "p50 ms", "bare", "p99 ms", "bare", "ratio"
    );
    let worst = [
        pair.compare("GET, random ids", show(), 0)?,
        pair.compare(
            "GET, 100 rows, 10 writes/s",
            load::always(LIST),
            WRITES_PER_S,
        )?,
        pair.compare("POST, durable", create(), 0)?,
    ]
    .into_iter()
    .fold(f64::INFINITY, f64::min);
    let verdict = if worst >= FLOOR { "held" } else { "MISSED" };
    println!("\nfloor {FLOOR}: {verdict}\n");
    drop(pair);
    beside_batches(&program)?;
    lookups(&program, largest)
}

const LIST: &str = "/api/v1/contacts?limit=100";
const COLLECTION: &str = "/api/v1/contacts";

fn show() -> Ask {
    Arc::new(|random| {
        let id = 1 + random.below(CONTACTS);
        Request::get(&format!("/api/v1/contacts/{id}"))
    })
}

fn create() -> Ask {
    Arc::new(|_| create_next())
}

fn create_next() -> Request {
    let number = NEXT.fetch_add(1, Relaxed);
    Request::post(COLLECTION, &contact_rows::contact(number).to_string(), 201)
}

/// Both servers on the same contacts.
struct Pair {
    product: Running,
    bare: Running,
    _folders: [tempfile::TempDir; 2],
}

impl Pair {
    fn start(program: &Path) -> Result<Pair> {
        let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
        let filled = InProcess::open(folders[0].path())?;
        contact_rows::fill(&filled, CONTACTS)?;
        filled.stop();
        reference_contacts::fill(folders[1].path(), CONTACTS)?;
        let port = product::free_port()?;
        let mut product = product::serve_unlimited(program, folders[0].path(), port)?;
        let argument = reference_contacts::ARGUMENT;
        let port = product::free_port()?;
        let mut bare = product::serve_reference(argument, folders[1].path(), port)?;
        for server in [&mut product, &mut bare] {
            server.wait_until_it_answers("/api/v1/contacts/1")?;
        }
        Ok(Pair {
            product,
            bare,
            _folders: folders,
        })
    }

    /// Prints a line, and returns the ratio of rates.
    fn compare(&self, what: &str, ask: Ask, writes_per_s: u32) -> Result<f64> {
        let run = |server: &Running| -> Result<Measured> {
            let load = Load {
                port: server.port,
                ask: Arc::clone(&ask),
                connections: CONNECTIONS,
                duration: ROUND,
            };
            while_writing(server.port, writes_per_s, || load::run(&load))
        };
        let mut figures = [const { Vec::new() }; 8];
        for round in 0..=ROUNDS {
            // Who begins changes with each round.
            let (mut ours, mut bare) = if round % 2 == 0 {
                let ours = run(&self.product)?;
                (ours, run(&self.bare)?)
            } else {
                let bare = run(&self.bare)?;
                (run(&self.product)?, bare)
            };
            if round == 0 {
                continue; // Warms both.
            }
            let percentiles = [50.0, 99.0]
                .map(|at| [&mut ours, &mut bare].map(|of| of.latencies.percentile_ms(at)));
            let of_round = [
                ours.requests_per_s,
                bare.requests_per_s,
                ours.requests_per_s / bare.requests_per_s,
                percentiles[0][0],
                percentiles[0][1],
                percentiles[1][0],
                percentiles[1][1],
                percentiles[1][0] / percentiles[1][1],
            ];
            for (all, figure) in figures.iter_mut().zip(of_round) {
                all.push(figure);
            }
        }
        let [ours, bare, ratio, p50, bare_p50, p99, bare_p99, p99_ratio] = figures.map(median);
        println!(
            "{what:<28} {ours:>9.0} {bare:>9.0} {ratio:>6.2}  {p50:>8.2} {bare_p50:>8.2} \
             {p99:>8.2} {bare_p99:>8.2} {p99_ratio:>6.2}"
        );
        Ok(ratio)
    }
}

/// Runs `work` while contacts are created at a fixed rate beside it.
fn while_writing<T>(port: u16, writes_per_s: u32, work: impl FnOnce() -> Result<T>) -> Result<T> {
    if writes_per_s == 0 {
        return work();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| -> Result<()> {
            while !done.load(Relaxed) {
                load::send(port, &create_next())?;
                pause(Duration::from_secs(1) / writes_per_s);
            }
            Ok(())
        });
        let result = work();
        done.store(true, Relaxed);
        let written = writer.join();
        written.map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        result
    })
}

/// How long a contact takes while runs come in by ten thousand, one batch after the other.
fn beside_batches(program: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    // With its task `noop`.
    InProcess::open(folder.path())?.stop();
    let port = product::free_port()?;
    let mut server = product::serve_unlimited(program, folder.path(), port)?;
    server.wait_until_it_answers("/api/v1/health")?;
    let inputs = vec![json!({"record": "x".repeat(80)}); BATCH_RUNS];
    let body = json!({"task": "noop", "inputs": inputs}).to_string();
    let batch = Request::post("/api/v1/runs/batch", &body, 202);
    println!(
        "POST, durable, while batches of {BATCH_RUNS} runs stream in, {BESIDE_BATCHES:?} each:"
    );
    for connections in [8, CONNECTIONS] {
        let load = Load {
            port,
            ask: create(),
            connections,
            duration: BESIDE_BATCHES,
        };
        let (done, batches) = (AtomicBool::new(false), AtomicU64::new(0));
        let measured = std::thread::scope(|scope| {
            let producer = scope.spawn(|| -> Result<()> {
                while !done.load(Relaxed) {
                    load::send(port, &batch)?;
                    batches.fetch_add(1, Relaxed);
                }
                Ok(())
            });
            let measured = load::run(&load);
            done.store(true, Relaxed);
            let produced = producer.join();
            produced.map_err(|_| anyhow::anyhow!("the producer panicked"))??;
            measured
        })?;
        let mut latencies = measured.latencies;
        let p50 = latencies.percentile_ms(50.0);
        let runs = batches.load(Relaxed) as f64 * BATCH_RUNS as f64;
        println!(
            "  {connections:>2} connections  {:>7.0}/s  p50 {p50:>6.2} ms  p99 {:>6.2} ms  beside \
             {:>7.0} runs/s  (bar p50 {BESIDE_BATCHES_BAR_MS} ms: {})",
            measured.requests_per_s,
            latencies.percentile_ms(99.0),
            runs / BESIDE_BATCHES.as_secs_f64(),
            if p50 < BESIDE_BATCHES_BAR_MS {
                "held"
            } else {
                "MISSED"
            }
        );
    }
    println!();
    Ok(())
}

/// A server that holds so many contacts, and what was measured of it.
struct Filled {
    rows: u64,
    filled_per_s: f64,
    /// By phone and by e-mail.
    store_p50_us: [f64; 2],
    http_p50_ms: [Vec<f64>; 2],
    http_p95_ms: [Vec<f64>; 2],
    server: Running,
    _folder: tempfile::TempDir,
}

impl Filled {
    fn start(program: &Path, rows: u64) -> Result<Filled> {
        let folder = tempfile::tempdir()?;
        let product = InProcess::open(folder.path())?;
        let started = now();
        contact_rows::fill(&product, rows)?;
        let filled_per_s = rows as f64 / started.elapsed().as_secs_f64();
        let by_phone = time_store(rows, |number| {
            let phone = contact_rows::phone(number).parse().map_err(Error::msg)?;
            Ok(product
                .wait(product.store.contact_by_phone(&phone))?
                .is_some())
        })?;
        let by_email = time_store(rows, |number| {
            let email = contact_rows::email(number).parse().map_err(Error::msg)?;
            Ok(product
                .wait(product.store.contact_by_email(&email))?
                .is_some())
        })?;
        product.stop();
        read_once(&folder.path().join("data"))?;
        let port = product::free_port()?;
        let mut server = product::serve_unlimited(program, folder.path(), port)?;
        server.wait_until_it_answers("/api/v1/health")?;
        Ok(Filled {
            rows,
            filled_per_s,
            store_p50_us: [by_phone, by_email],
            http_p50_ms: Default::default(),
            http_p95_ms: Default::default(),
            server,
            _folder: folder,
        })
    }

    fn measure(&mut self, key: usize) -> Result<()> {
        let rows = self.rows;
        let ask: Ask = Arc::new(move |random: &mut Random| {
            let number = 1 + random.below(rows);
            let query = match key {
                0 => format!("phone={}", contact_rows::phone(number).replace('+', "%2B")),
                _ => format!("email={}", contact_rows::email(number)),
            };
            Request::get(&format!("/api/v1/contacts/lookup?{query}"))
        });
        let measured = load::run(&Load {
            port: self.server.port,
            ask,
            connections: LOOKUP_CONNECTIONS,
            duration: LOOKUP_ROUND,
        })?;
        let mut latencies = measured.latencies;
        self.http_p50_ms[key].push(latencies.percentile_ms(50.0));
        self.http_p95_ms[key].push(latencies.percentile_ms(95.0));
        Ok(())
    }
}

const KEYS: [&str; 2] = ["phone", "e-mail"];

fn lookups(program: &Path, largest: Option<u64>) -> Result<()> {
    println!(
        "lookups by random keys that exist, {LOOKUP_CONNECTIONS} connections over HTTP, {ROUNDS} \
         rounds in turns; medians:"
    );
    println!(
        "  {:<7} {:>10} {:>12} {:>7} {:>9} {:>9} {:>7} {:>10}",
        "by", "rows", "store p50 us", "ratio", "p50 ms", "p95 ms", "ratio", "filled/s"
    );
    let sizes = SIZES.into_iter().chain(largest);
    let mut all = sizes
        .map(|rows| Filled::start(program, rows))
        .collect::<Result<Vec<_>>>()?;
    for round in 0..=ROUNDS {
        for filled in &mut all {
            for key in 0..KEYS.len() {
                filled.measure(key)?;
                if round == 0 {
                    // It warmed the server.
                    filled.http_p50_ms[key].clear();
                    filled.http_p95_ms[key].clear();
                }
            }
        }
    }
    let mut is_held = true;
    for (key, name) in KEYS.iter().enumerate() {
        let p95 = |filled: &Filled| median(filled.http_p95_ms[key].clone());
        for filled in &all {
            let store_ratio = filled.store_p50_us[key] / all[0].store_p50_us[key];
            let http_ratio = p95(filled) / p95(&all[0]);
            is_held &= store_ratio <= STORE_BAR && http_ratio <= LOOKUP_BAR;
            println!(
                "  {name:<7} {:>10} {:>12.1} {store_ratio:>7.2} {:>9.3} {:>9.3} {http_ratio:>7.2} \
                 {:>10.0}",
                filled.rows,
                filled.store_p50_us[key],
                median(filled.http_p50_ms[key].clone()),
                p95(filled),
                filled.filled_per_s
            );
        }
    }
    println!(
        "bars, of 1 k rows: HTTP p95 {LOOKUP_BAR}, store p50 {STORE_BAR}: {}",
        if is_held { "held" } else { "MISSED" }
    );
    Ok(())
}

/// Reads the database, so that what is measured is a look-up and not the disk's first read of a
/// page: a kernel short of memory, or one that reclaims what lies idle, has let go of some.
fn read_once(folder: &Path) -> Result<()> {
    let mut file = std::fs::File::open(folder.join("autom8.db"))?;
    std::io::copy(&mut file, &mut std::io::sink())?;
    Ok(())
}

/// The median time of a lookup that finds something, in microseconds.
fn time_store(rows: u64, find: impl Fn(u64) -> Result<bool>) -> Result<f64> {
    let mut random = Random::seeded(rows);
    let mut micros = Vec::with_capacity(LOOKUPS);
    for _ in 0..LOOKUPS {
        let number = 1 + random.below(rows);
        let started = now();
        ensure!(find(number)?, "contact {number} is not found");
        micros.push(started.elapsed().as_nanos() as f64 / 1_000.0);
    }
    Ok(median(micros))
}
