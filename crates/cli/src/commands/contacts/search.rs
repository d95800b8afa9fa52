//! `autom8 contacts search TEXT`

use autom8_api::client::{ContactQuery, PageQuery};

use super::ls;
use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;

/// Pages that are looked through for the first match: one of a search may be empty and not the
/// last, since the server looks at so many rows a request and no more.
const EMPTY_PAGES_MAX: usize = 100;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  autom8 contacts search ada
  autom8 contacts search +4420 --tag vip")]
pub(super) struct Arguments {
    /// The beginning of a name, an e-mail or a phone.
    #[arg(value_name = "TEXT", allow_hyphen_values = true)]
    text: String,
    /// Only contacts with this tag.
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Contacts of one page, at most 1000.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Go on where the page before ended.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// All pages.
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let mut query = ContactQuery {
        q: Some(arguments.text.clone()),
        tag: arguments.tag.clone(),
        sort: None,
        page: PageQuery {
            limit: Some(arguments.limit),
            cursor: arguments.cursor.clone(),
        },
    };
    let client = server.client()?;
    let output = server.output();
    let mut shown = 0;
    let mut empty_pages = 0;
    let next = loop {
        let list = ls::print_page(&client, &query, output, false).await?;
        shown += list.contacts.len();
        if list.contacts.is_empty() {
            empty_pages += 1;
        }
        let goes_on = arguments.all || (shown == 0 && empty_pages < EMPTY_PAGES_MAX);
        match list.meta.next_cursor {
            Some(cursor) if goes_on => query.page.cursor = Some(cursor),
            next => break next,
        }
    };
    if output.json {
        return Ok(Exit::Ok);
    }
    if shown == 0 && next.is_none() {
        output.note("No contact begins with this.");
    }
    if let Some(cursor) = &next {
        output.note(&ls::more(shown, None, cursor));
    }
    Ok(Exit::Ok)
}
