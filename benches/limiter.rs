//! What does a decision on a client's rate cost, and what do ten million clients hold?

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{Context, Result};
use autom8_benches::machine::{self, now, processor_time, resident_bytes};
use autom8_benches::percentiles::median;
use autom8_benches::random::Random;
use autom8_performance::rate_limit::{MEMORY_MAX_BYTES, Quota, RateLimiter};
use governor::clock::FakeRelativeClock;
use governor::state::keyed::DashMapStateStore;

const REQUESTS: u32 = 5_000;
const PERIOD: Duration = Duration::from_secs(60);
const DECISIONS: usize = 2_000_000;
const ROUNDS: usize = 5;
const BAR_NS: f64 = 150.0;
/// A busy office, a busy town, and more than this server is for.
const LIVE: [(&str, u64); 3] = [("10 k", 10_000), ("100 k", 100_000), ("1 M", 1_000_000)];
const WANDERED_BYTES: usize = 32 * 1024 * 1024;
const DISTINCT: u64 = 10_000_000;
/// All decisions fall on this instant, so that every client is live and nothing can be forgotten.
const NOW_NS: u64 = 1_000_000_000;

type Governor = governor::RateLimiter<
    u64,
    DashMapStateStore<u64>,
    FakeRelativeClock,
    governor::middleware::NoOpMiddleware<governor::nanos::Nanos>,
>;

fn main() -> Result<()> {
    machine::print_head(
        "a decision on a client's rate, and the memory of ten million clients",
        "nothing is written",
    );
    let requests = NonZeroU32::new(REQUESTS).context("a quota of nothing")?;
    let quota = Quota::new(requests, PERIOD, requests)?;
    // First, while nothing that was freed can be had again: what is resident is what it holds.
    flood(&quota)?;
    println!(
        "{DECISIONS} decisions a thread, {ROUNDS} rounds in turns, medians; naming the client is \
         part of each;\nthe last column is ours in processor time, which others on the machine hardly touch.\n\
         governor keeps its clients in a dashmap and reads a clock that is a \
         number, as ours does.\n"
    );
    println!(
        "{:<34} {:>10} {:>12} {:>7} {:>8}",
        "clients", "ours ns", "governor ns", "ratio", "cpu ns"
    );
    let hot = vec![1; DECISIONS];
    compare("one, 1 thread", &quota, 1, &hot)?;
    compare("one, 2 threads", &quota, 2, &hot)?;
    let mut random = Random::seeded(1);
    let mut held = "none";
    for (name, clients) in LIVE {
        let many: Vec<u64> = (0..DECISIONS).map(|_| random.below(clients)).collect();
        let ours = compare(&format!("{name} live, random, 1 thread"), &quota, 1, &many)?;
        compare(&format!("{name} live, random, 2 threads"), &quota, 2, &many)?;
        if ours <= BAR_NS {
            held = name;
        }
    }
    let (wall_ns, cpu_ns) = wander(&mut random);
    println!(
        "{:<34} {:>10.1} {:>29.1}",
        "a random read of 32 MiB", wall_ns, cpu_ns
    );
    println!("\nbar {BAR_NS} ns of processor time a decision: held up to {held} live clients");
    Ok(())
}

fn governor() -> Result<Governor> {
    let requests = NonZeroU32::new(REQUESTS).context("a quota of nothing")?;
    let quota = governor::Quota::per_minute(requests);
    Ok(governor::RateLimiter::new(
        quota,
        DashMapStateStore::default(),
        FakeRelativeClock::default(),
    ))
}

/// Nanoseconds of processor time a decision, of ours.
fn compare(what: &str, quota: &Quota, threads: usize, keys: &[u64]) -> Result<f64> {
    let ours = RateLimiter::new(MEMORY_MAX_BYTES, 7);
    let theirs = governor()?;
    let decide = |key: u64| {
        black_box(ours.decide(ours.client_of_key(key), quota, NOW_NS));
    };
    let check = |key: u64| {
        _ = black_box(theirs.check_key(&key));
    };
    // Everybody is known before the first round.
    for key in 0..=keys.iter().max().copied().unwrap_or(0) {
        decide(key);
        check(key);
    }
    let (mut ours_ns, mut theirs_ns, mut cpu_ns) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = processor_time();
        ours_ns.push(time(threads, keys, decide));
        let spent = processor_time() - before;
        cpu_ns.push(spent.as_nanos() as f64 / (keys.len() * threads) as f64);
        theirs_ns.push(time(threads, keys, check));
    }
    let (ours_ns, theirs_ns, cpu_ns) = (median(ours_ns), median(theirs_ns), median(cpu_ns));
    println!(
        "{what:<34} {ours_ns:>10.1} {theirs_ns:>12.1} {:>7.2} {cpu_ns:>8.1}",
        ours_ns / theirs_ns
    );
    Ok(cpu_ns)
}

