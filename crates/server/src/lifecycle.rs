//! The life of the process: starting, ready, draining, gone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use autom8_config::{Config, ListenAddress};
use autom8_model::{Clock, Monotonic, SystemClock};
use autom8_performance::rate_limit::QuotaError;
use autom8_store::Store;
use autom8_store::error::OpenError;
use tokio_util::sync::CancellationToken;

use crate::first_key;
use crate::listen::bind::BoundTo;
use crate::listen::{self, ListenError, ListenLimits, Listener};
use crate::telemetry::Telemetry;
use crate::wiring::{self, Foundation, Running};

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

    pub(crate) fn become_ready(&self) {
        self.ready.store(true, Relaxed);
    }

    fn begin_to_stop(&self) {
        self.stopping.cancel();
    }

    /// Fires when the server begins to stop. An answer that streams ends with it.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }
}

/// What a start found and made, for the lines that are printed.
#[derive(Clone, Debug)]
pub struct Announcement {
    pub version: &'static str,
    /// From the beginning of [`serve`] to an open and answered socket.
    pub ready_after: Duration,
    pub bound_to: BoundTo,
    pub data_file: Option<PathBuf>,
    /// E.g. `sqlite`.
    pub store_kind: &'static str,
    pub durability: &'static str,
    pub tasks: u64,
    /// Runs that wait for a slot or for their time.
    pub runs_queued: u64,
    /// Runs that a crash interrupted and this start has settled by their tasks' rules.
    pub runs_taken_back: u64,
    pub process_tasks: bool,
    /// From the first one on, calls need one; there is none only on this machine.
    pub api_keys: usize,
}

/// Why the server does not start, with the fix in the message.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data directory cannot be used. Exit code 1.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The socket cannot be opened. Exit code 1.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The configuration asks for what is not safe. Exit code 2.
    #[error(
        "refusing to listen on {address}: whoever reaches it could run tasks, since this server has no API key.\n  \
         Fix: make one first (autom8 keys add NAME --scope admin, with the same --data), have the start take one in \
         (AUTOM8_API_KEY_FILE=FILE), or listen on this machine only (autom8 serve --listen 127.0.0.1)"
    )]
    BeyondLoopback { address: SocketAddr },
    /// The file of the first key cannot be used. Exit code 2.
    #[error("cannot take in the first API key from {}: {why}", path.display())]
    FirstKey { path: PathBuf, why: String },
    /// The limit cannot be kept to. Exit code 2.
    #[error("security.rate_limit_default with security.rate_limit_burst cannot be kept to: {0}")]
    RateLimit(QuotaError),
    /// The system gives no more threads. Exit code 1.
    #[error(
        "cannot start a thread: {0}.\n  Fix: raise the limit of processes and threads of this user (ulimit -u)"
    )]
    Thread(std::io::Error),
}

/// Opens the store and serves until `stop` is ready; then ends what was begun and closes.
///
/// `announce` is called once, when the first request would be answered. The runtime is the
/// caller's: a multi-threaded one with as many workers as cores; the store brings threads of its
/// own, and nothing here blocks a worker.
///
/// # Errors
/// [`ServeError`], before anything was served.
pub async fn serve(
    config: Config,
    announce: impl FnOnce(&Announcement),
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let started = clock.monotonic();
    let telemetry = Telemetry::new(Arc::clone(&clock));
    let opened = wiring::open_store(&config, Arc::clone(&clock), &telemetry).await?;
    let listener = match open_door(&config, opened.store.as_ref()).await {
        Ok(listener) => listener,
        Err(error) => {
            opened.store.close().await;
            return Err(error);
        }
    };
    let foundation = Foundation {
        config,
        clock,
        telemetry,
        store: opened.store,
    };
    let taken_back = opened.runs_taken_back;
    serve_on(listener, foundation, started, taken_back, announce, stop).await
}

