//! What is answered when something cannot be done: the same problem document everywhere, so each
//! status is described once. And the headers that answers have.

use autom8_api::Problem;
use autom8_api::problem::CONTENT_TYPE;
use utoipa::ToSchema as _;
use utoipa::openapi::schema::{Schema, SchemaType};
use utoipa::openapi::{
    ContentBuilder, Header, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder,
    Type,
};

/// One status of those that refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal {
    Invalid,
    Unauthenticated,
    Forbidden,
    NotFound,
    Timeout,
    Conflict,
    TooLarge,
    UnsupportedMediaType,
    IdempotencyKeyReused,
    RateLimited,
    Internal,
    Unavailable,
    DiskFull,
}

impl Refusal {
    pub(super) const ALL: [Refusal; 13] = [
        Refusal::Invalid,
        Refusal::Unauthenticated,
        Refusal::Forbidden,
        Refusal::NotFound,
        Refusal::Timeout,
        Refusal::Conflict,
        Refusal::TooLarge,
        Refusal::UnsupportedMediaType,
        Refusal::IdempotencyKeyReused,
        Refusal::RateLimited,
        Refusal::Internal,
        Refusal::Unavailable,
        Refusal::DiskFull,
    ];

    pub(super) fn status(self) -> u16 {
        self.row().0
    }

    /// Among the document's components.
    pub(super) fn name(self) -> &'static str {
        self.row().1
    }

    pub(super) fn description(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Refusal::Invalid => (
                400,
                "Invalid",
                "Fields or parameters are refused: `errors` names each with its fix.",
            ),
            Refusal::Unauthenticated => (
                401,
                "Unauthenticated",
                "This server asks for a key, and none that is valid was sent.",
            ),
            Refusal::Forbidden => (
                403,
                "Forbidden",
                "The key may not do this, the request comes from another host or origin, or what \
                 it asks for is switched off here; the message names the switch.",
            ),
            Refusal::NotFound => (404, "NotFound", "There is no such thing."),
            Refusal::Timeout => (408, "Timeout", "The body came too slowly."),
            Refusal::Conflict => (
                409,
                "Conflict",
                "It is taken, or in a state that does not allow this.",
            ),
            Refusal::TooLarge => (413, "TooLarge", "The body is larger than its limit."),
            Refusal::UnsupportedMediaType => (
                415,
                "UnsupportedMediaType",
                "The body is not announced as what is read here.",
            ),
            Refusal::IdempotencyKeyReused => (
                422,
                "IdempotencyKeyReused",
                "The idempotency key was used for another request.",
            ),
            Refusal::RateLimited => (
                429,
                "RateLimited",
                "Too many requests: try again after `Retry-After`.",
            ),
            Refusal::Internal => (
                500,
                "Internal",
                "A defect of the server; its log has the reason under `request_id`.",
            ),
            Refusal::Unavailable => (
                503,
                "Unavailable",
                "Overloaded, starting, stopping or without its store: try again after \
                 `Retry-After`.",
            ),
            Refusal::DiskFull => (
                507,
                "DiskFull",
                "The server's disk is full and nothing was written.",
            ),
        }
    }

    /// As the document describes it.
    pub(super) fn response(self) -> Response {
        let problem = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(Problem::name())))
            .build();
        let response = with_common_headers(
            ResponseBuilder::new()
                .description(self.description())
                .content(CONTENT_TYPE, problem),
        );
        match self {
            Refusal::RateLimited | Refusal::Unavailable => {
                response.header_ref("Retry-After", header_ref("Retry-After"))
            }
            Refusal::Unauthenticated => {
                response.header_ref("WWW-Authenticate", header_ref("WWW-Authenticate"))
            }
            _ => response,
        }
        .build()
    }
}

pub(super) fn with_common_headers(response: ResponseBuilder) -> ResponseBuilder {
    COMMON_HEADERS.iter().fold(response, |response, name| {
        response.header_ref(*name, header_ref(name))
    })
}

pub(super) fn header_ref(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}

/// Of every answer.
const COMMON_HEADERS: [&str; 3] = ["X-Request-Id", "X-Response-Time", "Server-Timing"];

/// Of answers to requests that are counted by the rate limit.
pub(super) const RATE_LIMIT_HEADERS: [&str; 5] = [
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "RateLimit",
    "RateLimit-Policy",
];

/// Every header that an answer may have.
pub(super) fn headers() -> Vec<(&'static str, Header)> {
    let text = |what: &str, example: &str| header(what, Type::String, example.into());
    let number = |what: &str, example: u32| header(what, Type::Integer, example.into());
    vec![
        (
            "X-Request-Id",
            text(
                "The id of the request: the client's own, if it sent a usable one.",
                "01a20fab-2d26-7fd3-8742-11a836629310",
            ),
        ),
        (
            "X-Response-Time",
            text("The time in the server.", "0.184ms"),
        ),
        (
            "Server-Timing",
            text("The same, as browsers draw it.", "total;dur=0.184"),
        ),
        (
            "Location",
            text("Where the new thing is.", "/api/v1/runs/42"),
        ),
        (
            "Retry-After",
            number("Seconds after which another try makes sense.", 1),
        ),
        ("WWW-Authenticate", text("How to send a key.", "Bearer")),
        (
            "ETag",
            text("Changes with the content; for `If-None-Match`.", "\"5f2a\""),
        ),
        (
            "Idempotency-Replayed",
            text("`true` for an answer that was given before.", "true"),
        ),
        (
            "X-Sample-Age-Ms",
            number("How old the figures were as they were sent.", 312),
        ),
        (
            "X-RateLimit-Limit",
            number("Requests that are allowed in a minute.", 5_000),
        ),
        (
            "X-RateLimit-Remaining",
            number("Requests that would be accepted now.", 4_999),
        ),
        (
            "X-RateLimit-Reset",
            number(
                "When all of them are there again, in Unix seconds.",
                1_795_569_895,
            ),
        ),
        (
            "RateLimit",
            text(
                "What is left, and when more comes.",
                "\"default\";r=4999;t=1",
            ),
        ),
        (
            "RateLimit-Policy",
            text("The limit and its window.", "\"default\";q=5000;w=60"),
        ),
    ]
}

fn header(what: &str, kind: Type, example: serde_json::Value) -> Header {
    let schema = ObjectBuilder::new().schema_type(SchemaType::Type(kind));
    HeaderBuilder::new()
        .schema(Some(RefOr::T(Schema::from(schema))))
        .description(Some(what))
        .example(Some(example))
        .build()
}
