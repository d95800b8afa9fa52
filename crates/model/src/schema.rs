//! JSON Schemas of the types whose JSON is written by hand, and of the fields that have a bound:
//! what serde's attributes cannot tell a derive. Each bound is the one of [`limits`](crate::limits).

use utoipa::openapi::schema::{AdditionalProperties, Array, ArrayBuilder, Schema, SchemaType};
use utoipa::openapi::{
    KnownFormat, Object, ObjectBuilder, OneOfBuilder, Ref, RefOr, SchemaFormat, Type,
};
use utoipa::{PartialSchema, ToSchema};

use crate::api_key::KeyLimit;
use crate::contact::{Contact, Email, Phone, Tag};
use crate::limits;
use crate::schedule::CatchUp;
use crate::task::{BuiltinAction, HttpAction, OnCrash, Overlap, ProcessAction};
use crate::{
    AuditAction, AuditId, ContactId, Epoch, HumanDuration, KeyId, RunId, Schedule, Scope, TaskId,
    TaskName, Timestamp,
};

/// A type whose JSON is one text or number.
macro_rules! scalar {
    ($type:ty, $schema:expr) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                RefOr::T(Schema::Object($schema))
            }
        }

        impl ToSchema for $type {}
    };
}

scalar!(TaskName, slug(limits::TASK_NAME_CHARS_MAX).build());
scalar!(RunId, id("A run."));
scalar!(TaskId, id("A task's row; never reused."));
scalar!(KeyId, id("An API key; never reused."));
scalar!(
    AuditId,
    id("An entry of the audit log; ids rise with time.")
);
scalar!(
    KeyLimit,
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(
            "So many requests in so much time: per second, minute, hour or day."
        ))
        .pattern(Some("^[1-9][0-9]{0,8} per (second|minute|hour|day)$"))
        .examples(["600 per minute"])
        .build()
);
scalar!(
    Scope,
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(
            "A permission. `admin` includes `run`, and that `read`; `debug` stands apart."
        ))
        .enum_values(Some(Scope::ALL.map(Scope::as_str)))
        .build()
);
scalar!(
    AuditAction,
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("What was done, as `noun.verb`."))
        .enum_values(Some(AuditAction::ALL.iter().map(|action| action.as_str())))
        .build()
);
scalar!(Epoch, id("The number of a claim; it only rises."));
scalar!(ContactId, id("A contact; never reused."));
scalar!(
    Phone,
    text("E.164 or the 7 to 15 digits of a national number, with separators as people write them.")
        .pattern(Some(PHONE))
        .max_length(Some(limits::PHONE_CHARS_MAX))
        .examples(["+44 20 7946 0018"])
        .build()
);
scalar!(
    Email,
    text("Letters of either case are the same address.")
        .format(Some(SchemaFormat::Custom("email".to_owned())))
        .max_length(Some(limits::EMAIL_BYTES_MAX))
        .examples(["ada@example.org"])
        .build()
);
scalar!(
    Tag,
    text("A word that contacts are grouped by, without commas.")
        .pattern(Some(TAG))
        .min_length(Some(1))
        .max_length(Some(limits::TAG_CHARS_MAX))
        .examples(["customer"])
        .build()
);
scalar!(
    HumanDuration,
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(
            "A duration with its units, the largest first, e.g. 250ms, 1m30s or 7d."
        ))
        .pattern(Some(DURATION))
        .min_length(Some(2))
        .examples(["1m30s"])
        .build()
);
scalar!(
    Timestamp,
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .description(Some("RFC 3339, answered in UTC."))
        .build()
);

const DURATION: &str =
    "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?([0-9]+us)?([0-9]+ns)?$";

/// Seven to fifteen digits, with separators anywhere; a `+` stands first, and no 0 behind it.
const PHONE: &str = r"^(\+[ ./()-]*[1-9]|[ ./()-]*[0-9])([ ./()-]*[0-9]){6,14}[ ./()-]*$";
/// Something that can be seen, and no control characters.
const NAME: &str = r"^[^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*$";
/// The same without commas.
const TAG: &str = r"^[^,\x00-\x1F\x7F-\x9F]*[^,\s\x00-\x1F\x7F-\x9F][^,\x00-\x1F\x7F-\x9F]*$";

/// A number that a JSON reader which knows only doubles keeps.
pub(crate) fn id(what: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .description(Some(what))
        .minimum(Some(1))
        .build()
}

