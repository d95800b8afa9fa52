//! `http`: one request; a 2xx answer completes the run.
//!
//! 408, 425, 429, 5xx and a failed transport are tried again as the task's policy says, not before
//! a `Retry-After`. Any other answer ends the run: the same request would be answered the same way.
//! Redirects are followed by hand, because each hop is checked anew and must not carry secrets to
//! another origin. Proxies of the environment are not used: a proxy would connect for us, to
//! addresses that nobody has checked.

mod answer;
pub mod network;
mod resolver;
mod retry_after;

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use autom8_model::task::HttpAction;
use autom8_model::transition::RetryAdvice;
use autom8_model::{Action, Random, TaskType, limits};
use parking_lot::Mutex;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Method, Response, StatusCode, Url};
use serde_json::value::RawValue;

use self::answer::result_json;
use self::network::{NetworkPolicy, Refusal};
use self::resolver::CheckedResolver;
use crate::executor::{Ended, Executor, RunContext};

const REDIRECTS_MAX: usize = 5;
/// A server that does not even take the connection by then is called unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an answer that are read; the rest is left unread and its connection closed.
const ANSWER_BYTES_MAX: usize = limits::RUN_LOG_BYTES_MAX;
/// What of a task's headers may follow a redirect to another origin. Everything else may be a
/// secret under a name of its own, e.g. `X-Api-Key`.
const HEADERS_FOR_ANYONE: [HeaderName; 4] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
    header::USER_AGENT,
];

/// Runs `http` tasks.
pub struct HttpExecutor {
    policy: NetworkPolicy,
    /// Built at the first run: it reads the certificates of the system, which a server without
    /// HTTP tasks need not pay for.
    client: OnceLock<Result<Client, String>>,
    random: Mutex<Random>,
}

impl HttpExecutor {
    pub fn new(policy: NetworkPolicy) -> Self {
        HttpExecutor {
            policy,
            client: OnceLock::new(),
            random: Mutex::new(Random::from_os()),
        }
    }

    fn client(&self) -> Result<&Client, Stop> {
        let built = self.client.get_or_init(|| {
            self.builder().build().or_else(|error| {
                // A bare machine has no certificates. Plain HTTP works without, and HTTPS then
                // fails at the one request that needs it, with a message of its own.
                let reason = describe(&error);
                tracing::warn!(reason, "https requests will fail: install ca-certificates");
                let nobody_trusted = std::iter::empty();
                self.builder()
                    .tls_certs_only(nobody_trusted)
                    .build()
                    .map_err(|e| describe(&e))
            })
        });
        built
            .as_ref()
            .map_err(|error| Stop::retry(format!("no HTTP client: {error}")))
    }