/// Each thread goes through all keys, from a place of its own.
fn time(threads: usize, keys: &[u64], decide: impl Fn(u64) + Sync) -> f64 {
    let started = now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (after, before) = keys.split_at(keys.len() / threads * thread);
            let decide = &decide;
            scope.spawn(move || before.iter().chain(after).for_each(|key| decide(*key)));
        }
    });
    started.elapsed().as_nanos() as f64 / keys.len() as f64
}

/// Nanoseconds, wall and processor, of a read that says where the next one is, in as much memory as
/// a million clients take: what no table can go below.
fn wander(random: &mut Random) -> (f64, f64) {
    let words: Vec<u64> = (0..WANDERED_BYTES / 8).map(|_| random.next_u64()).collect();
    let (started, before) = (now(), processor_time());
    let mut at = 0;
    for step in 0..DECISIONS {
        at = (words[at] as usize + step) % words.len();
    }
    black_box(at);
    let each = |time: Duration| time.as_nanos() as f64 / DECISIONS as f64;
    (each(started.elapsed()), each(processor_time() - before))
}

/// Ten million clients that ask once, all live, and one that is well known.
fn flood(quota: &Quota) -> Result<()> {
    let before = resident_bytes();
    let limiter = RateLimiter::new(MEMORY_MAX_BYTES, 7);
    let at_rest = resident_bytes().saturating_sub(before);
    let known = limiter.client_of_address("192.0.2.1".parse()?);
    for _ in 0..REQUESTS / 2 {
        limiter.decide(known, quota, NOW_NS);
    }
    let mut slowest = Duration::ZERO;
    let started = now();
    let mut last = started;
    for key in 0..DISTINCT {
        black_box(limiter.decide(limiter.client_of_key(key), quota, NOW_NS));
        let at = now();
        slowest = slowest.max(at - last);
        last = at;
    }
    let each = started.elapsed().as_nanos() as f64 / DISTINCT as f64;
    let resident = resident_bytes().saturating_sub(before);
    let statistics = limiter.statistics();
    let mib = |bytes: usize| bytes as f64 / 1024.0 / 1024.0;
    println!("10 M distinct clients at one instant, each once:");
    println!("  a decision, clock read included    {each:.1} ns, the slowest {slowest:?}");
    println!(
        "  resident                           {:.1} MiB, at rest {:.1} MiB",
        mib(resident),
        mib(at_rest)
    );
    println!(
        "  by its own arithmetic              {:.1} MiB of {:.0} MiB: {}",
        mib(statistics.memory_bytes),
        mib(MEMORY_MAX_BYTES),
        if statistics.memory_bytes <= MEMORY_MAX_BYTES {
            "held"
        } else {
            "MISSED"
        }
    );
    println!(
        "  clients kept                       {}, forgotten while live {}",
        statistics.clients, statistics.evicted_live_total
    );
    let remaining = limiter.peek(known, quota, NOW_NS).remaining;
    println!("  the well-known client              has {remaining} left of {REQUESTS}, as before");
    (0..statistics.memory_bytes / (512 * 1024)).for_each(|_| limiter.sweep(NOW_NS + NOW_NS));
    println!(
        "  a second later, swept              {:.1} MiB",
        mib(limiter.statistics().memory_bytes)
    );

    let before = resident_bytes();
    let theirs = governor()?;
    let started = now();
    for key in 0..DISTINCT {
        _ = black_box(theirs.check_key(&key));
        black_box(now());
    }
    let each = started.elapsed().as_nanos() as f64 / DISTINCT as f64;
    println!(
        "governor                             {each:.1} ns, resident {:.1} MiB, without bound\n",
        mib(resident_bytes().saturating_sub(before))
    );
    Ok(())
}
