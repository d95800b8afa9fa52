//! How many runs a lane holds: claimed, and their outcome not yet stored.

use std::sync::Arc;

use tokio::sync::watch;

/// The count of a lane. Only its dispatcher adds, so a free place that it saw stays free.
#[derive(Debug)]
pub(crate) struct Occupancy {
    runs: watch::Sender<usize>,
}

impl Occupancy {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Occupancy {
            runs: watch::Sender::new(0),
        })
    }

    pub(crate) fn runs(&self) -> usize {
        *self.runs.borrow()
    }

    /// Waits until fewer than `limit` places are taken, and says how many are.
    pub(crate) async fn wait_below(&self, limit: usize) -> usize {
        match self.runs.subscribe().wait_for(|runs| *runs < limit).await {
            Ok(runs) => *runs,
            // The sender is `self`: it cannot be gone.
            Err(_) => 0,
        }
    }

    /// Takes places until the returned hold is dropped.
    pub(crate) fn take(self: &Arc<Self>, runs: usize) -> Hold {
        self.runs.send_modify(|taken| *taken += runs);
        Hold {
            occupancy: self.clone(),
            runs,
        }
    }
}

/// Places taken in a lane. It travels with the outcome and is dropped once that is stored.
#[derive(Debug)]
pub(crate) struct Hold {
    occupancy: Arc<Occupancy>,
    runs: usize,
}

impl Hold {
    pub(crate) fn runs(&self) -> usize {
        self.runs
    }

    /// Splits off a hold of one place; the rest stays with this one.
    pub(crate) fn split_one(&mut self) -> Hold {
        let runs = self.runs.min(1);
        self.runs -= runs;
        Hold {
            occupancy: self.occupancy.clone(),
            runs,
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.occupancy.runs.send_modify(|taken| *taken -= self.runs);
    }
}
