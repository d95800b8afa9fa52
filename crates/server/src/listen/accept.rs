//! Accepting connections up to their bounds, and letting them go at the end.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use autom8_api::problem::{CONTENT_TYPE, Problem, ProblemCode};
use autom8_engine::timer;
use axum::Router;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Peer;
use super::bind::{Listener, Socket};
use super::connection;
use super::limits::ListenLimits;
use super::watch::{Admission, Connections, Full};

/// When no file descriptor is left: long enough for some to come back, short enough to go on.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How the end went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections cut off because their request had not ended within the grace.
    pub aborted: usize,
}

enum Accepted {
    Tcp(TcpStream, IpAddr),
    Unix(UnixStream),
}

/// Accepts and serves until `drain` is cancelled; then stops accepting at once, lets requests in
/// flight end for up to `grace`, and cuts off what is left.
pub async fn serve(
    listener: Listener,
    router: Router,
    limits: ListenLimits,
    drain: CancellationToken,
    grace: Duration,
) -> Drained {
    let connections = Connections::new(limits);
    let tasks = TaskTracker::new();
    let full_answer = full_answer();
    let sweep = tokio::spawn(sweep(Arc::clone(&connections)));
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.cancelled() => break,
            accepted = accept(&listener.socket) => accepted,
        };
        match accepted {
            Ok(Accepted::Tcp(stream, peer)) => {
                // Answers are small: waiting for more to send with them only adds latency.
                let _ = stream.set_nodelay(true);
                match connections.admit(Some(peer)) {
                    Ok(admission) => {
                        let peer = Peer(Some(peer));
                        start(
                            &connections,
                            &tasks,
                            stream,
                            peer,
                            admission,
                            &router,
                            &drain,
                        );
                    }
                    Err(full) => {
                        refuse(full, Some(peer));
                        let _ = stream.try_write(&full_answer);
                    }
                }
            }
            Ok(Accepted::Unix(stream)) => match connections.admit(None) {
                Ok(admission) => {
                    let peer = Peer(None);
                    start(
                        &connections,
                        &tasks,
                        stream,
                        peer,
                        admission,
                        &router,
                        &drain,
                    );
                }
                Err(full) => {
                    refuse(full, None);
                    let _ = stream.try_write(&full_answer);
                }
            },
            Err(error) if is_about_one_peer(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections; raise the limit of open files (ulimit -n) if it says too many");
                timer::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    let aborted = tokio::select! {
        () = tasks.wait() => 0,
        () = timer::sleep(grace) => {
            let aborted = connections.abort_all();
            tasks.wait().await;
            aborted
        }
    };
    sweep.abort();
    Drained { aborted }
}

async fn accept(socket: &Socket) -> io::Result<Accepted> {
    match socket {
        Socket::Tcp(listener, _) => listener
            .accept()
            .await
            .map(|(stream, peer)| Accepted::Tcp(stream, peer.ip())),
        Socket::Unix(listener, _) => listener
            .accept()
            .await
            .map(|(stream, _)| Accepted::Unix(stream)),
    }
}

fn start<S>(
    connections: &Arc<Connections>,
    tasks: &TaskTracker,
    stream: S,
    peer: Peer,
    admission: Admission,
    router: &Router,
    drain: &CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let id = admission.id;
    let limits = connections.limits().clone();
    let serving = connection::serve(
        stream,
        peer,
        admission,
        router.clone(),
        limits,
        drain.clone(),
    );
    connections.attach(id, tasks.spawn(serving).abort_handle());
}

/// Sent to a connection beyond the bounds, without reading a byte of it.
fn full_answer() -> Vec<u8> {
    let problem = Problem::new(
        ProblemCode::Overloaded,
        "too many connections are open; reuse one, or try again in a second",
    );
    let body = serde_json::to_string(&problem).unwrap_or_default();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {CONTENT_TYPE}\r\nretry-after: 1\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn refuse(full: Full, peer: Option<IpAddr>) {
    // At debug: a flood of connections must not become a flood of lines.
    tracing::debug!(?full, ?peer, "connection refused");
}

/// The peer was gone before we took its connection: nothing to do and nothing to wait for.
fn is_about_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

async fn sweep(connections: Arc<Connections>) {
    loop {
        timer::sleep(connections.limits().tick).await;
        let closed = connections.tick();
        if closed > 0 {
            tracing::debug!(
                connections.closed = closed,
                "closed connections that waited too long"
            );
        }
    }
}
