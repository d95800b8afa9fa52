//! Takes back the runs of workers whose lease ran out.

use std::sync::Arc;
use std::time::Duration;

use autom8_model::limits;

use crate::engine::Shared;
use crate::observer::EngineObserver as _;
use crate::timer;

/// A third of a lease: an expired one is noticed soon after.
const PERIOD: Duration = Duration::from_secs(limits::LEASE_DURATION.as_secs() / 3);

pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let before = (shared.clock.monotonic(), shared.clock.now());
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            () = timer::sleep(PERIOD) => {}
        }
        let asleep = shared
            .clock
            .monotonic()
            .since(before.0)
            .max(shared.clock.now().since(before.1));
        if overslept(asleep) {
            continue;
        }
        if let Err(error) = shared.store.reap().await {
            shared
                .observer
                .problem("reaper", &format!("expired leases stay for now: {error}"));
        }
    }
}

/// If this process stood still, the heartbeats of its workers stood in line with it: they get a
/// round to arrive before anyone is called dead.
fn overslept(asleep: Duration) -> bool {
    asleep > PERIOD * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reaper_that_stood_still_skips_a_round() {
        assert!(!overslept(PERIOD));
        assert!(overslept(PERIOD * 3));
    }
}
