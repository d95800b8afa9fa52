//! What went wrong, as RFC 9457 `application/problem+json`, with the members that older clients
//! read beside it.

use std::fmt;

use autom8_model::Invalid;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// The stable name of a kind of problem. A code means one action for the client, and is never
/// renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// The body is not JSON. Correct what produces it.
    MalformedJson,
    /// Fields or parameters are refused; `errors` names each with its fix.
    Invalid,
    Unauthenticated,
    /// The key may not do this.
    Forbidden,
    /// The server was started without it; `message` names the switch.
    NotEnabled,
    NotFound,
    MethodNotAllowed,
    /// The request did not arrive in time.
    Timeout,
    /// It is taken, or in a state that does not allow this.
    Conflict,
    TooLarge,
    UnsupportedMediaType,
    IdempotencyKeyReused,
    /// Wait for `Retry-After`.
    RateLimited,
    /// A defect of the server; `request_id` finds it in the log.
    Internal,
    /// Refused before it slowed everything down: wait for `Retry-After`.
    Overloaded,
    /// Starting, stopping or without its store: wait for `Retry-After`.
    Unavailable,
    DiskFull,
    /// A code that this client does not know yet; `status` says how to take it.
    #[serde(other)]
    Unknown,
}

impl ProblemCode {
    pub const ALL: [ProblemCode; 17] = [
        ProblemCode::MalformedJson,
        ProblemCode::Invalid,
        ProblemCode::Unauthenticated,
        ProblemCode::Forbidden,
        ProblemCode::NotEnabled,
        ProblemCode::NotFound,
        ProblemCode::MethodNotAllowed,
        ProblemCode::Timeout,
        ProblemCode::Conflict,
        ProblemCode::TooLarge,
        ProblemCode::UnsupportedMediaType,
        ProblemCode::IdempotencyKeyReused,
        ProblemCode::RateLimited,
        ProblemCode::Internal,
        ProblemCode::Overloaded,
        ProblemCode::Unavailable,
        ProblemCode::DiskFull,
    ];

    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    pub fn status(self) -> u16 {
        self.row().1
    }

    /// The same for every problem of this code, as RFC 9457 asks.
    pub fn title(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            ProblemCode::MalformedJson => ("malformed_json", 400, "The body is not valid JSON"),
            ProblemCode::Invalid => ("invalid", 400, "The request is not valid"),
            ProblemCode::Unauthenticated => ("unauthenticated", 401, "A valid API key is needed"),
            ProblemCode::Forbidden => ("forbidden", 403, "Not allowed"),
            ProblemCode::NotEnabled => ("not_enabled", 403, "Switched off on this server"),
            ProblemCode::NotFound => ("not_found", 404, "Not found"),
            ProblemCode::MethodNotAllowed => ("method_not_allowed", 405, "Method not allowed"),
            ProblemCode::Timeout => ("timeout", 408, "The request took too long to arrive"),
            ProblemCode::Conflict => ("conflict", 409, "Conflict"),
            ProblemCode::TooLarge => ("too_large", 413, "The request is too large"),
            ProblemCode::UnsupportedMediaType => {
                ("unsupported_media_type", 415, "Unsupported media type")
            }
            ProblemCode::IdempotencyKeyReused => (
                "idempotency_key_reused",
                422,
                "The idempotency key was used for another request",
            ),
            ProblemCode::RateLimited => ("rate_limited", 429, "Too many requests"),
            ProblemCode::Internal => ("internal", 500, "Internal error"),
            ProblemCode::Overloaded => ("overloaded", 503, "Overloaded"),
            ProblemCode::Unavailable => ("unavailable", 503, "Not available"),
            ProblemCode::DiskFull => ("disk_full", 507, "The disk is full"),
            ProblemCode::Unknown => ("unknown", 500, "Unknown problem"),
        }
    }
}

/// One problem. Its JSON has `type title status code detail request_id errors`, and `error` and
/// `message` for clients from before RFC 9457.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub code: ProblemCode,
    /// What happened and what to do, for a person.
    pub message: String,
    /// Which fields or parameters are refused, and what they should be.
    pub errors: Vec<Invalid>,
    pub request_id: Option<String>,
    status: u16,
}

impl Problem {
    pub fn new(code: ProblemCode, message: impl Into<String>) -> Self {
        Problem {
            code,
            message: message.into(),
            errors: Vec::new(),
            request_id: None,
            status: code.status(),
        }
    }

