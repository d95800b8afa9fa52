//! Real requests to a server on loopback that answers as it is told.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::executors::one_run::{context, log_text, with_input};
use crate::timer;

/// A server that closes each connection after one answer.
struct Site {
    address: std::net::SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

#[derive(Clone, Debug, Default)]
struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Site {
    async fn answering(answer: impl Fn(&Request) -> String + Send + Sync + 'static) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let seen = requests.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read_request(&mut stream).await;
                let answer = answer(&request);
                seen.lock().push(request);
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Site { address, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn seen(&self) -> Vec<Request> {
        self.requests.lock().clone()
    }
}

async fn read_request(stream: &mut TcpStream) -> Request {
    let mut bytes = Vec::new();
    let mut request = Request::default();
    loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.unwrap_or(0);
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            request.line = lines.next().unwrap_or_default().to_owned();
            request.headers = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect();
            request.body = body.to_owned();
            let length = request
                .header("content-length")
                .map_or(0, |text| text.parse().unwrap());
            if body.len() >= length {
                return request;
            }
        }
        if read == 0 {
            return request;
        }
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

fn open() -> HttpExecutor {
    HttpExecutor::new(NetworkPolicy {
        open_private: true,
        ..NetworkPolicy::default()
    })
}

async fn get(url: &str) -> Ended {
    open().execute(context(json!({"http": {"url": url}}))).await
}

fn result(ended: &Ended) -> Value {
    match ended {
        Ended::Completed {
            result: Some(result),
        }
        | Ended::Failed {
            result: Some(result),
            ..
        } => serde_json::from_slice(result).unwrap(),
        other => panic!("no result: {other:?}"),
    }
}

fn failure(ended: Ended) -> (String, RetryAdvice) {
    match ended {
        Ended::Failed { error, retry, .. } => (error, retry),
        other => panic!("no failure: {other:?}"),
    }
}

#[tokio::test]
async fn a_2xx_completes_with_status_headers_and_body_and_the_text_is_logged() {
    let site = Site::answering(|_| {
        answer(
            "201 Created",
            "content-type: application/json\r\nset-cookie: a=b\r\n",
            r#"{"id":7}"#,
        )
    })
    .await;
    let context = context(json!({"http": {"method": "POST", "url": site.url("/x?secret=1")}}));
    let ended = open().execute(context.clone()).await;
    assert!(matches!(ended, Ended::Completed { .. }), "{ended:?}");
    assert_eq!(
        result(&ended),
        json!({"status": 201, "headers": {"content-type": "application/json"}, "body": {"id": 7}})
    );
    let log = log_text(&context);
    assert!(
        log.contains("answered 201 Created") && log.contains(r#"{"id":7}"#),
        "{log}"
    );
    assert!(!log.contains("secret"), "{log}");
}

#[tokio::test]
async fn an_attempt_says_which_run_it_is_and_sends_its_input() {
    let site = Site::answering(|_| answer("200 OK", "", "")).await;
    let action = json!({"http": {"method": "POST", "url": site.url("/hook"),
        "headers": {"Authorization": "Bearer t"}}});
    let context = with_input(context(action), r#"{"n":1}"#);
    let ended = open().execute(context.clone()).await;
    assert_eq!(result(&ended)["body"], Value::Null);
    let request = &site.seen()[0];
    assert_eq!(request.line, "POST /hook HTTP/1.1");
    assert_eq!(request.body, r#"{"n":1}"#);
    let run = context.run.to_string();
    let expected = [
        ("content-type", "application/json"),
        ("authorization", "Bearer t"),
        ("idempotency-key", &format!("autom8-run-{run}")),
        ("x-autom8-run", &run),
        ("x-autom8-attempt", "1"),
    ];
    for (name, value) in expected {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    let traceparent = request.header("traceparent").unwrap();
    let parts: Vec<usize> = traceparent.split('-').map(str::len).collect();
    assert_eq!(parts, [2, 32, 16, 2], "{traceparent}");
}

#[tokio::test]
async fn the_body_of_the_task_goes_before_the_input_and_a_string_is_sent_as_its_text() {
    let site = Site::answering(|_| answer("200 OK", "", "")).await;
    for body in [json!("plain"), json!({"a": [1]})] {
        let action = json!({"http": {"method": "PUT", "url": site.url("/"), "body": body}});
        open().execute(with_input(context(action), "{}")).await;
    }
    let seen = site.seen();
    assert_eq!(seen[0].body, "plain");
    assert_eq!(
        seen[0].header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(seen[1].body, r#"{"a":[1]}"#);
    assert_eq!(seen[1].header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn each_status_has_its_advice() {
    let site = Site::answering(|request| {
        let status = request
            .line
            .split('/')
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap();
        answer(&format!("{status} X"), "retry-after: 7\r\n", "why")
    })
    .await;
    let wait = RetryAdvice::After(Duration::from_secs(7));
    for status in [408, 425, 429, 500, 502, 503, 504] {
        let (error, retry) = failure(get(&site.url(&format!("/{status}"))).await);
        assert_eq!(retry, wait, "{status}");
        assert!(error.contains(&format!("answered {status}")), "{error}");
    }
    for status in [400, 401, 403, 404, 409, 410, 422, 304] {
        let (_, retry) = failure(get(&site.url(&format!("/{status}"))).await);
        assert_eq!(retry, RetryAdvice::Never, "{status}");
    }
    let plain = Site::answering(|_| answer("503 X", "", "")).await;
    assert_eq!(failure(get(&plain.url("/")).await).1, RetryAdvice::Policy);
}

#[tokio::test]
async fn a_failed_transport_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (error, retry) = failure(get(&format!("http://{address}/x?token=s")).await);
    assert_eq!(retry, RetryAdvice::Policy);
    assert!(
        error.contains(": cannot connect: Connection refused"),
        "{error}"
    );
    assert!(!error.contains("token"), "{error}");
    let broken =
        Site::answering(|_| "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".into()).await;
    let (error, retry) = failure(get(&broken.url("/")).await);
    assert_eq!(retry, RetryAdvice::Policy);
    assert!(error.contains("broke off"), "{error}");
}

#[tokio::test]
async fn redirects_are_followed_and_secrets_stay_with_their_origin() {
    let other = Site::answering(|_| answer("200 OK", "", "there")).await;
    let there = other.url("/there");
    let site = Site::answering(move |request| match request.line.split(' ').nth(1) {
        Some("/here") => answer("307 X", "location: /again\r\n", ""),
        _ => answer("302 X", &format!("location: {there}\r\n"), ""),
    })
    .await;
    let action = json!({"http": {"method": "POST", "url": site.url("/here"), "body": {"n": 1},
        "headers": {"Authorization": "Bearer t", "Cookie": "c=1", "X-Api-Key": "k",
                    "Accept": "text/plain"}}});
    let ended = open().execute(context(action)).await;
    assert_eq!(result(&ended)["body"], "there");
    let seen = site.seen();
    assert_eq!(seen[1].line, "POST /again HTTP/1.1");
    assert_eq!(
        seen[1].header("x-api-key"),
        Some("k"),
        "the same origin keeps them"
    );
    assert_eq!(seen[1].body, r#"{"n":1}"#);
    let last = &other.seen()[0];
    assert_eq!(last.line, "GET /there HTTP/1.1");
    for name in ["authorization", "cookie", "x-api-key", "content-type"] {
        assert_eq!(last.header(name), None, "{name}");
    }
    assert_eq!(last.header("accept"), Some("text/plain"));
    assert!(last.header("idempotency-key").is_some());
}

#[tokio::test]
async fn a_loop_of_redirects_ends() {
    let site = Site::answering(|_| answer("302 X", "location: /\r\n", "")).await;
    let (error, retry) = failure(get(&site.url("/")).await);
    assert!(error.contains("redirected more than 5 times"), "{error}");
    assert_eq!((retry, site.seen().len()), (RetryAdvice::Never, 6));
}

#[tokio::test]
async fn addresses_are_checked_literal_resolved_and_redirected() {
    let site = Site::answering(|_| answer("200 OK", "", "reached")).await;
    let port = site.address.port();
    let closed = HttpExecutor::new(NetworkPolicy::default());
    let hidden = [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "[::ffff:127.0.0.1]",
        "localhost",
    ];
    for host in hidden {
        let url = format!("http://{host}:{port}/");
        let ended = closed.execute(context(json!({"http": {"url": url}}))).await;
        let (error, retry) = failure(ended);
        assert!(
            error.contains("executors.http.allow_networks"),
            "{host}: {error}"
        );
        assert_eq!(retry, RetryAdvice::Never);
    }
    assert!(site.seen().is_empty());
    let listed = HttpExecutor::new(NetworkPolicy {
        open_private: false,
        allow_networks: vec!["127.0.0.1".parse().unwrap()],
    });
    let url = format!("http://localhost:{port}/");
    let ended = listed.execute(context(json!({"http": {"url": url}}))).await;
    assert_eq!(result(&ended)["body"], "reached");
    for target in [
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
    ] {
        let lure =
            Site::answering(move |_| answer("302 X", &format!("location: {target}\r\n"), "")).await;
        let (error, retry) = failure(get(&lure.url("/")).await);
        assert!(error.contains("metadata"), "{error}");
        assert_eq!(retry, RetryAdvice::Never);
    }
    let lure = Site::answering(|_| answer("302 X", "location: file:///etc/passwd\r\n", "")).await;
    assert!(
        failure(get(&lure.url("/")).await)
            .0
            .contains("neither http nor https")
    );
}

#[tokio::test]
async fn a_long_answer_is_cut_and_says_so() {
    let site = Site::answering(|request| {
        let length = if request.line.contains("/long") {
            3 << 20
        } else {
            40_000
        };
        answer("200 OK", "", &"x".repeat(length))
    })
    .await;
    for path in ["/longer-than-a-result", "/x"] {
        let ended = get(&site.url(path)).await;
        let kept = result(&ended);
        assert_eq!(kept["truncated"], true);
        assert_eq!(kept["body"].as_str().unwrap().len(), answer::BODY_BYTES_MAX);
        let Ended::Completed {
            result: Some(bytes),
        } = ended
        else {
            panic!()
        };
        assert!(bytes.len() <= limits::RESULT_BYTES_MAX);
    }
}

#[tokio::test]
async fn a_cancel_ends_a_request_that_gets_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let context = context(json!({"http": {"url": url}}));
    let cancel = context.cancel.clone();
    let executing = tokio::spawn(async move { open().execute(context).await });
    let (mut held, _) = listener.accept().await.unwrap();
    cancel.cancel();
    assert_eq!(executing.await.unwrap(), Ended::Cancelled);
    let mut rest = Vec::new();
    let closed = async { held.read_to_end(&mut rest).await.unwrap() };
    tokio::select! {
        _ = closed => {}
        () = timer::sleep(Duration::from_secs(10)) => panic!("the connection stays open"),
    }
}

#[test]
fn plain_http_works_on_a_machine_without_certificates() {
    // What is trusted is read once a process: this test's own binary, started again.
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "executors::http::tests::a_failed_transport_is_tried_again",
        ])
        .env("SSL_CERT_FILE", "/nonexistent")
        .env("SSL_CERT_DIR", "/nonexistent")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && printed.contains("1 passed"),
        "{printed}"
    );
}
