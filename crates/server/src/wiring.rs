//! The one place where the parts are put together.

use std::fs::DirBuilder;
use std::io;
use std::num::NonZeroU32;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use autom8_config::{Config, Durability, HostName, Listen};
use autom8_engine::executors::{
    BuiltinExecutor, HttpExecutor, Network, NetworkPolicy, ProcessConfig, ProcessExecutor,
};
use autom8_engine::{Engine, EngineConfig, EngineParts, Executor};
use autom8_model::{BootId, Clock, Monotonic, Random};
use autom8_performance::rate_limit::Quota;
use autom8_store::error::OpenError;
use autom8_store::sqlite::{self, SqliteOptions, SqliteStore};
use autom8_store::{RetentionPolicy, Store};
use axum::Router;
use tokio::task::JoinHandle;

use crate::builtins::{self, BuiltinParts, Measured};
use crate::contact_cache::ContactCache;
use crate::lifecycle::{Lifecycle, ServeError};
use crate::middleware::Edge;
use crate::middleware::credentials::{Reach, StoredKeys};
use crate::middleware::host_guard::HostGuard;
use crate::middleware::idempotency::Repeats;
use crate::middleware::key_use::KeyUse;
use crate::middleware::lanes::{Lanes, MONITORING_IN_FLIGHT_MAX, ORDINARY_IN_FLIGHT_MAX};
use crate::middleware::rate_limit::Limits;
use crate::pruner::{Pace, Pruner};
use crate::router;
use crate::routes::health::HealthBody;
use crate::state::{AppState, Parts};
use crate::telemetry::{SamplerGuard, Telemetry};

/// Inputs of running processes, each in a file that its process may read; in the data directory.
const INPUT_DIRECTORY: &str = "inputs";

/// What is there before anything runs.
pub(crate) struct Foundation {
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) store: Arc<dyn Store>,
}

/// A running server, but for its socket.
pub(crate) struct Running {
    pub(crate) state: AppState,
    /// Samples until it is dropped.
    pub(crate) sampler: SamplerGuard,
    /// Ends when the life cycle begins to stop.
    pub(crate) pruning: JoinHandle<()>,
    /// The same, with a last write of its own.
    pub(crate) noting_keys: JoinHandle<()>,
}

/// Starts the engine and what measures it. `started` is when the process began to start.
///
/// # Errors
/// [`ServeError::Thread`], [`ServeError::RateLimit`].
pub(crate) fn start(foundation: Foundation, started: Monotonic) -> Result<Running, ServeError> {
    let Foundation {
        config,
        clock,
        telemetry,
        store,
    } = foundation;
    let config = Arc::new(config);
    let limits = limits(&config)?;
    if let Some(limits) = &limits {
        telemetry.watch_limits(Arc::clone(limits));
    }
    let contacts = Arc::new(ContactCache::new(
        config.cache.contacts.0,
        config.cache.contact_lists.0,
        Random::from_os().next_u64(),
    ));
    telemetry.watch_contacts(Arc::clone(&contacts));
    let sampler = telemetry
        .start_sampler(
            Arc::clone(&store),
            &config.storage.directory,
            config.telemetry.sample_interval,
        )
        .map_err(ServeError::Thread)?;
    let engine = Engine::start(
        EngineConfig {
            slots: config.executors.slots as usize,
            ..EngineConfig::default()
        },
        EngineParts {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            executors: executors(&config, &store, &clock, &telemetry),
            observer: telemetry.engine_observer(),
        },
    );
    let state = AppState::new(Parts {
        health: HealthBody::new(&config.server.environment),
        started_at: clock.now().minus(clock.monotonic().since(started)),
        started,
        lifecycle: Arc::new(Lifecycle::default()),
        contacts,
        limits,
        key_use: Arc::default(),
        config,
        store,
        engine,
        clock,
        telemetry,
    });
    let pruner = Pruner::new(
        Arc::clone(&state.store),
        Arc::clone(&state.clock),
        &state.config,
    );
    let pruning = tokio::spawn(pruner.keep_pruning(
        Pace::USUAL,
        Arc::clone(&state.telemetry),
        state.lifecycle.stopping().clone(),
    ));
    let noting_keys = tokio::spawn(KeyUse::keep_writing(
        Arc::clone(&state.key_use),
        Arc::clone(&state.store),
        state.lifecycle.stopping().clone(),
    ));
    Ok(Running {
        state,
        sampler,
        pruning,
        noting_keys,
    })
}

fn limits(config: &Config) -> Result<Option<Arc<Limits>>, ServeError> {
    let security = &config.security;
    if !security.rate_limit_enabled {
        return Ok(None);
    }
    let limit = security.rate_limit_default;
    // Both are checked to be more than 0 where they are read.
    let requests = NonZeroU32::new(limit.requests).unwrap_or(NonZeroU32::MIN);
    let burst = security
        .rate_limit_burst
        .and_then(NonZeroU32::new)
        .unwrap_or(requests);
    let quota = Quota::new(requests, limit.period, burst).map_err(ServeError::RateLimit)?;
    Ok(Some(Limits::new(quota, Random::from_os().next_u64())))
}

