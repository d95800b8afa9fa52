//! Schemas in words.

use utoipa::openapi::schema::{AdditionalProperties, ArrayItems, Schema, SchemaType};
use utoipa::openapi::{Object, RefOr, Type};

use crate::openapi::operation::{Parameter, Place};

/// A row of a table of fields. Texts are HTML.
pub(super) struct Field {
    pub name: String,
    pub is_required: bool,
    pub kind: String,
    pub description: String,
    /// Where a parameter stands, unless it is the query.
    pub place: &'static str,
}

/// Prose with code between backticks, as HTML.
pub(super) fn prose(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for (place, part) in text.split('`').enumerate() {
        if place % 2 == 1 {
            html.push_str("<code>");
            html.push_str(&escaped(part));
            html.push_str("</code>");
        } else {
            html.push_str(&escaped(part));
        }
    }
    html
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

pub(super) fn description(schema: &RefOr<Schema>) -> &str {
    match schema {
        RefOr::Ref(reference) => &reference.description,
        RefOr::T(Schema::Object(object)) => object.description.as_deref().unwrap_or_default(),
        RefOr::T(Schema::Array(array)) => array.description.as_deref().unwrap_or_default(),
        RefOr::T(Schema::OneOf(one_of)) => one_of.description.as_deref().unwrap_or_default(),
        RefOr::T(Schema::AnyOf(any_of)) => any_of.description.as_deref().unwrap_or_default(),
        RefOr::T(Schema::AllOf(all_of)) => all_of.description.as_deref().unwrap_or_default(),
        RefOr::T(_) => "",
    }
}

/// What a value is, e.g. "array of RunView" or "integer, 1 to 1000, default 50".
pub(super) fn kind(schema: &RefOr<Schema>) -> String {
    match schema {
        RefOr::Ref(reference) => {
            let name = reference
                .ref_location
                .rsplit('/')
                .next()
                .unwrap_or_default();
            match name {
                "Timestamp" => "time".to_owned(),
                "HumanDuration" => "duration".to_owned(),
                _ => format!(r##"<a href="#schema-{0}">{0}</a>"##, escaped(name)),
            }
        }
        RefOr::T(Schema::Array(array)) => {
            let items = match &array.items {
                ArrayItems::RefOrSchema(items) => kind(items),
                ArrayItems::False => "nothing".to_owned(),
            };
            let null = if allows_null(&array.schema_type) {
                " or null"
            } else {
                ""
            };
            format!("array of {items}{null}")
        }
        RefOr::T(Schema::Object(object)) => object_kind(object),
        RefOr::T(Schema::OneOf(one_of)) => alternatives(&one_of.items),
        RefOr::T(Schema::AnyOf(any_of)) => alternatives(&any_of.items),
        RefOr::T(_) => "object".to_owned(),
    }
}

fn alternatives(items: &[RefOr<Schema>]) -> String {
    let mut kinds: Vec<String> = Vec::new();
    for item in items {
        let kind = match item {
            RefOr::T(Schema::Object(object)) if !object.properties.is_empty() => {
                let fields: Vec<String> = fields(item)
                    .into_iter()
                    .map(|field| {
                        let optional = if field.is_required { "" } else { "?" };
                        format!("{}{optional}: {}", code(&field.name), field.kind)
                    })
                    .collect();
                format!("{{ {} }}", fields.join(", "))
            }
            other => kind(other),
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.join(" or ")
}

fn object_kind(object: &Object) -> String {
    let mut text = match &object.enum_values {
        Some(values) => {
            let words: Vec<String> = values
                .iter()
                .map(|value| match value.as_str() {
                    Some("") => "nothing".to_owned(),
                    Some(text) => code(text),
                    None => code(&value.to_string()),
                })
                .collect();
            words.join(" · ")
        }
        None => type_words(object),
    };
    let number = |number: &utoipa::Number| match number {
        utoipa::Number::Int(number) => number.to_string(),
        utoipa::Number::UInt(number) => number.to_string(),
        utoipa::Number::Float(number) => number.to_string(),
    };
    match (&object.minimum, &object.maximum) {
        (Some(minimum), Some(maximum)) => {
            text.push_str(&format!(", {} to {}", number(minimum), number(maximum)));
        }
        (Some(minimum), None) if number(minimum) != "0" => {
            text.push_str(&format!(", from {}", number(minimum)));
        }
        _ => {}
    }
    if let Some(default) = &object.default {
        let default = default
            .as_str()
            .map_or_else(|| default.to_string(), str::to_owned);
        text.push_str(&format!(", default {}", code(&default)));
    }
    text
}

fn type_words(object: &Object) -> String {
    if let Some(AdditionalProperties::RefOr(values)) = object.additional_properties.as_deref() {
        return format!("map of {}", kind(values));
    }
    let word = |kind: &Type| match kind {
        Type::Object => "object",
        Type::String => "string",
        Type::Integer => "integer",
        Type::Number => "number",
        Type::Boolean => "boolean",
        Type::Array => "array",
        Type::Null => "null",
    };
    match &object.schema_type {
        SchemaType::Type(kind) => word(kind).to_owned(),
        SchemaType::Array(kinds) => kinds.iter().map(word).collect::<Vec<_>>().join(" or "),
        SchemaType::AnyValue => "any JSON".to_owned(),
    }
}

fn allows_null(schema_type: &SchemaType) -> bool {
    matches!(schema_type, SchemaType::Array(kinds) if kinds.contains(&Type::Null))
}

/// The fields of an object, those of objects inside of it with their path.
pub(super) fn fields(schema: &RefOr<Schema>) -> Vec<Field> {
    let mut found = Vec::new();
    gather(schema, "", &mut found);
    found
}

fn gather(schema: &RefOr<Schema>, prefix: &str, found: &mut Vec<Field>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            for (name, schema) in &object.properties {
                let name = format!("{prefix}{name}");
                found.push(Field {
                    is_required: object.required.iter().any(|known| {
                        prefix.len() + known.len() == name.len() && name.ends_with(known.as_str())
                    }),
                    kind: kind(schema),
                    description: prose(description(schema)),
                    place: "",
                    name: name.clone(),
                });
                gather(schema, &format!("{name}."), found);
            }
        }
        RefOr::T(Schema::AllOf(all_of)) => {
            for part in &all_of.items {
                match part {
                    RefOr::Ref(_) => found.push(Field {
                        name: "…".to_owned(),
                        is_required: false,
                        kind: kind(part),
                        description: "All fields of that.".to_owned(),
                        place: "",
                    }),
                    RefOr::T(_) => gather(part, prefix, found),
                }
            }
        }
        _ => {}
    }
}

pub(super) fn parameter(parameter: &Parameter) -> Field {
    let described = if parameter.description.is_empty() {
        description(&parameter.schema)
    } else {
        parameter.description
    };
    Field {
        name: parameter.name.to_owned(),
        is_required: parameter.place == Place::Path,
        kind: kind(&parameter.schema),
        description: prose(described),
        place: match parameter.place {
            Place::Path => "path",
            Place::Query => "",
            Place::Header => "header",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_escaped_and_has_its_code_marked() {
        assert_eq!(
            prose("use `<name>` & more"),
            "use <code>&lt;name&gt;</code> &amp; more"
        );
    }
}
