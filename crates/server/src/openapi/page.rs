//! The document for people: one page, made once, that loads nothing.

mod shown;

use std::fmt::Write as _;

use askama::Template;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use super::document::{self, Described, described};
use super::operation::{Operation, Place};
use super::refusals::Refusal;
use crate::endpoints::{self, Access};
use shown::{Field, prose};

/// Finds, copies and unfolds; without it the page only has no search box. It is named by its hash in
/// the page's policy, so that nothing else can run.
pub(crate) const SCRIPT: &str = include_str!("page/script.js");

/// Where examples send their requests; the script puts the server's own address in its place.
const ORIGIN: &str = "http://localhost:5000";

#[derive(Template)]
#[template(path = "docs.html")]
struct Page {
    version: &'static str,
    about: &'static str,
    nouns: Vec<Noun>,
    /// What can go wrong, told once for all.
    refusals: Vec<(u16, String)>,
    schemas: Vec<NamedSchema>,
    script: &'static str,
}

struct Noun {
    name: &'static str,
    anchor: String,
    operations: Vec<Shown>,
}

/// One operation.
struct Shown {
    id: &'static str,
    method: &'static str,
    method_class: String,
    path: &'static str,
    summary: &'static str,
    description: String,
    access: String,
    parameters: Vec<Field>,
    body: Option<ShownBody>,
    answers: Vec<ShownAnswer>,
    refusals: Vec<u16>,
    curl: String,
}

struct ShownBody {
    /// As HTML, like every text that may have a link.
    kind: String,
    content_types: String,
    is_optional: bool,
    example: &'static str,
}

struct ShownAnswer {
    status: u16,
    is_good: bool,
    description: String,
    kinds: String,
}

struct NamedSchema {
    name: String,
    description: String,
    /// For a type that is not an object of fields.
    kind: String,
    fields: Vec<Field>,
}

/// The page as HTML.
///
/// # Errors
/// Those of the template.
pub(crate) fn html() -> Result<String, askama::Error> {
    page().render()
}

fn page() -> Page {
    let nouns = endpoints::GROUPS
        .iter()
        .map(|group| Noun {
            name: group.noun,
            anchor: group.noun.to_lowercase().replace(' ', "-"),
            operations: described(group).into_iter().map(shown_operation).collect(),
        })
        .filter(|noun| !noun.operations.is_empty())
        .collect();
    let components = document::document().components.as_ref();
    let schemas = components
        .iter()
        .flat_map(|components| &components.schemas)
        .map(|(name, schema)| named(name, schema))
        .collect();
    Page {
        version: env!("CARGO_PKG_VERSION"),
        about: document::ABOUT,
        nouns,
        refusals: Refusal::ALL
            .iter()
            .map(|refusal| (refusal.status(), prose(refusal.description())))
            .collect(),
        schemas,
        script: SCRIPT,
    }
}

fn named(name: &str, schema: &RefOr<Schema>) -> NamedSchema {
    let fields = shown::fields(schema);
    NamedSchema {
        name: name.to_owned(),
        description: prose(shown::description(schema)),
        kind: if fields.is_empty() {
            shown::kind(schema)
        } else {
            String::new()
        },
        fields,
    }
}

fn shown_operation(described: Described) -> Shown {
    let Described {
        endpoint,
        operation,
    } = described;
    let answers = operation.answers.iter().map(|answer| {
        let kinds: Vec<String> = answer
            .content
            .iter()
            .map(|(content_type, schema)| {
                let kind = shown::kind(schema);
                match *content_type {
                    super::operation::JSON => kind,
                    other => format!("<code>{other}</code>"),
                }
            })
            .collect();
        ShownAnswer {
            status: answer.status,
            is_good: answer.status < 400,
            description: prose(answer.description),
            kinds: kinds.join(", "),
        }
    });
    let refusals = document::refusals(described);
    Shown {
        id: operation.id,
        method: endpoint.method,
        method_class: endpoint.method.to_lowercase(),
        path: endpoint.path,
        summary: endpoint.summary,
        description: prose(operation.description),
        access: access(endpoint.access),
        parameters: document::parameters(operation)
            .iter()
            .map(shown::parameter)
            .collect(),
        body: operation.body.as_ref().map(|body| ShownBody {
            kind: shown::kind(&body.schema),
            content_types: std::iter::once(body.content_type)
                .chain(body.others.iter().map(|(content_type, _)| *content_type))
                .collect::<Vec<_>>()
                .join(" or "),
            is_optional: !body.required,
            example: body.example,
        }),
        answers: answers.collect(),
        refusals: refusals.iter().map(|refusal| refusal.status()).collect(),
        curl: curl(operation),
    }
}

fn access(access: Access) -> String {
    match access {
        Access::Open => "No key, ever".to_owned(),
        Access::Monitoring => "Open on this machine, else <code>read</code>".to_owned(),
        Access::Scope(scope) => format!("Scope <code>{scope}</code>"),
    }
}

/// A line for a shell, which works as it stands wherever the things that it names exist.
fn curl(operation: &Operation) -> String {
    let mut path = operation.path.to_owned();
    let mut query = String::new();
    for parameter in &operation.parameters {
        let Some(example) = parameter.example else {
            continue;
        };
        match parameter.place {
            Place::Path => path = path.replace(&format!("{{{}}}", parameter.name), example),
            Place::Query => {
                let separator = if query.is_empty() { '?' } else { '&' };
                // Writing into memory cannot fail.
                let _ = write!(query, "{separator}{}={example}", parameter.name);
            }
            Place::Header => {}
        }
    }
    let is_stream = operation
        .answers
        .iter()
        .all(|answer| matches!(answer.content.as_slice(), [("text/event-stream", _)]));
    let mut line = if is_stream { "curl -sN" } else { "curl -s" }.to_owned();
    let has_body = operation.body.is_some();
    if operation.method != "GET" && !(operation.method == "POST" && has_body) {
        let _ = write!(line, " -X {}", operation.method);
    }
    let _ = write!(line, " '{ORIGIN}{path}{query}'");
    if let Some(body) = &operation.body {
        let example = body.example.replace('\'', r"'\''");
        let _ = write!(
            line,
            " \\\n  -H 'content-type: {}' \\\n  -d '{example}'",
            body.content_type
        );
    }
    line
}
