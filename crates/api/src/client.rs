//! A small client of the API.
//!
//! [`Client`] has a method for each thing one can ask of a server. An [`Answer`] holds what was
//! read and the text it was read from, so that a program can pass on exactly what the server said.
//! [`log`] follows the output of a run and survives a broken connection; [`repeat`] says which
//! requests are sent again, and when.

mod address;
pub mod contact_files;
mod contacts;
mod keys;
pub mod log;
pub mod repeat;

use std::sync::Arc;
use std::time::Duration;

use autom8_model::api_key::Secret;
use autom8_model::{RunId, Timestamp};
use reqwest::header::{self, HeaderValue};
use reqwest::{Method, Request, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use address::Address;
use repeat::{IDEMPOTENCY_KEY, Limited, Tries, Unanswered, idempotency_key};

use crate::problem::{Problem, ProblemCode};
use crate::run::{RunLogView, RunRequest};
use crate::task::{NextFires, TaskDeleted};
use crate::{RunList, RunView, SchedulerStatus, TaskList, TaskLogStats, TaskView};

pub use contacts::{ContactKey, ContactQuery};
pub use log::{LogEvent, LogFollower};
pub use repeat::Patience;

/// Where a server listens unless it was told otherwise.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:5000";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Until the whole answer is there. The slowest answers wait for a commit on a busy disk.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// A server that streams sends at least a comment in this time; longer silence is a dead
/// connection.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// The longest answer that is read: a page of 1,000 runs, each with input and result at their
/// limits, would be longer, and is then asked for in smaller pages.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Asks one server. Cheap to clone; connections are shared.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// Without a slash at its end.
    base: String,
    /// As it was given, for messages.
    server: String,
    /// Whether nobody can listen in on the way to it.
    is_private: bool,
    key: Option<Credential>,
    patience: Option<Arc<dyn Patience>>,
}

/// An API key as it is sent. Its `Debug` form hides it, as all that is printed does.
#[derive(Clone, Debug)]
struct Credential {
    header: HeaderValue,
    /// Which key it is and where it was found, for messages.
    told: String,
}

/// What the server said: as a value, and word for word.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    pub value: T,
    /// The body as it came.
    pub text: String,
}

/// Why there is no answer. Each variant means another action.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Correct the URL.
    #[error("`{server}` is not the address of a server: {reason}")]
    Address { server: String, reason: String },
    /// Start the server, or name another one.
    #[error("no server answers at {server}: {reason}")]
    Unreachable { server: String, reason: String },
    /// It was reached, but the answer did not come in time or broke off: look whether what was
    /// asked for has happened before asking again.
    #[error("{server} did not finish its answer: {reason}")]
    Interrupted { server: String, reason: String },
    /// The server says no; the problem says why.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// Show an API key, or another one.
    #[error("{problem}{}", told(key.as_deref()))]
    Unauthenticated {
        server: String,
        problem: Box<Problem>,
        /// The key that was shown, as people are told of it.
        key: Option<String>,
    },
    /// The way there is open to others: encrypt it, or say that this does not matter.
    #[error("the API key was not sent to {server}: whoever is on the way could read it")]
    Exposed { server: String },
    /// Something answers there that is not this API, or is another version of it.
    #[error("{server} answered {status} with something else than expected: {reason}")]
    Unreadable {
        server: String,
        status: u16,
        reason: String,
    },
}

/// Which runs a list is to hold; an absent member filters nothing.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RunQuery {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    #[serde(flatten)]
    pub page: PageQuery,
}

