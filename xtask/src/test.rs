//! `cargo xtask test`: what CI runs, as stages in one order.
//!
//! The first stage that fails ends the run; the table at the end says how long each took and which
//! were not reached, so that nothing is skipped in silence. A new stage is a row in [`STAGES`] and
//! a function below.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{Failure, cargo, schemathesis, tidy, tools};

struct Stage {
    name: &'static str,
    what: &'static str,
    run: fn(&Path) -> Result<Ending>,
}

const STAGES: &[Stage] = &[
    Stage {
        name: "fmt",
        what: "cargo fmt --all --check",
        run: fmt,
    },
    Stage {
        name: "tidy",
        what: "the rules of the house that no compiler knows",
        run: tidy_stage,
    },
    Stage {
        name: "clippy",
        what: "every target of the workspace, warnings are errors",
        run: clippy,
    },
    Stage {
        name: "deny",
        what: "bans, licences and sources of the lock (deny.toml)",
        run: deny,
    },
    Stage {
        name: "tools",
        what: "the programs that the tests start, installed where they are missing",
        run: tools_stage,
    },
    Stage {
        name: "rust",
        what: "the Rust tests of the workspace",
        run: rust,
    },
    Stage {
        name: "schemathesis",
        what: "requests made of /openapi.json, right and wrong, against the built server",
        run: schemathesis::stage,
    },
];

/// How a stage ended, where it could be run at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Passed,
    Failed,
    /// Tests ran and were counted.
    Counted(Counts),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
    /// The runner itself said no: something failed to build, or a test failed.
    refused: bool,
}

impl Ending {
    fn is_good(self) -> bool {
        match self {
            Ending::Passed => true,
            Ending::Failed => false,
            Ending::Counted(counts) => !counts.refused && counts.failed == 0,
        }
    }
}

/// One line of the closing table; `None` is a stage that was not reached.
struct Line {
    name: &'static str,
    ended: Option<(Ending, Duration)>,
}

pub(crate) fn stage_list() -> String {
    STAGES
        .iter()
        .map(|stage| format!("  {:<12} {}", stage.name, stage.what))
        .collect::<Vec<_>>()
        .join("\n")
}

pub(crate) fn run(root: &Path, names: &[String]) -> Result<(), Failure> {
    let chosen = choose(names).map_err(Failure::Usage)?;
    let lines = drive(&chosen, |stage| {
        println!("\n== {}: {}", stage.name, stage.what);
        let started = now();
        let ending = (stage.run)(root).unwrap_or_else(|error| {
            eprintln!("{}: {error:#}", stage.name);
            Ending::Failed
        });
        (ending, started.elapsed())
    });
    println!("\n{}", table(&lines));
    if lines
        .iter()
        .all(|line| line.ended.is_some_and(|(ending, _)| ending.is_good()))
    {
        Ok(())
    } else {
        Err(Failure::Failed)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the table of minutes is for people, not the product"
)]
fn now() -> Instant {
    Instant::now()
}

/// The stages named, in the table's order; all of them when none is named.
fn choose(names: &[String]) -> Result<Vec<&'static Stage>, String> {
    if let Some(unknown) = names
        .iter()
        .find(|name| STAGES.iter().all(|stage| stage.name != **name))
    {
        return Err(format!(
            "there is no stage `{unknown}`; the stages are\n{}",
            stage_list()
        ));
    }
    Ok(STAGES
        .iter()
        .filter(|stage| names.is_empty() || names.iter().any(|name| name == stage.name))
        .collect())
}

