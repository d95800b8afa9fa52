//! The listener against raw sockets, with deadlines short enough to wait for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use autom8_model::{Clock, SystemClock};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::bind::BoundTo;
use super::{Drained, ListenLimits, Listener, serve};

/// Long enough that only a hang reaches it.
const HANG: Duration = Duration::from_secs(30);

fn short() -> ListenLimits {
    ListenLimits {
        first_byte_within: Duration::from_millis(200),
        head_within: Duration::from_millis(200),
        body_grace: Duration::from_millis(200),
        answer_stalled_max: Duration::from_millis(200),
        idle_max: Duration::from_millis(400),
        tick: Duration::from_millis(20),
        ..ListenLimits::default()
    }
}

struct Served {
    address: SocketAddr,
    drain: CancellationToken,
    task: JoinHandle<Drained>,
    /// A request to `/wait` has arrived.
    waiting: Arc<Notify>,
    /// Lets a request to `/wait` end.
    go_on: Arc<Notify>,
    /// The body of `/endless` was let go.
    endless_dropped: mpsc::Receiver<()>,
}

struct SaysWhenDropped(mpsc::Sender<()>);

impl Drop for SaysWhenDropped {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

async fn start(limits: ListenLimits, grace: Duration) -> Served {
    let (waiting, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (dropped, endless_dropped) = mpsc::channel(1);
    let (arrived, released) = (Arc::clone(&waiting), Arc::clone(&go_on));
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/echo", post(|body: Bytes| async move { body }))
        .route(
            "/wait",
            get(|| async move {
                arrived.notify_one();
                released.notified().await;
                "waited"
            }),
        )
        .route(
            "/endless",
            get(move || {
                let guard = SaysWhenDropped(dropped.clone());
                async move {
                    let zeros = Bytes::from(vec![0; 64 * 1024]);
                    Body::from_stream(futures_util::stream::unfold(guard, move |guard| {
                        let zeros = zeros.clone();
                        async move { Some((Ok::<_, std::io::Error>(zeros), guard)) }
                    }))
                }
            }),
        );
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let BoundTo::Tcp(address) = listener.bound_to() else {
        panic!("not TCP")
    };
    let drain = CancellationToken::new();
    let task = tokio::spawn(serve(listener, router, limits, drain.clone(), grace));
    Served {
        address,
        drain,
        task,
        waiting,
        go_on,
        endless_dropped,
    }
}

/// Reads until the peer closes; how long that took.
async fn read_to_close(stream: &mut TcpStream) -> (String, Duration) {
    let clock = SystemClock::new();
    let mut bytes = Vec::new();
    // A reset is a close, too: bytes that we sent were left unread.
    let _ = timeout(HANG, stream.read_to_end(&mut bytes))
        .await
        .expect("the server closes");
    let waited = Duration::from_micros(clock.monotonic().as_micros());
    (String::from_utf8_lossy(&bytes).into_owned(), waited)
}

/// Reads one answer with a `content-length`.
async fn read_answer(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut text = String::new();
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return text;
            }
        }
        let mut bytes = [0; 4096];
        let read = timeout(HANG, stream.read(&mut bytes))
            .await
            .expect("an answer")
            .unwrap();
        assert_ne!(read, 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_or_too_little_is_closed() {
    let served = start(short(), HANG).await;
    for said in ["", "G", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow:"] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let (answer, waited) = read_to_close(&mut stream).await;
        assert_eq!(answer, "", "{said:?}");
        assert!(waited >= Duration::from_millis(190), "{said:?}: {waited:?}");
    }
}

#[tokio::test]
async fn a_head_that_trickles_has_one_deadline_for_all_of_it() {
    let served = start(short(), HANG).await;
    let stream = TcpStream::connect(served.address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let trickle = tokio::spawn(async move {
        writer.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let header = tokio::time::Duration::from_millis(20);
        while writer.write_all(b"X-A: b\r\n").await.is_ok() {
            autom8_engine::timer::sleep(header).await;
        }
    });
    let mut bytes = Vec::new();
    let _ = timeout(HANG, reader.read_to_end(&mut bytes))
        .await
        .expect("the server closes");
    timeout(HANG, trickle)
        .await
        .expect("the writer notices")
        .unwrap();
}

#[tokio::test]
async fn a_connection_is_kept_between_requests_but_not_for_ever() {
    let served = start(short(), HANG).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    for _ in 0..3 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        let answer = read_answer(&mut stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"),
            "{answer}"
        );
    }
    let (rest, waited) = read_to_close(&mut stream).await;
    assert_eq!(rest, "");
    assert!(waited >= Duration::from_millis(390), "{waited:?}");
}

#[tokio::test]
async fn a_body_must_arrive_at_its_rate_and_an_honest_one_does() {
    let served = start(short(), HANG).await;
    let head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n";
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.write_all(b"only this").await.unwrap();
    let (answer, waited) = read_to_close(&mut slow).await;
    assert_eq!(answer, "");
    assert!(waited >= Duration::from_millis(190), "{waited:?}");

    let mut honest = TcpStream::connect(served.address).await.unwrap();
    honest.write_all(head.as_bytes()).await.unwrap();
    honest.write_all(&[b'x'; 100_000]).await.unwrap();
    assert_eq!(read_answer(&mut honest).await.matches('x').count(), 100_000);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_let_go() {
    let mut served = start(short(), HANG).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream
        .write_all(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    timeout(HANG, served.endless_dropped.recv())
        .await
        .expect("the body is let go")
        .unwrap();
}

#[tokio::test]
async fn a_request_may_take_its_time() {
    let served = start(short(), HANG).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream
        .write_all(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    timeout(HANG, served.waiting.notified()).await.unwrap();
    // A second connection that is closed for saying nothing shows that every deadline has passed.
    let mut silent = TcpStream::connect(served.address).await.unwrap();
    read_to_close(&mut silent).await;
    let mut silent = TcpStream::connect(served.address).await.unwrap();
    read_to_close(&mut silent).await;
    served.go_on.notify_one();
    assert!(read_answer(&mut stream).await.ends_with("waited"));
}

#[tokio::test]
async fn a_connection_beyond_the_bound_is_told_so() {
    let limits = ListenLimits {
        connections_max: 1,
        ..ListenLimits::default()
    };
    let served = start(limits, HANG).await;
    let mut first = TcpStream::connect(served.address).await.unwrap();
    first
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    read_answer(&mut first).await;
    let mut second = TcpStream::connect(served.address).await.unwrap();
    let (answer, _) = read_to_close(&mut second).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{answer}"
    );
    let problem: autom8_api::Problem = serde_json::from_str(body).unwrap();
    assert_eq!(problem.status(), 503);
    drop(first);
    // The place is free as soon as the server has noticed.
    loop {
        let mut third = TcpStream::connect(served.address).await.unwrap();
        third
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        if read_answer(&mut third).await.starts_with("HTTP/1.1 200") {
            break;
        }
    }
}

#[tokio::test]
async fn a_head_beyond_its_bounds_is_refused() {
    let served = start(ListenLimits::default(), HANG).await;
    let long = |bytes| {
        format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n",
            "a".repeat(bytes)
        )
    };
    let many = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
        "X-Many: b\r\n".repeat(101)
    );
    for head in [long(64 * 1024), long(33 * 1024), many] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

#[tokio::test]
async fn a_drain_answers_what_is_in_flight_and_nothing_new() {
    let served = start(ListenLimits::default(), HANG).await;
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    read_answer(&mut idle).await;
    let mut silent = TcpStream::connect(served.address).await.unwrap();
    let mut busy = TcpStream::connect(served.address).await.unwrap();
    busy.write_all(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    timeout(HANG, served.waiting.notified()).await.unwrap();

    served.drain.cancel();
    read_to_close(&mut idle).await;
    read_to_close(&mut silent).await;
    assert!(
        TcpStream::connect(served.address).await.is_err(),
        "no new connection"
    );
    served.go_on.notify_one();
    let (answer, _) = read_to_close(&mut busy).await;
    assert!(answer.ends_with("waited"), "{answer}");
    let drained = timeout(HANG, served.task)
        .await
        .expect("the drain ends")
        .unwrap();
    assert_eq!(drained, Drained { aborted: 0 });
}

#[tokio::test]
async fn what_outlasts_the_grace_is_cut_off() {
    let served = start(ListenLimits::default(), Duration::from_millis(50)).await;
    let mut busy = TcpStream::connect(served.address).await.unwrap();
    busy.write_all(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    timeout(HANG, served.waiting.notified()).await.unwrap();
    served.drain.cancel();
    assert_eq!(read_to_close(&mut busy).await.0, "");
    let drained = timeout(HANG, served.task)
        .await
        .expect("the drain ends")
        .unwrap();
    assert_eq!(drained, Drained { aborted: 1 });
}

#[tokio::test]
async fn a_unix_socket_serves_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("autom8.sock");
    let listener = Listener::unix(&path).unwrap();
    let router = Router::new().route("/", get(|| async { "hello" }));
    let drain = CancellationToken::new();
    let task = tokio::spawn(serve(
        listener,
        router,
        ListenLimits::default(),
        drain.clone(),
        HANG,
    ));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: any\r\n\r\n")
        .await
        .unwrap();
    assert!(read_answer(&mut stream).await.ends_with("hello"));
    drain.cancel();
    timeout(HANG, task).await.expect("the drain ends").unwrap();
    assert!(!path.exists());
}
