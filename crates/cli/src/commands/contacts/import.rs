//! `autom8 contacts import FILE`

use std::io::{BufWriter, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use autom8_api::client::contact_files::{ImportQuery, UploadBody};
use autom8_api::client::{Answer, Client};
use autom8_api::contact_file::{FileFormat, ImportResult};
use autom8_api::model::contact_import::{ContactKey, OnDuplicate};
use autom8_api::model::{RunId, RunState};
use autom8_api::{RunView, client::ClientError};
use futures_util::StreamExt as _;
use tokio_util::io::ReaderStream;

use super::follow;
use crate::failure::{Exit, Failure};
use crate::output::{Output, printable};
use crate::server_arguments::ServerArguments;
use crate::show;
use crate::wait;

/// Read of the file at once.
const READ_BYTES: usize = 64 * 1024;
/// Failed rows that are shown where they go into no file.
const SHOWN_MAX: usize = 10;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "CSV needs a header. The columns name, phone, email, tags and attributes \
(JSON) go to their
fields, any other column is an attribute. NDJSON has a contact a line.

The import goes on when this program ends, and after a crash of the server where it was.
Rows that failed are written to FILE.errors.ndjson, a line of JSON each.

Exit codes: 0 all rows are in; 1 some rows failed; 10 the import failed; 11 it was cancelled.

Examples:
  autom8 contacts import people.csv --dry-run
  autom8 contacts import people.csv --on-duplicate update --key email
  gunzip -c people.ndjson.gz | autom8 contacts import - --format ndjson"
)]
pub(super) struct Arguments {
    /// The file, or - for standard input.
    file: String,
    /// csv or ndjson; without it, the ending of the file tells.
    #[arg(long)]
    format: Option<FileFormat>,
    /// What to do with a row whose contact is there: skip it, update the contact with the row's
    /// fields, or fail the row.
    #[arg(long, value_name = "skip|update|fail", default_value = "skip")]
    on_duplicate: OnDuplicate,
    /// Find the contact of a row by its phone or by its email.
    #[arg(long, value_name = "phone|email", default_value = "phone")]
    key: ContactKey,
    /// Tell what would come of it, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write the rows that failed here.
    #[arg(long, value_name = "FILE", conflicts_with = "no_wait")]
    errors: Option<PathBuf>,
    /// Upload the file and do not wait for the import.
    #[arg(long)]
    no_wait: bool,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let output = server.output();
    let query = ImportQuery {
        format: format(arguments)?,
        on_duplicate: arguments.on_duplicate,
        key: arguments.key,
        dry_run: arguments.dry_run,
    };
    let client = server.client()?;
    let run = upload(&client, &arguments.file, &query, output).await?;
    let id = run.value.id;
    if arguments.no_wait {
        output.answer(&run, |_| {
            format!("Uploaded: run {id} imports it\n  Next: autom8 runs logs -f {id}")
        })?;
        return Ok(Exit::Ok);
    }
    let ended = follow::until_ended(&client, id, output, "importing").await?;
    told(&client, &ended, arguments, output).await
}

fn format(arguments: &Arguments) -> Result<FileFormat, Failure> {
    if let Some(format) = arguments.format {
        return Ok(format);
    }
    FileFormat::of_name(&arguments.file).ok_or_else(|| {
        let what = match arguments.file.as_str() {
            "-" => "standard input has no name that tells its format".to_owned(),
            file => format!("the name {} does not tell the format", show::quoted(file)),
        };
        Failure::usage(what).fix("name it: --format csv or --format ndjson")
    })
}

async fn upload(
    client: &Client,
    file: &str,
    query: &ImportQuery,
    output: Output,
) -> Result<Answer<RunView>, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::usage(format!("cannot read {}: {error}", show::quoted(file)))
    };
    let (stream, bytes) = match file {
        "-" => {
            let stdin = std::io::stdin().as_fd().try_clone_to_owned();
            let stdin = std::fs::File::from(stdin.map_err(unreadable)?);
            let stdin = tokio::fs::File::from_std(stdin);
            (ReaderStream::with_capacity(stdin, READ_BYTES).boxed(), None)
        }
        path => {
            let opened = tokio::fs::File::open(path).await.map_err(unreadable)?;
            let found = opened.metadata().await.map_err(unreadable)?;
            if found.is_dir() {
                return Err(Failure::usage(format!(
                    "{} is a directory",
                    show::quoted(file)
                )));
            }
            // A pipe has no length.
            let bytes = found.is_file().then_some(found.len());
            let stream = ReaderStream::with_capacity(opened, READ_BYTES);
            (stream.boxed(), bytes)
        }
    };
    let bar = follow::bar(output, bytes, "uploading");
    let counted = bar.clone();
    let stream = stream.inspect(move |chunk| {
        if let Ok(chunk) = chunk {
            counted.inc(chunk.len() as u64);
        }
    });
    let body = UploadBody::wrap_stream(stream);
    let run = client.import_contacts(query, bytes, body).await;
    bar.finish_and_clear();
    run.map_err(explained)
}