/// Which page of a list.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PageQuery {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl Client {
    /// A client of `http://HOST:PORT`, `https://…` or `unix:PATH`. It shows no key, and asks once.
    pub fn new(server: &str) -> Result<Self, ClientError> {
        let refused = |reason: String| ClientError::Address {
            server: shown_address(server),
            reason,
        };
        let address = Address::parse(server).map_err(refused)?;
        let http = http_client(&address, Some(SILENCE_MAX)).map_err(refused)?;
        Ok(Client {
            http,
            base: address.base,
            server: server.to_owned(),
            is_private: address.is_private,
            key: None,
            patience: None,
        })
    }

    /// Shows this key with each request. `found` says where it was found.
    ///
    /// # Errors
    /// [`ClientError::Exposed`] where others could read it on its way, unless `openly` says that
    /// this does not matter.
    pub fn with_key(
        mut self,
        key: &Secret,
        found: &str,
        openly: bool,
    ) -> Result<Self, ClientError> {
        if !self.is_private && !openly {
            return Err(ClientError::Exposed {
                server: self.server,
            });
        }
        let header = HeaderValue::try_from(format!("Bearer {}", key.as_str()));
        let mut header = header.map_err(|error| ClientError::Address {
            server: self.server.clone(),
            reason: error.to_string(),
        })?;
        header.set_sensitive(true);
        self.key = Some(Credential {
            header,
            told: format!("{}… from {found}", key.shown()),
        });
        Ok(self)
    }

    /// Lets requests be sent again as [`repeat`] says.
    pub fn with_patience(mut self, patience: Arc<dyn Patience>) -> Self {
        self.patience = Some(patience);
        self
    }

    /// As it was given.
    pub fn server(&self) -> &str {
        &self.server
    }

    // ── Tasks ────────────────────────────────────────────────────────────────────────────────

    pub async fn tasks(&self, page: &PageQuery) -> Result<Answer<TaskList>, ClientError> {
        self.ask(self.get(&["tasks"]).query(page)).await
    }

    pub async fn task(&self, name: &str) -> Result<Answer<TaskView>, ClientError> {
        self.ask(self.get(&["tasks", name])).await
    }

    /// Creates a task from its definition in JSON.
    pub async fn add_task(&self, spec: &impl Serialize) -> Result<Answer<TaskView>, ClientError> {
        self.ask(self.post_once(&["tasks"]).json(spec)).await
    }

    /// Changes the fields given.
    pub async fn edit_task(
        &self,
        name: &str,
        patch: &impl Serialize,
    ) -> Result<Answer<TaskView>, ClientError> {
        self.ask(self.request(Method::PATCH, &["tasks", name]).json(patch))
            .await
    }

    pub async fn remove_task(&self, name: &str) -> Result<Answer<TaskDeleted>, ClientError> {
        self.ask(self.request(Method::DELETE, &["tasks", name]))
            .await
    }

    pub async fn run_task(
        &self,
        name: &str,
        request: &RunRequest,
    ) -> Result<Answer<RunView>, ClientError> {
        self.ask(self.post_once(&["tasks", name, "run"]).json(request))
            .await
    }

    pub async fn pause_task(&self, name: &str) -> Result<Answer<TaskView>, ClientError> {
        self.ask(self.request(Method::POST, &["tasks", name, "pause"]))
            .await
    }

    pub async fn resume_task(&self, name: &str) -> Result<Answer<TaskView>, ClientError> {
        self.ask(self.request(Method::POST, &["tasks", name, "resume"]))
            .await
    }

    /// The next `n` planned times, after `from` or now.
    pub async fn next_fires(
        &self,
        name: &str,
        n: usize,
        from: Option<Timestamp>,
    ) -> Result<Answer<NextFires>, ClientError> {
        let mut request = self.get(&["tasks", name, "next"]).query(&[("n", n)]);
        if let Some(from) = from {
            request = request.query(&[("from", from)]);
        }
        self.ask(request).await
    }

    // ── Runs ─────────────────────────────────────────────────────────────────────────────────

    pub async fn runs(&self, query: &RunQuery) -> Result<Answer<RunList>, ClientError> {
        self.ask(self.get(&["runs"]).query(query)).await
    }

    pub async fn run(&self, id: RunId) -> Result<Answer<RunView>, ClientError> {
        self.ask(self.get(&["runs", &id.to_string()])).await
    }

    /// Asks a run to stop; the answer shows it as it is at that moment.
    pub async fn cancel_run(&self, id: RunId) -> Result<Answer<RunView>, ClientError> {
        self.ask(self.post_once(&["runs", &id.to_string(), "cancel"]))
            .await
    }

    /// Makes a new run that repeats an ended one.
    pub async fn retry_run(&self, id: RunId) -> Result<Answer<RunView>, ClientError> {
        self.ask(self.post_once(&["runs", &id.to_string(), "retry"]))
            .await
    }

    /// The output so far.
    pub async fn run_log(&self, id: RunId) -> Result<Answer<RunLogView>, ClientError> {
        self.ask(self.get(&["runs", &id.to_string(), "log"])).await
    }

    /// The output so far and what comes, until the run has ended.
    pub fn follow_log(&self, id: RunId) -> LogFollower {
        LogFollower::new(self.clone(), id)
    }

    // ── The server itself ────────────────────────────────────────────────────────────────────

    pub async fn task_log_stats(&self) -> Result<Answer<TaskLogStats>, ClientError> {
        self.ask(self.get(&["task_logs", "stats"])).await
    }

    pub async fn scheduler(&self) -> Result<Answer<SchedulerStatus>, ClientError> {
        self.ask(self.get(&["scheduler", "status"])).await
    }

    /// Any GET below `/api/v1`, for answers that have no method here.
    pub async fn read<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Answer<T>, ClientError> {
        self.ask(self.get(path)).await
    }

    // ── How it is asked ──────────────────────────────────────────────────────────────────────

    fn get(&self, path: &[&str]) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// A POST that happens once, also if it has to be sent again.
    fn post_once(&self, path: &[&str]) -> RequestBuilder {
        self.request(Method::POST, path)
            .header(IDEMPOTENCY_KEY, idempotency_key())
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = format!("{}/api/v1", self.base);
        for segment in path {
            url.push('/');
            push_segment(&mut url, segment);
        }
        let request = self
            .http
            .request(method, url)
            .header(header::ACCEPT, "application/json");
        match &self.key {
            Some(key) => request.header(header::AUTHORIZATION, key.header.clone()),
            None => request,
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<Answer<T>, ClientError> {
        let (status, text) = self.ask_text(request).await?;
        match serde_json::from_str(&text) {
            Ok(value) => Ok(Answer { value, text }),
            Err(error) => Err(self.unreadable(status, error)),
        }
    }

    async fn ask_text(&self, request: RequestBuilder) -> Result<(StatusCode, String), ClientError> {
        let request = request.timeout(ANSWER_TIMEOUT).build();
        let mut request = request.map_err(|error| self.failed(&error))?;
        let mut tries = Tries::default();
        loop {
            let copy = request.try_clone();
            let failure = match self.send_once(request).await {
                Ok(response) => {
                    let status = response.status();
                    match self.text(response).await {
                        Ok(text) => return Ok((status, text)),
                        Err(error) => error.into(),
                    }
                }
                Err(failure) => failure,
            };
            request = tries.next(self, failure, copy).await?;
        }
    }

    /// Sends a request whose answer is read as it comes; anything but a 2xx is an error.
    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let mut request = request.build().map_err(|error| self.failed(&error))?;
        let mut tries = Tries::default();
        loop {
            let copy = request.try_clone();
            match self.send_once(request).await {
                Ok(response) => return Ok(response),
                Err(failure) => request = tries.next(self, failure, copy).await?,
            }
        }
    }

    async fn send_once(&self, request: Request) -> Result<Response, Unanswered> {
        let sent = self.http.execute(request).await;
        let response = sent.map_err(|error| self.failed(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let limited = (status == StatusCode::TOO_MANY_REQUESTS).then(|| Limited {
            retry_after: retry_after(&response),
        });
        let text = self.text(response).await?;
        let error = match serde_json::from_str::<Problem>(&text) {
            Ok(problem) if problem.code == ProblemCode::Unauthenticated => {
                ClientError::Unauthenticated {
                    server: self.server.to_string(),
                    problem: Box::new(problem),
                    key: self.key.as_ref().map(|key| key.told.clone()),
                }
            }
            Ok(problem) => ClientError::Refused(Box::new(problem)),
            Err(_) => self.unreadable(status, "it is no problem of this API"),
        };
        Err(Unanswered { error, limited })
    }

    async fn text(&self, mut response: Response) -> Result<String, ClientError> {
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.failed(&error))?
        {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                let reason = format!("longer than {ANSWER_BYTES_MAX} bytes; use a smaller limit");
                return Err(self.unreadable(status, reason));
            }
            body.extend_from_slice(&chunk);
        }
        String::from_utf8(body).map_err(|_| self.unreadable(status, "not UTF-8"))
    }

    fn failed(&self, error: &reqwest::Error) -> ClientError {
        let (server, reason) = (self.server.clone(), innermost(error));
        match error.is_connect() || error.is_builder() {
            true => ClientError::Unreachable { server, reason },
            false => ClientError::Interrupted { server, reason },
        }
    }

    fn unreadable(&self, status: StatusCode, reason: impl ToString) -> ClientError {
        ClientError::Unreadable {
            server: self.server.clone(),
            status: status.as_u16(),
            reason: reason.to_string(),
        }
    }
}

