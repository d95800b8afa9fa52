//! `/api/v1/contacts/export`: a run that writes contacts into a file, and the file.

use std::io;
use std::path::PathBuf;

use autom8_api::contact_file::{ExportInput, FileFormat};
use autom8_api::problem::Problem;
use autom8_model::RunState;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::{get, post};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::contact_imports::{enqueue, ensure_task};
use crate::answer::Answer;
use crate::builtins::contact_folders::{self, ContactFolders};
use crate::error::ApiProblem;
use crate::extract::contact_query::{searched, tagged};
use crate::extract::path::no_run;
use crate::extract::{FromQuery, Parameters, Query, RunPath, Writing};
use crate::state::AppState;

/// What is read of a file at once while it is sent.
const READ_BYTES: usize = 64 * 1024;

const EXPORT_TASK: &str = r#"{"name": "contacts-export", "do": {"builtin": "contacts_export"},
    "retry": {"max_attempts": 5}, "timeout": "6h", "overlap": "allow"}"#;

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/contacts/export", post(export))
        .route("/api/v1/contacts/exports/{id}", get(show))
}

struct ExportQuery(ExportInput);

impl FromQuery for ExportQuery {
    fn take(parameters: &mut Parameters) -> Self {
        ExportQuery(ExportInput {
            format: parameters.one("format").unwrap_or_default(),
            q: searched(parameters),
            tag: tagged(parameters).map(|tag| tag.as_str().to_owned()),
        })
    }
}

async fn export(
    State(state): State<AppState>,
    Query(ExportQuery(input)): Query<ExportQuery>,
    writing: Writing,
) -> Result<Answer, ApiProblem> {
    ensure_task(&state, EXPORT_TASK).await?;
    enqueue(&state, EXPORT_TASK, &input, writing).await
}

async fn show(
    State(state): State<AppState>,
    RunPath(id): RunPath,
    _: Query<()>,
) -> Result<Response, ApiProblem> {
    let run = state.store.run(id).await?;
    let run = run.ok_or_else(|| no_run(&id.to_string()))?;
    let folders = ContactFolders::below(&state.config.storage.directory);
    for format in FileFormat::ALL {
        let (_, path) = folders.export(id, format);
        let found = download(Download {
            path,
            name: format!("contacts-{id}.{format}"),
            format,
            if_absent: None,
        })
        .await?;
        if let Some(answer) = found {
            return Ok(answer);
        }
    }
    Err(match run.state {
        RunState::Queued | RunState::Running => Problem::conflict(format!(
            "run {id} has not ended: its file is there once it is completed"
        )),
        _ => Problem::not_found(format!("a file of run {id}")),
    }
    .into())
}

/// A file to send.
pub(super) struct Download {
    pub(super) path: PathBuf,
    /// Under which a browser keeps it.
    pub(super) name: String,
    pub(super) format: FileFormat,
    pub(super) if_absent: Option<Body>,
}

/// Sends a file as it is now: what is added meanwhile is left out.
pub(super) async fn download(file: Download) -> Result<Option<Response>, ApiProblem> {
    let path = file.path;
    let opened = tokio::task::spawn_blocking(move || {
        let file = contact_folders::open(&path)?;
        let bytes = file.metadata()?.len();
        Ok::<_, io::Error>((file, bytes))
    })
    .await
    .map_err(|error| ApiProblem::internal(error.to_string()))?;
    let (body, bytes) = match opened {
        Ok((file, bytes)) => {
            let read = tokio::fs::File::from_std(file).take(bytes);
            let body = Body::from_stream(ReaderStream::with_capacity(read, READ_BYTES));
            (body, bytes)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => match file.if_absent {
            Some(body) => (body, 0),
            None => return Ok(None),
        },
        Err(error) => return Err(ApiProblem::internal(error.to_string())),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(file.format.content_type()),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let disposition = format!("attachment; filename=\"{}\"", file.name);
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(Some(response))
}