/// Sent again, it would be a second import; as it stands, nothing has begun.
fn explained(error: ClientError) -> Failure {
    let broken = matches!(error, ClientError::Interrupted { .. });
    let failure = Failure::from(error);
    match broken {
        true => failure.fix(
            "look with `autom8 runs ls --task contacts-import` whether it is there; contacts \
             that are in are not taken twice",
        ),
        false => failure,
    }
}

/// Says what came of it, and keeps the rows that failed.
async fn told(
    client: &Client,
    run: &Answer<RunView>,
    arguments: &Arguments,
    output: Output,
) -> Result<Exit, Failure> {
    let id = run.value.id;
    let result = run.value.result.as_ref();
    let result = result.and_then(|raw| serde_json::from_str::<ImportResult>(raw.get()).ok());
    let (RunState::Completed, Some(result)) = (run.value.state, result) else {
        if output.json {
            output.print(&run.text)?;
        } else {
            let error = run.value.error.as_deref().unwrap_or("no reason was given");
            output.note(&format!(
                "Run {id} {}: {}",
                run.value.state.as_str(),
                printable(error)
            ));
        }
        return Ok(wait::exit_of(&run.value, None));
    };
    let errors = match result.failed {
        0 => None,
        _ => match errors_path(arguments) {
            Some(path) => {
                save_failures(client, id, &path).await?;
                Some(path)
            }
            None => None,
        },
    };
    output.answer(run, |_| summary(&result, errors.as_deref()))?;
    if !output.json {
        for note in &result.columns {
            if let Some(suggestion) = &note.suggestion {
                output.note(&format!(
                    "The column {} became an attribute; is it `{suggestion}`?",
                    show::quoted(&note.column)
                ));
            }
        }
        if errors.is_none() {
            for failure in result.failures.iter().take(SHOWN_MAX) {
                let field = failure.field.as_deref().map(|field| format!(" {field}"));
                output.note(&printable(&format!(
                    "line {}:{} {}",
                    failure.line,
                    field.unwrap_or_default(),
                    failure.error
                )));
            }
        }
    }
    Ok(match result.failed {
        0 => Exit::Ok,
        _ => Exit::Failed,
    })
}

/// `9,812 new · 180 updated · 8 failed → people.errors.ndjson`
fn summary(result: &ImportResult, errors: Option<&Path>) -> String {
    let mut parts = Vec::new();
    for (count, what) in [
        (result.created, "new"),
        (result.updated, "updated"),
        (result.skipped, "already there"),
        (result.failed, "failed"),
    ] {
        if count > 0 {
            parts.push(format!("{} {what}", grouped(count)));
        }
    }
    if parts.is_empty() {
        parts.push("no rows".to_owned());
    }
    let mut text = parts.join(" · ");
    if let Some(path) = errors {
        text.push_str(&format!(" → {}", path.display()));
    }
    if result.dry_run {
        text.push_str("\nThis was a dry run: nothing was written");
    }
    text
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Where the failed rows go: into the present directory, unless something else was said.
fn errors_path(arguments: &Arguments) -> Option<PathBuf> {
    if let Some(path) = &arguments.errors {
        return Some(path.clone());
    }
    let stem = match arguments.file.as_str() {
        "-" => return None,
        file => Path::new(file).file_stem()?.to_str()?,
    };
    Some(PathBuf::from(format!("{stem}.errors.ndjson")))
}

async fn save_failures(client: &Client, id: RunId, path: &Path) -> Result<(), Failure> {
    let unwritten = |error: std::io::Error| {
        Failure::new(
            Exit::Failed,
            format!("cannot write {}: {error}", path.display()),
        )
        .fix(format!(
            "the import is done; GET /api/v1/contacts/imports/{id}/failures has the rows"
        ))
    };
    let file = std::fs::File::create(path).map_err(unwritten)?;
    let mut file = BufWriter::new(file);
    let mut failures = client.import_failures(id).await?;
    while let Some(chunk) = failures.next().await? {
        file.write_all(chunk.as_ref()).map_err(unwritten)?;
    }
    file.flush().map_err(unwritten)
}

#[cfg(test)]
mod tests {
    use super::*;
    use autom8_api::model::contact_import::ImportCounts;

    #[test]
    fn the_summary_names_what_there_is_and_where_the_rest_went() {
        let counts = ImportCounts {
            created: 9_812,
            updated: 180,
            skipped: 0,
            failed: 8,
        };
        let result = ImportResult::new(counts, false);
        assert_eq!(
            summary(&result, Some(Path::new("people.errors.ndjson"))),
            "9,812 new · 180 updated · 8 failed → people.errors.ndjson"
        );
        let nothing = ImportResult::new(ImportCounts::default(), true);
        assert!(summary(&nothing, None).starts_with("no rows\nThis was a dry run"));
        assert_eq!(grouped(1_000_000), "1,000,000");
        assert_eq!(grouped(100), "100");
    }
}
