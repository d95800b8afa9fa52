//! `autom8 audit ls`

use autom8_api::audit::AuditEntryView;
use autom8_api::client::PageQuery;
use autom8_api::model::{Clock as _, SystemClock, Timestamp};

use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;
use crate::show;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Entries of one page, at most 1000.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Go on where the page before ended.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

pub(super) async fn run(server: &ServerArguments, arguments: Arguments) -> Result<Exit, Failure> {
    let page = PageQuery {
        limit: Some(arguments.limit),
        cursor: arguments.cursor,
    };
    let log = server.client()?.audit_log(&page).await?;
    let output = server.output();
    let now = SystemClock::new().now();
    output.answer(&log, |log| {
        let headings = ["WHEN", "WHO", "ACTION", "TARGET", "FROM", "REQUEST"];
        output.table(headings, log.audit_log.iter().map(|entry| row(entry, now)))
    })?;
    if output.json {
        return Ok(Exit::Ok);
    }
    if log.value.audit_log.is_empty() {
        output.note("Nothing was written yet.");
    }
    if let Some(cursor) = &log.value.meta.next_cursor {
        output.note(&format!("More: repeat with --cursor {cursor}"));
    }
    Ok(Exit::Ok)
}

fn row(entry: &AuditEntryView, now: Timestamp) -> [String; 6] {
    [
        show::relative(entry.at, now),
        entry.principal.clone(),
        entry.action.to_string(),
        entry.target.clone(),
        entry
            .address
            .map_or_else(String::new, |address| address.to_string()),
        entry.request_id.clone().unwrap_or_default(),
    ]
}
