//! What happens to every request around its handler, in this order:
//!
//! [`request_id`] → recorder starts ([`recorder`]) → [`host_guard`] → [`lanes`] (load shedding) →
//! whose address ([`client_address`]) and which key ([`credentials`]) → [`rate_limit`] → what the
//! key may do → [`body_limit`] → [`idempotency`] → handler with its [`caller`], panics caught →
//! problems completed, [`stream_guard`] → [`answer_headers`] → recorder ends.
//!
//! One hand-written layer calls the parts, and each part is a plain function or guard in its own
//! file: a tower of boxed layers costs an allocation and a virtual call for each part and request.
//! It is applied to the routes, not around the router, because the route's template is known only
//! there.

pub mod answer_headers;
pub mod body_limit;
pub mod caller;
mod client_address;
pub mod credentials;
pub mod host_guard;
pub mod idempotency;
pub mod key_use;
pub mod lanes;
#[cfg(test)]
mod limit_tests;
pub mod rate_limit;
pub mod recorder;
pub mod request_id;
mod stream_guard;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use autom8_api::problem::{CONTENT_TYPE, Problem, ProblemCode};
use autom8_config::Network;
use autom8_model::{Clock, Monotonic};
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use axum::routing::future::RouteFuture;

use crate::error::ApiProblem;
use crate::listen::Peer;
use crate::telemetry::Telemetry;

use caller::{Caller, Principal};
use credentials::{Keys, Reach, Refusal};
use host_guard::HostGuard;
use idempotency::Repeats;
use key_use::KeyUse;
use lanes::{Lanes, Pass};
use rate_limit::{Charge, Client, Limits};
use recorder::Recording;
use request_id::RequestId;

/// What the middleware knows; one for all routes.
pub struct Edge {
    pub clock: Arc<dyn Clock>,
    pub telemetry: Arc<Telemetry>,
    pub host_guard: HostGuard,
    pub lanes: Arc<Lanes>,
    pub reach: Reach,
    pub keys: Box<dyn Keys>,
    pub key_use: Arc<KeyUse>,
    /// None where the rate limit is off.
    pub limits: Option<Arc<Limits>>,
    pub trusted_proxies: Vec<Network>,
    /// None where nothing is kept, as in tests of the rest.
    pub repeats: Option<Arc<Repeats>>,
}

/// Applies the [`Edge`] to each route.
#[derive(Clone)]
pub struct EdgeLayer(pub Arc<Edge>);

impl tower::Layer<Route> for EdgeLayer {
    type Service = EdgeService;

    fn layer(&self, route: Route) -> EdgeService {
        EdgeService {
            edge: Arc::clone(&self.0),
            route,
        }
    }
}

#[derive(Clone)]
pub struct EdgeService {
    edge: Arc<Edge>,
    route: Route,
}

impl tower::Service<Request> for EdgeService {
    type Response = Response;
    type Error = Infallible;
    type Future = EdgeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> EdgeFuture {
        let edge = &self.edge;
        let template = request
            .extensions()
            .get::<MatchedPath>()
            .map(MatchedPath::as_str);
        let recording = Recording::start(edge, request.method(), template);
        let request_id = RequestId::of(request.headers(), edge.clock.as_ref());
        let mut charge = None;
        // Of a read, which may become a stream.
        let shown = match request.method().is_safe() {
            true => request.headers().get(header::AUTHORIZATION).cloned(),
            false => None,
        };
        let (answer, pass) = match edge.admit(&request, &recording, &mut charge) {
            Err(refused) => (Answer::Refused(Some(*refused)), None),
            Ok(admitted) => {
                let bytes_max = admitted.body_bytes_max;
                let mut request = body_limit::limited(request, bytes_max, &admitted.pass);
                if !request.method().is_safe() {
                    request.extensions_mut().insert(Caller {
                        principal: admitted.principal,
                        address: admitted.address,
                        request_id: request_id.clone(),
                    });
                }
                let answer = match &edge.repeats {
                    Some(repeats) if idempotency::is_asked_for(&request) => {
                        let (repeats, route) = (Arc::clone(repeats), self.route.clone());
                        let body_bytes_max = admitted.body_bytes_max;
                        Answer::Once(Box::pin(async move {
                            repeats.answer(request, body_bytes_max, route).await
                        }))
                    }
                    _ => {
                        let route = &mut self.route;
                        catch_unwind(AssertUnwindSafe(|| route.call(request))).map_or_else(
                            |panic| Answer::Refused(Some(panicked(&*panic).into_response())),
                            Answer::Coming,
                        )
                    }
                };
                (answer, Some(admitted.pass))
            }
        };
        EdgeFuture {
            edge: Arc::clone(edge),
            recording,
            request_id: Some(request_id),
            charge,
            shown,
            answer,
            _pass: pass,
        }
    }
}

