//! A task: what to do, under which conditions. The JSON of the contract is exactly [`TaskSpec`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Timestamp;
use crate::human_duration::HumanDuration;
use crate::id::{TaskId, TaskName, check_slug};
use crate::invalid::Invalid;
use crate::limits;
use crate::retry::RetryPolicy;
use crate::schedule::{CatchUp, Schedule};

/// A task as written and read over HTTP. Every field but `name` and `do` has a default; an
/// unknown field is an error.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    pub name: TaskName,
    #[serde(rename = "do")]
    pub action: Action,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    #[serde(default)]
    pub retry: RetryPolicy,
    /// Wall time one attempt may take.
    #[serde(default = "default_timeout")]
    #[cfg_attr(feature = "schema", schema(schema_with = crate::schema::timeout))]
    pub timeout: HumanDuration,
    #[serde(default = "default_queue")]
    #[cfg_attr(feature = "schema", schema(schema_with = crate::schema::queue))]
    pub queue: String,
    /// Higher goes first within a queue, from -100 to 100.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(schema_with = crate::schema::priority))]
    pub priority: i16,
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(schema_with = crate::schema::overlap))]
    pub overlap: Overlap,
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(schema_with = crate::schema::catch_up))]
    pub catch_up: CatchUp,
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(schema_with = crate::schema::on_crash))]
    pub on_crash: OnCrash,
    #[serde(default = "yes")]
    #[cfg_attr(feature = "schema", schema(default = true))]
    pub enabled: bool,
}

fn default_timeout() -> HumanDuration {
    HumanDuration(Duration::from_secs(15 * 60))
}

fn default_queue() -> String {
    "default".to_owned()
}

fn yes() -> bool {
    true
}

/// What a due fire does while an earlier run of the same schedule has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// The fire is recorded as skipped.
    #[default]
    Skip,
    /// Both run side by side.
    Allow,
    /// The earlier run is cancelled and the new one queued.
    Replace,
}

/// What becomes of a run whose worker died with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum OnCrash {
    /// Queued again while attempts are left.
    #[default]
    Retry,
    /// Ends as `interrupted`: for effects that must not be repeated blindly.
    Fail,
}

/// What to do. The key in JSON is the task's type.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Http(HttpAction),
    Process(ProcessAction),
    Builtin(BuiltinAction),
}

/// The kind of a task: which executor runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum TaskType {
    Http,
    Process,
    Builtin,
}

impl TaskType {
    pub const ALL: [TaskType; 3] = [TaskType::Http, TaskType::Process, TaskType::Builtin];

    pub fn as_str(self) -> &'static str {
        match self {
            TaskType::Http => "http",
            TaskType::Process => "process",
            TaskType::Builtin => "builtin",
        }
    }

    /// The number in a row.
    pub fn code(self) -> i64 {
        match self {
            TaskType::Http => 1,
            TaskType::Process => 2,
            TaskType::Builtin => 3,
        }
    }

    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.code() == code)
    }
}

impl std::str::FromStr for TaskType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|t| t.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not a task type: use http, process or builtin"))
    }
}

/// One HTTP request. A 2xx answer completes the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HttpAction {
    #[serde(default = "default_method")]
    #[cfg_attr(feature = "schema", schema(schema_with = crate::schema::method))]
    pub method: String,
    #[cfg_attr(feature = "schema", schema(schema_with = crate::schema::url))]
    pub url: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schema(schema_with = crate::schema::headers))]
    pub headers: BTreeMap<String, String>,
    /// Sent as it stands with `application/json`; a JSON string is sent as its text. Without a
    /// body the run's input, if any, is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(schema_with = crate::schema::anything))]
    pub body: Option<Box<RawValue>>,
}

fn default_method() -> String {
    "GET".to_owned()
}

/// One child process, by argument vector: no shell is in between.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ProcessAction {
    #[cfg_attr(feature = "schema", schema(schema_with = crate::schema::argv))]
    pub argv: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schema(schema_with = crate::schema::environment))]
    pub env: BTreeMap<String, String>,
}

/// What the server itself can do. In JSON either the bare name (`"backup"`) or an object with
/// the name and its options (`{"name": "backup", "keep": 7}`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuiltinAction {
    /// Nothing, durably: measures the engine.
    Noop,
    /// Copies the store online and verifies the copy; keeps the newest `keep`.
    Backup { keep: u32 },
    /// Applies retention.
    Cleanup,
    /// Writes a JSON and an HTML summary into the data directory.
    Report,
    /// Takes the contacts of an uploaded file, which the run's input names.
    ContactsImport,
    /// Writes all contacts, or those that the run's input asks for, into a file.
    ContactsExport,
}