fn executors(
    config: &Arc<Config>,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    telemetry: &Arc<Telemetry>,
) -> Vec<Arc<dyn Executor>> {
    let policy = NetworkPolicy {
        // Whoever may call the API without a key can reach these addresses without it, too.
        open_private: config.server.listen.is_local(),
        allow_networks: config
            .executors
            .http
            .allow_networks
            .iter()
            // Both crates write networks alike, and neither may use the other.
            .filter_map(|network| network.to_string().parse::<Network>().ok())
            .collect(),
    };
    let process = ProcessConfig {
        enabled: config.executors.process.enabled,
        input_directory: config.storage.directory.join(INPUT_DIRECTORY),
    };
    let telemetry = Arc::clone(telemetry);
    let builtins = builtins::all(BuiltinParts {
        store: Arc::clone(store),
        clock: Arc::clone(clock),
        config: Arc::clone(config),
        measure: Box::new(move || Measured {
            // The published text is what was measured; reading it back costs one report 50 µs.
            system: telemetry
                .published()
                .and_then(|published| serde_json::from_slice(&published.system).ok()),
            window: telemetry.run_window(),
            hour: telemetry.run_hour(),
        }),
    });
    vec![
        Arc::new(HttpExecutor::new(policy)),
        Arc::new(ProcessExecutor::new(process)),
        Arc::new(BuiltinExecutor::new(builtins)),
    ]
}

/// Every route behind its middleware.
pub(crate) fn router(state: &AppState) -> Router {
    let host_guard = match &state.config.server.listen {
        listen if !listen.is_local() => HostGuard::Beyond,
        Listen::Tcp { .. } => HostGuard::Loopback {
            allowed_hosts: state
                .config
                .server
                .allowed_hosts
                .iter()
                .map(HostName::to_string)
                .collect(),
        },
        Listen::Unix(_) => HostGuard::Off,
    };
    let edge = Edge {
        clock: Arc::clone(&state.clock),
        telemetry: Arc::clone(&state.telemetry),
        host_guard,
        lanes: Lanes::new(ORDINARY_IN_FLIGHT_MAX, MONITORING_IN_FLIGHT_MAX),
        reach: Reach::of(&state.config),
        keys: Box::new(StoredKeys(Arc::clone(&state.store))),
        key_use: Arc::clone(&state.key_use),
        limits: state.limits.clone(),
        trusted_proxies: state.config.security.trusted_proxies.clone(),
        repeats: Some(Arc::new(Repeats::new(Arc::clone(&state.store)))),
    };
    router::router(state.clone(), Arc::new(edge))
}

/// An open store, and what opening it had to mend.
pub(crate) struct OpenedStore {
    pub(crate) store: Arc<dyn Store>,
    /// Runs that a crash interrupted, settled by their tasks' rules.
    pub(crate) runs_taken_back: u64,
}

/// Opens the data directory, on a thread that may wait for the disk.
///
/// # Errors
/// [`OpenError`], each with its fix.
pub(crate) async fn open_store(
    config: &Config,
    clock: Arc<dyn Clock>,
    telemetry: &Telemetry,
) -> Result<OpenedStore, OpenError> {
    let options = SqliteOptions {
        directory: config.storage.directory.clone(),
        durability: match config.storage.durability {
            Durability::Full => sqlite::Durability::Full,
            Durability::Normal => sqlite::Durability::Normal,
        },
        boot: BootId(Random::from_os().next_u64()),
        retention: retention(config),
    };
    let directory = options.directory.clone();
    let inputs = config
        .executors
        .process
        .enabled
        .then(|| directory.join(INPUT_DIRECTORY));
    let observer = telemetry.store_observer();
    let opened = tokio::task::spawn_blocking(move || {
        let store = SqliteStore::open(options, clock, observer)?;
        if let Some(path) = inputs {
            make_private_directory(&path).map_err(|error| OpenError::ReadOnly {
                path,
                reason: error.to_string(),
            })?;
        }
        Ok(store)
    });
    let store = opened.await.unwrap_or_else(|error| {
        Err(OpenError::Other {
            path: directory,
            reason: error.to_string(),
        })
    })?;
    let taken_back = store.recovered();
    Ok(OpenedStore {
        store,
        runs_taken_back: taken_back.requeued + taken_back.ended,
    })
}

/// What of the history is kept.
pub(crate) fn retention(config: &Config) -> RetentionPolicy {
    RetentionPolicy {
        age_max: config.retention.age,
        runs_max: config.retention.runs,
        bytes_max: config.retention.bytes.0,
        audit_age_max: config.retention.audit_age,
    }
}

/// Inputs may hold what other users of this machine must not read.
fn make_private_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}
