//! Stores outcomes, many in one transaction, and does not let go of one before it is stored.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use autom8_model::{Task, limits};
use autom8_store::{Finish, Finished, StoreError};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;

use crate::attempt::panic_message;
use crate::engine::Shared;
use crate::live::Registration;
use crate::observer::{EngineObserver as _, RunSettled};
use crate::occupancy::Hold;
use crate::timer::{self, Backoff};

/// Outcomes of one call of the store: half a commit group. A call that the store would have to
/// split could fail half-way, and what of it was stored would come back as stale at the next try.
pub(crate) const CALL_RUNS_MAX: usize = limits::GROUP_ROWS_MAX / 2;
/// Calls under way at the same time: one being synced, one being written, the rest on the way.
const CALLS_MAX: usize = 8;
/// Submissions looked at together, to be merged into as few calls as they fit.
const SUBMISSIONS_MAX: usize = 256;
/// Between tries of a finish that the store refuses for a reason of its own.
const TROUBLED_PAUSE: Duration = Duration::from_secs(5);

/// Ended attempts on their way to the store, together with what they hold until they are there.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) finishes: Vec<Finish>,
    /// One for each finish.
    pub(crate) facts: Vec<Facts>,
    pub(crate) hold: Hold,
    pub(crate) registration: Option<Registration>,
}

/// What the observer is told besides the finish itself.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) task: Arc<Task>,
    pub(crate) wait_micros: Option<u64>,
    pub(crate) duration_micros: u64,
    pub(crate) total_micros: u64,
}

/// Where ended attempts are handed in.
///
/// The channel has no bound of its own: each submission holds places of its lane until it is
/// stored, so there are never more than the lanes have places.
#[derive(Debug)]
pub(crate) struct Finisher {
    submissions: mpsc::UnboundedSender<Submission>,
}

pub(crate) fn channel() -> (Finisher, mpsc::UnboundedReceiver<Submission>) {
    let (submissions, receiver) = mpsc::unbounded_channel();
    (Finisher { submissions }, receiver)
}

impl Finisher {
    pub(crate) fn submit(&self, submission: Submission) {
        // The receiver lives until the engine has stopped; after that nothing runs.
        let _ = self.submissions.send(submission);
    }
}

/// What is held for runs, until they are stored or given up at the end of a stop.
type Held = Vec<(Hold, Option<Registration>)>;

#[derive(Default)]
struct Batch {
    finishes: Vec<Finish>,
    facts: Vec<Facts>,
    held: Held,
}

impl Batch {
    fn absorb(&mut self, other: Batch) {
        if self.finishes.is_empty() {
            self.finishes = other.finishes;
            self.facts = other.facts;
        } else {
            self.finishes.extend(other.finishes);
            self.facts.extend(other.facts);
        }
        self.held.extend(other.held);
    }
}

/// An outcome that the store has refused for a reason of its own, with its place alone: the places
/// of its neighbours are free once those are stored.
struct Troubled {
    finish: Finish,
    facts: Facts,
    held: (Hold, Option<Registration>),
}

impl Batch {
    fn apart(self) -> Vec<Troubled> {
        // Each hold has a place for each finish of its submission, in the same order.
        let held = self.held.into_iter().flat_map(|(mut hold, registration)| {
            // Only what was submitted alone is registered.
            let mut registration = registration;
            (0..hold.runs())
                .map(move |_| (hold.split_one(), registration.take()))
                .collect::<Vec<_>>()
        });
        let outcomes = self.finishes.into_iter().zip(self.facts);
        outcomes
            .zip(held)
            .map(|((finish, facts), held)| Troubled {
                finish,
                facts,
                held,
            })
            .collect()
    }
}

impl From<Submission> for Batch {
    fn from(submission: Submission) -> Self {
        Batch {
            finishes: submission.finishes,
            facts: submission.facts,
            held: vec![(submission.hold, submission.registration)],
        }
    }
}

