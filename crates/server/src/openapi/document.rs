//! Endpoints and operations, put together into one document.

use std::sync::LazyLock;

use utoipa::openapi::path::{
    OperationBuilder, ParameterBuilder, ParameterIn, ParameterStyle, PathItem, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HttpMethod, InfoBuilder, LicenseBuilder, OpenApi,
    OpenApiBuilder, Ref, RefOr, Required, ResponseBuilder, ResponsesBuilder,
};

use super::operation::{Answer, Operation, Parameter, Place};
use super::parameters::idempotency_key;
use super::refusals::{self, RATE_LIMIT_HEADERS, Refusal, header_ref, with_common_headers};
use super::{nouns, schemas};
use crate::endpoints::{self, Access, Endpoint, Group};

pub(super) const ABOUT: &str = "Contacts, tasks, schedules and runs of an Autom8 server. Bodies are JSON in UTF-8; times \
    are RFC 3339 in UTC; unknown fields and parameters are errors; every refusal is a problem \
    document by RFC 9457.";

const ABOUT_KEYS: &str = "An API key, `a8_…`. A server that listens on this machine only asks for \
    one from the moment the first key is made; any other always does.";

/// The scheme's name in the document.
const KEY: &str = "key";

/// An endpoint with what it takes and answers.
#[derive(Clone, Copy)]
pub(super) struct Described {
    pub(super) endpoint: &'static Endpoint,
    pub(super) operation: &'static Operation,
}

pub(super) fn operations() -> &'static [Operation] {
    static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(nouns::operations);
    &OPERATIONS
}

/// The endpoints of a noun that are described, which a test makes all of them.
pub(super) fn described(group: &Group) -> Vec<Described> {
    let operation_of = |endpoint: &Endpoint| {
        operations().iter().find(|operation| {
            operation.method == endpoint.method && operation.path == endpoint.path
        })
    };
    group
        .endpoints
        .iter()
        .filter_map(|endpoint| {
            Some(Described {
                endpoint,
                operation: operation_of(endpoint)?,
            })
        })
        .collect()
}

/// The whole document, made once.
pub(crate) fn document() -> &'static OpenApi {
    static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(make);
    &DOCUMENT
}

/// The document as text, with an end of line as files have.
pub(crate) fn json() -> Result<String, serde_json::Error> {
    let mut text = document().to_pretty_json()?;
    text.push('\n');
    Ok(text)
}

fn make() -> OpenApi {
    let mut paths = PathsBuilder::new();
    for group in endpoints::GROUPS {
        for described in described(group) {
            let item = PathItem::new(
                method(described.endpoint.method),
                operation(group.noun, described),
            );
            paths = paths.path(described.endpoint.path, item);
        }
    }
    let tags = endpoints::GROUPS
        .iter()
        .filter(|group| !group.endpoints.is_empty())
        .map(|group| TagBuilder::new().name(group.noun).build());
    let info = InfoBuilder::new()
        .title("Autom8")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(
            LicenseBuilder::new()
                .name("MIT OR Apache-2.0")
                .identifier(Some("MIT OR Apache-2.0"))
                .build(),
        ));
    OpenApiBuilder::new()
        .info(info.build())
        .paths(paths.build())
        .components(Some(components().build()))
        .tags(Some(tags))
        .build()
}

fn components() -> ComponentsBuilder {
    let mut key = Http::new(HttpAuthScheme::Bearer);
    key.description = Some(ABOUT_KEYS.to_owned());
    let mut components = ComponentsBuilder::new()
        .schemas_from_iter(schemas::all(operations()))
        .security_scheme(KEY, SecurityScheme::Http(key));
    for refusal in Refusal::ALL {
        components = components.response(refusal.name(), refusal.response());
    }
    let mut components = components.build();
    for (name, header) in refusals::headers() {
        components.headers.insert(name.to_owned(), RefOr::T(header));
    }
    components.into()
}

