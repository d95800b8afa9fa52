//! What an endpoint takes and what it may answer.

use axum::http::StatusCode;
use utoipa::ToSchema;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{Ref, RefOr};

use super::refusals::Refusal;

/// Schemas by name, with those that they refer to.
pub(super) type Named = Vec<(String, RefOr<Schema>)>;

/// One endpoint. Its summary, noun and access are those of [`crate::endpoints`].
#[derive(Clone)]
pub(super) struct Operation {
    pub method: &'static str,
    pub path: &'static str,
    /// The name that generated clients give it.
    pub id: &'static str,
    /// What the summary leaves out.
    pub description: &'static str,
    pub parameters: Vec<Parameter>,
    pub body: Option<Body>,
    pub answers: Vec<Answer>,
    pub refusals: Vec<Refusal>,
    /// Whether a write is done once however often it is sent under one `Idempotency-Key`.
    pub is_repeatable: bool,
    pub schemas: Named,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
}

#[derive(Clone)]
pub(super) struct Parameter {
    pub name: &'static str,
    pub place: Place,
    pub description: &'static str,
    pub schema: RefOr<Schema>,
    /// What stands there in examples; every parameter in a path has one.
    pub example: Option<&'static str>,
}

#[derive(Clone)]
pub(super) struct Body {
    pub content_type: &'static str,
    pub required: bool,
    pub schema: RefOr<Schema>,
    /// Works as it stands.
    pub example: &'static str,
    /// Other content types, each with its schema.
    pub others: Vec<(&'static str, RefOr<Schema>)>,
}

/// An answer that is not a refusal.
#[derive(Clone)]
pub(super) struct Answer {
    pub status: u16,
    pub description: &'static str,
    /// Content types, each with its schema.
    pub content: Vec<(&'static str, RefOr<Schema>)>,
    /// Names of headers, as in the document's components.
    pub headers: Vec<&'static str>,
}

pub(super) const JSON: &str = "application/json";

pub(super) fn get(path: &'static str, id: &'static str) -> Operation {
    operation("GET", path, id)
}

pub(super) fn post(path: &'static str, id: &'static str) -> Operation {
    operation("POST", path, id)
}

pub(super) fn put(path: &'static str, id: &'static str) -> Operation {
    operation("PUT", path, id)
}

pub(super) fn patch(path: &'static str, id: &'static str) -> Operation {
    operation("PATCH", path, id)
}

pub(super) fn delete(path: &'static str, id: &'static str) -> Operation {
    operation("DELETE", path, id)
}

fn operation(method: &'static str, path: &'static str, id: &'static str) -> Operation {
    Operation {
        method,
        path,
        id,
        description: "",
        parameters: Vec::new(),
        body: None,
        answers: Vec::new(),
        refusals: Vec::new(),
        is_repeatable: method != "GET",
        schemas: Vec::new(),
    }
}

impl Operation {
    pub fn describe(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    pub fn takes(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Takes a JSON body.
    pub fn body<T: ToSchema>(self, example: &'static str) -> Self {
        let schema = Ref::from_schema_name(T::name()).into();
        self.with::<T>().body_as(JSON, schema, example)
    }

    /// Takes a JSON body, or none at all.
    pub fn optional_body<T: ToSchema>(self, example: &'static str) -> Self {
        let mut operation = self.body::<T>(example);
        if let Some(body) = &mut operation.body {
            body.required = false;
        }
        operation
    }

    pub fn body_as(
        mut self,
        content_type: &'static str,
        schema: RefOr<Schema>,
        example: &'static str,
    ) -> Self {
        self.body = Some(Body {
            content_type,
            required: true,
            schema,
            example,
            others: Vec::new(),
        });
        self
    }

    /// The body comes in this form, too.
    pub fn or_body_as(mut self, content_type: &'static str, schema: RefOr<Schema>) -> Self {
        if let Some(body) = &mut self.body {
            body.others.push((content_type, schema));
        }
        self
    }

    /// Answers JSON.
    pub fn answers<T: ToSchema>(self, status: StatusCode, description: &'static str) -> Self {
        let schema = Ref::from_schema_name(T::name()).into();
        self.with::<T>()
            .answers_as(status, description, JSON, schema)
    }

    /// Answers without a body.
    pub fn answers_nothing(mut self, status: StatusCode, description: &'static str) -> Self {
        self.answers.push(Answer {
            status: status.as_u16(),
            description,
            content: Vec::new(),
            headers: Vec::new(),
        });
        self
    }

    pub fn answers_as(
        mut self,
        status: StatusCode,
        description: &'static str,
        content_type: &'static str,
        schema: RefOr<Schema>,
    ) -> Self {
        self.answers.push(Answer {
            status: status.as_u16(),
            description,
            content: vec![(content_type, schema)],
            headers: Vec::new(),
        });
        self
    }

    /// The last answer comes in this form, too.
    pub fn or_as(mut self, content_type: &'static str, schema: RefOr<Schema>) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.content.push((content_type, schema));
        }
        self
    }

    /// The last answer has this header.
    pub fn with_header(mut self, name: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.push(name);
        }
        self
    }

    pub fn refuses(mut self, refusals: &[Refusal]) -> Self {
        self.refusals.extend(refusals);
        self
    }

    /// Looks at no `Idempotency-Key`.
    pub fn unrepeatable(mut self) -> Self {
        self.is_repeatable = false;
        self
    }

    /// The same under another path.
    pub fn also_at(&self, path: &'static str, id: &'static str) -> Self {
        Operation {
            path,
            id,
            description: "",
            ..self.clone()
        }
    }

    /// Brings a schema that only another one refers to.
    pub fn with<T: ToSchema>(mut self) -> Self {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), T::schema()));
        self
    }
}
