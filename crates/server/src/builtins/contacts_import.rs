//! `contacts_import`: takes the contacts of an uploaded file, slice by slice.
//!
//! A slice and the place behind it are one transaction of the store, so that an attempt which
//! follows a crash goes on where the last one was. The reasons of failed rows travel with their
//! slice and are in the failures file before the next one begins: the file is never ahead of the
//! store by more than what an attempt cuts off, and never behind it.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use autom8_api::contact_file::{ColumnNote, FileFormat, ImportInput, ImportResult};
use autom8_engine::executors::Builtin;
use autom8_engine::{Ended, RunContext, timer};
use autom8_model::contact_import::{ImportRule, RowFailure};
use autom8_model::{Clock, Monotonic, limits};
use autom8_store::{
    ContactImport, IMPORT_SLICE_ROWS_MAX, ImportRehearsal, ImportSlice, Store, StoreError,
};

use super::contact_folders::{self, ContactFolders, FailuresFile};
use super::{BuiltinError, dated, on_disk};
use crate::contact_files::{HeaderFault, RowReader};
use crate::shown;

/// Bytes of the file that one slice may take, whatever its rows are.
const SLICE_BYTES_MAX: u64 = 1024 * 1024;
/// Failures that the result tells itself.
const FAILURES_TOLD_MAX: usize = 100;
const FAILURES_TOLD_BYTES_MAX: u64 = 40 * 1024;
/// Columns that the result tells.
const COLUMNS_TOLD_MAX: usize = 100;
const COLUMNS_TOLD_BYTES_MAX: usize = 12 * 1024;
/// Between two lines of the run's log.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// An import makes way when the store has too much to do, and tries again for so long.
const OVERLOAD_PAUSE: Duration = Duration::from_millis(500);
const OVERLOAD_PAUSES_MAX: u32 = 120;

const _: () = assert!(
    FAILURES_TOLD_BYTES_MAX as usize + COLUMNS_TOLD_BYTES_MAX + 1024 < limits::RESULT_BYTES_MAX
);

pub struct ContactsImport {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    folders: ContactFolders,
}

#[derive(Debug, thiserror::Error)]
enum ImportError {
    /// Trying again would not help.
    #[error("{0}")]
    ForGood(String),
    #[error(transparent)]
    Builtin(#[from] BuiltinError),
}

impl From<StoreError> for ImportError {
    fn from(error: StoreError) -> Self {
        BuiltinError::from(error).into()
    }
}

/// Where the rows go.
enum Target {
    Store(Arc<dyn Store>),
    Rehearsal(Box<dyn ImportRehearsal>),
}

impl Target {
    async fn apply(&mut self, slice: ImportSlice) -> Result<ContactImport, StoreError> {
        let mut pauses = 0;
        loop {
            let applied = match self {
                Target::Store(store) => store.import_contacts(slice.clone()).await,
                Target::Rehearsal(rehearsal) => return rehearsal.apply(slice).await,
            };
            match applied {
                Err(StoreError::Overloaded { .. }) if pauses < OVERLOAD_PAUSES_MAX => {
                    pauses += 1;
                    timer::sleep(OVERLOAD_PAUSE).await;
                }
                applied => return applied,
            }
        }
    }
}

/// An open upload, at some place of it.
struct Upload {
    reader: RowReader<File>,
    columns: Vec<ColumnNote>,
    bytes: u64,
}

impl ContactsImport {
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, folders: ContactFolders) -> Self {
        ContactsImport {
            store,
            clock,
            folders,
        }
    }