/// Opens the socket once it is safe to.
async fn open_door(config: &Config, store: &dyn Store) -> Result<Listener, ServeError> {
    if let Some(path) = &config.security.api_key_file {
        let taken = first_key::take_in(path, store).await;
        taken.map_err(|why| ServeError::FirstKey {
            path: path.clone(),
            why,
        })?;
    }
    let address = config.server.address();
    let is_local = config.server.listen.is_local();
    refuse_open_door(&address, is_local, store.has_keys())?;
    if config.server.is_production() && !store.has_keys() {
        tracing::warn!(
            "server.environment is production and there is no API key: whoever has an account on \
             this machine can use this server (autom8 keys add NAME --scope admin)"
        );
    }
    Ok(listen_on(&address).await?)
}

/// Without keys, who can connect can do everything: only this machine may.
fn refuse_open_door(
    address: &ListenAddress,
    is_local: bool,
    has_keys: bool,
) -> Result<(), ServeError> {
    match address {
        ListenAddress::Tcp(address) if !is_local && !has_keys => {
            Err(ServeError::BeyondLoopback { address: *address })
        }
        _ => Ok(()),
    }
}

async fn listen_on(address: &ListenAddress) -> Result<Listener, ListenError> {
    match address {
        ListenAddress::Tcp(address) => Listener::tcp(*address).await,
        ListenAddress::Unix(path) => Listener::unix(path),
    }
}

