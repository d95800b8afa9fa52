//! What was intended, and what came of it.

use autom8_api::run::{LogChunk, LogEnd, RunLogView};
use autom8_api::{BatchAccepted, RunList, RunView};
use autom8_model::{TaskName, Trigger, limits};
use axum::http::StatusCode;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, Schema, SchemaType};
use utoipa::openapi::{ObjectBuilder, RefOr, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::openapi::operation::{Operation, Parameter, Place, get, post};
use crate::openapi::parameters::{
    event, in_query, page_limit, refer, run_cursor, run_id, states, switch, task_type, text, time,
};
use crate::openapi::refusals::Refusal;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/api/v1/runs", "listRuns")
            .describe(
                "A page of a filtered list may be short, or empty, and still have a cursor: a list \
                 visits a bounded number of rows.",
            )
            .takes(in_query("task", "Only runs of this task.", TaskName::schema()))
            .takes(task_type())
            .takes(states("state"))
            .takes(in_query("trigger", "Only runs made by this.", Trigger::schema()))
            .takes(time("since", "Only runs that were queued then or later."))
            .takes(time("until", "Only runs that were queued before."))
            .takes(page_limit())
            .takes(run_cursor())
            .answers::<RunList>(StatusCode::OK, "A page of runs, newest first."),
        post("/api/v1/runs/batch", "runBatch")
            .describe("All are accepted or none. The body may have 16 MiB.")
            .body::<BatchRequest>(
                r#"{"task": "nightly-sync", "inputs": [{"page": 1}, {"page": 2}], "return_ids": true}"#,
            )
            .answers::<BatchAccepted>(StatusCode::ACCEPTED, "All are queued, and durable.")
            .refuses(&[Refusal::NotFound, Refusal::Conflict]),
        get("/api/v1/runs/{id}", "getRun")
            .takes(run_id())
            .answers::<RunView>(StatusCode::OK, "The run, with its earlier attempts.")
            .refuses(&[Refusal::NotFound]),
        post("/api/v1/runs/{id}/cancel", "cancelRun")
            .describe("A run that is running ends once its executor has stopped.")
            .takes(run_id())
            .answers::<RunView>(StatusCode::ACCEPTED, "The run as it is now.")
            .refuses(&[Refusal::NotFound, Refusal::Conflict]),
        post("/api/v1/runs/{id}/retry", "retryRun")
            .describe("Makes a new run with the same input; the ended one stays as it is.")
            .takes(run_id())
            .answers::<RunView>(StatusCode::ACCEPTED, "The new run.")
            .with_header("Location")
            .refuses(&[Refusal::NotFound, Refusal::Conflict]),
        get("/api/v1/runs/{id}/log", "getRunLog")
            .describe(
                "Plain text; JSON by `Accept`. As events with `follow=1` or `Accept: \
                 text/event-stream`: events named `log` with a `LogChunk` each, then one named \
                 `end` with a `LogEnd`. Their id, given back as `Last-Event-ID`, takes a broken stream up \
                 where it broke.",
            )
            .takes(run_id())
            .takes(switch("follow", "Stream it until the run has ended."))
            .takes(Parameter {
                name: "Last-Event-ID",
                place: Place::Header,
                description: "The id of the last event that was read; anything else is as good as \
                    none.",
                schema: text(),
                example: None,
            })
            .answers_as(StatusCode::OK, "What it printed.", "text/plain", text())
            .or_as("application/json", refer::<RunLogView>())
            .or_as("text/event-stream", event())
            .with::<RunLogView>()
            .with::<LogChunk>()
            .with::<LogEnd>()
            .refuses(&[Refusal::NotFound]),
    ]
}

/// The server reads a batch without making a tree of it, so there is no type to derive from.
struct BatchRequest;

impl ToSchema for BatchRequest {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((TaskName::name().into_owned(), TaskName::schema()));
    }
}

impl PartialSchema for BatchRequest {
    fn schema() -> RefOr<Schema> {
        let inputs = ArrayBuilder::new()
            .items(ObjectBuilder::new().schema_type(SchemaType::AnyValue))
            .description(Some("One run for each; any JSON of up to 256 KiB."))
            .min_items(Some(1))
            .max_items(Some(limits::BATCH_RUNS_MAX));
        let return_ids = ObjectBuilder::new()
            .schema_type(Type::Boolean)
            .description(Some("Whether to answer the ids of the runs."))
            .default(Some(false.into()));
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .property("task", refer::<TaskName>())
            .property("inputs", inputs)
            .property("return_ids", return_ids)
            .required("task")
            .required("inputs")
            .into()
    }
}