fn slug(chars_max: usize) -> ObjectBuilder {
    let rest = chars_max - 1;
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(format!(
            "1 to {chars_max} of `a-z 0-9 - _ .`, beginning with a letter or digit."
        )))
        .pattern(Some(format!("^[a-z0-9][a-z0-9._-]{{0,{rest}}}$")))
        .min_length(Some(1))
        .max_length(Some(chars_max))
}

pub(crate) fn queue() -> Object {
    slug(limits::QUEUE_NAME_CHARS_MAX)
        .default(Some("default".into()))
        .build()
}

pub(crate) fn priority() -> Object {
    whole_number(
        "Higher goes first within a queue.",
        limits::PRIORITY_MIN.into(),
        limits::PRIORITY_MAX.into(),
    )
    .default(Some(0.into()))
    .build()
}

pub(crate) fn max_attempts() -> Object {
    let what = "Attempts in all, the first included; 1 is no retry.";
    whole_number(what, 1, limits::ATTEMPTS_MAX.into())
        .default(Some(3.into()))
        .build()
}

fn whole_number(what: &str, minimum: i32, maximum: i32) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .description(Some(what))
        .minimum(Some(minimum))
        .maximum(Some(maximum))
}

pub(crate) fn timeout() -> Object {
    duration(
        "Wall time one attempt may take: more than 0, at most 7d.",
        "15m",
    )
}

pub(crate) fn backoff() -> Object {
    duration(
        "The wait after the first attempt; it doubles with each. At most 7d.",
        "1s",
    )
}

pub(crate) fn max_backoff() -> Object {
    duration(
        "The longest wait: not shorter than `backoff`, at most 7d.",
        "5m",
    )
}

fn duration(what: &str, default: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(what))
        .pattern(Some(DURATION))
        .min_length(Some(2))
        .default(Some(default.into()))
        .build()
}

pub(crate) fn overlap() -> RefOr<Schema> {
    with_default::<Overlap>("skip")
}

pub(crate) fn catch_up() -> RefOr<Schema> {
    with_default::<CatchUp>("latest")
}

pub(crate) fn on_crash() -> RefOr<Schema> {
    with_default::<OnCrash>("retry")
}

/// A choice with the one that is taken where none is given.
fn with_default<T: PartialSchema>(default: &str) -> RefOr<Schema> {
    let mut schema = T::schema();
    if let RefOr::T(Schema::Object(object)) = &mut schema {
        object.default = Some(default.into());
    }
    schema
}

pub(crate) fn method() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(HttpAction::METHODS))
        .default(Some("GET".into()))
        .build()
}

pub(crate) fn url() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(
            "http or https, without user name or password; metadata and link-local addresses are \
             refused.",
        ))
        .pattern(Some(r"^https?://[^\s/?#@]+([/?#]\S*)?$"))
        .max_length(Some(limits::URL_BYTES_MAX))
        .build()
}

pub(crate) fn headers() -> Object {
    map_of(
        ObjectBuilder::new().pattern(Some(r"^[^\x00-\x08\x0A-\x1F\x7F]*$")),
        r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
    )
    .max_properties(Some(limits::HTTP_HEADERS_MAX))
    .build()
}

pub(crate) fn environment() -> Object {
    map_of(
        ObjectBuilder::new().pattern(Some(r"^[^\x00]*$")),
        r"^[^=\x00]+$",
    )
    .description(Some("Names that begin with AUTOM8_ are the server's."))
    .build()
}

/// An object of texts.
fn map_of(value: ObjectBuilder, names: &str) -> ObjectBuilder {
    let value = value.schema_type(Type::String).build();
    let names = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(names))
        .build();
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property_names(Some(names))
        .additional_properties(Some(AdditionalProperties::RefOr(RefOr::T(value.into()))))
}

pub(crate) fn argv() -> Array {
    let entry = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(r"^[^\x00]*$"))
        .build();
    ArrayBuilder::new()
        .items(entry)
        .description(Some(
            "The program and its arguments: no shell is in between.",
        ))
        .min_items(Some(1))
        .max_items(Some(limits::ARGV_MAX))
        .build()
}

/// Any JSON.
pub(crate) fn anything() -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::AnyValue)
        .build()
}

/// An object with exactly the keys given, all of them needed.
fn exactly<const N: usize>(fields: [(&str, RefOr<Schema>); N]) -> ObjectBuilder {
    let object = ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    fields.into_iter().fold(object, |object, (name, schema)| {
        object.property(name, schema).required(name)
    })
}

fn text(what: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(what))
}

