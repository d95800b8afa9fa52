//! What handlers may reach.

use std::ops::Deref;
use std::sync::Arc;

use autom8_config::Config;
use autom8_engine::Engine;
use autom8_model::{Clock, Monotonic, Timestamp};
use autom8_store::Store;

use crate::contact_cache::ContactCache;
use crate::lifecycle::Lifecycle;
use crate::middleware::key_use::KeyUse;
use crate::middleware::rate_limit::Limits;
use crate::routes::health::HealthBody;
use crate::telemetry::Telemetry;

/// Shared by every request: one count to clone, not one for each part.
#[derive(Clone)]
pub struct AppState(Arc<Parts>);

/// The parts of a running server.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub engine: Arc<Engine>,
    pub clock: Arc<dyn Clock>,
    pub config: Arc<Config>,
    pub telemetry: Arc<Telemetry>,
    pub lifecycle: Arc<Lifecycle>,
    pub health: HealthBody,
    pub contacts: Arc<ContactCache>,
    /// None where the rate limit is off.
    pub limits: Option<Arc<Limits>>,
    pub key_use: Arc<KeyUse>,
    pub started_at: Timestamp,
    pub started: Monotonic,
}

impl AppState {
    pub fn new(parts: Parts) -> Self {
        AppState(Arc::new(parts))
    }

    /// Whole seconds since the start.
    pub fn uptime_seconds(&self) -> u64 {
        self.clock.monotonic().since(self.started).as_secs()
    }
}

impl Deref for AppState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
