//! `autom8 contacts ls`

use autom8_api::ContactList;
use autom8_api::client::{Client, ContactQuery, PageQuery};
use autom8_api::model::{Clock as _, Contact, SystemClock, Timestamp};

use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::server_arguments::ServerArguments;
use crate::show;

const LIMIT_DEFAULT: usize = 100;
/// With `--all`, contacts of one request: as many as a page may have.
const ALL_LIMIT: usize = 1_000;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --all and --json each page is printed on a line of its own.

Examples:
  autom8 contacts ls --tag vip
  autom8 contacts ls --sort -updated_at --limit 20"
)]
pub(super) struct Arguments {
    /// Only contacts with this tag.
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Order: id, name, created_at or updated_at; a - before it reverses.
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    sort: Option<String>,
    /// Contacts of one page, at most 1000 [default: 100].
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Go on where the page before ended.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// All pages.
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let usual = if arguments.all {
        ALL_LIMIT
    } else {
        LIMIT_DEFAULT
    };
    let mut query = ContactQuery {
        q: None,
        tag: arguments.tag.clone(),
        sort: arguments.sort.clone(),
        page: PageQuery {
            limit: Some(arguments.limit.unwrap_or(usual)),
            cursor: arguments.cursor.clone(),
        },
    };
    let client = server.client()?;
    let output = server.output();
    let mut shown = 0;
    let last = loop {
        let list = print_page(&client, &query, output, shown == 0).await?;
        shown += list.contacts.len();
        match &list.meta.next_cursor {
            Some(cursor) if arguments.all => query.page.cursor = Some(cursor.clone()),
            _ => break list,
        }
    };
    if output.json {
        return Ok(Exit::Ok);
    }
    if shown == 0 {
        output.note(match &arguments.tag {
            Some(_) => "No contact has this tag.",
            None => "No contacts yet. Add one: autom8 contacts add --name TEXT --phone NUMBER",
        });
    }
    if let Some(cursor) = &last.meta.next_cursor {
        output.note(&more(shown, last.meta.total, cursor));
    }
    Ok(Exit::Ok)
}

/// Asks for a page and prints it; one without contacts is no table, unless it is the `first`.
pub(super) async fn print_page(
    client: &Client,
    query: &ContactQuery,
    output: Output,
    is_first: bool,
) -> Result<ContactList, Failure> {
    let list = client.contacts(query).await?;
    if output.json || is_first || !list.value.contacts.is_empty() {
        let now = SystemClock::new().now();
        output.answer(&list, |list| table(output, list, now))?;
    }
    Ok(list.value)
}

/// How to see the rest.
pub(super) fn more(shown: usize, total: Option<u64>, cursor: &str) -> String {
    let of = total.map_or_else(String::new, |total| format!("{shown} of {total} shown. "));
    format!("{of}More: repeat with --cursor {cursor}, or see all with --all")
}

fn table(output: Output, list: &ContactList, now: Timestamp) -> String {
    let headings = ["ID", "NAME", "PHONE", "EMAIL", "TAGS", "CHANGED"];
    output.table(
        headings,
        list.contacts.iter().map(|contact| row(contact, now)),
    )
}

fn row(contact: &Contact, now: Timestamp) -> [String; 6] {
    [
        contact.id.to_string(),
        contact.name.clone(),
        contact.phone.to_string(),
        contact
            .email
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        tags(contact),
        show::relative(contact.updated_at, now),
    ]
}

pub(super) fn tags(contact: &Contact) -> String {
    let tags: Vec<&str> = contact.tags.iter().map(|tag| tag.as_str()).collect();
    tags.join(", ")
}