/// Runs stages until one fails, and returns a line for every one of them.
fn drive(
    stages: &[&'static Stage],
    mut run: impl FnMut(&Stage) -> (Ending, Duration),
) -> Vec<Line> {
    let mut stopped = false;
    stages
        .iter()
        .map(|stage| {
            let ended = if stopped { None } else { Some(run(stage)) };
            stopped |= ended.is_some_and(|(ending, _)| !ending.is_good());
            Line {
                name: stage.name,
                ended,
            }
        })
        .collect()
}

/// Minutes by stage, what was not reached, and the count of tests as the last line.
fn table(lines: &[Line]) -> String {
    let mut text = format!("{:<12} {:>8}  result\n", "stage", "minutes");
    let mut total = Duration::ZERO;
    let mut counts: Option<Counts> = None;
    let mut broken = None;
    for line in lines {
        let Some((ending, took)) = line.ended else {
            text.push_str(&format!("{:<12} {:>8}  not run\n", line.name, "-"));
            continue;
        };
        total += took;
        let result = if ending.is_good() { "ok" } else { "FAILED" };
        text.push_str(&format!(
            "{:<12} {:>8.2}  {result}\n",
            line.name,
            minutes(took)
        ));
        if !ending.is_good() {
            broken = Some(line.name);
        }
        if let Ending::Counted(found) = ending {
            let sum = counts.get_or_insert_default();
            sum.passed += found.passed;
            sum.failed += found.failed;
            sum.skipped += found.skipped;
        }
    }
    text.push_str(&format!("{:<12} {:>8.2}\n", "total", minutes(total)));
    if let Some(name) = broken {
        let left: Vec<&str> = lines
            .iter()
            .filter(|line| line.ended.is_none())
            .map(|line| line.name)
            .collect();
        let left = if left.is_empty() {
            "nothing".to_owned()
        } else {
            left.join(", ")
        };
        text.push_str(&format!("\nstage {name} failed; not run: {left}\n"));
    }
    if let Some(counts) = counts {
        text.push_str(&format!(
            "\n{} passed, {} failed",
            counts.passed, counts.failed
        ));
        if counts.skipped > 0 {
            text.push_str(&format!(", {} skipped", counts.skipped));
        }
        text.push('\n');
    }
    text
}

fn minutes(duration: Duration) -> f64 {
    duration.as_secs_f64() / 60.0
}

fn fmt(root: &Path) -> Result<Ending> {
    verdict(cargo(root).args(["fmt", "--all", "--check"]))
}

fn tidy_stage(root: &Path) -> Result<Ending> {
    Ok(if tidy::check(root)? == 0 {
        Ending::Passed
    } else {
        Ending::Failed
    })
}

fn clippy(root: &Path) -> Result<Ending> {
    verdict(cargo(root).args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))
}

fn deny(root: &Path) -> Result<Ending> {
    let program = tools::cargo_deny(root)?;
    // `--offline` below is about the advisory database; the sources of the lock must be here, those
    // of other platforms included, which no build has fetched.
    if verdict(cargo(root).args(["fetch", "--locked"]))? != Ending::Passed {
        bail!("the sources of Cargo.lock cannot be fetched");
    }
    verdict(
        Command::new(program)
            .args([
                "--offline",
                "--locked",
                "check",
                "bans",
                "licenses",
                "sources",
            ])
            .current_dir(root),
    )
}

fn tools_stage(_root: &Path) -> Result<Ending> {
    tools::install_missing()
}

fn rust(root: &Path) -> Result<Ending> {
    let nextest = cargo(root)
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !nextest {
        println!("cargo-nextest is not installed: the tests run under `cargo test`");
        let mut command = cargo(root);
        command.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
        return Ok(Ending::Counted(counted(command)?));
    }
    let mut units = cargo(root);
    units.args([
        "nextest",
        "run",
        "--workspace",
        "--locked",
        "--no-fail-fast",
    ]);
    let mut counts = counted(units)?;
    if !counts.refused {
        // nextest leaves the examples in documentation out.
        let mut examples = cargo(root);
        examples.args(["test", "--workspace", "--locked", "--no-fail-fast", "--doc"]);
        let found = counted(examples)?;
        counts.passed += found.passed;
        counts.failed += found.failed;
        counts.skipped += found.skipped;
        counts.refused |= found.refused;
    }
    Ok(Ending::Counted(counts))
}

pub(crate) fn verdict(command: &mut Command) -> Result<Ending> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{program}`"))?;
    Ok(if status.success() {
        Ending::Passed
    } else {
        Ending::Failed
    })
}

/// Runs a test runner, passes on what it prints, and counts from its summaries.
fn counted(mut command: Command) -> Result<Counts> {
    let program = command.get_program().to_string_lossy().into_owned();
    if std::io::stderr().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{program}`"))?;
    let stdout = child.stdout.take().context("stdout is piped")?;
    let stderr = child.stderr.take().context("stderr is piped")?;
    let (from_stdout, from_stderr) = std::thread::scope(|scope| {
        let errors = scope.spawn(|| pass_on(stderr, std::io::stderr()));
        let output = pass_on(stdout, std::io::stdout());
        (output, errors.join())
    });
    let status = child.wait()?;
    let mut counts = from_stdout?;
    let errors = from_stderr.map_err(|_| anyhow::anyhow!("the reader of stderr panicked"))??;
    counts.passed += errors.passed;
    counts.failed += errors.failed;
    counts.skipped += errors.skipped;
    counts.refused = !status.success();
    Ok(counts)
}

