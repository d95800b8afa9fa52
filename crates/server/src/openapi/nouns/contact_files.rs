//! Files of contacts that come in and go out.

use autom8_api::RunView;
use autom8_api::contact_file::{ExportInput, ExportResult, FileFormat, ImportInput, ImportResult};
use autom8_model::contact::Tag;
use autom8_model::contact_import::{ContactKey, OnDuplicate, RowFailure};
use autom8_model::limits;
use axum::http::StatusCode;
use utoipa::PartialSchema as _;
use utoipa::openapi::{ObjectBuilder, Type};

use crate::openapi::operation::{Operation, get, post};
use crate::openapi::parameters::{in_query, run_id, switch, text};
use crate::openapi::refusals::Refusal;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        post("/api/v1/contacts/import", "importContacts")
            .describe(
                "The body is the file, up to 2 GiB. It is stored before the answer; the run that \
                 is answered has an `ImportInput`, takes the rows, goes on after a crash where it \
                 was, and leaves an `ImportResult`. CSV has a header: `name`, `phone`, `email`, `tags` and \
                 `attributes`; any other column is an attribute. NDJSON has a contact a line.",
            )
            .takes(in_query(
                "format",
                "Of the file; else its Content-Type tells.",
                FileFormat::schema(),
            ))
            .takes(in_query(
                "on_duplicate",
                "What to do with a row whose contact is there: leave the contact as it is, write \
                 the row's fields over it, or fail the row.",
                OnDuplicate::schema(),
            ))
            .takes(in_query(
                "key",
                "By which field the contact of a row is found.",
                ContactKey::schema(),
            ))
            .takes(switch(
                "dry_run",
                "Count what would come of it, and write nothing.",
            ))
            .body_as(
                "text/csv",
                text(),
                "name,phone\nAda Lovelace,+44 20 7946 0018\n",
            )
            .or_body_as("application/x-ndjson", text())
            .answers::<RunView>(StatusCode::ACCEPTED, "The run, queued and durable.")
            .with_header("Location")
            .with::<ImportInput>()
            .with::<OnDuplicate>()
            .with::<ContactKey>()
            .with::<FileFormat>()
            .with::<ImportResult>()
            .with::<RowFailure>()
            .refuses(&[Refusal::Conflict])
            .unrepeatable(),
        get(
            "/api/v1/contacts/imports/{id}/failures",
            "getImportFailures",
        )
        .describe("A `RowFailure` a line, in the order of the file; also while the import runs.")
        .takes(run_id())
        .answers_as(
            StatusCode::OK,
            "Every row that failed; empty if none did.",
            "application/x-ndjson",
            text(),
        )
        .refuses(&[Refusal::NotFound]),
        post("/api/v1/contacts/export", "exportContacts")
            .describe(
                "The run has an `ExportInput`, and leaves an `ExportResult`, which says where the \
                 file is.",
            )
            .takes(in_query(
                "format",
                "Of the file; CSV unless it is said.",
                FileFormat::schema(),
            ))
            .takes(in_query(
                "q",
                "Only contacts whose name, e-mail or phone begins so.",
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .max_length(Some(limits::EMAIL_BYTES_MAX)),
            ))
            .takes(in_query(
                "tag",
                "Only contacts with this tag.",
                Tag::schema(),
            ))
            .answers::<RunView>(StatusCode::ACCEPTED, "The run, queued and durable.")
            .with_header("Location")
            .with::<ExportInput>()
            .with::<ExportResult>()
            .refuses(&[Refusal::Conflict]),
        get("/api/v1/contacts/exports/{id}", "getExport")
            .takes(run_id())
            .answers_as(StatusCode::OK, "The file.", "text/csv", text())
            .or_as("application/x-ndjson", text())
            .refuses(&[Refusal::NotFound, Refusal::Conflict]),
    ]
}
