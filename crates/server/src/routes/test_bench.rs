//! A whole server but for its socket, for the tests of handlers: the real store in a folder of its
//! own, the real engine, and every route behind its middleware.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use autom8_config::Config;
use autom8_model::{Clock, SystemClock};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::state::AppState;
use crate::telemetry::Telemetry;
use crate::wiring::{self, Foundation, Running};

/// Longer than anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Bench {
    running: Running,
    router: Router,
    pub(crate) folder: TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }

    /// The JSON of an answer that is expected.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()
    }

    /// The message of a problem that is expected, which has everything a problem has to have.
    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16) -> String {
        let problem = self.expect(status);
        assert_eq!(
            self.headers[header::CONTENT_TYPE],
            "application/problem+json"
        );
        assert_eq!(problem["status"], status, "{problem}");
        for text in ["type", "title", "code", "request_id", "error", "message"] {
            assert!(problem[text].is_string(), "{text} in {problem}");
        }
        if status == 400 {
            assert!(problem["errors"][0]["path"].is_string(), "{problem}");
        }
        problem["message"].as_str().unwrap().to_owned()
    }
}

/// A client that leaves at so many waits of its request, unless it was answered before.
pub(crate) async fn leaving_at<T>(waits: usize, request: impl Future<Output = T>) -> Option<T> {
    let mut request = std::pin::pin!(request);
    let mut left = waits;
    std::future::poll_fn(|context| match request.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending if left <= 1 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

impl Bench {
    pub(crate) async fn start() -> Bench {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(set: impl FnOnce(&mut Config)) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.storage.directory = folder.path().join("data");
        set(&mut config);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let started = clock.monotonic();
        let telemetry = Telemetry::new(Arc::clone(&clock));
        let opened = wiring::open_store(&config, Arc::clone(&clock), &telemetry)
            .await
            .unwrap();
        let foundation = Foundation {
            config,
            clock,
            telemetry,
            store: opened.store,
        };
        let running = wiring::start(foundation, started).unwrap();
        let router = wiring::router(&running.state);
        Bench {
            running,
            router,
            folder,
        }
    }

    pub(crate) fn state(&self) -> &AppState {
        &self.running.state
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, Some(body)).await
    }

    /// Sends JSON, or no body at all.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_owned()));
        self.send_request(request.body(body).unwrap()).await
    }

    pub(crate) async fn send_request(&self, request: Request<Body>) -> Answer {
        let response = self.open(request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            bytes,
        }
    }

    /// An answer whose body is still to come.
    pub(crate) async fn open(&self, mut request: Request<Body>) -> Response<Body> {
        let host = header::HeaderValue::from_static("127.0.0.1:5000");
        request.headers_mut().insert(header::HOST, host);
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Ends once the writes that were waiting before it have: it is one of them itself.
    pub(crate) async fn write_behind(&self) {
        let state = self.state();
        let nobody = vec![(autom8_model::KeyId(0), state.clock.now())];
        state.store.touch_keys(nobody).await.unwrap();
    }

    /// Creates a task from its fields after the name.
    pub(crate) async fn create(&self, name: &str, fields: &str) {
        let body = format!(r#"{{"name":"{name}",{fields}}}"#);
        self.post("/api/v1/tasks", &body).await.expect(201);
    }

    /// Posts a line of JSON for each thing.
    pub(crate) async fn lines(&self, path: &str, body: &str) -> Answer {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .body(Body::from(body.to_owned()))
            .unwrap();
        self.send_request(request).await
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Answer {
        self.send("PUT", path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &str) -> Answer {
        self.send("PATCH", path, Some(body)).await
    }

    /// Creates a contact.
    pub(crate) async fn contact(&self, body: &Value) -> Value {
        self.post("/api/v1/contacts", &body.to_string())
            .await
            .expect(201)
    }

    /// As many contacts, in the order of their names `c00`, `c01`, ….
    pub(crate) async fn contacts(&self, count: usize) {
        let contact = |n| json!({"name": format!("c{n:02}"), "phone": format!("+4420794{n:05}")});
        let all: Vec<Value> = (0..count).map(contact).collect();
        let body = json!(all).to_string();
        self.post("/api/v1/contacts/batch", &body).await.expect(200);
    }

    /// The run once it has ended.
    pub(crate) async fn ended(&self, run: i64) -> Value {
        let path = format!("/api/v1/runs/{run}");
        self.until(&path, |run| {
            !matches!(run["state"].as_str(), Some("queued" | "running"))
        })
        .await
    }

    /// The answer to a GET, once it is as it should be.
    pub(crate) async fn until(&self, path: &str, good: impl Fn(&Value) -> bool) -> Value {
        let clock = &self.state().clock;
        let started = clock.monotonic();
        loop {
            let answer = self.get(path).await.expect(200);
            if good(&answer) {
                return answer;
            }
            assert!(
                clock.monotonic().since(started) < PATIENCE,
                "{path} stays {answer}"
            );
            autom8_engine::timer::sleep(Duration::from_millis(5)).await;
        }
    }
}
