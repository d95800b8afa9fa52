//! A stream of events ends once its reader may not read it any more: the key was deleted or has
//! expired, or the first key was made and the reader shows none.
//!
//! An ordinary answer is over before that matters. A stream may last for days, and deleting a key
//! is how an operator shuts somebody out: so it is asked again with everything that is sent, which
//! is every fifteen seconds where nothing happens. The reader who comes back is told why.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};

use super::{Edge, credentials};
use crate::endpoints::Access;

/// Puts a guard on a stream of events; any other answer stays as it is. `shown` is the credential of
/// its request.
pub(super) fn guarded(
    response: Response,
    edge: &Arc<Edge>,
    access: Access,
    shown: Option<HeaderValue>,
) -> Response {
    let is_stream = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|found| found.as_bytes().starts_with(b"text/event-stream"));
    if !is_stream {
        return response;
    }
    let shown = shown.map(|value| (header::AUTHORIZATION, value));
    response.map(|body| {
        Body::new(Guarded {
            body,
            edge: Arc::clone(edge),
            access,
            headers: shown.into_iter().collect(),
        })
    })
}

struct Guarded {
    body: Body,
    edge: Arc<Edge>,
    access: Access,
    /// What a credential is read from.
    headers: HeaderMap,
}

impl Guarded {
    fn may_go_on(&self) -> bool {
        credentials::check(
            self.access,
            self.edge.reach,
            &*self.edge.keys,
            &*self.edge.clock,
            &Method::GET,
            &self.headers,
        )
        .is_ok()
    }
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.filter(|_| self.may_go_on()))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use autom8_model::api_key::Secret;
    use autom8_model::{ApiKey, Clock, KeyId, ManualClock, Scope, Scopes, Timestamp};
    use axum::extract::Request;
    use axum::routing::get;
    use axum::{Extension, Router};
    use http_body_util::BodyExt as _;
    use parking_lot::Mutex;
    use tokio::sync::mpsc::{Receiver, Sender, channel};
    use tokio_stream::StreamExt as _;
    use tokio_stream::wrappers::ReceiverStream;
    use tower::ServiceExt as _;

    use super::*;
    use crate::digest::sha256;
    use crate::middleware::credentials::{Keys, Reach};
    use crate::middleware::host_guard::HostGuard;
    use crate::middleware::lanes::Lanes;
    use crate::router::within;
    use crate::telemetry::Telemetry;

    /// The keys that are left.
    #[derive(Clone, Default)]
    struct Ring(Arc<Mutex<Vec<KeyAndSecret>>>);

    type KeyAndSecret = (Secret, Arc<ApiKey>);

    impl Keys for Ring {
        fn by_hash(&self, hash: &[u8; 32]) -> Option<Arc<ApiKey>> {
            let ring = self.0.lock();
            let found = ring
                .iter()
                .find(|(secret, _)| sha256(secret.as_str().as_bytes()) == *hash);
            found.map(|(_, key)| Arc::clone(key))
        }

        fn exist(&self) -> bool {
            !self.0.lock().is_empty()
        }
    }

    impl Ring {
        /// Makes a key that may read, and returns what a request shows.
        fn add(&self, seed: u8, expires_at: Option<Timestamp>) -> String {
            let secret = Secret::new([seed; 32]);
            let key = ApiKey {
                id: KeyId(i64::from(seed)),
                name: format!("key-{seed}"),
                scopes: Scopes::of([Scope::Read]),
                shown: secret.shown().to_owned(),
                limit: None,
                created_at: Timestamp::UNIX_EPOCH,
                expires_at,
                last_used_at: None,
            };
            let shown = format!("Bearer {}", secret.as_str());
            self.0.lock().push((secret, Arc::new(key)));
            shown
        }

        fn delete(&self, seed: u8) {
            self.0
                .lock()
                .retain(|(_, key)| key.id != KeyId(i64::from(seed)));
        }
    }

    type Events = Arc<Mutex<Option<Receiver<&'static str>>>>;

    async fn events(Extension(events): Extension<Events>) -> Response {
        let events = ReceiverStream::new(events.lock().take().unwrap());
        let body = Body::from_stream(events.map(Ok::<_, Infallible>));
        let mut response = Response::new(body);
        let kind = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    struct Reading {
        ring: Ring,
        clock: Arc<ManualClock>,
        sender: Sender<&'static str>,
        body: Body,
    }

    impl Reading {
        /// Opens a stream with a credential, or with none.
        async fn open(ring: Ring, shown: Option<&str>) -> Self {
            let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(100)));
            let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
            let edge = Arc::new(Edge {
                telemetry: Telemetry::new(Arc::clone(&shared)),
                clock: shared,
                host_guard: HostGuard::Off,
                lanes: Lanes::new(1, 1),
                reach: Reach::Local,
                keys: Box::new(ring.clone()),
                key_use: Arc::default(),
                limits: None,
                trusted_proxies: Vec::new(),
                repeats: None,
            });
            let (sender, receiver) = channel(8);
            let shared: Events = Arc::new(Mutex::new(Some(receiver)));
            // Listed, so that it needs `read`.
            let routes = Router::new()
                .route("/api/v1/runs/{id}/log", get(events))
                .layer(Extension(shared));
            let mut request = Request::new(Body::empty());
            *request.uri_mut() = "/api/v1/runs/1/log".parse().unwrap();
            if let Some(shown) = shown {
                let shown = shown.parse().unwrap();
                request.headers_mut().insert(header::AUTHORIZATION, shown);
            }
            let response = within(routes, edge).oneshot(request).await.unwrap();
            assert_eq!(response.status(), 200);
            Reading {
                ring,
                clock,
                sender,
                body: response.into_body(),
            }
        }

        /// Whether the next event arrives; if not, the stream has ended.
        async fn arrives(&mut self) -> bool {
            self.sender.send("data: x\n\n").await.unwrap();
            let frame = self.body.frame().await.transpose().unwrap();
            frame.map(|frame| frame.into_data().unwrap()) == Some(Bytes::from("data: x\n\n"))
        }
    }

    #[tokio::test]
    async fn a_stream_ends_when_its_key_is_deleted_and_not_when_another_is() {
        let ring = Ring::default();
        let shown = ring.add(1, None);
        ring.add(2, None);
        let mut reading = Reading::open(ring, Some(&shown)).await;
        assert!(reading.arrives().await);
        reading.ring.delete(2);
        assert!(reading.arrives().await);
        reading.ring.add(3, None);
        reading.ring.delete(1);
        assert!(!reading.arrives().await);
    }

    #[tokio::test]
    async fn a_stream_ends_when_its_key_expires() {
        let ring = Ring::default();
        let shown = ring.add(1, Some(Timestamp::from_seconds(160)));
        let mut reading = Reading::open(ring, Some(&shown)).await;
        assert!(reading.arrives().await);
        reading.clock.advance(std::time::Duration::from_secs(60));
        assert!(!reading.arrives().await);
    }

    #[tokio::test]
    async fn an_open_stream_ends_when_the_first_key_is_made() {
        let mut reading = Reading::open(Ring::default(), None).await;
        assert!(reading.arrives().await);
        reading.ring.add(1, None);
        assert!(!reading.arrives().await);
    }
}
