use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Uri};
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::*;
use crate::problem::ProblemCode;

/// Serves on a free port for as long as the test's runtime lives.
async fn serve(router: Router) -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Client::new(&format!("http://{address}/")).unwrap()
}

fn run(state: &str) -> Value {
    json!({"id": 7, "task": "t", "task_type": "builtin", "state": state, "trigger": "manual",
        "planned_at": null, "queued_at": "2026-01-01T00:00:00Z", "started_at": null,
        "finished_at": null, "attempt": 0, "max_attempts": 3, "epoch": null, "input": {"n": 1.50},
        "result": null, "error": null, "wait_ms": null, "duration_ms": null,
        "log": {"bytes": 0, "truncated": false}})
}

#[tokio::test]
async fn an_answer_is_read_and_kept_word_for_word() {
    let body = serde_json::to_string(&run("queued"))
        .unwrap()
        .replace("1.5}", "1.50}");
    let said = body.clone();
    let router = Router::new().route("/api/v1/runs/7", get(move || async move { said }));
    let answer = serve(router).await.run(RunId(7)).await.unwrap();
    assert_eq!(answer.value.state, autom8_model::RunState::Queued);
    assert_eq!(answer.text, body);
}

#[tokio::test]
async fn a_refusal_is_its_problem_and_another_answer_is_not_mistaken_for_one() {
    let problem = || async {
        let status = axum::http::StatusCode::NOT_FOUND;
        (status, Json(Problem::not_found("task `x`"))).into_response()
    };
    let page = || async { (axum::http::StatusCode::BAD_GATEWAY, "<html>").into_response() };
    let router = Router::new()
        .route("/api/v1/tasks/x", get(problem))
        .route("/api/v1/tasks/y", get(page))
        .route("/api/v1/tasks/z", get(|| async { "hello" }));
    let client = serve(router).await;
    match client.task("x").await.unwrap_err() {
        ClientError::Refused(problem) => {
            assert_eq!(problem.code, ProblemCode::NotFound);
            assert_eq!(problem.message, "task `x` does not exist");
        }
        other => panic!("{other:?}"),
    }
    for (name, expected) in [("y", 502), ("z", 200)] {
        match client.task(name).await.unwrap_err() {
            ClientError::Unreadable { status, .. } => assert_eq!(status, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_name_cannot_leave_its_place_in_the_path() {
    async fn echo(uri: Uri) -> impl IntoResponse {
        let status = axum::http::StatusCode::CONFLICT;
        (status, Json(Problem::conflict(uri.path())))
    }
    let client = serve(Router::new().fallback(any(echo))).await;
    for (name, path) in [
        ("../runs", "/api/v1/tasks/..%2Fruns"),
        ("a?b#c", "/api/v1/tasks/a%3Fb%23c"),
        ("ä", "/api/v1/tasks/%C3%A4"),
    ] {
        let error = client.task(name).await.unwrap_err();
        assert_eq!(error.to_string(), path);
    }
}

#[tokio::test]
async fn filters_and_pages_are_sent_only_if_they_are_given() {
    async fn echo(uri: Uri) -> impl IntoResponse {
        let status = axum::http::StatusCode::CONFLICT;
        (
            status,
            Json(Problem::conflict(uri.query().unwrap_or("none"))),
        )
    }
    let client = serve(Router::new().fallback(any(echo))).await;
    let sent = client
        .runs(&RunQuery::default())
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(sent, "none");
    let query = RunQuery {
        task: Some("a".into()),
        since: Some(Timestamp::from_seconds(0)),
        page: PageQuery {
            limit: Some(3),
            cursor: None,
        },
        ..RunQuery::default()
    };
    let sent = client.runs(&query).await.unwrap_err().to_string();
    assert_eq!(sent, "task=a&since=1970-01-01T00%3A00%3A00Z&limit=3");
}

#[tokio::test]
async fn nobody_there_is_told_from_a_server_that_breaks_off() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = Client::new(&format!("http://{address}")).unwrap();
    // Takes the connection and hangs up.
    let hang_up = std::thread::spawn(move || drop(listener.accept()));
    let error = client.scheduler().await.unwrap_err();
    assert!(
        matches!(error, ClientError::Interrupted { .. }),
        "{error:?}"
    );
    hang_up.join().unwrap();
    let error = client.scheduler().await.unwrap_err();
    assert!(
        matches!(error, ClientError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn addresses_that_are_none_are_refused_with_an_example() {
    for server in ["", "127.0.0.1:5000", "ftp://x", "http://x/?y", "unix:"] {
        let error = Client::new(server).unwrap_err();
        assert!(matches!(error, ClientError::Address { .. }), "{server}");
    }
    let error = Client::new("localhost").unwrap_err().to_string();
    assert!(error.contains(DEFAULT_SERVER), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_spoken_to_like_a_port() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("autom8.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let router = Router::new().route(
        "/api/v1/runs/{id}/cancel",
        post(|| async { Json(run("cancelled")) }),
    );
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let client = Client::new(&format!("unix:{}", path.display())).unwrap();
    let answer = client.cancel_run(RunId(7)).await.unwrap();
    assert_eq!(answer.value.state, autom8_model::RunState::Cancelled);
}

/// Sends a few events and hangs up; `Last-Event-ID` says where to go on.
async fn broken_log(
    State(connections): State<Arc<AtomicUsize>>,
    Path(_): Path<i64>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> impl IntoResponse {
    connections.fetch_add(1, Ordering::SeqCst);
    assert_eq!(query, [("follow".to_owned(), "1".to_owned())]);
    let from = headers
        .get("last-event-id")
        .map_or(0, |id| id.to_str().unwrap().parse().unwrap());
    let next: u32 = from + 1;
    match next {
        1..=3 => format!(
            "id: {next}\nevent: log\ndata: {{\"attempt\":1,\"offset\":0,\"text\":\"line {next}\"}}\n\n\
             event: later\ndata: unknown\n\nid: 99\ndata: half"
        ),
        4 => "event: end\ndata: {\"state\":\"completed\"}\n\n".to_owned(),
        _ => panic!("half an event moved the position to {from}"),
    }
}

#[tokio::test]
async fn a_log_is_followed_across_broken_connections_without_gap_or_repetition() {
    let connections = Arc::new(AtomicUsize::new(0));
    let router = Router::new()
        .route("/api/v1/runs/{id}/log", get(broken_log))
        .with_state(Arc::clone(&connections));
    let mut follower = serve(router).await.follow_log(RunId(7));
    let mut lines = Vec::new();
    let end = loop {
        match follower.next().await.unwrap() {
            LogEvent::Chunk(chunk) => lines.push(chunk.text),
            LogEvent::End(end) => break end,
        }
    };
    assert_eq!(end.state, autom8_model::RunState::Completed);
    assert_eq!(lines, ["line 1", "line 2", "line 3"]);
    assert_eq!(connections.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_problem_in_the_middle_of_a_log_is_the_servers_answer() {
    let problem = serde_json::to_string(&Problem::internal()).unwrap();
    let body = format!("event: problem\ndata: {problem}\n\n");
    let router = Router::new().route("/api/v1/runs/7/log", get(|| async { body }));
    let error = serve(router)
        .await
        .follow_log(RunId(7))
        .next()
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Refused(_)), "{error:?}");
}

#[tokio::test]
async fn a_log_that_never_brings_anything_is_given_up() {
    let router = Router::new().route("/api/v1/runs/7/log", get(|| async { ": nothing\n\n" }));
    let error = serve(router)
        .await
        .follow_log(RunId(7))
        .next()
        .await
        .unwrap_err();
    assert!(
        matches!(error, ClientError::Interrupted { .. }),
        "{error:?}"
    );
}

/// Lets no time pass, and notes how much would have.
#[derive(Debug, Default)]
struct Noted(std::sync::Mutex<Vec<Duration>>);

impl Patience for Noted {
    fn wait<'a>(
        &'a self,
        _: &'a ClientError,
        pause: Duration,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.0.lock().unwrap().push(pause);
        Box::pin(std::future::ready(()))
    }
}

fn limited(retry_after: &'static str) -> axum::response::Response {
    let status = axum::http::StatusCode::TOO_MANY_REQUESTS;
    let problem = Problem::new(ProblemCode::RateLimited, "too many");
    (status, [("retry-after", retry_after)], Json(problem)).into_response()
}

#[tokio::test]
async fn a_limit_is_waited_out_and_the_request_comes_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    async fn handler(State(asked): State<Arc<AtomicUsize>>) -> axum::response::Response {
        match asked.fetch_add(1, Ordering::SeqCst) {
            0 => limited("7"),
            1 => limited("soon"),
            _ => Json(run("queued")).into_response(),
        }
    }
    let router = Router::new()
        .fallback(any(handler))
        .with_state(Arc::clone(&asked));
    let noted = Arc::new(Noted::default());
    let client = serve(router).await.with_patience(noted.clone());
    client.pause_task("x").await.unwrap_err();
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    let pauses = noted.0.lock().unwrap().clone();
    assert_eq!(pauses, [7, 1].map(Duration::from_secs));
}

#[tokio::test]
async fn a_limit_that_does_not_end_or_is_long_is_told_at_once() {
    async fn never(State(asked): State<Arc<AtomicUsize>>, uri: Uri) -> axum::response::Response {
        asked.fetch_add(1, Ordering::SeqCst);
        limited(if uri.path().ends_with("/8") {
            "3600"
        } else {
            "1"
        })
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let router = Router::new()
        .fallback(any(never))
        .with_state(Arc::clone(&asked));
    let impatient = serve(router).await;
    let patient = impatient.clone().with_patience(Arc::new(Noted::default()));
    for (client, run, tries) in [(&impatient, 7, 1), (&patient, 8, 1), (&patient, 7, 5)] {
        asked.store(0, Ordering::SeqCst);
        let error = client.run(RunId(run)).await.unwrap_err();
        let ClientError::Refused(problem) = error else {
            panic!("{error:?}");
        };
        assert_eq!(problem.code, ProblemCode::RateLimited);
        assert_eq!(asked.load(Ordering::SeqCst), tries);
    }
}

/// Reads a request and hangs up, as often as `breaks` says; after that it answers. Gives the
/// requests it has read.
fn breaking_server(breaks: usize, tries: usize) -> (String, std::thread::JoinHandle<Vec<String>>) {
    use std::io::{BufRead as _, BufReader, Write as _};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for attempt in 0..tries {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(&stream);
            let mut request = String::new();
            while !request.ends_with("\r\n\r\n") {
                reader.read_line(&mut request).unwrap();
            }
            requests.push(request);
            if attempt >= breaks {
                let body = run("queued").to_string();
                write!(
                    &stream,
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                )
                .unwrap();
            }
        }
        requests
    });
    (server, thread)
}

fn header_of<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

#[tokio::test]
async fn a_write_that_may_have_happened_comes_again_under_the_same_idempotency_key() {
    let (server, requests) = breaking_server(2, 3);
    let client = Client::new(&server).unwrap();
    let client = client.with_patience(Arc::new(Noted::default()));
    client.run_task("t", &RunRequest::default()).await.unwrap();
    let requests = requests.join().unwrap();
    let keys: Vec<_> = requests
        .iter()
        .map(|request| header_of(request, "idempotency-key").unwrap())
        .collect();
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    let (server, requests) = breaking_server(0, 1);
    let client = Client::new(&server).unwrap();
    client.run_task("t", &RunRequest::default()).await.unwrap();
    let another = requests.join().unwrap();
    assert_ne!(header_of(&another[0], "idempotency-key"), Some(keys[0]));
}

#[tokio::test]
async fn a_write_that_could_happen_twice_is_left_to_the_caller() {
    let (server, requests) = breaking_server(1, 1);
    let client = Client::new(&server).unwrap();
    let client = client.with_patience(Arc::new(Noted::default()));
    let error = client.remove_task("t").await.unwrap_err();
    assert!(
        matches!(error, ClientError::Interrupted { .. }),
        "{error:?}"
    );
    let requests = requests.join().unwrap();
    assert_eq!(header_of(&requests[0], "idempotency-key"), None);
}

#[tokio::test]
async fn a_key_is_shown_to_the_server_and_to_nobody_else() {
    let key = Secret::new([7; 32]);
    let wanted = format!("Bearer {}", key.as_str());
    let check = move |headers: HeaderMap| async move {
        let shown = headers.get("authorization").unwrap();
        assert_eq!(shown, &wanted);
        let status = axum::http::StatusCode::UNAUTHORIZED;
        let problem = Problem::new(ProblemCode::Unauthenticated, "not known here");
        (status, Json(problem))
    };
    let client = serve(Router::new().fallback(any(check))).await;
    let client = client.with_key(&key, "AUTOM8_API_KEY", false).unwrap();
    let error = client.run(RunId(7)).await.unwrap_err();
    for text in [
        format!("{client:?}"),
        format!("{error:?}"),
        error.to_string(),
    ] {
        assert!(!text.contains(key.as_str()), "{text}");
    }
    let told = error.to_string();
    assert!(
        told.contains(key.shown()) && told.contains("from AUTOM8_API_KEY"),
        "{told}"
    );
}

#[test]
fn a_key_is_not_sent_where_others_can_read_it_unless_that_is_said() {
    let key = Secret::new([7; 32]);
    let far = Client::new("http://autom8.example.org").unwrap();
    let refused = far.clone().with_key(&key, "x", false).unwrap_err();
    assert!(
        matches!(refused, ClientError::Exposed { .. }) && !refused.to_string().contains("a8_"),
        "{refused}"
    );
    far.with_key(&key, "x", true).unwrap();
    let encrypted = Client::new("https://autom8.example.org").unwrap();
    encrypted.with_key(&key, "x", false).unwrap();
}
