//! Records that automations act on.

use autom8_api::contact::{ContactBatchResults, ContactDeleted, ContactList};
use autom8_model::contact::{Email, Phone, Tag};
use autom8_model::{Contact, ContactId, limits};
use axum::http::StatusCode;
use utoipa::openapi::schema::{
    AdditionalProperties, AnyOfBuilder, ArrayBuilder, Schema, SchemaType,
};
use utoipa::openapi::{ObjectBuilder, RefOr, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::extract::contact_query::LIMIT_DEFAULT;
use crate::openapi::operation::{JSON, Operation, Parameter, delete, get, patch, post, put};
use crate::openapi::parameters::{count, cursor, in_path, in_query, refer, text};
use crate::openapi::refusals::Refusal;

const CONTACT: &str = r#"{
  "name": "Ada Lovelace",
  "phone": "+44 20 7946 0018",
  "email": "ada@example.org",
  "tags": ["customer"],
  "attributes": {"city": "London"}
}"#;

const CONTACTS: &str = r#"[
  {"name": "Grace Hopper", "phone": "+1 212 555 0100"},
  {"name": "Alan Turing", "phone": "+44 161 496 0017", "email": "alan@example.org"}
]"#;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/api/v1/contacts", "listContacts")
            .describe(
                "Page with `cursor` or with `offset`, not with both. With `q` or `tag` the `total` \
                 is `null`, and a page may be short and still have a cursor.",
            )
            .takes(in_query(
                "limit",
                "Rows of the page.",
                count(LIMIT_DEFAULT, limits::PAGE_MAX),
            ))
            .takes(in_query("offset", "Rows to pass over.", offset()))
            .takes(cursor(opaque()))
            .takes(in_query(
                "q",
                "The beginning of a name, e-mail or phone.",
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .max_length(Some(limits::EMAIL_BYTES_MAX)),
            ))
            .takes(in_query(
                "tag",
                "Only contacts with this tag.",
                Tag::schema(),
            ))
            .takes(in_query("sort", "By what; `-` reverses.", sort()))
            .answers::<ContactList>(StatusCode::OK, "A page of contacts."),
        post("/api/v1/contacts", "createContact")
            .describe(
                "A phone and an e-mail belong to one contact: whoever has one of them already is a \
                 409, however it is written.",
            )
            .body::<ContactDraft>(CONTACT)
            .answers::<Contact>(StatusCode::CREATED, "The contact.")
            .with_header("Location")
            .refuses(&[Refusal::Conflict]),
        get("/api/v1/contacts/lookup", "lookUpContact")
            .describe(
                "Takes one of the two, and finds it by index whatever the number of contacts.",
            )
            .takes(
                in_query("email", "In letters of either case.", Email::schema())
                    .such_as("ada@example.org"),
            )
            .takes(in_query("phone", "However it is written.", Phone::schema()))
            .answers::<Contact>(StatusCode::OK, "The contact.")
            .refuses(&[Refusal::NotFound]),
        post("/api/v1/contacts/batch", "createContacts")
            .describe(
                "Each contact is judged for itself: one that is wrong or taken loses none of the \
                 others. The body may have 16 MiB, as an array or with a contact a line.",
            )
            .body_as(JSON, array(), CONTACTS)
            .or_body_as("application/x-ndjson", text())
            .with::<ContactDraft>()
            .answers::<ContactBatchResults>(StatusCode::OK, "What became of each."),
        get("/api/v1/contacts/{id}", "getContact")
            .takes(contact_id())
            .answers::<Contact>(StatusCode::OK, "The contact.")
            .refuses(&[Refusal::NotFound]),
        change(put("/api/v1/contacts/{id}", "replaceContact")).describe(
            "Fields that are not given stay; `attributes` takes the place of the old ones.",
        ),
        change(patch("/api/v1/contacts/{id}", "updateContact")).describe(
            "Fields that are not given stay; `attributes` are laid over the old ones as a JSON \
             Merge Patch (RFC 7396).",
        ),
        delete("/api/v1/contacts/{id}", "deleteContact")
            .takes(contact_id())
            .answers::<ContactDeleted>(StatusCode::OK, "It is gone.")
            .refuses(&[Refusal::NotFound]),
    ]
}

fn change(operation: Operation) -> Operation {
    operation
        .takes(contact_id())
        .body::<ContactPatch>(
            r#"{"tags": ["customer", "newsletter"], "attributes": {"city": "Paris"}}"#,
        )
        .answers::<Contact>(StatusCode::OK, "The contact as it is now.")
        .refuses(&[Refusal::NotFound, Refusal::Conflict])
}

fn contact_id() -> Parameter {
    in_path("id", "1", ContactId::schema())
}

/// A cursor that tells a client nothing.
fn opaque() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[A-Za-z0-9_-]+$"))
}

fn offset() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0))
        .maximum(Some(limits::OFFSET_MAX as u64))
        .default(Some(0.into()))
}

fn sort() -> ObjectBuilder {
    let fields = ["id", "name", "created_at", "updated_at"];
    let both = fields
        .iter()
        .flat_map(|field| [(*field).to_owned(), format!("-{field}")]);
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(both.collect::<Vec<_>>()))
        .default(Some("id".into()))
}

fn array() -> RefOr<Schema> {
    ArrayBuilder::new()
        .items(refer::<ContactDraft>())
        .min_items(Some(1))
        .max_items(Some(limits::BATCH_CONTACTS_MAX))
        .into()
}

/// A contact to create. The server reads one in a pass of its own, so there is no type to derive
/// from; nor is there for a change of one.
struct ContactDraft;

impl ToSchema for ContactDraft {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Contact::schemas(schemas);
    }
}

impl PartialSchema for ContactDraft {
    fn schema() -> RefOr<Schema> {
        fields(
            "A contact to create: all but `name` and `phone` may be left out, or `null`.",
            &["email", "tags", "attributes"],
        )
        .required("name")
        .required("phone")
        .into()
    }
}

/// Fields to change.
struct ContactPatch;

impl ToSchema for ContactPatch {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Contact::schemas(schemas);
    }
}

impl PartialSchema for ContactPatch {
    fn schema() -> RefOr<Schema> {
        fields(
            "Fields to change; `null` takes one away.",
            &["email", "tags", "attributes"],
        )
        .into()
    }
}

/// The fields of a contact that a client writes, and beside them, not looked at, those that only
/// the server does: a contact that was read can be sent back.
fn fields(what: &str, nullable: &[&str]) -> ObjectBuilder {
    let object = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(what))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    let RefOr::T(Schema::Object(contact)) = Contact::schema() else {
        return object;
    };
    contact
        .properties
        .into_iter()
        .fold(object, |object, (name, schema)| {
            let schema = if Contact::READ_ONLY_FIELDS.contains(&name.as_str()) {
                ObjectBuilder::new()
                    .schema_type(SchemaType::AnyValue)
                    .description(Some("Not looked at."))
                    .into()
            } else if name == "email" || !nullable.contains(&name.as_str()) {
                // An e-mail may be null in answers, too.
                schema
            } else {
                let null = ObjectBuilder::new().schema_type(Type::Null);
                AnyOfBuilder::new().item(schema).item(null).into()
            };
            object.property(name, schema)
        })
}
