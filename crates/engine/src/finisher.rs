//! Stores outcomes, many in one transaction, and does not let go of one before it is stored.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use autom8_model::Task;
use autom8_store::{Finish, Finished, StoreError};
use tokio::sync::mpsc;

use crate::engine::Shared;
use crate::live::Registration;
use crate::observer::RunSettled;
use crate::occupancy::Hold;
use crate::timer::{self, Backoff};

/// Submissions merged into one call of the store.
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

pub(crate) async fn run(shared: Arc<Shared>, mut submissions: mpsc::UnboundedReceiver<Submission>) {
    let mut inbox = Vec::with_capacity(SUBMISSIONS_MAX);
    let mut troubled = Batch::default();
    loop {
        tokio::select! {
            biased;
            () = shared.abandon.cancelled(), if submissions.is_empty() => return,
            _ = submissions.recv_many(&mut inbox, SUBMISSIONS_MAX) => {}
            () = timer::sleep(TROUBLED_PAUSE), if !troubled.finishes.is_empty() => {}
        }
        if inbox.is_empty() {
            retry_troubled(&shared, &mut troubled).await;
            continue;
        }
        let mut batch = Batch::default();
        for submission in inbox.drain(..) {
            if batch.finishes.is_empty() {
                batch.finishes = submission.finishes;
                batch.facts = submission.facts;
            } else {
                batch.finishes.extend(submission.finishes);
                batch.facts.extend(submission.facts);
            }
            batch.held.push((submission.hold, submission.registration));
        }
        store_batch(&shared, batch, &mut troubled).await;
    }
}

/// Stores a batch, however long the store is out of reach.
async fn store_batch(shared: &Shared, batch: Batch, troubled: &mut Batch) {
    let mut backoff = Backoff::new();
    loop {
        match shared.store.finish(batch.finishes.clone()).await {
            Ok(finished) => {
                report(shared, &batch.finishes, &batch.facts, &finished);
                return;
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
                    () = shared.abandon.cancelled() => return,
                }
            }
            // One of them may be at fault: from now on each goes alone, so that it does not take
            // its neighbours with it.
            Err(_) => {
                troubled.finishes.extend(batch.finishes);
                troubled.facts.extend(batch.facts);
                troubled.held.extend(batch.held);
                retry_troubled(shared, troubled).await;
                return;
            }
        }
    }
}

async fn retry_troubled(shared: &Shared, troubled: &mut Batch) {
    let finishes = std::mem::take(&mut troubled.finishes);
    let facts = std::mem::take(&mut troubled.facts);
    for (finish, facts) in finishes.into_iter().zip(facts) {
        match shared.store.finish(vec![finish.clone()]).await {
            Ok(finished) => report(shared, &[finish], &[facts], &finished),
            Err(error) => {
                shared.observer.problem(
                    "finisher",
                    &format!(
                        "the outcome of run {} cannot be stored yet: {error}",
                        finish.run
                    ),
                );
                troubled.finishes.push(finish);
                troubled.facts.push(facts);
            }
        }
    }
    // Their places are given back together: who holds which is not worth telling apart for
    // something that should never happen.
    if troubled.finishes.is_empty() {
        troubled.held.clear();
    }
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
    // A listener's panic must not end the one duty that keeps outcomes.
    let listened = std::panic::catch_unwind(AssertUnwindSafe(|| {
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
    }));
    if listened.is_err() {
        tracing::error!("the engine's observer panicked");
    }
}
