//! Judges a history against the invariants of the product, knowing nothing of how it works.
//!
//! - **I1** what was acknowledged exists, and an unanswered request made at most what it asked for;
//! - **I2** a run has one terminal state, which no later read contradicts, and a completed run's
//!   effect has happened;
//! - **I3** no attempt starts after the run's end, and none is executed twice;
//! - **I4** the epoch of a run rises with each attempt and with nothing else;
//! - **I5** once the faults end, everything ends;
//! - **I6** no run is attempted more often than it may be, crashes counted;
//! - **I7** one fire of a schedule makes at most one run.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use super::history::{Channel, Entry, Event, Request, RunSeen};

/// One broken promise, with what shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub evidence: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.evidence)
    }
}

/// What happened, so that a campaign that hurt nobody cannot pass for one that nobody survived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub kills: u64,
    /// Kills while a task's request waited for its answer.
    pub kills_in_flight: u64,
    /// Kills before the first healthy answer.
    pub kills_while_starting: u64,
    pub acknowledged: u64,
    pub unknown: u64,
    pub refused: u64,
    pub not_sent: u64,
    pub effects: u64,
    pub observations: u64,
    pub runs: u64,
    /// Runs that were attempted more than once.
    pub retried: u64,
    pub by_state: BTreeMap<String, u64>,
    pub scheduled: u64,
    pub ready_us: Vec<u64>,
}

impl Counters {
    /// The slowest start but for one in a hundred, in milliseconds.
    pub fn ready_p99_ms(&self) -> f64 {
        let mut sorted = self.ready_us.clone();
        sorted.sort_unstable();
        let index = (sorted.len() * 99).div_ceil(100).saturating_sub(1);
        sorted
            .get(index)
            .map_or(f64::NAN, |us| *us as f64 / 1_000.0)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub counters: Counters,
    pub violations: Vec<Violation>,
}

/// Checks a whole history. `entries` are in order of time.
pub fn check(entries: &[Entry]) -> Verdict {
    let facts = Facts::collect(entries);
    let mut violations = Vec::new();
    facts.acknowledged_exists(&mut violations);
    facts.terminal_is_terminal(entries, &mut violations);
    facts.no_attempt_too_many(&mut violations);
    facts.epochs_rise(&mut violations);
    facts.everything_ended(&mut violations);
    facts.one_run_a_fire(&mut violations);
    Verdict {
        counters: facts.counters,
        violations,
    }
}

#[derive(Default)]
struct Facts<'a> {
    counters: Counters,
    /// Runs of the final sweep, by id.
    last: BTreeMap<i64, &'a RunSeen>,
    listed_twice: Vec<i64>,
    swept: bool,
    acknowledged: HashSet<i64>,
    cancelled: HashSet<i64>,
    /// New run → the ended one it repeats.
    replays: HashMap<i64, i64>,
    /// By task: runs that must exist, and how many more may.
    expected: BTreeMap<&'a str, (u64, u64)>,
    effects: HashMap<(Channel, i64, u32), u64>,
    /// Epochs seen for each attempt of a run.
    epochs: BTreeMap<i64, BTreeMap<u32, i64>>,
    epoch_conflicts: Vec<String>,
}

impl<'a> Facts<'a> {
    fn collect(entries: &'a [Entry]) -> Self {
        let mut facts = Facts::default();
        for entry in entries {
            facts.take(&entry.event);
        }
        let counters = &mut facts.counters;
        counters.runs = facts.last.len() as u64;
        for run in facts.last.values() {
            *counters.by_state.entry(run.state.clone()).or_default() += 1;
            counters.retried += u64::from(run.attempt > 1);
            counters.scheduled += u64::from(run.planned_at.is_some());
        }
        facts
    }