    fn builder(&self) -> ClientBuilder {
        Client::builder()
            .user_agent(concat!("autom8/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .dns_resolver(CheckedResolver::new(self.policy.clone()))
    }

    /// `00-<trace>-<span>-01` as of W3C Trace Context.
    fn traceparent(&self) -> String {
        let mut random = self.random.lock();
        // Of each number one bit is set: all zeroes would not be an id.
        let [high, low, span] = std::array::from_fn(|_| random.next_u64() | 1);
        format!("00-{high:016x}{low:016x}-{span:016x}-01")
    }

    async fn request(&self, action: &HttpAction, context: &RunContext) -> Result<Ended, Stop> {
        let client = self.client()?;
        let mut hop = Hop::first(action, context)?;
        let traceparent = self.traceparent();
        for _ in 0..=REDIRECTS_MAX {
            self.check_url(&hop.url)?;
            context
                .log
                .note(&format!("{} {}", hop.method, shown(&hop.url)));
            let mut request = client
                .request(hop.method.clone(), hop.url.clone())
                .headers(own_headers(&hop.headers, context, &traceparent)?);
            if let Some(body) = &hop.body {
                request = request.body(body.clone());
            }
            let response = request
                .send()
                .await
                .map_err(|error| Stop::transport(&hop, &error))?;
            match hop.follow(&response) {
                Some(next) => hop = next,
                None => return self.answer(&hop, response, context).await,
            }
        }
        Err(Stop::never(format!(
            "{}: redirected more than {REDIRECTS_MAX} times",
            hop.shown()
        )))
    }

    /// Hosts that are written as addresses pass no resolver; they are checked here.
    fn check_url(&self, url: &Url) -> Result<(), Stop> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Stop::never(format!(
                "{}: neither http nor https",
                shown(url)
            )));
        }
        let literal: Option<IpAddr> = url.host_str().and_then(|host| {
            host.trim_start_matches('[')
                .trim_end_matches(']')
                .parse()
                .ok()
        });
        match literal.map(|address| self.policy.check(address)) {
            Some(Err(refusal)) => Err(Stop::never(refusal.to_string())),
            _ => Ok(()),
        }
    }

    async fn answer(
        &self,
        hop: &Hop,
        mut response: Response,
        context: &RunContext,
    ) -> Result<Ended, Stop> {
        let status = response.status();
        let headers = response.headers().clone();
        context
            .log
            .note(&format!("answered {}", status_text(status)));
        let mut body = Vec::new();
        let mut whole = true;
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| Stop::transport(hop, &error))?
        {
            let room = ANSWER_BYTES_MAX - body.len();
            let chunk = &chunk[..chunk.len().min(room)];
            context.log.write(chunk);
            body.extend_from_slice(chunk);
            if body.len() == ANSWER_BYTES_MAX {
                whole = false;
                context.log.note("the rest of the answer was not read");
                break;
            }
        }
        if !body.is_empty() && !body.ends_with(b"\n") {
            context.log.write(b"\n");
        }
        let result = Some(result_json(status, &headers, &body, whole));
        if status.is_success() {
            return Ok(Ended::Completed { result });
        }
        Ok(Ended::Failed {
            error: format!("{}: answered {}", hop.shown(), status_text(status)),
            retry: retry_advice(status, &headers),
            result,
        })
    }
}

#[async_trait]
impl Executor for HttpExecutor {
    fn task_type(&self) -> TaskType {
        TaskType::Http
    }

