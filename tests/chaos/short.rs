//! The form of the crash campaign that runs with every test: eight kills on a fixed seed, four on
//! a fresh one. `crash-campaign` is the long form.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test prints its seed and stops at the first thing that is wrong"
)]

use autom8_tests::chaos::crash::{self, Campaign};
use autom8_tests::random;

const SEED: u64 = 0xa8;

fn survive(seed: u64, kills: u64) {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history.jsonl");
    eprintln!("crash campaign: seed {seed}, {kills} kills");
    let campaign = Campaign {
        seed,
        kills,
        history: history.clone(),
    };
    let failed = match crash::run(&campaign) {
        Ok(verdict) => {
            eprintln!("{}", crash::summary(&verdict.counters));
            let hurt = crash::must_have_hurt(&verdict.counters);
            if verdict.violations.is_empty() {
                hurt.err()
            } else {
                let shown: Vec<String> = verdict
                    .violations
                    .iter()
                    .take(20)
                    .map(ToString::to_string)
                    .collect();
                Some(format!(
                    "{} violations:\n{}",
                    verdict.violations.len(),
                    shown.join("\n")
                ))
            }
        }
        Err(defects) => Some(defects),
    };
    if let Some(reason) = failed {
        let kept = folder.keep();
        panic!(
            "seed {seed}: {reason}\nthe history is kept in {}",
            kept.display()
        );
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_done_twice_over_eight_kills() {
    survive(SEED, 8);
}

#[test]
fn the_same_holds_for_a_seed_that_nobody_has_tried() {
    survive(random::fresh_seed(), 4);
}
