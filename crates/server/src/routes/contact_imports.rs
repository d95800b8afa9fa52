//! `/api/v1/contacts/import`: a file of contacts comes in, is made durable, and becomes a run.
//!
//! The body is written to disk as it arrives, so that two gigabytes cost what two kilobytes do.
//! Nothing is acknowledged before the file is synced and its run is stored; an upload that breaks
//! off is removed at once, or swept up after a crash.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use autom8_api::contact_file::{FileFormat, ImportInput};
use autom8_api::problem::{Problem, ProblemCode};
use autom8_model::contact_import::{ContactKey, ImportRule, OnDuplicate};
use autom8_model::{Action, Inputs, Random, TaskSpec, Trigger};
use autom8_store::{Enqueue, StoreError, Write};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::StreamExt as _;

use super::contact_exports::{Download, download};
use crate::answer::Answer;
use crate::builtins::contact_folders::{self, ContactFolders};
use crate::builtins::{BuiltinError, on_disk};
use crate::contact_files::{HeaderFault, RowReader};
use crate::error::ApiProblem;
use crate::extract::path::no_run;
use crate::extract::{FromQuery, Parameters, Query, RunPath, Writing, json};
use crate::middleware::body_limit::{self, IMPORT_BODY_BYTES_MAX};
use crate::state::AppState;

/// Bytes of an upload that are gathered for one write.
const WRITE_BYTES: usize = 256 * 1024;
/// Room that uploads leave on the file system for the store, which needs it more.
const ROOM_BYTES_MIN: u64 = 256 * 1024 * 1024;
/// How often the room is looked at while an upload arrives.
const LOOK_EVERY_BYTES: u64 = 16 * 1024 * 1024;

/// What is queued for an upload. Many attempts: a file takes minutes, and each crash costs one.
const IMPORT_TASK: &str = r#"{"name": "contacts-import", "do": {"builtin": "contacts_import"},
    "retry": {"max_attempts": 25}, "timeout": "1d", "overlap": "allow"}"#;

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/contacts/import", post(import))
        .route("/api/v1/contacts/imports/{id}/failures", get(show_failures))
}

struct ImportQuery {
    format: Option<FileFormat>,
    rule: ImportRule,
    dry_run: bool,
}

impl FromQuery for ImportQuery {
    fn take(parameters: &mut Parameters) -> Self {
        ImportQuery {
            format: parameters.one("format"),
            rule: ImportRule {
                on_duplicate: parameters
                    .one::<OnDuplicate>("on_duplicate")
                    .unwrap_or_default(),
                key: parameters.one::<ContactKey>("key").unwrap_or_default(),
            },
            dry_run: parameters.flag("dry_run"),
        }
    }
}

async fn import(
    State(state): State<AppState>,
    Query(query): Query<ImportQuery>,
    writing: Writing,
    request: Request,
) -> Result<Answer, ApiProblem> {
    let format = match query.format {
        Some(format) => format,
        None => announced_format(request.headers())?,
    };
    let folders = ContactFolders::below(&state.config.storage.directory);
    let upload = Upload::begin(&folders, format, announced_bytes(request.headers())).await?;
    let mut upload = upload.receive(request.into_body()).await?;
    upload.check(format, query.rule).await?;
    ensure_task(&state, IMPORT_TASK).await?;
    let input = ImportInput {
        file: upload.name.clone(),
        format,
        on_duplicate: query.rule.on_duplicate,
        key: query.rule.key,
        dry_run: query.dry_run,
    };
    // From here on a run may have it, also if the client leaves before that is known: a file that
    // no run names is swept up.
    upload.is_kept = true;
    let answer = enqueue(&state, IMPORT_TASK, &input, writing).await;
    upload.is_kept = answer.is_ok();
    answer
}

/// Every failed row of an import, also while it runs.
async fn show_failures(
    State(state): State<AppState>,
    RunPath(id): RunPath,
    _: Query<()>,
) -> Result<Response, ApiProblem> {
    let run = state.store.run(id).await?;
    let run = run.ok_or_else(|| no_run(&id.to_string()))?;
    let input = run.input.unwrap_or_default();
    if serde_json::from_slice::<ImportInput>(&input).is_err() {
        return Err(Problem::not_found(format!("an import of run {id}")).into());
    }
    let folders = ContactFolders::below(&state.config.storage.directory);
    download(Download {
        path: folders.failures(id),
        name: format!("import-{id}-failures.ndjson"),
        format: FileFormat::Ndjson,
        // No failures, no file.
        if_absent: Some(Body::empty()),
    })
    .await
    .map(|found| found.unwrap_or_default())
}

fn announced_format(headers: &HeaderMap) -> Result<FileFormat, ApiProblem> {
    let given = headers.get(header::CONTENT_TYPE);
    let known = given
        .and_then(|value| value.to_str().ok())
        .and_then(FileFormat::of_content_type);
    known.ok_or_else(|| {
        Problem::new(
            ProblemCode::UnsupportedMediaType,
            "say what the file is: ?format=csv or ?format=ndjson, or Content-Type: text/csv or \
             application/x-ndjson",
        )
        .into()
    })
}

fn announced_bytes(headers: &HeaderMap) -> u64 {
    let length = headers.get(header::CONTENT_LENGTH);
    length
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .unwrap_or(0)
}

/// A file that arrives. It is removed unless a run may name it in the end.
struct Upload {
    name: String,
    partial: PathBuf,
    path: PathBuf,
    /// Until all of it is there.
    file: Option<File>,
    is_kept: bool,
}

