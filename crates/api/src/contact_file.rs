//! Imports and exports of contacts: what their runs are given, and what they leave.

use std::fmt;
use std::str::FromStr;

use autom8_model::contact_import::{ContactKey, ImportCounts, OnDuplicate, RowFailure};
use serde::{Deserialize, Serialize};

/// The form of a file of contacts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// RFC 4180, with a header.
    #[default]
    Csv,
    /// A JSON object a line.
    Ndjson,
}

impl FileFormat {
    pub const ALL: [FileFormat; 2] = [FileFormat::Csv, FileFormat::Ndjson];

    /// Its name, which also ends the names of its files.
    pub fn as_str(self) -> &'static str {
        match self {
            FileFormat::Csv => "csv",
            FileFormat::Ndjson => "ndjson",
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            FileFormat::Csv => "text/csv; charset=utf-8",
            FileFormat::Ndjson => "application/x-ndjson",
        }
    }

    /// The format that a `Content-Type` names.
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "text/csv" | "application/csv" => Some(FileFormat::Csv),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
                Some(FileFormat::Ndjson)
            }
            _ => None,
        }
    }

    /// The format that the name of a file tells.
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "csv" | "tsv" => Some(FileFormat::Csv),
            "ndjson" | "jsonl" => Some(FileFormat::Ndjson),
            _ => None,
        }
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FileFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|one| one.as_str() == text)
            .ok_or_else(|| "must be csv or ndjson".to_owned())
    }
}

/// The input of a run of `contacts_import`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ImportInput {
    /// An uploaded file, by its name in the folder of imports.
    pub file: String,
    pub format: FileFormat,
    #[serde(default)]
    pub on_duplicate: OnDuplicate,
    #[serde(default)]
    pub key: ContactKey,
    #[serde(default)]
    pub dry_run: bool,
}

/// The result of a run of `contacts_import`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ImportResult {
    pub rows: u64,
    pub created: u64,
    pub updated: u64,
    /// Their contact was there and stays as it was.
    pub skipped: u64,
    pub failed: u64,
    /// Nothing was written: this is what would have been.
    pub dry_run: bool,
    /// The first of them; `GET /api/v1/contacts/imports/{run}/failures` has all.
    pub failures: Vec<RowFailure>,
    /// Of CSV: how each column was understood.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnNote>,
}

impl ImportResult {
    pub fn new(counts: ImportCounts, dry_run: bool) -> Self {
        ImportResult {
            rows: counts.rows(),
            created: counts.created,
            updated: counts.updated,
            skipped: counts.skipped,
            failed: counts.failed,
            dry_run,
            failures: Vec::new(),
            columns: Vec::new(),
        }
    }
}

/// How one column was understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ColumnNote {
    /// As the header names it.
    pub column: String,
    /// The field it goes to; `null` if it is passed over.
    pub field: Option<String>,
    /// A field that was perhaps meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

/// The input of a run of `contacts_export`; without one, all contacts go to a CSV file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ExportInput {
    pub format: FileFormat,
    /// The beginning of a name, e-mail or phone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// The result of a run of `contacts_export`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ExportResult {
    /// Where it is downloaded from.
    pub location: String,
    pub contacts: u64,
    pub bytes: u64,
}