fn pass_on(from: impl Read, mut to: impl Write) -> Result<Counts> {
    let mut from = BufReader::new(from);
    let mut counts = Counts::default();
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        count_line(&String::from_utf8_lossy(&line), &mut counts);
        line.clear();
    }
    Ok(counts)
}

/// Adds the figures of a summary line of nextest (`Summary [ 1.2s] 5 tests run: 4 passed, …`) or of
/// the built-in runner (`test result: ok. 5 passed; 0 failed; …`).
fn count_line(line: &str, counts: &mut Counts) {
    let plain = without_colour(line);
    let plain = plain.trim_start();
    let figures = if plain.starts_with("Summary [") {
        plain.split_once("run:").map(|(_, figures)| figures)
    } else {
        plain.strip_prefix("test result:")
    };
    let words: Vec<&str> = figures
        .unwrap_or_default()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    for pair in words.windows(2) {
        let &[number, word] = pair else { continue };
        let Ok(number) = number.parse::<u64>() else {
            continue;
        };
        match word {
            "passed" => counts.passed += number,
            // `timed` out, `exec` failed
            "failed" | "timed" | "exec" => counts.failed += number,
            "skipped" | "ignored" => counts.skipped += number,
            _ => {}
        }
    }
}

fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // A colour is ESC [ … m.
            for skipped in characters.by_ref() {
                if skipped == 'm' {
                    break;
                }
            }
        } else {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts_of(text: &str) -> Counts {
        pass_on(text.as_bytes(), std::io::sink()).unwrap()
    }

    #[test]
    fn summaries_of_both_runners_are_counted() {
        let nextest = counts_of(
            "     Summary [   0.005s] 12 tests run: 9 passed (1 slow), 2 failed, 1 timed out, 3 skipped\n",
        );
        assert_eq!(
            nextest,
            Counts {
                passed: 9,
                failed: 3,
                skipped: 3,
                refused: false
            }
        );
        let built_in = counts_of(
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s\n\
             test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n",
        );
        assert_eq!(
            built_in,
            Counts {
                passed: 6,
                failed: 2,
                skipped: 1,
                refused: false
            }
        );
    }

    #[test]
    fn a_coloured_summary_counts_and_other_lines_do_not() {
        let counts = counts_of(
            "\u{1b}[32;1m     Summary\u{1b}[0m [   0.1s] \u{1b}[1m2\u{1b}[0m tests run: \u{1b}[1m2\u{1b}[0m passed, 0 skipped\n\
             log: 99 passed the gate, 4 failed\n",
        );
        assert_eq!(
            counts,
            Counts {
                passed: 2,
                ..Counts::default()
            }
        );
    }

    #[test]
    fn the_first_failing_stage_stops_the_run_and_the_rest_is_named() {
        let stages: Vec<&Stage> = STAGES.iter().collect();
        let lines = drive(&stages, |stage| {
            let ending = if stage.name == "clippy" {
                Ending::Failed
            } else {
                Ending::Passed
            };
            (ending, Duration::from_secs(90))
        });
        let text = table(&lines);
        assert!(
            text.contains("stage clippy failed; not run: deny, tools, rust, schemathesis"),
            "{text}"
        );
        assert!(text.contains("fmt              1.50  ok"), "{text}");
        assert!(text.contains("deny                -  not run"), "{text}");
        assert!(text.contains("total            4.50"), "{text}");
    }

    #[test]
    fn the_closing_line_gives_the_tests_passed_and_failed() {
        let counts = Counts {
            passed: 7,
            failed: 1,
            skipped: 0,
            refused: true,
        };
        let stages: Vec<&Stage> = STAGES.iter().filter(|stage| stage.name == "rust").collect();
        let lines = drive(&stages, |_| (Ending::Counted(counts), Duration::ZERO));
        assert!(table(&lines).ends_with("\n7 passed, 1 failed\n"));
    }

    #[test]
    fn a_runner_that_fails_without_a_failed_test_fails_the_stage() {
        let counts = Counts {
            refused: true,
            ..Counts::default()
        };
        assert!(!Ending::Counted(counts).is_good());
    }

    #[test]
    fn stages_run_in_the_order_of_the_table_and_an_unknown_one_is_refused() {
        let names = ["rust", "fmt"].map(str::to_owned);
        let chosen: Vec<&str> = choose(&names)
            .unwrap()
            .iter()
            .map(|stage| stage.name)
            .collect();
        assert_eq!(chosen, ["fmt", "rust"]);
        assert!(choose(&["lint".to_owned()]).is_err());
        assert_eq!(choose(&[]).unwrap().len(), STAGES.len());
    }
}