impl Upload {
    async fn begin(
        folders: &ContactFolders,
        format: FileFormat,
        announced: u64,
    ) -> Result<Self, ApiProblem> {
        let name = format!("{:016x}.{format}", Random::from_os().next_u64());
        let (partial, path) = folders.upload(&name);
        let folder = folders.imports().to_owned();
        on_disk(move || {
            contact_folders::prepare(&folder)?;
            require_room(&folder, announced)?;
            let file = contact_folders::create(&partial)?;
            Ok(Upload {
                name,
                partial,
                path,
                file: Some(file),
                is_kept: false,
            })
        })
        .await
        .map_err(unwritten)
    }

    /// Writes the body down and makes it durable, under its name.
    async fn receive(mut self, body: Body) -> Result<Self, ApiProblem> {
        let mut chunks = body.into_data_stream();
        let mut gathered = Vec::with_capacity(WRITE_BYTES);
        let mut written = 0_u64;
        let mut looked_at = 0_u64;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| not_arrived(&error))?;
            gathered.extend_from_slice(&chunk);
            if gathered.len() < WRITE_BYTES {
                continue;
            }
            written += gathered.len() as u64;
            let looks = written - looked_at >= LOOK_EVERY_BYTES;
            if looks {
                looked_at = written;
            }
            (self, gathered) = on_disk(move || {
                self.write(&gathered)?;
                gathered.clear();
                if looks {
                    require_room(folder_of(&self.path), 0)?;
                }
                Ok((self, gathered))
            })
            .await
            .map_err(unwritten)?;
        }
        on_disk(move || {
            self.write(&gathered)?;
            self.finish()?;
            Ok(self)
        })
        .await
        .map_err(unwritten)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BuiltinError> {
        match &mut self.file {
            Some(file) => file
                .write_all(bytes)
                .map_err(failed("cannot write", &self.partial)),
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<(), BuiltinError> {
        if let Some(file) = self.file.take() {
            file.sync_all()
                .map_err(failed("cannot sync", &self.partial))?;
        }
        std::fs::rename(&self.partial, &self.path)
            .map_err(failed("cannot rename to", &self.path))?;
        let folder = folder_of(&self.path);
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed("cannot sync", folder))
    }

    /// Refuses a file of which no row could be taken, while somebody is there to hear it.
    async fn check(&self, format: FileFormat, rule: ImportRule) -> Result<(), ApiProblem> {
        let path = self.path.clone();
        let checked = on_disk(move || {
            let file = contact_folders::open(&path).map_err(failed("cannot open", &path))?;
            match RowReader::open(file, format).and_then(|reader| reader.check(rule)) {
                Err(HeaderFault::File(source)) => Err(failed("cannot read", &path)(source)),
                checked => Ok(checked.map_err(|fault| fault.to_string())),
            }
        });
        let checked = checked.await.map_err(unwritten)?;
        checked.map_err(|fault| Problem::invalid_at("/", fault).into())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = std::fs::remove_file(&self.partial);
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

fn failed<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> BuiltinError + use<'a> {
    move |source| BuiltinError::File {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Refuses what would leave the store without room.
fn require_room(folder: &Path, bytes: u64) -> Result<(), BuiltinError> {
    let Ok(found) = rustix::fs::statvfs(folder) else {
        return Ok(());
    };
    let available = found.f_bavail.saturating_mul(found.f_frsize);
    if available >= bytes.saturating_add(ROOM_BYTES_MIN) {
        return Ok(());
    }
    Err(failed("no room for an upload in", folder)(
        io::ErrorKind::StorageFull.into(),
    ))
}

fn unwritten(error: BuiltinError) -> ApiProblem {
    match error {
        BuiltinError::Store(error) => error.into(),
        BuiltinError::File { source, path, .. }
            if matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ) =>
        {
            StoreError::DiskFull { path }.into()
        }
        error => ApiProblem::internal(error.to_string()),
    }
}

fn not_arrived(error: &axum::Error) -> ApiProblem {
    if json::is_length_limit(error) {
        return body_limit::too_large(IMPORT_BODY_BYTES_MAX);
    }
    Problem::new(
        ProblemCode::Timeout,
        format!("the file did not arrive whole: {error}"),
    )
    .into()
}

/// Makes the task of an import or export on its first use. Afterwards it is a task like any other:
/// to be paused, given a queue or looked at.
pub(super) async fn ensure_task(state: &AppState, spec: &str) -> Result<(), ApiProblem> {
    let spec = task_of(spec)?;
    let known = match state.store.task(&spec.name).await? {
        Some(known) => known,
        None => match state
            .store
            .create_task(spec.clone(), Write::unattended())
            .await
        {
            // Another request was first.
            Err(StoreError::Conflict { .. }) => return Ok(()),
            made => made?,
        },
    };
    if builtin_of(&known.spec) == builtin_of(&spec) {
        return Ok(());
    }
    let name = &spec.name;
    Err(Problem::conflict(format!(
        "the task {name} does something else here: give it another name, so that this one is free"
    ))
    .into())
}

fn builtin_of(spec: &TaskSpec) -> Option<&'static str> {
    match &spec.action {
        Action::Builtin(action) => Some(action.name()),
        _ => None,
    }
}

pub(super) async fn enqueue(
    state: &AppState,
    spec: &str,
    input: &impl serde::Serialize,
    writing: Writing,
) -> Result<Answer, ApiProblem> {
    let input =
        serde_json::to_vec(input).map_err(|error| ApiProblem::internal(error.to_string()))?;
    let enqueue = Enqueue {
        task: task_of(spec)?.name,
        trigger: Trigger::Manual,
        inputs: Inputs::one(&input),
    };
    super::runs::enqueue_one(state, enqueue, writing).await
}

fn task_of(spec: &str) -> Result<TaskSpec, ApiProblem> {
    serde_json::from_str(spec).map_err(|error| ApiProblem::internal(error.to_string()))
}

#[cfg(test)]
#[path = "contact_imports_tests.rs"]
mod tests;