fn told(key: Option<&str>) -> String {
    key.map_or_else(String::new, |key| format!(" (the key was {key})"))
}

/// An address as it may be shown: with no password that was put into it by mistake.
fn shown_address(server: &str) -> String {
    match (server.split_once("://"), server.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => server.to_owned(),
    }
}

/// The form in seconds, which is the one this API sends.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?;
    let seconds = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What speaks HTTP to an address. A server that is silent for longer than `silence_max` is gone.
fn http_client(
    address: &Address,
    silence_max: Option<Duration>,
) -> Result<reqwest::Client, String> {
    let mut http = reqwest::Client::builder()
        .user_agent(concat!("autom8/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        // Where the server is was said in so many words: it does not lie behind a proxy that
        // was set for the rest of the world, and does not move.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none());
    if let Some(silence_max) = silence_max {
        http = http.read_timeout(silence_max);
    }
    if let Some(path) = &address.socket {
        #[cfg(unix)]
        {
            http = http.unix_socket(path.clone());
        }
        #[cfg(not(unix))]
        return Err(format!(
            "this system has no Unix sockets: {}",
            path.display()
        ));
    }
    http.build().map_err(|error| innermost(&error))
}

/// The cause that says something: "Connection refused", not "error sending request".
fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Appends one segment of a path, so that no name can leave its place.
fn push_segment(url: &mut String, segment: &str) {
    use std::fmt::Write as _;

    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                url.push(char::from(byte));
            }
            // Writing to a String cannot fail.
            _ => _ = write!(url, "%{byte:02X}"),
        }
    }
}

#[cfg(test)]
mod tests;
