//! A small client of the API.
//!
//! [`Client`] has a method for each thing one can ask of a server. An [`Answer`] holds what was
//! read and the text it was read from, so that a program can pass on exactly what the server said.
//! [`log`] follows the output of a run and survives a broken connection.

pub mod log;

use std::time::Duration;

use autom8_model::{RunId, Timestamp};
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::Problem;
use crate::run::{RunLogView, RunRequest};
use crate::task::{NextFires, TaskDeleted};
use crate::{RunList, RunView, SchedulerStatus, TaskList, TaskLogStats, TaskView};

pub use log::{LogEvent, LogFollower};

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
    /// A client of `http://HOST:PORT`, `https://…` or `unix:PATH`.
    pub fn new(server: &str) -> Result<Self, ClientError> {
        let refused = |reason: String| ClientError::Address {
            server: server.to_owned(),
            reason,
        };
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("autom8/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_MAX)
            // Where the server is was said in so many words: it does not lie behind a proxy that
            // was set for the rest of the world, and does not move.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        let base = match server.strip_prefix("unix:") {
            Some("") => return Err(refused("write unix:PATH".to_owned())),
            #[cfg(unix)]
            Some(path) => {
                http = http.unix_socket(std::path::PathBuf::from(path));
                "http://localhost".to_owned()
            }
            #[cfg(not(unix))]
            Some(_) => return Err(refused("this system has no Unix sockets".to_owned())),
            None => {
                let hint =
                    || format!("write http://HOST:PORT, e.g. {DEFAULT_SERVER}, or unix:PATH");
                let url = reqwest::Url::parse(server).map_err(|_| refused(hint()))?;
                if !matches!(url.scheme(), "http" | "https") || url.query().is_some() {
                    return Err(refused(hint()));
                }
                server.trim_end_matches('/').to_owned()
            }
        };
        let http = http.build().map_err(|error| refused(innermost(&error)))?;
        Ok(Client {
            http,
            base,
            server: server.to_owned(),
        })
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
        self.ask(self.request(Method::POST, &["tasks"]).json(spec))
            .await
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
        self.ask(
            self.request(Method::POST, &["tasks", name, "run"])
                .json(request),
        )
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
        self.ask(self.request(Method::POST, &["runs", &id.to_string(), "cancel"]))
            .await
    }

    /// Makes a new run that repeats an ended one.
    pub async fn retry_run(&self, id: RunId) -> Result<Answer<RunView>, ClientError> {
        self.ask(self.request(Method::POST, &["runs", &id.to_string(), "retry"]))
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

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = format!("{}/api/v1", self.base);
        for segment in path {
            url.push('/');
            push_segment(&mut url, segment);
        }
        self.http
            .request(method, url)
            .header(header::ACCEPT, "application/json")
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<Answer<T>, ClientError> {
        let response = self.send(request.timeout(ANSWER_TIMEOUT)).await?;
        let status = response.status();
        let text = self.text(response).await?;
        match serde_json::from_str(&text) {
            Ok(value) => Ok(Answer { value, text }),
            Err(error) => Err(self.unreadable(status, error)),
        }
    }

    /// Sends a request; anything but a 2xx is an error.
    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.failed(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = self.text(response).await?;
        match serde_json::from_str::<Problem>(&text) {
            Ok(problem) => Err(ClientError::Refused(Box::new(problem))),
            Err(_) => Err(self.unreadable(status, "it is no problem of this API")),
        }
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