    /// A 400 that names what is refused. The message repeats the first complaint, for clients
    /// that show nothing else.
    pub fn invalid(errors: Vec<Invalid>) -> Self {
        let message = match errors.as_slice() {
            [] => ProblemCode::Invalid.title().to_owned(),
            [only] => only.to_string(),
            [first, rest @ ..] => format!("{first} (and {} more, see errors)", rest.len()),
        };
        Problem {
            errors,
            ..Problem::new(ProblemCode::Invalid, message)
        }
    }

    /// A 400 about one field or parameter.
    pub fn invalid_at(path: impl Into<String>, message: impl ToString) -> Self {
        Problem::invalid(vec![Invalid::new(path, message)])
    }

    pub fn not_found(what: impl fmt::Display) -> Self {
        Problem::new(ProblemCode::NotFound, format!("{what} does not exist"))
    }

    pub fn conflict(why: impl Into<String>) -> Self {
        Problem::new(ProblemCode::Conflict, why)
    }

    /// A 403 that names the switch which would allow it.
    pub fn not_enabled(message: impl Into<String>) -> Self {
        Problem::new(ProblemCode::NotEnabled, message)
    }

    /// A 500 that says nothing about the inside; the log has it under the request id.
    pub fn internal() -> Self {
        Problem::new(
            ProblemCode::Internal,
            "the server could not do this; its log has the reason under the request id",
        )
    }

    pub fn with_request_id(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = Some(request_id.into());
        self
    }

    /// As it was answered, also for a code that is unknown here.
    pub fn status(&self) -> u16 {
        self.status
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

/// A name, not a place: it identifies the kind and promises no page.
struct TypeUrn(ProblemCode);

impl Serialize for TypeUrn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("urn:autom8:problem:{}", self.0.as_str()))
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_struct("Problem", 9)?;
        map.serialize_field("type", &TypeUrn(self.code))?;
        map.serialize_field("title", self.code.title())?;
        map.serialize_field("status", &self.status)?;
        map.serialize_field("code", self.code.as_str())?;
        map.serialize_field("detail", &self.message)?;
        map.serialize_field("request_id", &self.request_id)?;
        map.serialize_field("errors", &self.errors)?;
        map.serialize_field("error", self.code.title())?;
        map.serialize_field("message", &self.message)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Problem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields {
            status: u16,
            code: ProblemCode,
            message: String,
            #[serde(default)]
            errors: Vec<Invalid>,
            #[serde(default)]
            request_id: Option<String>,
        }
        let Fields {
            status,
            code,
            message,
            errors,
            request_id,
        } = Fields::deserialize(deserializer)?;
        Ok(Problem {
            code,
            message,
            errors,
            request_id,
            status,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_members_of_the_contract() {
        let problem = Problem::invalid(vec![
            Invalid::new("/nmae", "is not a field; did you mean `name`?"),
            Invalid::new("/timeout", "must be more than 0 and at most 7d"),
        ])
        .with_request_id("req-1");
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "type": "urn:autom8:problem:invalid",
                "title": "The request is not valid",
                "status": 400,
                "code": "invalid",
                "detail": "/nmae: is not a field; did you mean `name`? (and 1 more, see errors)",
                "request_id": "req-1",
                "errors": [
                    {"path": "/nmae", "message": "is not a field; did you mean `name`?"},
                    {"path": "/timeout", "message": "must be more than 0 and at most 7d"}
                ],
                "error": "The request is not valid",
                "message": "/nmae: is not a field; did you mean `name`? (and 1 more, see errors)"
            })
        );
        assert_eq!(serde_json::from_value::<Problem>(json).unwrap(), problem);
    }

    #[test]
    fn every_code_is_written_as_it_is_read_and_has_an_error_status() {
        for code in ProblemCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert!((400..600).contains(&code.status()), "{code:?}");
        }
    }

    #[test]
    fn a_code_from_a_newer_server_keeps_its_status() {
        let problem: Problem = serde_json::from_str(
            r#"{"status": 451, "code": "sealed", "message": "no", "later": true}"#,
        )
        .unwrap();
        assert_eq!(
            (problem.code, problem.status()),
            (ProblemCode::Unknown, 451)
        );
    }
}
