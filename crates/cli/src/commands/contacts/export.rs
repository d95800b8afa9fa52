//! `autom8 contacts export`

use std::io::Write as _;
use std::path::Path;

use autom8_api::client::Client;
use autom8_api::contact_file::{ExportInput, FileFormat};
use autom8_api::model::{RunId, RunState};

use super::follow;
use crate::failure::{Exit, Failure};
use crate::output::printable;
use crate::server_arguments::ServerArguments;
use crate::show;
use crate::wait;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A file is there whole or not at all. In CSV, text that a spreadsheet \
would take for a formula
has an apostrophe in front; an import takes it away again.

Examples:
  autom8 contacts export people.csv
  autom8 contacts export --format ndjson | wc -l
  autom8 contacts export vips.csv --tag vip"
)]
pub(super) struct Arguments {
    /// Where to write; without it, or with -, to standard output.
    file: Option<String>,
    /// csv or ndjson; without it, the ending of the file tells, and else it is csv.
    #[arg(long)]
    format: Option<FileFormat>,
    /// Only contacts with this tag.
    #[arg(long)]
    tag: Option<String>,
    /// Only contacts whose name, e-mail or phone begins so.
    #[arg(long, short, value_name = "TEXT")]
    q: Option<String>,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let output = server.output();
    let client = server.client()?;
    let file = arguments.file.as_deref().filter(|file| *file != "-");
    let by_name = || file.and_then(FileFormat::of_name);
    let export = ExportInput {
        format: arguments.format.or_else(by_name).unwrap_or_default(),
        q: arguments.q.clone(),
        tag: arguments.tag.clone(),
    };
    let id = client.export_contacts(&export).await?.value.id;
    let ended = follow::until_ended(&client, id, output, "exporting").await?;
    if ended.value.state != RunState::Completed {
        let state = ended.value.state.as_str();
        let error = ended
            .value
            .error
            .as_deref()
            .unwrap_or("no reason was given");
        output.note(&format!("Run {id} {state}: {}", printable(error)));
        return Ok(wait::exit_of(&ended.value, None));
    }
    match file {
        None => to_stdout(&client, id).await?,
        Some(path) => {
            let bytes = to_file(&client, id, Path::new(path)).await?;
            output.answer(&ended, |_| {
                format!("Wrote {} to {}", show::bytes(bytes), show::quoted(path))
            })?;
        }
    }
    Ok(Exit::Ok)
}

async fn to_stdout(client: &Client, id: RunId) -> Result<(), Failure> {
    let mut contacts = client.contact_export(id).await?;
    let mut stdout = std::io::stdout().lock();
    while let Some(chunk) = contacts.next().await? {
        stdout.write_all(chunk.as_ref())?;
    }
    stdout.flush()?;
    Ok(())
}

/// Writes beside the file, and takes its place at the end.
async fn to_file(client: &Client, id: RunId, path: &Path) -> Result<u64, Failure> {
    let unwritten = |error: std::io::Error| {
        Failure::new(
            Exit::Failed,
            format!("cannot write {}: {error}", path.display()),
        )
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".autom8-export-")
        .tempfile_in(folder)
        .map_err(unwritten)?;
    let mut contacts = client.contact_export(id).await?;
    let mut bytes = 0;
    while let Some(chunk) = contacts.next().await? {
        let chunk = chunk.as_ref();
        bytes += chunk.len() as u64;
        file.write_all(chunk).map_err(unwritten)?;
    }
    file.as_file().sync_all().map_err(unwritten)?;
    file.persist(path).map_err(|error| unwritten(error.error))?;
    Ok(bytes)
}
