//! The thread that samples and publishes, once a second unless it is told otherwise.
//!
//! It is a thread of its own and not a task: when the runtime is too busy to run tasks, the figures
//! that say so must still come.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use autom8_store::Store;

use super::collect::Collector;
use super::published::Published;
use super::{ErrorNote, Telemetry};

/// A sample that took longer than its period is followed by a short rest at least.
const REST_MIN: Duration = Duration::from_millis(50);

/// Stops the sampler when it is dropped, at once, and waits for its thread.
#[derive(Debug)]
pub struct SamplerGuard {
    telemetry: Arc<Telemetry>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for SamplerGuard {
    fn drop(&mut self) {
        // The thread wakes when its channel closes.
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.telemetry.close_streams();
    }
}

/// Publishes a first sample before it returns, so that no request finds nothing.
pub(super) fn start(
    telemetry: &Arc<Telemetry>,
    store: Arc<dyn Store>,
    data_directory: &Path,
    period: Duration,
) -> io::Result<SamplerGuard> {
    let collector = Collector::new(Arc::clone(telemetry), store, data_directory);
    let mut sampler = Sampler {
        telemetry: Arc::clone(telemetry),
        collector,
        sequence: 0,
    };
    sampler.sample();
    let (stop, stopped) = channel();
    let thread = std::thread::Builder::new()
        .name("telemetry".to_owned())
        .spawn(move || sampler.run(&stopped, period))?;
    Ok(SamplerGuard {
        telemetry: Arc::clone(telemetry),
        stop: Some(stop),
        thread: Some(thread),
    })
}

struct Sampler {
    telemetry: Arc<Telemetry>,
    collector: Collector,
    sequence: u64,
}

impl Sampler {
    fn run(mut self, stopped: &Receiver<()>, period: Duration) {
        let clock = Arc::clone(&self.telemetry.clock);
        let mut next = clock.monotonic().plus(period);
        loop {
            let wait = next.since(clock.monotonic()).max(REST_MIN);
            match stopped.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
            self.sample();
            // Seconds that were missed (a suspended machine) are not made up for.
            next = next.plus(period).max(clock.monotonic());
        }
    }

    /// One sample. A defect in it must not end the figures for good, so a panic is noted and the
    /// next second tries again.
    fn sample(&mut self) {
        let now = self.telemetry.clock.monotonic();
        let sequence = self.sequence + 1;
        let written = catch_unwind(AssertUnwindSafe(|| {
            Published::write(sequence, now, &self.collector.collect(now))
        }));
        let fault = match written {
            Ok(Ok(published)) => {
                self.sequence = sequence;
                self.telemetry.publish(published);
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "a sample panicked; its message is on standard error".to_owned(),
        };
        tracing::error!(fault, "no metrics were published this second");
        let message = fault.as_str();
        self.telemetry.note_error(ErrorNote {
            source: "telemetry",
            message,
            request_id: None,
        });
    }
}
