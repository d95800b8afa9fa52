//! The document and the table of endpoints say the same, and what is committed is what is served.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::Validator;
use serde_json::Value;

use super::document::{self, described};
use crate::endpoints;

fn document() -> Value {
    serde_json::from_str(&super::json().unwrap()).unwrap()
}

/// Judges by a schema of the document.
pub(super) fn validator(document: &Value, schema: &Value) -> Validator {
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .should_validate_formats(true)
        .build(&schema)
        .unwrap_or_else(|error| panic!("{error}: {schema}"))
}

#[test]
fn every_endpoint_is_described_and_nothing_else_is() {
    let listed: BTreeSet<(String, String)> = endpoints::all()
        .map(|endpoint| (endpoint.method.to_lowercase(), endpoint.path.to_owned()))
        .collect();
    let mut said = BTreeSet::new();
    for (path, item) in document()["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            said.insert((method.clone(), path.clone()));
        }
    }
    let missing: Vec<_> = listed.difference(&said).collect();
    assert!(missing.is_empty(), "add to openapi/nouns: {missing:?}");
    for operation in document::operations() {
        let key = (operation.method.to_lowercase(), operation.path.to_owned());
        assert!(listed.contains(&key), "{key:?} is no endpoint");
    }
}

#[test]
fn no_two_operations_share_a_name_and_each_path_has_its_parameters() {
    let mut ids = BTreeSet::new();
    for operation in document::operations() {
        assert!(ids.insert(operation.id), "{}", operation.id);
        assert!(!operation.answers.is_empty(), "{}", operation.id);
        let in_path: Vec<&str> = operation
            .path
            .split(['{', '}'])
            .skip(1)
            .step_by(2)
            .collect();
        let given: Vec<&str> = operation
            .parameters
            .iter()
            .filter(|parameter| parameter.place == super::operation::Place::Path)
            .map(|parameter| parameter.name)
            .collect();
        assert_eq!(in_path, given, "{}", operation.id);
    }
}

/// Types of two modules may have one name; in the document they would be one.
#[test]
fn no_two_schemas_share_a_name() {
    let mut known = BTreeMap::new();
    for operation in document::operations() {
        for (name, schema) in &operation.schemas {
            let schema = serde_json::to_string(schema).unwrap();
            let before = known.entry(name).or_insert_with(|| schema.clone());
            assert_eq!(*before, schema, "{name} in {}", operation.id);
        }
    }
    assert!(known.len() > 50);
}

#[test]
fn nothing_refers_to_what_is_not_there() {
    let document = document();
    let mut references = BTreeSet::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 50, "{references:?}");
    for reference in &references {
        let place = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "{reference}");
    }
    let text = document.to_string();
    for (name, _) in document["components"]["schemas"].as_object().unwrap() {
        let reference = format!("#/components/schemas/{name}");
        // What comes as an event is told in prose.
        let is_used = references.contains(&reference) || text.contains(&format!("`{name}`"));
        assert!(is_used, "{name} is not used");
    }
}

fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(text) if key == "$ref" => {
                        found.insert(text.clone());
                    }
                    _ => collect_references(value, found),
                }
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

#[test]
fn every_schema_is_one() {
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        jsonschema::draft202012::meta::validate(schema)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        validator(&document, schema);
    }
}

#[test]
fn every_example_of_a_body_is_what_its_schema_says() {
    let document = document();
    let mut examples = 0;
    for group in endpoints::GROUPS {
        for described in described(group) {
            let Some(body) = &described.operation.body else {
                continue;
            };
            if body.content_type != "application/json" {
                continue;
            }
            let example: Value = serde_json::from_str(body.example).unwrap();
            let place = format!(
                "/paths/{}/{}/requestBody/content/application~1json",
                described
                    .endpoint
                    .path
                    .replace('~', "~0")
                    .replace('/', "~1"),
                described.endpoint.method.to_lowercase(),
            );
            let content = document.pointer(&place).unwrap();
            assert_eq!(content["example"], example);
            if let Err(error) = validator(&document, &content["schema"]).validate(&example) {
                panic!("{}: {error}", described.operation.id);
            }
            examples += 1;
        }
    }
    assert!(examples >= 6);
}

/// `AUTOM8_DOCS_WRITE=1` writes the file instead.
#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    let wanted = super::json().unwrap();
    if std::env::var_os("AUTOM8_DOCS_WRITE").is_some() {
        std::fs::write(&path, wanted).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/reference/openapi.json is out of date: run \
         `AUTOM8_DOCS_WRITE=1 cargo nextest run -p autom8-server openapi`"
    );
}
