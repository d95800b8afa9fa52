//! One connection: hyper on a socket whose reads, writes and bodies report to its watch.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::Peer;
use super::framing;
use super::limits::ListenLimits;
use super::watch::{Admission, Phase, Watch};
use crate::error::ApiProblem;

/// Serves requests until the peer leaves, the sweep aborts this task, or a drain has been asked
/// for and the request at hand is answered.
pub(super) async fn serve<S>(
    stream: S,
    peer: Peer,
    admission: Admission,
    router: Router,
    limits: ListenLimits,
    drain: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let watch = &admission.watch;
    let io = TokioIo::new(WatchedStream {
        stream,
        watch: Arc::clone(watch),
    });
    let service = Handler {
        router,
        peer,
        watch: Arc::clone(watch),
    };
    let connection = http1::Builder::new()
        // The watch has this deadline, which hyper's timer would apply to idle connections too.
        .header_read_timeout(None)
        // A head that arrives at once may lie in a buffer that has grown beyond its bound.
        .max_buf_size(limits.head_bytes_max)
        .max_header_size(limits.head_bytes_max)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Peers that leave in the middle are ordinary; their number must not flood the log.
        tracing::debug!(%error, "connection ended early");
    }
}

/// What hyper calls for each request.
#[derive(Clone)]
struct Handler {
    router: Router,
    peer: Peer,
    watch: Arc<Watch>,
}

impl hyper::service::Service<Request<Incoming>> for Handler {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        self.watch.enter(Phase::Serving);
        if let Err(problem) = framing::check(&request) {
            let mut refusal = ApiProblem::from(problem).render(None);
            let close = HeaderValue::from_static("close");
            refusal.headers_mut().insert(header::CONNECTION, close);
            return Answering {
                answer: Answer::Refused(Some(refusal)),
                watch: Arc::clone(&self.watch),
            };
        }
        let mut request = request.map(|incoming| {
            if incoming.is_end_stream() {
                Body::empty()
            } else {
                Body::new(RequestBody {
                    incoming,
                    watch: Arc::clone(&self.watch),
                })
            }
        });
        request.extensions_mut().insert(self.peer);
        Answering {
            answer: Answer::Coming(self.router.clone().call(request)),
            watch: Arc::clone(&self.watch),
        }
    }
}

#[allow(
    clippy::large_enum_variant,
    reason = "the large variant is the ordinary one, and a box would cost each request an allocation"
)]
enum Answer {
    Coming(axum::routing::future::RouteFuture<Infallible>),
    Refused(Option<Response<Body>>),
}

struct Answering {
    answer: Answer,
    watch: Arc<Watch>,
}

impl Future for Answering {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.answer {
            Answer::Coming(coming) => std::task::ready!(Pin::new(coming).poll(context)),
            Answer::Refused(refusal) => Ok(refusal.take().unwrap_or_default()),
        };
        let watch = Arc::clone(&self.watch);
        Poll::Ready(answer.map(|answer| answer.map(|body| AnswerBody { body, watch })))
    }
}

/// An answer's body; when hyper has let go of it, the next request may begin.
struct AnswerBody {
    body: Body,
    watch: Arc<Watch>,
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.watch.enter(Phase::Idle);
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request's body; while a handler wants more of it, the peer's clock runs.
struct RequestBody {
    incoming: Incoming,
    watch: Arc<Watch>,
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // An answer that went out first has made the connection idle, and idle it stays.
        if self.watch.phase() == Phase::Body {
            self.watch.enter(Phase::Serving);
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.watch.body_wanted();
        let polled = Pin::new(&mut self.incoming).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.watch.enter(Phase::Serving);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// The socket, telling the watch what moves.
struct WatchedStream<S> {
    stream: S,
    watch: Arc<Watch>,
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let read = buffer.filled().len() - before;
        if read > 0 {
            self.watch.read(read);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch.write_stalled(polled.is_pending());
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch.write_stalled(polled.is_pending());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
