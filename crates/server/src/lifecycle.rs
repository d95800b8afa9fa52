//! The life of the process: starting, ready, draining.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio_util::sync::CancellationToken;

/// Where the process is in its life. Requests read it, [`serve`] moves it on.
#[derive(Debug, Default)]
pub struct Lifecycle {
    ready: AtomicBool,
    stopping: CancellationToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Starting,
    Ready,
    Draining,
}

impl Lifecycle {
    pub fn stage(&self) -> Stage {
        if self.stopping.is_cancelled() {
            Stage::Draining
        } else if self.ready.load(Relaxed) {
            Stage::Ready
        } else {
            Stage::Starting
        }
    }

    pub fn ready(&self) {
        self.ready.store(true, Relaxed);
    }

    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Fires when the server begins to stop. An answer that streams ends with it.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }
}
