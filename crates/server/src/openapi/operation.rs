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
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// The name that generated clients give it.
    pub(super) id: &'static str,
    /// What the summary leaves out.
    pub(super) description: &'static str,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Body>,
    pub(super) answers: Vec<Answer>,
    pub(super) refusals: Vec<Refusal>,
    /// Whether a write is done once however often it is sent under one `Idempotency-Key`.
    pub(super) is_repeatable: bool,
    pub(super) schemas: Named,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
}

#[derive(Clone)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) description: &'static str,
    pub(super) schema: RefOr<Schema>,
    /// What stands there in examples; every parameter in a path has one.
    pub(super) example: Option<&'static str>,
}

#[derive(Clone)]
pub(super) struct Body {
    pub(super) content_type: &'static str,
    pub(super) required: bool,
    pub(super) schema: RefOr<Schema>,
    /// Works as it stands.
    pub(super) example: &'static str,
    /// Other content types, each with its schema.
    pub(super) others: Vec<(&'static str, RefOr<Schema>)>,
}

/// An answer that is not a refusal.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) description: &'static str,
    /// Content types, each with its schema.
    pub(super) content: Vec<(&'static str, RefOr<Schema>)>,
    /// Names of headers, as in the document's components.
    pub(super) headers: Vec<&'static str>,
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
    pub(super) fn describe(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    pub(super) fn takes(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Takes a JSON body.
    pub(super) fn body<T: ToSchema>(self, example: &'static str) -> Self {
        let schema = Ref::from_schema_name(T::name()).into();
        self.with::<T>().body_as(JSON, schema, example)
    }

    /// Takes a JSON body, or none at all.
    pub(super) fn optional_body<T: ToSchema>(self, example: &'static str) -> Self {
        let mut operation = self.body::<T>(example);
        if let Some(body) = &mut operation.body {
            body.required = false;
        }
        operation
    }

    pub(super) fn body_as(
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
    pub(super) fn or_body_as(mut self, content_type: &'static str, schema: RefOr<Schema>) -> Self {
        if let Some(body) = &mut self.body {
            body.others.push((content_type, schema));
        }
        self
    }

    /// Answers JSON.
    pub(super) fn answers<T: ToSchema>(
        self,
        status: StatusCode,
        description: &'static str,
    ) -> Self {
        let schema = Ref::from_schema_name(T::name()).into();
        self.with::<T>()
            .answers_as(status, description, JSON, schema)
    }

    /// Answers without a body.
    pub(super) fn answers_nothing(mut self, status: StatusCode, description: &'static str) -> Self {
        self.answers.push(Answer {
            status: status.as_u16(),
            description,
            content: Vec::new(),
            headers: Vec::new(),
        });
        self
    }

    pub(super) fn answers_as(
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
    pub(super) fn or_as(mut self, content_type: &'static str, schema: RefOr<Schema>) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.content.push((content_type, schema));
        }
        self
    }

    /// The last answer has this header.
    pub(super) fn with_header(mut self, name: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.push(name);
        }
        self
    }

    pub(super) fn refuses(mut self, refusals: &[Refusal]) -> Self {
        self.refusals.extend(refusals);
        self
    }

    /// Looks at no `Idempotency-Key`.
    pub(super) fn unrepeatable(mut self) -> Self {
        self.is_repeatable = false;
        self
    }

    /// The same under another path.
    pub(super) fn also_at(&self, path: &'static str, id: &'static str) -> Self {
        Operation {
            path,
            id,
            description: "",
            ..self.clone()
        }
    }

    /// Brings a schema that only another one refers to.
    pub(super) fn with<T: ToSchema>(mut self) -> Self {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), T::schema()));
        self
    }
}