    async fn execute(&self, context: RunContext) -> Ended {
        let Action::Http(action) = &context.task.spec.action else {
            return Ended::failed_for_good("this is not an http task");
        };
        tokio::select! {
            biased;
            () = context.cancel.cancelled() => Ended::Cancelled,
            answered = self.request(action, &context) => answered.unwrap_or_else(|stop| {
                context.log.note(&stop.error);
                Ended::Failed { error: stop.error, retry: stop.retry, result: None }
            }),
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
struct Stop {
    error: String,
    retry: RetryAdvice,
}

impl Stop {
    fn never(error: String) -> Self {
        Stop {
            error,
            retry: RetryAdvice::Never,
        }
    }

    fn retry(error: String) -> Self {
        Stop {
            error,
            retry: RetryAdvice::Policy,
        }
    }

    fn transport(hop: &Hop, error: &reqwest::Error) -> Self {
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(refusal) = cause.downcast_ref::<Refusal>() {
                return Stop::never(format!("{}: {refusal}", hop.shown()));
            }
            source = cause.source();
        }
        Stop::retry(format!("{}: {}", hop.shown(), describe(error)))
    }
}

/// What failed and its innermost cause, without the URL: its query may hold a secret. What lies
/// between ("client error (Connect): tcp connect error") says the same in words of the library.
fn describe(error: &reqwest::Error) -> String {
    let what = match error {
        error if error.is_connect() => "cannot connect",
        error if error.is_timeout() => "timed out",
        error if error.is_body() || error.is_decode() => "the answer broke off",
        _ => "the request failed",
    };
    let innermost = std::iter::successors(error.source(), |&cause| cause.source()).last();
    match innermost.map(ToString::to_string) {
        Some(cause) if !cause.contains("for url") => format!("{what}: {cause}"),
        _ => what.to_owned(),
    }
}

/// One request on the way to the answer.
#[derive(Debug)]
struct Hop {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
}

impl Hop {
    fn first(action: &HttpAction, context: &RunContext) -> Result<Self, Stop> {
        let method: Method = action
            .method
            .parse()
            .map_err(|_| Stop::never(format!("`{}` is not a method", action.method)))?;
        let url: Url = action
            .url
            .parse()
            .map_err(|error| Stop::never(format!("the task's URL does not parse: {error}")))?;
        let mut headers = HeaderMap::new();
        let body = match &action.body {
            Some(body) => Some(body_bytes(body, &mut headers)),
            None if context.input_bytes().is_empty() => None,
            None => {
                headers.insert(header::CONTENT_TYPE, APPLICATION_JSON);
                Some(context.input_bytes().to_vec())
            }
        };
        for (name, value) in &action.headers {
            let name: HeaderName = name
                .parse()
                .map_err(|_| Stop::never(format!("`{name}` is not a header name")))?;
            let mut value = HeaderValue::from_bytes(value.as_bytes())
                .map_err(|_| Stop::never(format!("the value of `{name}` cannot be sent")))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Hop {
            method,
            url,
            headers,
            body,
        })
    }

    /// Where a redirect leads, or `None` if `response` is the answer.
    fn follow(&self, response: &Response) -> Option<Hop> {
        let status = response.status();
        if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
        let url = self.url.join(location).ok()?;
        let mut headers = self.headers.clone();
        if url.origin() != self.url.origin() {
            headers = HEADERS_FOR_ANYONE
                .iter()
                .filter_map(|name| Some((name.clone(), headers.get(name)?.clone())))
                .collect();
        }
        // As browsers do: 303 always turns to GET, 301 and 302 turn a POST to GET.
        let turns_to_get = match status.as_u16() {
            303 => self.method != Method::HEAD,
            301 | 302 => self.method == Method::POST,
            _ => false,
        };
        if !turns_to_get {
            let (method, body) = (self.method.clone(), self.body.clone());
            return Some(Hop {
                method,
                url,
                headers,
                body,
            });
        }
        headers.remove(header::CONTENT_TYPE);
        Some(Hop {
            method: Method::GET,
            url,
            headers,
            body: None,
        })
    }

    fn shown(&self) -> String {
        format!("{} {}", self.method, shown(&self.url))
    }
}

/// The headers of a hop with those that every attempt carries. A task may bring its own key or
/// trace; what it says about the run is not its to say.
fn own_headers(
    headers: &HeaderMap,
    context: &RunContext,
    traceparent: &str,
) -> Result<HeaderMap, Stop> {
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|error| Stop::never(format!("`{text}`: {error}")))
    };
    let mut headers = headers.clone();
    headers
        .entry("idempotency-key")
        .or_insert(value(&context.idempotency_key())?);
    headers.entry("traceparent").or_insert(value(traceparent)?);
    headers.insert("x-autom8-run", value(&context.run.to_string())?);
    headers.insert("x-autom8-attempt", value(&context.attempt.to_string())?);
    Ok(headers)
}

/// A URL without what may be secret: user, password, query and fragment.
fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_query(None);
    shown.set_fragment(None);
    shown.into()
}

const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A JSON string is sent as its text, anything else as it stands.
fn body_bytes(body: &RawValue, headers: &mut HeaderMap) -> Vec<u8> {
    match serde_json::from_str::<String>(body.get()) {
        Ok(text) => {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            );
            text.into_bytes()
        }
        Err(_) => {
            headers.insert(header::CONTENT_TYPE, APPLICATION_JSON);
            body.get().as_bytes().to_vec()
        }
    }
}

fn status_text(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

fn retry_advice(status: StatusCode, headers: &HeaderMap) -> RetryAdvice {
    match status.as_u16() {
        408 | 425 | 429 | 500..=599 => {
            retry_after::retry_after(headers).map_or(RetryAdvice::Policy, RetryAdvice::After)
        }
        _ => RetryAdvice::Never,
    }
}

#[cfg(test)]
mod tests;