/// A request that a handler may see.
struct Admitted {
    pass: Pass,
    principal: Principal,
    address: Option<IpAddr>,
    body_bytes_max: u64,
}

/// The answer to a request that no handler sees.
type Refused = Box<Response>;

fn refused(problem: ApiProblem) -> Refused {
    Box::new(problem.into_response())
}

impl Edge {
    /// Decides whether a handler sees the request. What it has cost its client is left in `charge`,
    /// refused or not.
    fn admit(
        &self,
        request: &Request,
        recording: &Recording,
        charge: &mut Option<Charge>,
    ) -> Result<Admitted, Refused> {
        let (method, headers) = (request.method(), request.headers());
        self.host_guard
            .check(method, request.uri(), headers)
            .map_err(refused)?;
        let traits = recording.traits();
        let monitoring = traits.access.is_monitoring();
        let pass = self.lanes.enter(monitoring).map_err(refused)?;
        let peer = request.extensions().get::<Peer>().and_then(|peer| peer.0);
        let address = client_address::of(peer, headers, &self.trusted_proxies);
        let checked = credentials::check(
            traits.access,
            self.reach,
            &*self.keys,
            &*self.clock,
            method,
            headers,
        );
        let key = match &checked {
            Ok(Principal::Key(key)) => Some(key),
            Ok(Principal::Open) => None,
            Err(refusal) => refusal.key(),
        };
        if let Some(key) = key {
            self.key_use.note(key, self.clock.now());
        }
        if let Err(refusal) = &checked {
            self.note_failure(refusal, address, recording.started());
        }
        // Monitoring is exempt, but for a try at a key.
        if let Some(limits) = &self.limits
            && (checked.is_err() || !monitoring)
        {
            let client = key.map_or(Client::Address(address), |key| Client::Key(key));
            let charged = charge.insert(limits.charge(client, recording.started(), &*self.clock));
            if !charged.is_allowed() {
                return Err(Box::new(limits.refusal(client, charged)));
            }
        }
        let principal = checked.map_err(|refusal| Box::new(refusal.answer(method, headers)))?;
        body_limit::check_announced(headers, traits.body_bytes_max).map_err(refused)?;
        Ok(Admitted {
            pass,
            principal,
            address,
            body_bytes_max: traits.body_bytes_max,
        })
    }

    /// Counts a request that was not believed, and writes that keys are tried, without the key.
    fn note_failure(&self, refusal: &Refusal, address: Option<IpAddr>, now: Monotonic) {
        let Some(reason) = refusal.failure() else {
            return;
        };
        if let Some(count) = self.telemetry.authentication.note(reason, now) {
            tracing::warn!(
                client.address = address.map(tracing::field::display),
                reason = reason.as_str(),
                count,
                "a wrong API key was shown; the count is since the last such line"
            );
        }
    }

    fn complete(
        &self,
        mut response: Response,
        recording: &mut Recording,
        request_id: &RequestId,
        charge: Option<&Charge>,
    ) -> Response {
        let mut cause = None;
        if response.status().as_u16() >= 400 {
            (response, cause) = completed_problem(response, request_id);
        }
        let duration_micros = recording.end(
            self,
            response.status().as_u16(),
            request_id,
            cause.as_deref(),
        );
        let limit = self.limits.as_deref().zip(charge);
        answer_headers::add(response.headers_mut(), request_id, duration_micros, limit);
        response
    }
}