impl BuiltinAction {
    pub const BACKUP_KEEP_DEFAULT: u32 = 7;
    pub const NAMES: [&'static str; 6] = [
        "noop",
        "backup",
        "cleanup",
        "report",
        "contacts_import",
        "contacts_export",
    ];

    pub fn name(&self) -> &'static str {
        match self {
            BuiltinAction::Noop => "noop",
            BuiltinAction::Backup { .. } => "backup",
            BuiltinAction::Cleanup => "cleanup",
            BuiltinAction::Report => "report",
            BuiltinAction::ContactsImport => "contacts_import",
            BuiltinAction::ContactsExport => "contacts_export",
        }
    }
}

impl Serialize for BuiltinAction {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            BuiltinAction::Backup { keep } if *keep != Self::BACKUP_KEEP_DEFAULT => {
                BuiltinOptions {
                    name: "backup".to_owned(),
                    keep: Some(*keep),
                }
                .serialize(serializer)
            }
            other => serializer.serialize_str(other.name()),
        }
    }
}

impl<'de> Deserialize<'de> for BuiltinAction {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = BuiltinOptions;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a built-in's name, or an object with `name` and its options")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<BuiltinOptions, E> {
                Ok(BuiltinOptions {
                    name: name.to_owned(),
                    keep: None,
                })
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                map: A,
            ) -> Result<BuiltinOptions, A::Error> {
                BuiltinOptions::deserialize(serde::de::value::MapAccessDeserializer::new(map))
            }
        }
        let options = deserializer.deserialize_any(Visitor)?;
        options.into_action().map_err(serde::de::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BuiltinOptions {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keep: Option<u32>,
}

impl BuiltinOptions {
    fn into_action(self) -> Result<BuiltinAction, String> {
        let plain = |action: BuiltinAction| match self.keep {
            None => Ok(action),
            Some(_) => Err(format!(
                "`keep` belongs to `backup`, not to `{}`",
                action.name()
            )),
        };
        match self.name.as_str() {
            "noop" => plain(BuiltinAction::Noop),
            "cleanup" => plain(BuiltinAction::Cleanup),
            "report" => plain(BuiltinAction::Report),
            "contacts_import" => plain(BuiltinAction::ContactsImport),
            "contacts_export" => plain(BuiltinAction::ContactsExport),
            "backup" => match self.keep.unwrap_or(BuiltinAction::BACKUP_KEEP_DEFAULT) {
                0 => Err("`keep` is 0: keep at least 1 backup".to_owned()),
                keep => Ok(BuiltinAction::Backup { keep }),
            },
            other => Err(format!(
                "unknown built-in `{other}`: use one of {}",
                BuiltinAction::NAMES.join(", ")
            )),
        }
    }
}

impl Action {
    pub fn task_type(&self) -> TaskType {
        match self {
            Action::Http(_) => TaskType::Http,
            Action::Process(_) => TaskType::Process,
            Action::Builtin(_) => TaskType::Builtin,
        }
    }

    /// Whether runs of it end at once, so that thousands may be in flight without a slot each.
    pub fn is_instant(&self) -> bool {
        matches!(self, Action::Builtin(BuiltinAction::Noop))
    }
}

/// A stored task: its definition and what the store knows of it.
#[derive(Clone, Debug)]
pub struct Task {
    pub id: TaskId,
    /// Rises with every change of the definition; a run keeps the one it was queued with.
    pub rev: u32,
    pub spec: TaskSpec,
    /// Where an interval counts from: when its schedule was last set.
    pub anchor_at: Timestamp,
    /// The last planned time that is accounted for in the fire ledger.
    pub fired_through: Timestamp,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl TaskSpec {
    /// Everything that the types alone cannot refuse, all complaints at once.
    ///
    /// # Errors
    /// One [`Invalid`] a field, with the fix.
    pub fn validate(&self) -> Result<(), Vec<Invalid>> {
        let mut found = Vec::new();
        if let Err(error) = check_slug(&self.queue, limits::QUEUE_NAME_CHARS_MAX) {
            found.push(Invalid::new("/queue", error));
        }
        if !(limits::PRIORITY_MIN..=limits::PRIORITY_MAX).contains(&self.priority) {
            found.push(Invalid::new(
                "/priority",
                format!(
                    "is {}: use {} to {}",
                    self.priority,
                    limits::PRIORITY_MIN,
                    limits::PRIORITY_MAX
                ),
            ));
        }
        if self.timeout.0.is_zero() || self.timeout.0 > limits::TIMEOUT_MAX {
            found.push(Invalid::new(
                "/timeout",
                "must be more than 0 and at most 7d",
            ));
        }
        self.retry.validate(&mut found);
        match &self.action {
            Action::Http(http) => http.validate(&mut found),
            Action::Process(process) => process.validate(&mut found),
            Action::Builtin(_) => {}
        }
        if found.is_empty() { Ok(()) } else { Err(found) }
    }
}

impl HttpAction {
    pub const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

    fn validate(&self, found: &mut Vec<Invalid>) {
        if !Self::METHODS.contains(&self.method.as_str()) {
            found.push(Invalid::new(
                "/do/http/method",
                format!(
                    "`{}` is not a method: use one of {}",
                    self.method,
                    Self::METHODS.join(", ")
                ),
            ));
        }
        let rest = self
            .url
            .strip_prefix("http://")
            .or_else(|| self.url.strip_prefix("https://"));
        match rest {
            None => found.push(Invalid::new(
                "/do/http/url",
                "must start with http:// or https://",
            )),
            Some(rest) if rest.is_empty() || rest.starts_with(['/', '?', '#']) => {
                found.push(Invalid::new("/do/http/url", "names no host"));
            }
            Some(rest)
                if rest
                    .split(['/', '?', '#'])
                    .next()
                    .is_some_and(|a| a.contains('@')) =>
            {
                found.push(Invalid::new(
                    "/do/http/url",
                    "carries a user name or password: use an Authorization header",
                ));
            }
            Some(_) => {}
        }
        if self.url.len() > limits::URL_BYTES_MAX {
            found.push(Invalid::new("/do/http/url", "is longer than 8 KiB"));
        }
        if self.url.chars().any(|c| c.is_control() || c == ' ') {
            found.push(Invalid::new(
                "/do/http/url",
                "holds a space or control character: encode it as %20",
            ));
        }
        if self.headers.len() > limits::HTTP_HEADERS_MAX {
            found.push(Invalid::new("/do/http/headers", "has more than 64 entries"));
        }
        for (name, value) in &self.headers {
            let token = !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
            if !token {
                found.push(Invalid::new(
                    format!("/do/http/headers/{name}"),
                    "is not a header name: use letters, digits and `-`",
                ));
            }
            if value.bytes().any(|b| b < b' ' && b != b'\t' || b == 0x7f) {
                found.push(Invalid::new(
                    format!("/do/http/headers/{name}"),
                    "holds a control character or line break",
                ));
            }
        }
    }

    /// The host of the URL when it is written as an address.
    pub fn literal_address(&self) -> Option<IpAddr> {
        let rest = self.url.split_once("://")?.1;
        let authority = rest.split(['/', '?', '#']).next()?;
        if let Some(v6) = authority.strip_prefix('[') {
            return v6.split(']').next()?.parse().ok();
        }
        authority.split(':').next()?.parse().ok()
    }
}

impl ProcessAction {
    fn validate(&self, found: &mut Vec<Invalid>) {
        let program = self.argv.first().map_or("", String::as_str);
        if program.is_empty() {
            found.push(Invalid::new(
                "/do/process/argv",
                r#"names no program: give at least one entry, e.g. ["/usr/bin/env", "date"]"#,
            ));
        }
        if self.argv.len() > limits::ARGV_MAX
            || self.argv.iter().map(String::len).sum::<usize>() > limits::ARGV_BYTES_MAX
        {
            found.push(Invalid::new(
                "/do/process/argv",
                "is longer than 1,000 entries or 96 KiB",
            ));
        }
        let texts = self
            .argv
            .iter()
            .map(|text| ("/do/process/argv", text))
            .chain(self.cwd.iter().map(|text| ("/do/process/cwd", text)))
            .chain(self.env.values().map(|text| ("/do/process/env", text)));
        for (path, text) in texts {
            if text.contains('\0') {
                found.push(Invalid::new(
                    path,
                    "holds a NUL character, which no argument can carry",
                ));
            }
        }
        for name in self.env.keys() {
            if name.is_empty() || name.contains(['=', '\0']) {
                found.push(Invalid::new(
                    format!("/do/process/env/{name}"),
                    "is not a variable name: it is empty or holds `=` or NUL",
                ));
            }
            if name.starts_with("AUTOM8_") {
                found.push(Invalid::new(
                    format!("/do/process/env/{name}"),
                    "starts with AUTOM8_, which the server sets itself",
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests;
