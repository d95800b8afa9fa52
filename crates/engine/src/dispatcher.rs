//! Claims waiting runs into free places of a lane and starts them.
//!
//! The slot lane spawns a task a run. The instant lane executes whole claims on the spot and hands
//! them in as one, because anything done per run is what bounds its rate.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use autom8_model::limits;
use autom8_model::ready::Lane;
use autom8_store::{Claim, Finish, Lease};

use crate::attempt::{self, Begun, Reading};
use crate::engine::Shared;
use crate::executor;
use crate::finisher::{self, Facts, Submission};
use crate::observer::EngineObserver as _;
use crate::occupancy::Occupancy;
use crate::timer::{self, Backoff};

/// How long a claim waits in the store for the first run. A stop does not wait for it: a claim
/// that is dropped gives back what it would have brought.
const CLAIM_WAIT: Duration = limits::CLAIM_WAIT_MAX;
/// After an empty answer that came without a wait: a store that does so must not spin us.
const EMPTY_PAUSE: Duration = Duration::from_millis(1);

pub(crate) async fn run(shared: Arc<Shared>, lane: Lane) {
    let occupancy = match lane {
        Lane::Slot => shared.slots.clone(),
        Lane::Instant => shared.instants.clone(),
    };
    let mut window = match lane {
        Lane::Slot => Window::fixed(shared.config.slots),
        Lane::Instant => Window::adaptive(),
    };
    let mut backoff = Backoff::new();
    while !shared.stopping.is_cancelled() {
        let asked = tokio::select! {
            taken = occupancy.wait_below(window.runs) => window.ask(taken),
            () = shared.stopping.cancelled() => return,
        };
        let asked_at = shared.clock.monotonic();
        let claim = shared.store.claim(Claim {
            worker: shared.config.worker.clone(),
            lane,
            queues: Vec::new(),
            runs_max: asked,
            wait: CLAIM_WAIT,
            lease: None,
        });
        let claimed = tokio::select! {
            biased;
            claimed = claim => claimed,
            () = shared.stopping.cancelled() => return,
        };
        match claimed {
            Ok(leases) => {
                backoff.reset();
                if leases.is_empty() && shared.clock.monotonic().since(asked_at) < EMPTY_PAUSE {
                    timer::sleep(EMPTY_PAUSE).await;
                }
                window.learn(asked, leases.len());
                // Claimed is claimed: what came before the stop runs, within its grace. The
                // attempt is counted, and a run with a single one must not lose it unused.
                match lane {
                    Lane::Slot => start(&shared, &occupancy, leases),
                    Lane::Instant => execute_instant(&shared, &occupancy, leases),
                }
            }
            Err(error) => {
                shared
                    .observer
                    .problem("dispatcher", &format!("nothing can be claimed: {error}"));
                tokio::select! {
                    () = backoff.wait() => {}
                    () = shared.stopping.cancelled() => return,
                }
            }
        }
    }
}

fn start(shared: &Arc<Shared>, occupancy: &Arc<Occupancy>, leases: Vec<Lease>) {
    for lease in leases {
        tokio::spawn(attempt::lead(shared.clone(), lease, occupancy.take(1)));
    }
}

fn execute_instant(shared: &Arc<Shared>, occupancy: &Arc<Occupancy>, leases: Vec<Lease>) {
    if leases.is_empty() {
        return;
    }
    let mut ended = Ended::default();
    let mut reading = Reading::of(shared);
    for lease in leases {
        let begun = Begun::note(shared, &lease, reading);
        match execute_on_the_spot(shared, &lease) {
            Some(how) => {
                reading = Reading::of(shared);
                let end = attempt::read_end(how);
                let (finish, facts) = begun.finish(shared, &lease, None, end, reading);
                ended.finishes.push(finish);
                ended.facts.push(facts);
                if ended.finishes.len() == finisher::CALL_RUNS_MAX {
                    ended.submit(shared, occupancy);
                }
            }
            None => start(shared, occupancy, vec![lease]),
        }
    }
    ended.submit(shared, occupancy);
}

fn execute_on_the_spot(shared: &Shared, lease: &Lease) -> Option<executor::Ended> {
    let executor = shared.executor(lease.task.spec.action.task_type())?;
    catch_unwind(AssertUnwindSafe(|| executor.execute_instant(lease))).unwrap_or_else(|panic| {
        let message = attempt::panic_message(panic.as_ref());
        Some(executor::Ended::failed(format!(
            "the executor panicked: {message}"
        )))
    })
}

/// Instant runs that have ended and go to the finisher together.
#[derive(Default)]
struct Ended {
    finishes: Vec<Finish>,
    facts: Vec<Facts>,
}

impl Ended {
    fn submit(&mut self, shared: &Shared, occupancy: &Arc<Occupancy>) {
        if self.finishes.is_empty() {
            return;
        }
        let Ended { finishes, facts } = std::mem::take(self);
        let hold = occupancy.take(finishes.len());
        shared.finisher.submit(Submission {
            finishes,
            facts,
            hold,
            registration: None,
        });
    }
}

/// How many runs of a lane may be claimed and not stored.
///
/// For instant runs it grows while there is more than it lets through, and shrinks when there is
/// not: a crash charges an attempt to everything that is claimed, so a wide window has to earn its
/// keep (256 runs in flight reach a third of the rate of 8,192).
#[derive(Debug)]
struct Window {
    runs: usize,
    runs_min: usize,
    runs_max: usize,
    /// The share of the window that one claim may take: the next claim and the finishes of the
    /// last one can then share a commit.
    claims: usize,
}

impl Window {
    fn fixed(runs: usize) -> Self {
        let runs = runs.max(1);
        Window {
            runs,
            runs_min: runs,
            runs_max: runs,
            claims: 1,
        }
    }

    fn adaptive() -> Self {
        Window {
            runs: limits::INSTANT_WINDOW_MIN,
            runs_min: limits::INSTANT_WINDOW_MIN,
            runs_max: limits::INSTANT_WINDOW_MAX,
            claims: 4,
        }
    }

    /// How many to claim while `taken` places are taken.
    fn ask(&self, taken: usize) -> usize {
        let free = self.runs.saturating_sub(taken);
        free.min(self.runs / self.claims)
            .clamp(1, limits::CLAIM_RUNS_MAX)
    }

    fn learn(&mut self, asked: usize, claimed: usize) {
        if claimed >= asked {
            self.runs = (self.runs * 2).min(self.runs_max);
        } else if claimed < asked / 4 {
            self.runs = (self.runs / 2).max(self.runs_min);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_grows_under_load_and_shrinks_without() {
        let mut window = Window::adaptive();
        for _ in 0..10 {
            let asked = window.ask(0);
            window.learn(asked, asked);
        }
        assert_eq!(window.runs, limits::INSTANT_WINDOW_MAX);
        for _ in 0..10 {
            let asked = window.ask(0);
            window.learn(asked, 1);
        }
        assert_eq!(window.runs, limits::INSTANT_WINDOW_MIN);
    }

    #[test]
    fn a_claim_never_asks_for_more_than_is_free() {
        let window = Window::fixed(4);
        assert_eq!((window.ask(0), window.ask(3)), (4, 1));
        assert_eq!(
            Window::fixed(0).ask(0),
            1,
            "an engine has at least one slot"
        );
        let window = Window::adaptive();
        assert_eq!(window.ask(0), limits::INSTANT_WINDOW_MIN / 4);
        assert_eq!(window.ask(limits::INSTANT_WINDOW_MIN - 3), 3);
    }
}
