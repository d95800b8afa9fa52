//! Is it there, what is it, and what does it offer?

use autom8_api::info::{Index, Info};
use axum::http::StatusCode;
use utoipa::openapi::schema::{ObjectBuilder, Schema};
use utoipa::openapi::{RefOr, Type};

use crate::openapi::operation::{JSON, Operation, get};
use crate::openapi::parameters::text;
use crate::openapi::refusals::Refusal;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/", "listEndpoints")
            .answers::<Index>(StatusCode::OK, "The endpoints, or the status page.")
            .or_as("text/html", text()),
        get("/openapi.json", "getOpenApiDocument")
            .describe("Made of the server's own code; it changes only with the program.")
            .answers_as(StatusCode::OK, "The document.", JSON, document())
            .with_header("ETag")
            .answers_nothing(StatusCode::NOT_MODIFIED, "`If-None-Match` has it already.")
            .with_header("ETag"),
        get("/docs", "showReference")
            .describe("One page that loads nothing else, so that it works without a network.")
            .answers_as(StatusCode::OK, "The page.", "text/html", text())
            .with_header("ETag")
            .answers_nothing(StatusCode::NOT_MODIFIED, "`If-None-Match` has it already.")
            .with_header("ETag"),
        get("/api/v1/health", "getHealth")
            .describe(
                "For monitors that look at one address: 200 as long as requests are answered.",
            )
            .answers_as(StatusCode::OK, "The service answers.", JSON, health()),
        get("/livez", "getLiveness")
            .describe("It says nothing of the store: restarting on a full disk would help nobody.")
            .answers_as(
                StatusCode::OK,
                "The process answers.",
                JSON,
                state(&["alive"]),
            ),
        get("/readyz", "getReadiness")
            .describe(
                "503 while starting, when the store no longer writes, and from the moment a stop \
                 is asked for.",
            )
            .answers_as(StatusCode::OK, "Send traffic.", JSON, state(&["ready"]))
            .answers_as(
                StatusCode::SERVICE_UNAVAILABLE,
                "Send none.",
                JSON,
                state(&["starting", "draining", "unavailable"]),
            )
            .refuses(&[Refusal::Unavailable]),
        get("/api/v1/info", "getInfo").answers::<Info>(
            StatusCode::OK,
            "What runs here, and how safe it is set up to be.",
        ),
    ]
}

fn document() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Object).into()
}

fn health() -> RefOr<Schema> {
    let uptime = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("status", one_of(&["healthy"]))
        .property("service", one_of(&["Autom8"]))
        .property("version", text())
        .property("environment", text())
        .property("uptime_s", uptime)
        .required("status")
        .required("service")
        .required("version")
        .required("environment")
        .required("uptime_s")
        .into()
}

fn state(states: &[&str]) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("status", one_of(states))
        .property("reason", text())
        .required("status")
        .into()
}

fn one_of(words: &[&str]) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words.to_vec()))
        .into()
}
