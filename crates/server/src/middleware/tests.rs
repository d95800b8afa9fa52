//! The middleware as a whole: what a client sees of it, and what is counted.

use std::sync::Arc;

use autom8_api::Problem;
use autom8_model::{ApiKey, SystemClock};
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body_util::BodyExt as _;
use tokio::sync::Notify;
use tower::ServiceExt as _;

use super::*;
use crate::router::within;

struct NoKeys;

impl Keys for NoKeys {
    fn by_hash(&self, _: &[u8; 32]) -> Option<Arc<ApiKey>> {
        None
    }

    fn exist(&self) -> bool {
        false
    }
}

fn edge(lanes: Arc<Lanes>) -> Arc<Edge> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    Arc::new(Edge {
        telemetry: Telemetry::new(Arc::clone(&clock)),
        clock,
        host_guard: HostGuard::Loopback {
            allowed_hosts: Vec::new(),
        },
        lanes,
        reach: Reach::Local,
        keys: Box::new(NoKeys),
        key_use: Arc::default(),
        limits: None,
        trusted_proxies: Vec::new(),
        repeats: None,
    })
}

struct Under {
    edge: Arc<Edge>,
    router: Router,
    arrived: Arc<Notify>,
    go_on: Arc<Notify>,
}

fn under(ordinary_max: usize) -> Under {
    let edge = edge(Lanes::new(ordinary_max, 1));
    let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (arrives, goes_on) = (Arc::clone(&arrived), Arc::clone(&go_on));
    let routes = Router::new()
        .route(
            "/items/{id}",
            get(|Path(id): Path<u32>| async move { Json(id) }),
        )
        .route("/echo", post(|body: Bytes| async move { body }))
        .route(
            "/api/v1/runs/batch",
            post(|body: Bytes| async move { body.len().to_string() }),
        )
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("secret of the inside")
                }
            }),
        )
        .route(
            "/conflict",
            get(|| async { ApiProblem::from(Problem::conflict("the name is taken")) }),
        )
        .route(
            "/defect",
            get(|| async { ApiProblem::internal("the row is damaged") }),
        )
        .route(
            "/readyz",
            get(|| async { (StatusCode::SERVICE_UNAVAILABLE, Json("draining")) }),
        )
        .route(
            "/wait",
            get(|| async move {
                arrives.notify_one();
                goes_on.notified().await;
            }),
        );
    Under {
        router: within(routes, Arc::clone(&edge)),
        edge,
        arrived,
        go_on,
    }
}

fn request(method: Method, path: &str) -> Request {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    request
        .headers_mut()
        .insert(header::HOST, "localhost:5000".parse().unwrap());
    request
}

impl Under {
    async fn send(&self, request: Request) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        self.send(request(Method::GET, path)).await
    }
}