    fn take(&mut self, event: &'a Event) {
        let counters = &mut self.counters;
        match event {
            Event::Acknowledged {
                what,
                task,
                runs,
                count,
            } => {
                counters.acknowledged += 1;
                match what {
                    Request::Submit => {}
                    Request::Cancel => {
                        self.cancelled.extend(runs);
                        return;
                    }
                    Request::Retry { original } => {
                        self.replays
                            .extend(runs.iter().map(|run| (*run, *original)));
                    }
                }
                self.acknowledged.extend(runs);
                self.expected.entry(task).or_default().0 += count;
            }
            Event::Unknown { what, task, count } => {
                counters.unknown += 1;
                if *what != Request::Cancel {
                    self.expected.entry(task).or_default().1 += count;
                }
            }
            Event::Refused { .. } => counters.refused += 1,
            Event::NotSent => counters.not_sent += 1,
            Event::Observed { run, .. } => {
                counters.observations += 1;
                self.note_epoch(run);
                if self.swept && self.last.insert(run.id, run).is_some() {
                    self.listed_twice.push(run.id);
                }
            }
            Event::Effect {
                channel,
                run,
                attempt,
            } => {
                counters.effects += 1;
                *self.effects.entry((*channel, *run, *attempt)).or_default() += 1;
            }
            Event::Killed {
                open_requests,
                while_starting,
            } => {
                counters.kills += 1;
                counters.kills_in_flight += u64::from(*open_requests > 0);
                counters.kills_while_starting += u64::from(*while_starting);
            }
            Event::Ready { took_us } => counters.ready_us.push(*took_us),
            Event::FaultsEnded => {}
            Event::Swept => self.swept = true,
        }
    }

    fn note_epoch(&mut self, run: &RunSeen) {
        // A queued run shows no attempt that goes on; what it shows is the history's.
        let Some(epoch) = run
            .epoch
            .filter(|_| run.attempt > 0 && run.state != "queued")
        else {
            return;
        };
        let known = self
            .epochs
            .entry(run.id)
            .or_default()
            .entry(run.attempt)
            .or_insert(epoch);
        if *known != epoch {
            self.epoch_conflicts.push(format!(
                "attempt {} of run {} was seen with the epochs {known} and {epoch}",
                run.attempt, run.id
            ));
        }
    }

    fn acknowledged_exists(&self, violations: &mut Vec<Violation>) {
        let mut report = |evidence| {
            violations.push(Violation {
                invariant: "I1",
                evidence,
            })
        };
        if !self.swept || self.last.is_empty() {
            report("the history has no final sweep, so nothing can be said to exist".to_owned());
            return;
        }
        let mut lost: Vec<i64> = self
            .acknowledged
            .iter()
            .filter(|run| !self.last.contains_key(run))
            .copied()
            .collect();
        lost.sort_unstable();
        for run in lost {
            report(format!("run {run} was acknowledged and is gone"));
        }
        for run in &self.listed_twice {
            report(format!(
                "run {run} is listed twice by one walk through all runs"
            ));
        }
        let mut by_task: HashMap<&str, u64> = HashMap::new();
        for run in self
            .last
            .values()
            .filter(|run| run.planned_at.is_none() || run.replay_of.is_some())
        {
            *by_task.entry(&run.task).or_default() += 1;
        }
        for (task, (sure, maybe)) in &self.expected {
            let found = by_task.get(task).copied().unwrap_or(0);
            if found < *sure || found > sure + maybe {
                report(format!(
                    "{task}: {sure} runs acknowledged, at most {maybe} unknown, but {found} exist"
                ));
            }
        }
        for (run, original) in &self.replays {
            let named = self.last.get(run).and_then(|run| run.replay_of);
            if self.last.contains_key(run) && named != Some(*original) {
                report(format!("run {run} repeats {original} but names {named:?}"));
            }
        }
        for run in &self.cancelled {
            if let Some(seen) = self.last.get(run)
                && !matches!(seen.state.as_str(), "cancelled" | "completed")
            {
                report(format!(
                    "run {run} was to be cancelled and is {}",
                    seen.state
                ));
            }
        }
    }