pub(crate) async fn run(shared: Arc<Shared>, mut submissions: mpsc::UnboundedReceiver<Submission>) {
    let mut inbox = Vec::with_capacity(SUBMISSIONS_MAX);
    let mut storing = FuturesUnordered::new();
    let mut troubled = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = shared.abandon.cancelled(), if submissions.is_empty() && storing.is_empty() => {
                return;
            }
            Some(refused) = storing.next(), if !storing.is_empty() => {
                if let Some(refused) = refused {
                    troubled.extend(Batch::apart(refused));
                    retry_troubled(&shared, &mut troubled).await;
                }
            }
            _ = submissions.recv_many(&mut inbox, SUBMISSIONS_MAX), if storing.len() < CALLS_MAX => {
                for batch in merged(inbox.drain(..)) {
                    storing.push(store_batch(&shared, batch));
                }
            }
            () = timer::sleep(TROUBLED_PAUSE), if !troubled.is_empty() => {
                retry_troubled(&shared, &mut troubled).await;
            }
        }
    }
}

/// Submissions as few batches, each small enough for one call.
fn merged(submissions: impl Iterator<Item = Submission>) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for submission in submissions {
        match batches.last_mut() {
            Some(last) if last.finishes.len() + submission.finishes.len() <= CALL_RUNS_MAX => {
                last.absorb(submission.into());
            }
            _ => batches.push(submission.into()),
        }
    }
    batches
}

/// Stores a batch, however long the store is out of reach. Returns it if the store refuses it for
/// good: one of its outcomes may be at fault, and from then on each goes alone, so that it does
/// not take its neighbours with it.
async fn store_batch(shared: &Shared, batch: Batch) -> Option<Batch> {
    let mut backoff = Backoff::new();
    loop {
        match finish(shared, batch.finishes.clone()).await {
            Ok(finished) => {
                report(shared, &batch.finishes, &batch.facts, &finished);
                return None;
            }
            Err(error) if heals(&error) => {
                shared.observer.problem(
                    "finisher",
                    &format!(
                        "{} outcomes wait to be stored: {error}",
                        batch.finishes.len()
                    ),
                );
                tokio::select! {
                    () = backoff.wait() => {}
                    () = shared.abandon.cancelled() => return None,
                }
            }
            Err(_) => return Some(batch),
        }
    }
}

async fn retry_troubled(shared: &Shared, troubled: &mut Vec<Troubled>) {
    for one in std::mem::take(troubled) {
        match finish(shared, vec![one.finish.clone()]).await {
            Ok(finished) => {
                report(shared, &[one.finish], &[one.facts], &finished);
                drop(one.held);
            }
            Err(error) => {
                shared.observer.problem(
                    "finisher",
                    &format!(
                        "the outcome of run {} cannot be stored yet: {error}",
                        one.finish.run
                    ),
                );
                troubled.push(one);
            }
        }
    }
}

/// A panic of the store counts as its absence: what it was given is kept and tried again.
async fn finish(shared: &Shared, finishes: Vec<Finish>) -> autom8_store::Result<Finished> {
    let finishing = AssertUnwindSafe(shared.store.finish(finishes)).catch_unwind();
    finishing.await.unwrap_or_else(|panic| {
        Err(StoreError::Unavailable {
            why: format!("it panicked: {}", panic_message(panic.as_ref())),
        })
    })
}

/// Whether the same call may work later.
fn heals(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Unavailable { .. }
            | StoreError::DiskFull { .. }
            | StoreError::Overloaded { .. }
    )
}

fn report(shared: &Shared, finishes: &[Finish], facts: &[Facts], finished: &Finished) {
    if !finished.stale.is_empty() {
        shared
            .stale_finishes
            .fetch_add(finished.stale.len() as u64, Ordering::Relaxed);
    }
    for (finish, facts) in finishes.iter().zip(facts) {
        if !finished.stale.is_empty() && finished.stale.contains(&finish.run) {
            continue;
        }
        shared.observer.run_settled(&RunSettled {
            run: finish.run,
            task: &facts.task.spec.name,
            task_type: finish.task_type,
            attempt: finish.attempt,
            decision: finish.decision,
            wait_micros: facts.wait_micros,
            duration_micros: facts.duration_micros,
            total_micros: facts.total_micros,
            error: finish.error.as_deref(),
        });
    }
}
