//! Takes back the runs of workers whose lease ran out.
//!
//! Whether this process stood still in between, so that heartbeats could not reach it, the store
//! judges by the time since the last round ([`limits::REAP_GAP_MAX`]): it holds the leases, and can
//! tell when its writer came to ask.

use std::sync::Arc;

use autom8_model::limits;

use crate::engine::Shared;
use crate::observer::EngineObserver as _;
use crate::timer;

pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            () = timer::sleep(limits::REAP_EVERY) => {}
        }
        if let Err(error) = shared.store.reap().await {
            shared
                .observer
                .problem("reaper", &format!("expired leases stay for now: {error}"));
        }
    }
}
