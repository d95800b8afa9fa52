//! Parameters that several endpoints take.

use autom8_model::{RunId, RunState, TaskName, TaskType, Timestamp, limits};
use utoipa::openapi::schema::{ArrayBuilder, Schema};
use utoipa::openapi::{KnownFormat, ObjectBuilder, Ref, RefOr, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use super::operation::{Parameter, Place};

pub(super) fn in_query(
    name: &'static str,
    description: &'static str,
    schema: impl Into<RefOr<Schema>>,
) -> Parameter {
    Parameter {
        name,
        place: Place::Query,
        description,
        schema: schema.into(),
        example: None,
    }
}

pub(super) fn in_path(
    name: &'static str,
    example: &'static str,
    schema: RefOr<Schema>,
) -> Parameter {
    Parameter {
        name,
        place: Place::Path,
        description: "",
        schema,
        example: Some(example),
    }
}

pub(super) fn task_name() -> Parameter {
    in_path("name", "nightly-sync", TaskName::schema())
}

pub(super) fn run_id() -> Parameter {
    in_path("id", "42", RunId::schema())
}

impl Parameter {
    /// What stands there in examples.
    pub(super) fn such_as(mut self, example: &'static str) -> Self {
        self.example = Some(example);
        self
    }
}

/// Of every write that can be sent again.
pub(super) fn idempotency_key() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[!-~]([ -~]*[!-~])?$"))
        .min_length(Some(1))
        .max_length(Some(limits::IDEMPOTENCY_KEY_CHARS_MAX));
    Parameter {
        name: "Idempotency-Key",
        place: Place::Header,
        description: "Sent again within 24 hours with the same key and body, the request is not done \
            again: it is given the first answer.",
        schema: schema.into(),
        example: None,
    }
}

/// A number of things from 1 to `maximum`.
pub(super) fn count(default: usize, maximum: usize) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(maximum as u64))
        .default(Some(default.into()))
}

pub(super) fn page_limit() -> Parameter {
    in_query(
        "limit",
        "Rows of the page.",
        count(limits::PAGE_DEFAULT, limits::PAGE_MAX),
    )
}

/// `schema` is that of the last row's name.
pub(super) fn cursor(schema: impl Into<RefOr<Schema>>) -> Parameter {
    in_query(
        "cursor",
        "`meta.next_cursor` of the page before; without it the first page.",
        schema,
    )
}

pub(super) fn run_cursor() -> Parameter {
    cursor(whole_number())
}

fn whole_number() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(1))
        .into()
}

pub(super) fn time(name: &'static str, description: &'static str) -> Parameter {
    in_query(name, description, Timestamp::schema())
}

pub(super) fn task_type() -> Parameter {
    in_query(
        "task_type",
        "Only runs of tasks of this type.",
        TaskType::schema(),
    )
}

/// Several, separated by commas.
pub(super) fn states(name: &'static str) -> Parameter {
    let states = ArrayBuilder::new()
        .items(RunState::schema())
        .min_items(Some(1));
    in_query(
        name,
        "Only runs in one of these states, separated by commas.",
        states,
    )
}

/// The bare name of the parameter is yes, too.
pub(super) fn switch(name: &'static str, description: &'static str) -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(["1", "0", "true", "false", ""]))
        .default(Some("0".into()));
    in_query(name, description, schema)
}

pub(super) fn text() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).into()
}

/// One event of a stream; its data is JSON.
pub(super) fn event() -> RefOr<Schema> {
    let data = ObjectBuilder::new()
        .schema_type(Type::String)
        .content_media_type("application/json");
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("event", text())
        .property("id", text())
        .property("data", data)
        .required("data")
        .into()
}

pub(super) fn refer<T: ToSchema>() -> RefOr<Schema> {
    Ref::from_schema_name(T::name()).into()
}
