//! The schemas of all that is sent and answered, by name.

use std::collections::BTreeMap;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use super::operation::Operation;

/// Fields of answers that are left out where there is nothing to say. All others are always there,
/// with `null` for nothing.
const LEFT_OUT: &[(&str, &[&str])] = &[
    ("RunView", &["run_at", "replay_of", "attempts"]),
    (
        "SloView",
        &[
            "threshold_ms",
            "threshold_percent",
            "baseline_ms",
            "baseline_percent",
        ],
    ),
];

/// What is sent: its fields have defaults, and are needed only where serde says so.
const SENT: &[&str] = &[
    "HttpAction",
    "KeyRequest",
    "ProcessAction",
    "RetryPolicy",
    "RunRequest",
    "TaskPatch",
    "TaskSpec",
    "BatchRequest",
    "Toggle",
];

/// Of types whose schema is written by hand, down to what is needed.
const BY_HAND: &[&str] = &["Action", "BuiltinAction", "Problem", "Schedule", "TaskView"];

/// Every schema that an operation or another schema refers to.
pub(super) fn all(operations: &[Operation]) -> BTreeMap<String, RefOr<Schema>> {
    let mut schemas = BTreeMap::new();
    for operation in operations {
        schemas.extend(operation.schemas.iter().cloned());
    }
    for (name, schema) in &mut schemas {
        let name = name.as_str();
        if !SENT.contains(&name) && !BY_HAND.contains(&name) {
            let left_out = LEFT_OUT
                .iter()
                .find(|(answer, _)| *answer == name)
                .map_or(&[][..], |(_, fields)| fields);
            require_all(schema, left_out);
        }
    }
    schemas
}

fn require_all(schema: &mut RefOr<Schema>, left_out: &[&str]) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            object.required = object
                .properties
                .keys()
                .filter(|name| !left_out.contains(&name.as_str()))
                .cloned()
                .collect();
        }
        // Where serde flattens one struct into another.
        RefOr::T(Schema::AllOf(all)) => {
            for part in &mut all.items {
                require_all(part, left_out);
            }
        }
        _ => {}
    }
}
