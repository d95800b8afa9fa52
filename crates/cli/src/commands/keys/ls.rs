//! `autom8 keys ls`

use autom8_api::client::{Answer, PageQuery};
use autom8_api::model::{Clock as _, SystemClock, Timestamp};
use autom8_api::{KeyList, KeyView};

use super::place::{self, DirectoryArguments, Place};
use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;
use crate::show;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Keys of one page of a server, at most 1000.
    #[arg(long, value_name = "N", default_value_t = 200)]
    limit: usize,
    /// Go on where the page before ended.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

pub(super) async fn run(
    server: &ServerArguments,
    directory: &DirectoryArguments,
    arguments: Arguments,
) -> Result<Exit, Failure> {
    let place = Place::open(server, directory, false).await?;
    let list = match &place {
        Place::Server(client) => {
            let page = PageQuery {
                limit: Some(arguments.limit),
                cursor: arguments.cursor,
            };
            client.keys(&page).await.map_err(place::explained)
        }
        Place::Directory { ring, .. } => answered(ring.list()),
    };
    place.close().await;
    let list = list?;
    let output = server.output();
    let now = SystemClock::new().now();
    output.answer(&list, |list| {
        let headings = [
            "ID", "NAME", "SCOPES", "KEY", "LIMIT", "MADE", "EXPIRES", "USED",
        ];
        output.table(headings, list.keys.iter().map(|key| row(key, now)))
    })?;
    if output.json {
        return Ok(Exit::Ok);
    }
    if list.value.keys.is_empty() {
        output.note(&format!(
            "No keys: every program of this machine may do everything, and no other one anything. \
             Make the first: autom8 keys add NAME --scope admin{}",
            place::flags(server, directory)
        ));
    }
    if let Some(cursor) = &list.value.meta.next_cursor {
        output.note(&format!("More: repeat with --cursor {cursor}"));
    }
    Ok(Exit::Ok)
}

fn answered(list: KeyList) -> Result<Answer<KeyList>, Failure> {
    let text = serde_json::to_string(&list).map_err(std::io::Error::from)?;
    Ok(Answer { value: list, text })
}

fn row(key: &KeyView, now: Timestamp) -> [String; 8] {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let expires = match key.expires_at {
        None => "never".to_owned(),
        Some(at) if at <= now => "expired".to_owned(),
        Some(at) => show::relative(at, now),
    };
    [
        key.id.to_string(),
        key.name.clone(),
        scopes.join(","),
        format!("{}…", key.shown),
        key.rate_limit
            .map_or_else(String::new, |limit| limit.to_string()),
        show::relative(key.created_at, now),
        expires,
        key.last_used_at
            .map_or_else(|| "never".to_owned(), |at| show::relative(at, now)),
    ]
}