async fn serve_on(
    listener: Listener,
    foundation: Foundation,
    started: Monotonic,
    runs_taken_back: u64,
    announce: impl FnOnce(&Announcement),
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let bound_to = listener.bound_to();
    let grace = foundation.config.server.shutdown_grace;
    let Running {
        state,
        sampler,
        pruning,
        noting_keys,
    } = wiring::start(foundation, started)?;
    let router = wiring::router(&state);
    let drain = CancellationToken::new();
    let serving = tokio::spawn(listen::serve(
        listener,
        router,
        listen::open_files::with_room(ListenLimits::default()),
        drain.clone(),
        grace,
    ));
    state.lifecycle.become_ready();

    let store = state.store.describe();
    let totals = state.store.totals();
    announce(&Announcement {
        version: env!("CARGO_PKG_VERSION"),
        ready_after: state.clock.monotonic().since(started),
        bound_to,
        data_file: store.path,
        store_kind: store.kind,
        durability: store.durability,
        tasks: totals.tasks,
        runs_queued: totals.queued,
        runs_taken_back,
        process_tasks: state.config.executors.process.enabled,
        api_keys: state.store.keys().len(),
    });

    stop.await;
    tracing::info!(
        grace_s = grace.as_secs_f64(),
        "stopping: what is in flight may end"
    );
    state.lifecycle.begin_to_stop();
    drain.cancel();
    // First, because it ends the streams of figures, which a drain would wait for.
    drop(sampler);
    // Side by side, so that a request and a run share one grace and not two in a row.
    let (drained, ()) = tokio::join!(serving, state.engine.stop(grace));
    if let Ok(drained) = drained
        && drained.aborted > 0
    {
        tracing::warn!(
            connections = drained.aborted,
            "cut off requests that outlasted the grace"
        );
    }
    // They have ended with the beginning of the stop, unless they panicked.
    let _ = tokio::join!(pruning, noting_keys);
    state.store.close().await;
    tracing::info!("stopped");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use autom8_config::{Listen, Network, RateLimit};
    use autom8_model::api_key::Secret;
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;
    use tower::ServiceExt as _;

    #[test]
    fn an_address_beyond_this_machine_is_refused_with_the_fix() {
        for (listen, refused) in [
            ("127.0.0.1", false),
            ("[::1]:8080", false),
            ("unix:a.sock", false),
            ("0.0.0.0", true),
            ("[::]:80", true),
            ("192.0.2.7", true),
        ] {
            let mut config = Config::default();
            config.server.listen = Listen::parse(listen).unwrap();
            let is_local = config.server.listen.is_local();
            let check = |has_keys| refuse_open_door(&config.server.address(), is_local, has_keys);
            assert!(check(true).is_ok(), "{listen}");
            assert_eq!(check(false).is_err(), refused, "{listen}");
            if let Err(error) = check(false) {
                let text = error.to_string();
                for fix in [
                    "autom8 keys add",
                    "AUTOM8_API_KEY_FILE",
                    "--listen 127.0.0.1",
                ] {
                    assert!(text.contains(fix), "{text}");
                }
            }
        }
    }

    /// A server in this process, on a port of its own.
    struct Served {
        address: SocketAddr,
        announcement: Announcement,
        stop: oneshot::Sender<()>,
        task: JoinHandle<Result<(), ServeError>>,
    }

    fn config(directory: &std::path::Path) -> Config {
        let mut config = Config::default();
        config.server.port = 0;
        config.storage.directory = directory.to_owned();
        config
    }

    async fn start(config: Config) -> Served {
        let (announces, announced) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let announce = |found: &Announcement| announces.send(found.clone()).unwrap();
            serve(config, announce, async { stopped.await.unwrap() }).await
        });
        let announcement = announced.await.expect("it starts");
        let BoundTo::Tcp(address) = announcement.bound_to else {
            panic!("not TCP")
        };
        Served {
            address,
            announcement,
            stop,
            task,
        }
    }

    impl Served {
        /// Status and body of one request.
        async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let length = body.len();
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\
                 Content-Length: {length}\r\n\r\n{body}",
                self.address
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            (head[9..12].parse().unwrap(), body.to_owned())
        }

        async fn get(&self, path: &str) -> (u16, serde_json::Value) {
            let (status, body) = self.send("GET", path, "", "").await;
            (status, serde_json::from_str(&body).unwrap_or_default())
        }

        async fn post(&self, path: &str, body: &str) -> (u16, serde_json::Value) {
            let headers = "Content-Type: application/json\r\n";
            let (status, body) = self.send("POST", path, headers, body).await;
            (status, serde_json::from_str(&body).unwrap_or_default())
        }

        async fn stop(self) {
            self.stop.send(()).unwrap();
            self.task.await.unwrap().unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_server_starts_in_an_empty_directory_runs_a_task_and_stops_with_everything_kept() {
        let folder = tempfile::tempdir().unwrap();
        let served = start(config(folder.path())).await;
        assert_eq!(served.announcement.tasks, 0);
        assert_eq!(served.announcement.durability, "full");
        for path in ["/", "/api/v1/health", "/livez", "/readyz", "/api/v1/info"] {
            let (status, body) = served.get(path).await;
            assert_eq!(status, 200, "{path}: {body}");
        }
        let task = r#"{"name": "nothing", "do": {"builtin": "noop"}}"#;
        assert_eq!(served.post("/api/v1/tasks", task).await.0, 201);
        let (status, run) = served.post("/api/v1/tasks/nothing/run", "{}").await;
        assert_eq!(status, 202, "{run}");
        let path = format!("/api/v1/runs/{}", run["id"]);
        while served.get(&path).await.1["state"] != "completed" {}
        let accept = "Accept: text/html\r\n";
        let (status, page) = served.send("GET", "/", accept, "").await;
        assert!(status == 200 && page.contains("completed"), "{page}");
        served.stop().await;

        let again = start(config(folder.path())).await;
        assert_eq!(again.announcement.tasks, 1);
        assert_eq!(
            again.announcement.runs_taken_back, 0,
            "the stop was graceful"
        );
        assert_eq!(again.get(&path).await.1["state"], "completed");
        again.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn readiness_ends_with_the_store_and_with_the_stop_while_the_process_is_alive() {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let telemetry = Telemetry::new(Arc::clone(&clock));
        let config = config(folder.path());
        let opened = wiring::open_store(&config, Arc::clone(&clock), &telemetry)
            .await
            .unwrap();
        let started = clock.monotonic();
        let foundation = Foundation {
            config,
            clock,
            telemetry,
            store: opened.store,
        };
        let Running { state, sampler, .. } = wiring::start(foundation, started).unwrap();
        let router = wiring::router(&state);
        let get = async |path: &str| {
            let mut request = axum::extract::Request::new(axum::body::Body::empty());
            *request.uri_mut() = path.parse().unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(body.to_vec()).unwrap())
        };
        assert_eq!(
            get("/readyz").await,
            (503, r#"{"status":"starting"}"#.to_owned())
        );
        state.lifecycle.become_ready();
        assert_eq!(
            get("/readyz").await,
            (200, r#"{"status":"ready"}"#.to_owned())
        );
        state.store.close().await;
        let (status, body) = get("/readyz").await;
        assert!(
            status == 503 && body.contains("the store does not write"),
            "{status} {body}"
        );
        state.lifecycle.begin_to_stop();
        assert_eq!(
            get("/readyz").await,
            (503, r#"{"status":"draining"}"#.to_owned())
        );
        assert_eq!(get("/livez").await.0, 200);
        drop(sampler);
        state.engine.stop(Duration::ZERO).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_first_key_comes_from_a_file_and_only_once() {
        let folder = tempfile::tempdir().unwrap();
        let (file, data) = (folder.path().join("key"), folder.path().join("data"));
        let secret = |seed| Secret::new([seed; 32]).as_str().to_owned();
        let write = |text: &str, mode| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        };
        let with_file = || {
            let mut config = config(&data);
            config.security.api_key_file = Some(file.clone());
            config
        };
        let get = async |served: &Served, key: &str| {
            let headers = format!("Authorization: Bearer {key}\r\n");
            served.send("GET", "/api/v1/keys", &headers, "").await.0
        };

        write(&secret(1), 0o644);
        let refused = serve(with_file(), |_| panic!("it starts"), std::future::pending()).await;
        let error = refused.unwrap_err();
        assert!(matches!(error, ServeError::FirstKey { .. }), "{error}");

        write(&secret(1), 0o600);
        let served = start(with_file()).await;
        assert_eq!(get(&served, &secret(1)).await, 200);
        assert_eq!(served.get("/api/v1/tasks").await.0, 401);
        assert_eq!(served.get("/api/v1/health").await.0, 200);
        served.stop().await;

        // Another file later makes no other key: keys are made by who has one.
        write(&secret(2), 0o600);
        let again = start(with_file()).await;
        assert_eq!(get(&again, &secret(1)).await, 200);
        assert_eq!(get(&again, &secret(2)).await, 401);
        again.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_address_beyond_this_machine_is_not_bound_without_a_key_and_the_store_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut beyond = config(folder.path());
        beyond.server.listen = Listen::parse("0.0.0.0").unwrap();
        let refused = serve(beyond, |_| panic!("it starts"), std::future::pending()).await;
        assert!(matches!(refused, Err(ServeError::BeyondLoopback { .. })));
        start(config(folder.path())).await.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_client_is_limited_by_the_address_of_its_connection() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        config.security.rate_limit_default = RateLimit::parse("3 per hour").unwrap();
        config.security.trusted_proxies = vec![Network::parse("127.0.0.1").unwrap()];
        let served = start(config).await;
        let get = async |client: &str| {
            let headers = format!("X-Forwarded-For: {client}\r\n");
            served.send("GET", "/api/v1/runs", &headers, "").await.0
        };
        for expected in [200, 200, 200, 429] {
            assert_eq!(get("192.0.2.7").await, expected);
        }
        assert_eq!(get("192.0.2.8").await, 200);
        for _ in 0..10 {
            assert_eq!(served.get("/api/v1/health").await.0, 200);
        }
        let (_, report) = served.get("/api/v1/metrics").await;
        assert_eq!(report["rate_limit"]["policy"], "3 per hour");
        served.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_cannot_start_says_why_and_leaves_the_directory_free() {
        let folder = tempfile::tempdir().unwrap();
        let served = start(config(folder.path())).await;
        let refused = |config| serve(config, |_| panic!("it starts"), std::future::pending());
        let locked = refused(config(folder.path())).await.unwrap_err();
        assert!(
            matches!(locked, ServeError::Store(OpenError::Locked { .. })),
            "{locked}"
        );

        let other = tempfile::tempdir().unwrap();
        let mut busy = config(other.path());
        busy.server.port = served.address.port();
        let error = refused(busy).await.unwrap_err();
        assert!(
            matches!(error, ServeError::Listen(ListenError::Busy { .. })),
            "{error}"
        );
        // The refused one has let go of its data directory.
        start(config(other.path())).await.stop().await;
        served.stop().await;
    }
}
