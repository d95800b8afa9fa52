//! What to do, and when.

use autom8_api::run::RunRequest;
use autom8_api::task::{NextFires, READ_ONLY_FIELDS, TaskDeleted, TaskList, TaskView, Toggle};
use autom8_model::retry::RetryPolicy;
use autom8_model::{TaskName, TaskSpec};
use axum::http::StatusCode;
use utoipa::openapi::schema::{AdditionalProperties, AnyOfBuilder, Schema, SchemaType};
use utoipa::openapi::{ObjectBuilder, RefOr, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::openapi::operation::{Operation, delete, get, patch, post, put};
use crate::openapi::parameters::{count, cursor, in_query, page_limit, task_name, time};
use crate::openapi::refusals::Refusal;
use crate::routes::tasks::{PREVIEW_FIRES_DEFAULT, PREVIEW_FIRES_MAX};

const TASK: &str = r#"{
  "name": "nightly-sync",
  "do": {"http": {"method": "POST", "url": "https://crm.example/hook", "body": {"full": true}}},
  "schedule": {"cron": "0 2 * * *", "timezone": "Europe/Berlin"},
  "retry": {"max_attempts": 5, "backoff": "2s"}
}"#;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/api/v1/tasks", "listTasks")
            .describe("In the order of names.")
            .takes(page_limit())
            .takes(cursor(TaskName::schema()))
            .answers::<TaskList>(StatusCode::OK, "A page of tasks."),
        post("/api/v1/tasks", "createTask")
            .describe(
                "`name` and `do` are needed, the rest has defaults. What only the server knows \
                 (`id`, `rev` and the like) is not looked at, so that a task that was read can be \
                 sent back. Tasks that start processes are off until the server is started with \
                 --allow-process.",
            )
            .body::<TaskSpec>(TASK)
            .answers::<TaskView>(StatusCode::CREATED, "The task.")
            .with_header("Location")
            .refuses(&[Refusal::Forbidden, Refusal::Conflict]),
        get("/api/v1/tasks/{name}", "getTask")
            .takes(task_name())
            .answers::<TaskView>(StatusCode::OK, "The task.")
            .refuses(&[Refusal::NotFound]),
        patch("/api/v1/tasks/{name}", "updateTask")
            .describe(
                "A JSON Merge Patch (RFC 7396): fields that are not named stay, `null` brings the \
                 default back. A new kind of `schedule` or `do` replaces the old one, and a \
                 request's `body` is replaced whole. Runs that are queued keep the definition they \
                 were queued with.",
            )
            .takes(task_name())
            .body::<TaskPatch>(r#"{"retry": {"max_attempts": 2}, "priority": 10}"#)
            .answers::<TaskView>(StatusCode::OK, "The task as it is now.")
            .refuses(&[Refusal::Forbidden, Refusal::NotFound, Refusal::Conflict]),
        delete("/api/v1/tasks/{name}", "deleteTask")
            .describe("Its queued runs are cancelled, its running ones stopped; history stays.")
            .takes(task_name())
            .answers::<TaskDeleted>(StatusCode::OK, "It is gone.")
            .refuses(&[Refusal::NotFound]),
        run("/api/v1/tasks/{name}/run", "runTask"),
        switch("/api/v1/tasks/{name}/pause", "pauseTask"),
        switch("/api/v1/tasks/{name}/resume", "resumeTask")
            .describe("Times that passed while it was paused are not made up for."),
        put("/api/v1/tasks/{name}/toggle", "toggleTask")
            .takes(task_name())
            .body::<Toggle>(r#"{"enabled": false}"#)
            .answers::<TaskView>(StatusCode::OK, "The task as it is now.")
            .refuses(&[Refusal::NotFound]),
        get("/api/v1/tasks/{name}/next", "previewTask")
            .describe("Also of a paused task; nothing for one that runs by hand.")
            .takes(task_name())
            .takes(in_query(
                "n",
                "How many times.",
                count(PREVIEW_FIRES_DEFAULT, PREVIEW_FIRES_MAX),
            ))
            .takes(time("from", "The time to look ahead from; now without it."))
            .answers::<NextFires>(StatusCode::OK, "The next planned times.")
            .refuses(&[Refusal::NotFound]),
    ]
}

pub(super) fn run(path: &'static str, id: &'static str) -> Operation {
    post(path, id)
        .describe(
            "The body may be left out. The run goes to the end of its queue; a paused task's runs \
             wait until it is resumed.",
        )
        .takes(task_name())
        .optional_body::<RunRequest>(r#"{"input": {"since": "2026-12-24"}}"#)
        .answers::<autom8_api::RunView>(StatusCode::ACCEPTED, "The run, queued or further.")
        .with_header("Location")
        .refuses(&[Refusal::NotFound, Refusal::Conflict])
}

pub(super) fn switch(path: &'static str, id: &'static str) -> Operation {
    post(path, id)
        .takes(task_name())
        .answers::<TaskView>(StatusCode::OK, "The task as it is now.")
        .refuses(&[Refusal::NotFound])
}

/// What a PATCH may say: every field of a task but a new name, or `null` for its default.
struct TaskPatch;

impl ToSchema for TaskPatch {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        TaskSpec::schemas(schemas);
    }
}

impl PartialSchema for TaskPatch {
    fn schema() -> RefOr<Schema> {
        let object = ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("Fields to change; what is left out stays as it is."))
            .additional_properties(Some(AdditionalProperties::FreeForm(false)));
        let (RefOr::T(Schema::Object(spec)), RefOr::T(Schema::Object(retry))) =
            (TaskSpec::schema(), RetryPolicy::schema())
        else {
            return object.into();
        };
        let object = spec
            .properties
            .into_iter()
            .fold(object, |object, (name, schema)| {
                let schema = match name.as_str() {
                    "name" => schema,
                    "do" => merged("What to change of what it does, or another kind of it."),
                    "schedule" => merged("What to change of it, another kind of it, or `null`."),
                    "retry" => {
                        let empty = ObjectBuilder::new()
                            .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
                            .additional_properties(Some(AdditionalProperties::FreeForm(false)));
                        retry
                            .properties
                            .iter()
                            .fold(empty, |object, (name, schema)| {
                                object.property(name, or_null(schema.clone()))
                            })
                            .into()
                    }
                    _ => or_null(schema),
                };
                object.property(name, schema)
            });
        READ_ONLY_FIELDS
            .into_iter()
            .fold(object, |object, name| {
                object.property(
                    name,
                    ObjectBuilder::new()
                        .schema_type(SchemaType::AnyValue)
                        .description(Some("Not looked at.")),
                )
            })
            .into()
    }
}

/// A part of a task that is laid over what is there: only the whole can be judged.
fn merged(what: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .description(Some(what))
        .into()
}

fn or_null(schema: RefOr<Schema>) -> RefOr<Schema> {
    let null = ObjectBuilder::new().schema_type(Type::Null);
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            object.default = None;
            AnyOfBuilder::new().item(object).item(null).into()
        }
        other => AnyOfBuilder::new().item(other).item(null).into(),
    }
}