fn method(name: &str) -> HttpMethod {
    match name {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

/// What an endpoint refuses: its own reasons, and those that its access and its body bring.
pub(super) fn refusals(described: Described) -> Vec<Refusal> {
    let Described {
        endpoint,
        operation,
    } = described;
    let mut refusals = operation.refusals.clone();
    // The guard of hosts stands before every endpoint.
    refusals.extend([Refusal::Forbidden, Refusal::Internal, Refusal::Unavailable]);
    if endpoint.access != Access::Open {
        refusals.push(Refusal::Unauthenticated);
    }
    if !endpoint.access.is_monitoring() {
        refusals.extend([Refusal::Invalid, Refusal::RateLimited]);
    }
    if operation.body.is_some() {
        refusals.extend([
            Refusal::Timeout,
            Refusal::TooLarge,
            Refusal::UnsupportedMediaType,
        ]);
    }
    if operation.is_repeatable {
        refusals.extend([Refusal::Conflict, Refusal::IdempotencyKeyReused]);
    }
    if endpoint.method != "GET" {
        refusals.push(Refusal::DiskFull);
    }
    refusals.sort_unstable();
    refusals.dedup();
    refusals
}

/// What an operation takes: its own parameters, and those that all of its kind take.
pub(super) fn parameters(operation: &Operation) -> Vec<Parameter> {
    let mut parameters = operation.parameters.clone();
    if operation.is_repeatable {
        parameters.push(idempotency_key());
    }
    parameters
}

fn operation(noun: &str, described: Described) -> OperationBuilder {
    let Described {
        endpoint,
        operation,
    } = described;
    let mut responses = ResponsesBuilder::new();
    for refusal in refusals(described) {
        let reference = Ref::new(format!("#/components/responses/{}", refusal.name()));
        responses = responses.response(refusal.status().to_string(), reference);
    }
    // After the refusals: readiness says 503 in its own words.
    for answer in &operation.answers {
        responses = responses.response(answer.status.to_string(), response(answer, described));
    }
    let mut builder = OperationBuilder::new()
        .tag(noun)
        .summary(Some(endpoint.summary))
        .operation_id(Some(operation.id))
        .responses(responses.build());
    if !operation.description.is_empty() {
        builder = builder.description(Some(operation.description));
    }
    for given in parameters(operation) {
        builder = builder.parameter(parameter(&given));
    }
    if let Some(body) = &operation.body {
        let content = ContentBuilder::new()
            .schema(Some(body.schema.clone()))
            .example(serde_json::from_str(body.example).ok())
            .build();
        let required = if body.required {
            Required::True
        } else {
            Required::False
        };
        let mut request = RequestBodyBuilder::new()
            .content(body.content_type, content)
            .required(Some(required));
        for (content_type, schema) in &body.others {
            let content = ContentBuilder::new().schema(Some(schema.clone()));
            request = request.content(*content_type, content.build());
        }
        builder = builder.request_body(Some(request.build()));
    }
    let with_key = SecurityRequirement::new::<_, [&str; 0], &str>(KEY, []);
    match endpoint.access {
        Access::Open => builder.securities(Some([])),
        Access::Monitoring => builder.securities(Some([with_key, SecurityRequirement::default()])),
        Access::Scope(_) => builder.securities(Some([with_key])),
    }
}

fn parameter(given: &Parameter) -> ParameterBuilder {
    let (place, required) = match given.place {
        Place::Path => (ParameterIn::Path, Required::True),
        Place::Query => (ParameterIn::Query, Required::False),
        Place::Header => (ParameterIn::Header, Required::False),
    };
    let mut builder = ParameterBuilder::new()
        .name(given.name)
        .parameter_in(place)
        .required(required)
        .schema(Some(given.schema.clone()))
        .example(given.example.map(Into::into));
    if !given.description.is_empty() {
        builder = builder.description(Some(given.description));
    }
    if matches!(given.schema, RefOr::T(Schema::Array(_))) {
        builder = builder
            .style(Some(ParameterStyle::Form))
            .explode(Some(false));
    }
    builder
}

fn response(answer: &Answer, described: Described) -> ResponseBuilder {
    let Described {
        endpoint,
        operation,
    } = described;
    let mut response = with_common_headers(ResponseBuilder::new().description(answer.description));
    let mut headers = answer.headers.clone();
    if !endpoint.access.is_monitoring() {
        headers.extend(RATE_LIMIT_HEADERS);
    }
    if operation.is_repeatable {
        headers.push("Idempotency-Replayed");
    }
    for name in headers {
        response = response.header_ref(name, header_ref(name));
    }
    for (content_type, schema) in &answer.content {
        let content = ContentBuilder::new().schema(Some(schema.clone())).build();
        response = response.content(*content_type, content);
    }
    // Where a refusal has the same status, it comes beside it.
    let mut refusals = operation.refusals.iter();
    if let Some(refusal) = refusals.find(|refusal| refusal.status() == answer.status) {
        for (content_type, content) in refusal.response().content {
            if let RefOr::T(content) = content {
                response = response.content(content_type, content);
            }
        }
    }
    response
}