/// Gives a refusal its request id. An answer that is no problem yet, as axum's own extractors
/// make them, becomes one: a client may rely on the form of every error.
fn completed_problem(response: Response, request_id: &RequestId) -> (Response, Option<String>) {
    let status = response.status();
    let problem = match response.extensions().get::<ApiProblem>() {
        Some(problem) => problem.clone(),
        None if has_body_of_its_own(&response) => return (response, None),
        None => ApiProblem::from(Problem::new(code_of(status.as_u16()), said_by(status))),
    };
    let (mut parts, _) = response.into_parts();
    let mut completed = problem.render(Some(request_id.as_str()));
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.remove(header::CONTENT_LENGTH);
    // Keeps headers that are there more than once, and replaces those of the same name.
    completed.headers_mut().extend(parts.headers);
    (completed, problem.cause)
}

/// JSON, HTML and problems are meant as they are (readiness answers 503 with its checks); plain
/// text and nothing are what the framework says by itself.
fn has_body_of_its_own(response: &Response) -> bool {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|found| found == CONTENT_TYPE || !found.as_bytes().starts_with(b"text/plain"))
}

fn code_of(status: u16) -> ProblemCode {
    ProblemCode::ALL
        .into_iter()
        .find(|code| code.status() == status)
        .unwrap_or(if status < 500 {
            ProblemCode::Invalid
        } else {
            ProblemCode::Internal
        })
}

fn said_by(status: axum::http::StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or("refused");
    format!("{reason}: GET / lists the endpoints and what they take")
}

/// The answer to a request whose handler panicked. The panic's text is for the log only.
fn panicked(panic: &(dyn std::any::Any + Send)) -> ApiProblem {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text");
    ApiProblem::internal(format!("the handler panicked: {text}"))
}

#[allow(
    clippy::large_enum_variant,
    reason = "the large variant is the ordinary one, and a box would cost each request an allocation"
)]
enum Answer {
    Coming(RouteFuture<Infallible>),
    /// For a request that may come again.
    Once(Pin<Box<dyn Future<Output = Response> + Send>>),
    Refused(Option<Response>),
}

/// The answer in the making. Dropped early (the client left), it counts nothing but its place.
pub struct EdgeFuture {
    edge: Arc<Edge>,
    recording: Recording,
    request_id: Option<RequestId>,
    charge: Option<Charge>,
    shown: Option<HeaderValue>,
    answer: Answer,
    _pass: Option<Pass>,
}

impl Future for EdgeFuture {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let response = match &mut this.answer {
            Answer::Refused(refused) => refused.take().unwrap_or_default(),
            Answer::Once(coming) => {
                match catch_unwind(AssertUnwindSafe(|| coming.as_mut().poll(context))) {
                    Ok(polled) => ready!(polled),
                    Err(panic) => panicked(&*panic).into_response(),
                }
            }
            Answer::Coming(coming) => {
                match catch_unwind(AssertUnwindSafe(|| Pin::new(coming).poll(context))) {
                    Ok(polled) => match ready!(polled) {
                        Ok(response) => response,
                        Err(never) => match never {},
                    },
                    Err(panic) => panicked(&*panic).into_response(),
                }
            }
        };
        let Some(request_id) = this.request_id.take() else {
            return Poll::Ready(Ok(response));
        };
        let access = this.recording.traits().access;
        let shows_key = this.shown.is_some();
        let mut response = stream_guard::guarded(response, &this.edge, access, this.shown.take());
        if shows_key {
            // A browser that was told a password keeps what it reads, unless it is told not to.
            let cache_control = response.headers_mut().entry(header::CACHE_CONTROL);
            cache_control.or_insert(HeaderValue::from_static("no-store"));
        }
        Poll::Ready(Ok(this.edge.complete(
            response,
            &mut this.recording,
            &request_id,
            this.charge.as_ref(),
        )))
    }
}