async fn text(response: Response) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The body as a problem; its status and request id are those of the head.
async fn problem(response: Response) -> Problem {
    assert_eq!(response.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
    let status = response.status();
    let request_id = response.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let problem: Problem = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(problem.status(), status.as_u16());
    assert_eq!(problem.request_id, Some(request_id));
    problem
}

#[tokio::test]
async fn every_answer_says_its_id_and_its_time() {
    let under = under(8);
    for path in ["/items/1", "/items/x", "/nowhere", "/panic", "/conflict"] {
        let response = under.get(path).await;
        for name in ["x-request-id", "x-response-time", "server-timing"] {
            assert!(response.headers().contains_key(name), "{path} {name}");
        }
    }
    let mut given = request(Method::GET, "/nowhere");
    given
        .headers_mut()
        .insert("x-request-id", "order-7".parse().unwrap());
    assert_eq!(
        problem(under.send(given).await).await.request_id.as_deref(),
        Some("order-7")
    );
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_that_says_where_to_look() {
    let under = under(8);
    let missing = problem(under.get("/nowhere").await).await;
    assert_eq!(
        (missing.status(), missing.code),
        (404, ProblemCode::NotFound)
    );
    assert!(missing.message.contains("/nowhere") && missing.message.contains("GET /"));

    let response = under.send(request(Method::DELETE, "/items/1")).await;
    assert_eq!(response.headers()[header::ALLOW], "GET,HEAD");
    assert_eq!(problem(response).await.code, ProblemCode::MethodNotAllowed);
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let under = under(8);
    let response = under.send(request(Method::HEAD, "/items/12345")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()[header::CONTENT_LENGTH], "5");
    assert_eq!(text(response).await, "");
}

#[tokio::test]
async fn what_axum_refuses_by_itself_becomes_a_problem_and_json_stays() {
    let under = under(8);
    assert_eq!(problem(under.get("/items/x").await).await.status(), 400);
    let ready = under.get("/readyz").await;
    assert_eq!(ready.status(), 503);
    assert_eq!(text(ready).await, r#""draining""#);
}

#[tokio::test]
async fn a_panic_is_a_500_that_keeps_the_inside_inside_and_is_noted() {
    let under = under(8);
    for (path, cause) in [
        ("/panic", "secret of the inside"),
        ("/defect", "the row is damaged"),
    ] {
        let response = under.get(path).await;
        assert_eq!(response.status(), 500);
        let problem = problem(response).await;
        assert_eq!(problem.code, ProblemCode::Internal);
        assert!(!serde_json::to_string(&problem).unwrap().contains(cause));
        let noted = under.edge.telemetry.recent_errors(1);
        assert!(noted[0].message.contains(cause), "{noted:?}");
        assert_eq!(noted[0].source, format!("GET {path}"));
        assert_eq!(noted[0].request_id, problem.request_id);
    }
    // The server goes on.
    assert_eq!(under.get("/items/1").await.status(), 200);
}

#[tokio::test]
async fn a_full_lane_sheds_and_monitoring_has_its_own() {
    let under = Arc::new(under(1));
    let busy = Arc::clone(&under);
    let waiting = tokio::spawn(async move { busy.get("/wait").await.status() });
    under.arrived.notified().await;
    assert_eq!(under.edge.telemetry.in_flight.count(), 1);

    let shed = under.get("/items/1").await;
    assert_eq!(shed.headers()[header::RETRY_AFTER], "1");
    assert_eq!(problem(shed).await.code, ProblemCode::Overloaded);
    // The monitoring lane answers, with what its handler says.
    assert_eq!(text(under.get("/readyz").await).await, r#""draining""#);

    under.go_on.notify_one();
    assert_eq!(waiting.await.unwrap(), 200);
    assert_eq!(under.get("/items/1").await.status(), 200);
    assert_eq!(under.edge.telemetry.in_flight.count(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_back() {
    let under = under(1);
    {
        let leaving = under.get("/wait");
        tokio::pin!(leaving);
        tokio::select! {
            biased;
            _ = &mut leaving => panic!("it waits"),
            () = under.arrived.notified() => {}
        }
    }
    assert_eq!(under.get("/items/1").await.status(), 200);
    assert_eq!(under.edge.telemetry.in_flight.count(), 0);
}

#[tokio::test]
async fn a_body_beyond_its_limit_is_refused_whether_announced_or_not() {
    let under = under(8);
    let over = usize::try_from(body_limit::BODY_BYTES_MAX).unwrap() + 1;
    let post = |path: &str, body: Body| {
        let mut request = request(Method::POST, path);
        *request.body_mut() = body;
        request
    };
    let mut announced = post("/echo", Body::from(vec![b'x'; over]));
    announced
        .headers_mut()
        .insert(header::CONTENT_LENGTH, over.into());
    let refused = problem(under.send(announced).await).await;
    assert_eq!(
        (refused.status(), refused.code),
        (413, ProblemCode::TooLarge)
    );

    let chunks =
        (0..over.div_ceil(64 * 1024)).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 64 * 1024]));
    let unannounced = post(
        "/echo",
        Body::from_stream(futures_util::stream::iter(chunks)),
    );
    assert_eq!(
        problem(under.send(unannounced).await).await.code,
        ProblemCode::TooLarge
    );

    // A batch may be larger, also than the limit that axum has of its own (2 MB).
    let batch = post("/api/v1/runs/batch", Body::from(vec![b'x'; 4 * over]));
    assert_eq!(text(under.send(batch).await).await, (4 * over).to_string());
}

#[tokio::test]
async fn a_foreign_host_or_origin_never_reaches_a_handler() {
    let under = under(8);
    let mut rebound = request(Method::GET, "/items/1");
    rebound
        .headers_mut()
        .insert(header::HOST, "evil.example".parse().unwrap());
    assert_eq!(
        problem(under.send(rebound).await).await.code,
        ProblemCode::Forbidden
    );
    let mut crossing = request(Method::POST, "/echo");
    crossing
        .headers_mut()
        .insert(header::ORIGIN, "https://evil.example".parse().unwrap());
    assert_eq!(
        problem(under.send(crossing).await).await.code,
        ProblemCode::Forbidden
    );
}

#[tokio::test]
async fn requests_are_counted_by_template_and_never_by_path() {
    let under = under(8);
    for id in 0..50 {
        assert_eq!(
            under
                .get(&format!("/items/{id}"))
                .await
                .into_response()
                .status(),
            200
        );
        assert_eq!(under.get(&format!("/scan/{id}.php")).await.status(), 404);
    }
    let series: Vec<(String, u64)> = under
        .edge
        .telemetry
        .routes
        .recorder
        .all()
        .iter()
        .map(|series| (series.key().to_owned(), series.totals().count))
        .collect();
    assert!(
        series.contains(&("GET /items/{id}".to_owned(), 50)),
        "{series:?}"
    );
    assert_eq!(series.len(), 2, "{series:?}");
}
