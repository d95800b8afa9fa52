//! Holds a store's writer between two commit groups, so that "before the commit" is a place in a
//! test and not a matter of luck.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::observe::{Statement, StoreObserver};

/// How long [`Held::step`] waits for the writer to come back; an idle writer does not.
const STEP_WAIT_MAX: Duration = Duration::from_secs(1);

/// An observer that can stop the writer where a group starts. A backend's test gives it to each
/// store that it starts.
#[derive(Debug)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
    arrivals: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    held: bool,
    /// Groups that may still pass while the gate is held.
    permits: u32,
}

impl Gate {
    pub fn open() -> Arc<Self> {
        Arc::new(Gate {
            state: Mutex::default(),
            changed: Condvar::new(),
            arrivals: watch::Sender::new(0),
        })
    }

    /// Stops the writer before its next group, until the answer is dropped.
    pub fn hold(self: &Arc<Self>) -> Held {
        *self.state.lock() = State {
            held: true,
            permits: 0,
        };
        Held {
            gate: Arc::clone(self),
        }
    }
}

impl StoreObserver for Gate {
    fn statement(&self, _: Statement, _: u64, _: bool) {}

    fn commit(&self, _: u64, _: usize) {}

    fn waiting(&self, _: usize) {
        let mut state = self.state.lock();
        if !state.held {
            return;
        }
        self.arrivals.send_modify(|arrivals| *arrivals += 1);
        while state.held && state.permits == 0 {
            self.changed.wait(&mut state);
        }
        state.permits = state.permits.saturating_sub(1);
    }
}

/// The gate is closed as long as this lives. Declare it after the store: a failing case must open
/// the gate before it lets go of the store, or the store would wait for its writer for ever.
#[derive(Debug)]
pub struct Held {
    gate: Arc<Gate>,
}

impl Held {
    /// Waits until the writer stands at the gate. Returns whether it came.
    pub async fn arrived(&self) -> bool {
        self.beyond(0).await
    }

    /// Lets one group through and waits until the writer is back. Returns whether it came back.
    pub async fn step(&self) -> bool {
        let before = *self.gate.arrivals.borrow();
        self.gate.state.lock().permits += 1;
        self.gate.changed.notify_all();
        self.beyond(before).await
    }

    async fn beyond(&self, before: u64) -> bool {
        let mut arrivals = self.gate.arrivals.subscribe();
        let later = arrivals.wait_for(|arrivals| *arrivals > before);
        tokio::time::timeout(STEP_WAIT_MAX, later).await.is_ok()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        *self.gate.state.lock() = State::default();
        self.gate.arrivals.send_modify(|arrivals| *arrivals = 0);
        self.gate.changed.notify_all();
    }
}
