//! The schemas of all that is sent and answered, by name.

use std::collections::BTreeMap;

use autom8_api::Problem;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayItems, Schema};

use utoipa::{PartialSchema as _, ToSchema as _};

use super::operation::Operation;

/// Fields of answers that are left out where there is nothing to say. All others are always there,
/// with `null` for nothing.
const LEFT_OUT: &[(&str, &[&str])] = &[
    ("RunView", &["run_at", "replay_of", "progress", "attempts"]),
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
    "ContactDraft",
    "ContactPatch",
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
const BY_HAND: &[&str] = &[
    "Action",
    "BuiltinAction",
    "Contact",
    "Problem",
    "Schedule",
    "TaskView",
];

/// Every schema that an operation or another schema refers to.
pub(super) fn all(operations: &[Operation]) -> BTreeMap<String, RefOr<Schema>> {
    let mut schemas = BTreeMap::from([(Problem::name().into_owned(), Problem::schema())]);
    let mut parts = Vec::new();
    Problem::schemas(&mut parts);
    schemas.extend(parts);
    for operation in operations {
        schemas.extend(operation.schemas.iter().cloned());
    }
    for (name, schema) in &mut schemas {
        reword(schema);
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

/// Comments of the code, which are wrapped and link to other code, as text.
fn reword(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::Ref(reference) => reference.description = reworded(&reference.description),
        RefOr::T(Schema::Object(object)) => {
            reword_one(&mut object.description);
            for property in object.properties.values_mut() {
                reword(property);
            }
        }
        RefOr::T(Schema::Array(array)) => {
            reword_one(&mut array.description);
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                reword(items);
            }
        }
        RefOr::T(Schema::OneOf(one_of)) => {
            reword_one(&mut one_of.description);
            one_of.items.iter_mut().for_each(reword);
        }
        RefOr::T(Schema::AllOf(all_of)) => {
            reword_one(&mut all_of.description);
            all_of.items.iter_mut().for_each(reword);
        }
        RefOr::T(Schema::AnyOf(any_of)) => {
            reword_one(&mut any_of.description);
            any_of.items.iter_mut().for_each(reword);
        }
        RefOr::T(_) => {}
    }
}

fn reword_one(description: &mut Option<String>) {
    if let Some(text) = description {
        *text = reworded(text);
    }
}

fn reworded(text: &str) -> String {
    text.replace('\n', " ")
        .replace("[`", "`")
        .replace("`]", "`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_lose_their_wrapping_and_their_links() {
        assert_eq!(
            reworded("a task, see\n[`TaskSpec`]"),
            "a task, see `TaskSpec`"
        );
    }
}
