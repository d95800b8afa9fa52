//! What handlers may reach.

use std::sync::Arc;

use autom8_config::Config;
use autom8_engine::Engine;
use autom8_model::{Clock, Timestamp};
use autom8_store::Store;

use crate::telemetry::Telemetry;

/// Shared by every request; cheap to clone.
#[derive(Clone)]
pub struct AppState {
    pub store: Arc<dyn Store>,
    pub engine: Arc<Engine>,
    pub clock: Arc<dyn Clock>,
    pub config: Arc<Config>,
    pub telemetry: Arc<Telemetry>,
    pub started_at: Timestamp,
}
