//! `cargo xtask campaign limits`: the rate limit at its real figures, which take minutes.
//!
//! Exit codes: 0 as promised, 1 not, 2 usage.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    reason = "a command-line tool prints, and stops when a thread of its own did"
)]

use std::process::ExitCode;
use std::time::Duration;

use autom8_tests::limits::{self, Asker, Outcome};
use autom8_tests::{Server, ServerOptions};

const MINUTE: Duration = Duration::from_secs(60);
const PER_MINUTE: u64 = 5_000;
const REFILL: Duration = Duration::from_millis(12);

/// One promise, and whether it was kept.
struct Row {
    what: &'static str,
    outcome: Outcome,
    kept: bool,
}

fn main() -> ExitCode {
    if std::env::args().len() > 1 {
        eprintln!("limits-campaign takes no arguments; it runs for four minutes");
        return ExitCode::from(2);
    }
    let mut rows = by_address();
    rows.push(by_key());
    println!("| What | Accepted | Refused | Took | Behind | Kept |\n|---|---|---|---|---|---|");
    for row in &rows {
        let outcome = &row.outcome;
        println!(
            "| {} | {} | {} | {:.1} s | {} ms | {} |",
            row.what,
            outcome.accepted,
            outcome.refused,
            outcome.took.as_secs_f64(),
            outcome.behind.as_millis(),
            if row.kept { "yes" } else { "**no**" }
        );
        for fault in outcome.faults.iter().take(5) {
            println!("    {fault}");
        }
    }
    if rows
        .iter()
        .all(|row| row.kept && row.outcome.faults.is_empty())
    {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}

/// Four clients of one server at once, told apart by their addresses.
fn by_address() -> Vec<Row> {
    let server = Server::start(&ServerOptions::default());
    let port = server.port();
    let full = || limits::at_full_speed(port, &Asker::at(1), PER_MINUTE, 2 * MINUTE);
    let paced =
        |last, requests, over| move || limits::paced(port, &Asker::at(last), requests, over);
    std::thread::scope(|scope| {
        let full = scope.spawn(full);
        let beyond = scope.spawn(paced(2, 7_500, MINUTE));
        let too_much = scope.spawn(paced(3, 10_100, MINUTE));
        let within = scope.spawn(paced(4, 2 * PER_MINUTE, 2 * MINUTE));
        let mut rows = Vec::new();
        let full = full.join().expect("an asker");
        rows.push(Row {
            what: "as fast as it can for 2 min: 5,000 and one per 12 ms",
            kept: full.refused > 0
                && (PER_MINUTE..=limits::allowance(PER_MINUTE, REFILL, full.took))
                    .contains(&full.accepted),
            outcome: full,
        });
        let beyond = beyond.join().expect("an asker");
        rows.push(Row {
            what: "7,500 evenly over 60 s from an idle client: none refused",
            kept: beyond.refused == 0 && beyond.accepted == 7_500,
            outcome: beyond,
        });
        let too_much = too_much.join().expect("an asker");
        rows.push(Row {
            what: "10,100 in 60 s: some refused",
            kept: too_much.refused > 0,
            outcome: too_much,
        });
        let within = within.join().expect("an asker");
        rows.push(Row {
            what: "5,000 a minute for 2 min, alone: none refused",
            kept: within.refused == 0 && within.accepted == 2 * PER_MINUTE,
            outcome: within,
        });
        rows
    })
}

/// Twenty clients of one address, told apart by their keys.
fn by_key() -> Row {
    let server = Server::start(&ServerOptions::default());
    let askers: Vec<Asker> = limits::make_keys(&server.client(), 20)
        .into_iter()
        .map(|key| Asker {
            key: Some(key),
            ..Asker::at(1)
        })
        .collect();
    let outcomes = limits::all_paced(server.port(), &askers, 2 * PER_MINUTE, 2 * MINUTE);
    let outcome = limits::sum(&outcomes);
    Row {
        what: "5,000 a minute for 2 min, as 20 keys at once: none refused",
        kept: outcome.refused == 0 && outcome.accepted == 20 * 2 * PER_MINUTE,
        outcome,
    }
}