impl PartialSchema for Schedule {
    fn schema() -> RefOr<Schema> {
        let cron =
            text("Minute, hour, day of month, month, day of week; or a name such as @daily.")
                .examples(["0 2 * * *"]);
        let zone = text("An IANA name.")
            .default(Some("UTC".into()))
            .examples(["Europe/Berlin"]);
        let every = text("At least 1s, at most 366d.")
            .pattern(Some(DURATION))
            .min_length(Some(2))
            .examples(["2s"]);
        let one_of = OneOfBuilder::new()
            .description(Some("When a task runs by itself."))
            .item(
                exactly([("cron", cron.build().into())])
                    .title(Some("cron"))
                    .property("timezone", zone),
            )
            .item(exactly([("every", every.build().into())]).title(Some("every")))
            .item(exactly([("at", Timestamp::schema())]).title(Some("at")));
        RefOr::T(one_of.build().into())
    }
}

impl ToSchema for Schedule {}

impl PartialSchema for crate::Action {
    fn schema() -> RefOr<Schema> {
        let refer = |name: &str| RefOr::Ref(Ref::from_schema_name(name));
        let one_of = OneOfBuilder::new()
            .description(Some("What to do. The key is the task's type."))
            .item(exactly([("http", refer("HttpAction"))]).title(Some("http")))
            .item(exactly([("process", refer("ProcessAction"))]).title(Some("process")))
            .item(exactly([("builtin", refer("BuiltinAction"))]).title(Some("builtin")));
        RefOr::T(one_of.build().into())
    }
}

impl ToSchema for crate::Action {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("HttpAction".to_owned(), HttpAction::schema()));
        schemas.push(("ProcessAction".to_owned(), ProcessAction::schema()));
        schemas.push(("BuiltinAction".to_owned(), BuiltinAction::schema()));
    }
}

impl PartialSchema for BuiltinAction {
    fn schema() -> RefOr<Schema> {
        let named = |names: Vec<&str>| {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(names))
                .build()
        };
        let plain = BuiltinAction::NAMES
            .into_iter()
            .filter(|name| *name != "backup");
        let keep = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .description(Some("Backups to keep."))
            .minimum(Some(1))
            .maximum(Some(u32::MAX))
            .default(Some(BuiltinAction::BACKUP_KEEP_DEFAULT.into()));
        let one_of = OneOfBuilder::new()
            .description(Some(
                "What the server itself can do, by name or as an object with its options.",
            ))
            .item(named(BuiltinAction::NAMES.to_vec()))
            .item(exactly([("name", named(plain.collect()).into())]))
            .item(exactly([("name", named(vec!["backup"]).into())]).property("keep", keep));
        RefOr::T(one_of.build().into())
    }
}

impl ToSchema for BuiltinAction {}

impl PartialSchema for Contact {
    fn schema() -> RefOr<Schema> {
        let name = text("What people call it.")
            .pattern(Some(NAME))
            .min_length(Some(1))
            .max_length(Some(limits::CONTACT_NAME_CHARS_MAX));
        let email = OneOfBuilder::new()
            .item(Ref::from_schema_name(Email::name()))
            .item(ObjectBuilder::new().schema_type(Type::Null));
        let tags = ArrayBuilder::new()
            .items(Ref::from_schema_name(Tag::name()))
            .max_items(Some(limits::CONTACT_TAGS_MAX));
        let attributes = ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("Whatever else is known; given back as it came."));
        let time = || Ref::from_schema_name(Timestamp::name());
        let fields: [(&str, RefOr<Schema>); 8] = [
            ("id", Ref::from_schema_name(ContactId::name()).into()),
            ("name", name.into()),
            ("phone", Ref::from_schema_name(Phone::name()).into()),
            ("email", email.into()),
            ("tags", tags.into()),
            ("attributes", attributes.into()),
            ("created_at", time().into()),
            ("updated_at", time().into()),
        ];
        let object = ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("A record that automations act on."));
        fields
            .into_iter()
            .fold(object, |object, (name, schema)| {
                object.property(name, schema).required(name)
            })
            .into()
    }
}

impl ToSchema for Contact {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        for (name, schema) in [
            (ContactId::name(), ContactId::schema()),
            (Phone::name(), Phone::schema()),
            (Email::name(), Email::schema()),
            (Tag::name(), Tag::schema()),
            (Timestamp::name(), Timestamp::schema()),
        ] {
            schemas.push((name.into_owned(), schema));
        }
    }
}