    async fn import(&self, context: &RunContext) -> Result<ImportResult, ImportError> {
        let input: ImportInput =
            serde_json::from_slice(context.input_bytes()).map_err(|error| {
                ImportError::ForGood(format!(
                    "the input of this run is not that of an import ({error}): \
                 POST /api/v1/contacts/import uploads a file and makes one"
                ))
            })?;
        let path = self
            .folders
            .named_upload(&input.file)
            .map_err(ImportError::ForGood)?;
        // What others have left goes first: it may be the room that this one needs.
        self.folders.sweep(&self.store, &self.clock).await?;
        let before = match input.dry_run {
            true => ContactImport::default(),
            false => self
                .store
                .contact_import(context.run)
                .await?
                .unwrap_or_default(),
        };
        let mut failures = {
            let (path, before) = (self.folders.failures(context.run), before.clone());
            on_disk(move || {
                let mut failures = FailuresFile::at(path, before.failures_bytes)?;
                failures.append(&before.last_failures)?;
                Ok(failures)
            })
            .await?
        };
        if before.done {
            // The attempt before had only its end left to tell.
            remove(path).await?;
            return self.result(before, &input, Vec::new(), failures).await;
        }
        let rule = ImportRule {
            on_duplicate: input.on_duplicate,
            key: input.key,
        };
        let upload = open(path.clone(), input.format, rule, before.clone()).await?;
        context.progress.expect(Some(upload.bytes), "bytes");
        context.progress.set(before.place.position);
        if before.counts.rows() > 0 {
            let line = before.place.line;
            context.log.note(&format!("going on with line {line}"));
        }
        let mut target = match input.dry_run {
            true => {
                let scratch = self.folders.rehearsal(context.run);
                Target::Rehearsal(self.store.rehearse_import(&scratch).await?)
            }
            false => Target::Store(Arc::clone(&self.store)),
        };
        let columns = upload.columns;
        let mut told = Told::new(self.clock.monotonic());
        let mut import = before;
        let mut next = Some(read_slice(upload.reader, context.run, rule).await?);
        while let Some((reader, slice)) = next {
            let is_last = slice.is_last;
            // The next rows are read while these are written.
            let ahead = async {
                match is_last {
                    true => Ok(None),
                    false => read_slice(reader, context.run, rule).await.map(Some),
                }
            };
            let (applied, ahead) = tokio::join!(target.apply(slice), ahead);
            import = applied?;
            failures = {
                let lines = import.last_failures.clone();
                on_disk(move || failures.append(&lines).map(|()| failures)).await?
            };
            next = ahead?;
            context.progress.set(import.place.position);
            if let Some(line) = told.line(&import, self.clock.monotonic()) {
                context.log.note(&line);
            }
        }
        drop(target);
        context.log.note(&format!(
            "{}: {}",
            if input.dry_run { "a dry run" } else { "done" },
            import.counts
        ));
        let result = self.result(import, &input, columns, failures).await?;
        // A crash right now costs a rehearsal its result, and an import nothing.
        remove(path).await?;
        Ok(result)
    }

    async fn result(
        &self,
        import: ContactImport,
        input: &ImportInput,
        columns: Vec<ColumnNote>,
        failures: FailuresFile,
    ) -> Result<ImportResult, ImportError> {
        let head = on_disk(move || failures.head(FAILURES_TOLD_MAX, FAILURES_TOLD_BYTES_MAX));
        let head = head.await?;
        let failure = |line: &str| serde_json::from_str::<RowFailure>(line).ok();
        let mut bytes = 0;
        let fits = |note: &ColumnNote| {
            bytes += note.column.len() * 2 + 80;
            bytes <= COLUMNS_TOLD_BYTES_MAX
        };
        Ok(ImportResult {
            failures: head.lines().filter_map(failure).collect(),
            columns: columns
                .into_iter()
                .take(COLUMNS_TOLD_MAX)
                .take_while(fits)
                .collect(),
            ..ImportResult::new(import.counts, input.dry_run)
        })
    }
}

async fn remove(path: PathBuf) -> Result<(), BuiltinError> {
    on_disk(move || dated::remove(&path)).await
}

