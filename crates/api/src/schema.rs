//! JSON Schemas of the types whose JSON is written by hand.

use autom8_model::{Invalid, TaskId, TaskSpec, Timestamp};
use utoipa::openapi::schema::{Schema, SchemaType};
use utoipa::openapi::{ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Ref, RefOr, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::{Problem, ProblemCode};
use crate::task::TaskView;
use crate::task_log::AnomalyKind;

fn text(what: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(what))
}

/// A key that is always there, and `null` where nothing is known.
fn or_null(kind: Type, what: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([kind, Type::Null]))
        .description(Some(what))
}

impl PartialSchema for ProblemCode {
    fn schema() -> RefOr<Schema> {
        let codes = ProblemCode::ALL.map(ProblemCode::as_str);
        text("The stable name of the kind of problem: one code, one action for the client.")
            .enum_values(Some(codes))
            .into()
    }
}

impl ToSchema for ProblemCode {}

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        let message = "What happened and what to do, for a person.";
        let errors = ArrayBuilder::new()
            .items(Ref::from_schema_name(Invalid::name()))
            .description(Some(
                "Which fields or parameters are refused, and what they should be.",
            ));
        let status = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(400))
            .maximum(Some(599));
        let code = Ref::from_schema_name(ProblemCode::name());
        let request_id = or_null(Type::String, "Finds the request in the server's log.");
        let object = ObjectBuilder::new()
            .description(Some("What went wrong, by RFC 9457."))
            .property(
                "type",
                text("`urn:autom8:problem:` and the code.")
                    .pattern(Some("^urn:autom8:problem:[a-z_]+$")),
            )
            .property("title", text("The same for every problem of this code."))
            .property("status", status)
            .property("code", code)
            .property("detail", text(message))
            .property("request_id", request_id)
            .property("errors", errors)
            .property("error", text("The title, for older clients."))
            .property("message", text("The detail, for older clients."));
        all_required(object.build()).into()
    }
}

impl ToSchema for Problem {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Invalid::name().into_owned(), Invalid::schema()));
        schemas.push((ProblemCode::name().into_owned(), ProblemCode::schema()));
    }
}

impl PartialSchema for AnomalyKind {
    fn schema() -> RefOr<Schema> {
        text(
            "`failure_share` in percent, `run_time` and `wait_time` as 95th percentiles in \
             milliseconds.",
        )
        .enum_values(Some(["failure_share", "run_time", "wait_time"]))
        .into()
    }
}

impl ToSchema for AnomalyKind {}

/// The definition and, beside its fields, what the server knows.
impl PartialSchema for TaskView {
    fn schema() -> RefOr<Schema> {
        let RefOr::T(Schema::Object(mut view)) = TaskSpec::schema() else {
            return Ref::from_schema_name(TaskSpec::name()).into();
        };
        let by_hand = ["schedule"];
        let id = Ref::from_schema_name(TaskId::name());
        let time = || Ref::from_schema_name(Timestamp::name());
        let rev = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .description(Some("Rises with every change of the definition."))
            .minimum(Some(1));
        let next_run_at = OneOfBuilder::new()
            .item(time())
            .item(ObjectBuilder::new().schema_type(Type::Null))
            .description(Some(
                "`null` for a task that is paused, has no schedule, or whose one time has passed.",
            ));
        let trigger = or_null(
            Type::String,
            "The schedule in words; `null` for a task that runs by hand.",
        );
        view.description =
            Some("A task: its definition, and what the server knows of it.".to_owned());
        view.additional_properties = None;
        let known: [(&str, RefOr<Schema>); 6] = [
            ("id", id.into()),
            ("rev", rev.into()),
            ("created_at", time().into()),
            ("updated_at", time().into()),
            ("next_run_at", next_run_at.into()),
            ("trigger", trigger.into()),
        ];
        for (name, schema) in known {
            view.properties.insert(name.to_owned(), schema);
        }
        let mut view = all_required(view);
        view.required
            .retain(|name| !by_hand.contains(&name.as_str()));
        view.into()
    }
}

impl ToSchema for TaskView {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        TaskSpec::schemas(schemas);
        for (name, schema) in [
            (TaskId::name(), TaskId::schema()),
            (Timestamp::name(), Timestamp::schema()),
        ] {
            schemas.push((name.into_owned(), schema));
        }
    }
}

fn all_required(mut object: Object) -> Object {
    object.required = object.properties.keys().cloned().collect();
    object
}
