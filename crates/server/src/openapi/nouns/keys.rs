//! Who may call, and who wrote what.

use autom8_api::audit::AuditLog;
use autom8_api::key::{KeyCreated, KeyDeleted, KeyList, KeyRequest};
use autom8_model::{AuditId, KeyId};
use axum::http::StatusCode;
use utoipa::PartialSchema;

use crate::openapi::operation::{Operation, delete, get, post};
use crate::openapi::parameters::{cursor, in_path, page_limit};
use crate::openapi::refusals::Refusal;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/api/v1/keys", "listKeys")
            .describe("In the order in which they were made.")
            .takes(page_limit())
            .takes(cursor(KeyId::schema()))
            .answers::<KeyList>(StatusCode::OK, "A page of keys, without their secrets."),
        post("/api/v1/keys", "createKey")
            .describe(
                "From the first key on, which has to have `admin`, every call needs one. The key is \
                 in this answer and never shown again; only its hash is kept.",
            )
            .body::<KeyRequest>(r#"{"name": "crm", "scopes": ["run"], "rate_limit": "600 per minute"}"#)
            .answers::<KeyCreated>(StatusCode::CREATED, "The key.")
            .with_header("Location")
            .refuses(&[Refusal::Conflict])
            .unrepeatable(),
        delete("/api/v1/keys/{id}", "deleteKey")
            .describe("It stops working at once. The last key with `admin` cannot be deleted.")
            .takes(in_path("id", "7", KeyId::schema()))
            .answers::<KeyDeleted>(StatusCode::OK, "It is gone.")
            .refuses(&[Refusal::NotFound, Refusal::Conflict]),
        get("/api/v1/audit_log", "listAuditEntries")
            .takes(page_limit())
            .takes(cursor(AuditId::schema()))
            .answers::<AuditLog>(StatusCode::OK, "A page of writes, newest first."),
    ]
}