async fn open(
    path: PathBuf,
    format: FileFormat,
    rule: ImportRule,
    before: ContactImport,
) -> Result<Upload, ImportError> {
    let opened = on_disk(move || {
        let open = || contact_folders::open(&path);
        let file = match open() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Err(
                    "the uploaded file is gone: it is kept until its run has ended; \
                     upload it again"
                        .to_owned(),
                ));
            }
            file => file.map_err(dated::failed("cannot open", &path))?,
        };
        let bytes = file
            .metadata()
            .map_err(dated::failed("cannot open", &path))?
            .len();
        let reader = RowReader::open(file, format).and_then(|reader| {
            reader.check(rule)?;
            Ok(reader)
        });
        let mut reader = match reader {
            Ok(reader) => reader,
            Err(HeaderFault::File(source)) => {
                return Err(dated::failed("cannot read", &path)(source));
            }
            Err(fault) => return Ok(Err(fault.to_string())),
        };
        let columns = reader.columns().map(|columns| columns.notes());
        if before.place.position > 0 {
            reader = open()
                .and_then(|file| reader.resume(file, before.place))
                .map_err(dated::failed("cannot read", &path))?;
        }
        Ok(Ok(Upload {
            reader,
            columns: columns.unwrap_or_default(),
            bytes,
        }))
    });
    opened.await?.map_err(ImportError::ForGood)
}

/// Reads the rows of one slice.
async fn read_slice(
    mut reader: RowReader<File>,
    run: autom8_model::RunId,
    rule: ImportRule,
) -> Result<(RowReader<File>, ImportSlice), BuiltinError> {
    on_disk(move || {
        let from = reader.place();
        let mut rows = Vec::with_capacity(IMPORT_SLICE_ROWS_MAX);
        let mut is_last = false;
        while rows.len() < IMPORT_SLICE_ROWS_MAX
            && reader.place().position - from.position < SLICE_BYTES_MAX
        {
            let row = reader.next_row().map_err(|source| BuiltinError::File {
                doing: "cannot read",
                path: "the uploaded file".into(),
                source,
            })?;
            match row {
                Some(row) => rows.push(row),
                None => {
                    is_last = true;
                    break;
                }
            }
        }
        let slice = ImportSlice {
            run,
            rule,
            from,
            to: reader.place(),
            rows,
            is_last,
        };
        Ok((reader, slice))
    })
    .await
}

/// When the log was told last.
struct Told {
    at: Monotonic,
    /// Rows and times of the latest lines, for the rate.
    since: VecDeque<(Monotonic, u64)>,
}

impl Told {
    fn new(now: Monotonic) -> Self {
        Told {
            at: now,
            since: VecDeque::new(),
        }
    }

    /// A line, if it is time for one.
    fn line(&mut self, import: &ContactImport, now: Monotonic) -> Option<String> {
        if now.since(self.at) < TELL_EVERY {
            return None;
        }
        self.at = now;
        self.since.push_back((now, import.counts.rows()));
        if self.since.len() > 4 {
            self.since.pop_front();
        }
        let rate = self.since.front().and_then(|(at, rows)| {
            let seconds = now.since(*at).as_secs_f64();
            (seconds > 0.0).then(|| (import.counts.rows() - rows) as f64 / seconds)
        });
        let rate = rate.map_or_else(String::new, |rate| format!(", {rate:.0} rows a second"));
        Some(format!(
            "line {}, {} read: {}{rate}",
            import.place.line,
            shown::bytes(import.place.position),
            import.counts,
        ))
    }
}

#[async_trait]
impl Builtin for ContactsImport {
    fn name(&self) -> &'static str {
        "contacts_import"
    }

    async fn run(&self, context: RunContext) -> Ended {
        tokio::select! {
            biased;
            () = context.cancel.cancelled() => Ended::Cancelled,
            done = self.import(&context) => match done {
                Ok(result) => Ended::Completed { result: serde_json::to_vec(&result).ok() },
                Err(ImportError::ForGood(why)) => Ended::failed_for_good(why),
                Err(ImportError::Builtin(error)) => Ended::failed(error.to_string()),
            },
        }
    }
}