    fn terminal_is_terminal(&self, entries: &[Entry], violations: &mut Vec<Violation>) {
        let mut report = |evidence| {
            violations.push(Violation {
                invariant: "I2",
                evidence,
            })
        };
        let mut ended: HashMap<i64, (u64, &RunSeen)> = HashMap::new();
        for entry in entries {
            let Event::Observed { asked_at_us, run } = &entry.event else {
                continue;
            };
            match ended.get(&run.id) {
                Some((_, first)) if run.is_terminal() && run != *first => {
                    report(format!(
                        "run {} ended as {first:?} and then as {run:?}",
                        run.id
                    ));
                }
                Some((seen_at_us, first)) if !run.is_terminal() && asked_at_us > seen_at_us => {
                    report(format!(
                        "run {} was {} and is {} again",
                        run.id, first.state, run.state
                    ));
                }
                None if run.is_terminal() => {
                    ended.insert(run.id, (entry.at_us, run));
                }
                _ => {}
            }
        }
        for run in self.last.values().filter(|run| run.state == "completed") {
            let channel = match run.task_type.as_str() {
                "http" => Channel::Http,
                "process" => Channel::Process,
                _ => continue,
            };
            if !self.effects.contains_key(&(channel, run.id, run.attempt)) {
                report(format!(
                    "run {} completed in attempt {}, which never reached the sink",
                    run.id, run.attempt
                ));
            }
        }
    }

    fn no_attempt_too_many(&self, violations: &mut Vec<Violation>) {
        for ((channel, run, attempt), times) in &self.effects {
            let mut report = |invariant, evidence| {
                violations.push(Violation {
                    invariant,
                    evidence,
                })
            };
            if *times > 1 {
                report(
                    "I3",
                    format!(
                        "attempt {attempt} of run {run} reached the {channel:?} sink {times} times"
                    ),
                );
            }
            let Some(seen) = self.last.get(run) else {
                if self.swept {
                    report("I1", format!("run {run} had an effect and does not exist"));
                }
                continue;
            };
            if *attempt > seen.attempt {
                report(
                    "I3",
                    format!(
                        "attempt {attempt} of run {run} started, but it ended as {} in attempt {}",
                        seen.state, seen.attempt
                    ),
                );
            }
            if *attempt == 0 || *attempt > seen.max_attempts {
                report(
                    "I6",
                    format!(
                        "run {run} was attempted as {attempt} of {}",
                        seen.max_attempts
                    ),
                );
            }
        }
        for run in self
            .last
            .values()
            .filter(|run| run.attempt > run.max_attempts)
        {
            violations.push(Violation {
                invariant: "I6",
                evidence: format!(
                    "run {} counts {} attempts of {}",
                    run.id, run.attempt, run.max_attempts
                ),
            });
        }
    }

    fn epochs_rise(&self, violations: &mut Vec<Violation>) {
        let mut report = |evidence| {
            violations.push(Violation {
                invariant: "I4",
                evidence,
            })
        };
        for conflict in &self.epoch_conflicts {
            report(conflict.clone());
        }
        for (run, by_attempt) in &self.epochs {
            let epochs: Vec<i64> = by_attempt.values().copied().collect();
            if !epochs.windows(2).all(|pair| pair[0] < pair[1]) {
                report(format!(
                    "the epochs of run {run} do not rise: {by_attempt:?}"
                ));
            }
        }
    }

    fn everything_ended(&self, violations: &mut Vec<Violation>) {
        for run in self.last.values().filter(|run| !run.is_terminal()) {
            violations.push(Violation {
                invariant: "I5",
                evidence: format!("run {} of {} is still {}", run.id, run.task, run.state),
            });
        }
    }

    fn one_run_a_fire(&self, violations: &mut Vec<Violation>) {
        let mut fires: HashMap<(&str, &str), i64> = HashMap::new();
        for run in self.last.values() {
            let Some(planned_at) = &run.planned_at else {
                continue;
            };
            if run.replay_of.is_some() {
                continue;
            }
            if let Some(other) = fires.insert((&run.task, planned_at), run.id) {
                violations.push(Violation {
                    invariant: "I7",
                    evidence: format!(
                        "the fire of {} at {planned_at} made the runs {other} and {}",
                        run.task, run.id
                    ),
                });
            }
        }
    }
}

#[cfg(test)]
#[path = "checker_tests.rs"]
mod tests;
