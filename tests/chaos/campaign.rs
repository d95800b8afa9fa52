//! `cargo xtask campaign crash -- --kills 100`: the long form of the crash campaign.
//!
//! Exit codes: 0 no violation, 1 violations or answers that no sound server gives, 2 usage,
//! 3 inconclusive: too few faults happened.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool prints"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use autom8_tests::chaos::crash::{self, Campaign};
use autom8_tests::chaos::{checker, history};
use autom8_tests::{binary, random};

const USAGE: &str = "\
usage: crash-campaign [--kills N] [--seed N] [--history FILE]
       crash-campaign --check FILE

  --kills N       how often the server is killed (100)
  --seed N        repeats a campaign's faults; without it a fresh seed is taken and printed
  --history FILE  where the history is written (crash-SEED.jsonl in the target folder)
  --check FILE    judges a history again, without a server
";

struct Arguments {
    kills: u64,
    seed: Option<u64>,
    history: Option<PathBuf>,
    check: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let verdict = match &arguments.check {
        Some(file) => history::read(file).map(|entries| checker::check(&entries)),
        None => torment(&arguments),
    };
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(1);
        }
    };
    println!("{}", crash::summary(&verdict.counters));
    for violation in verdict.violations.iter().take(50) {
        println!("{violation}");
    }
    println!("{} violations", verdict.violations.len());
    if !verdict.violations.is_empty() {
        return ExitCode::from(1);
    }
    if let Err(error) = crash::must_have_hurt(&verdict.counters) {
        eprintln!("{error}");
        return ExitCode::from(3);
    }
    ExitCode::SUCCESS
}

fn torment(arguments: &Arguments) -> Result<checker::Verdict, String> {
    let seed = arguments.seed.unwrap_or_else(random::fresh_seed);
    let folder = binary::autom8()
        .parent()
        .map_or_else(PathBuf::new, Path::to_path_buf);
    let history = arguments
        .history
        .clone()
        .unwrap_or_else(|| folder.join(format!("crash-{seed}.jsonl")));
    println!(
        "seed {seed}, {} kills, commit {}",
        arguments.kills,
        commit()
    );
    println!("history {}", history.display());
    crash::run(&Campaign {
        seed,
        kills: arguments.kills,
        history,
    })
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        kills: 100,
        seed: None,
        history: None,
        check: None,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--kills" => arguments.kills = number(&value()?)?,
            "--seed" => arguments.seed = Some(number(&value()?)?),
            "--history" => arguments.history = Some(value()?.into()),
            "--check" => arguments.check = Some(value()?.into()),
            _ => return Err(format!("there is no argument `{word}`")),
        }
    }
    Ok(arguments)
}

fn number(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not a whole number"))
}

fn commit() -> String {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .current_dir(binary::repository_root())
        .output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}
