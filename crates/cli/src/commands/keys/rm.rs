//! `autom8 keys rm ID|NAME`

use autom8_api::KeyView;
use autom8_api::client::{Answer, Client, ClientError, PageQuery};
use autom8_api::key::KeyDeleted;
use autom8_api::model::KeyId;
use autom8_api::problem::ProblemCode;
use autom8_config::suggest;
use autom8_server::ops::keys::KeyRing;

use super::place::{self, DirectoryArguments, Place};
use crate::confirm;
use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;
use crate::show;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The keys' ids or names.
    #[arg(value_name = "ID|NAME", required = true)]
    keys: Vec<String>,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Delete the last key with admin, too; only where no server runs.
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(
    server: &ServerArguments,
    directory: &DirectoryArguments,
    arguments: &Arguments,
) -> Result<Exit, Failure> {
    let place = Place::open(server, directory, false).await?;
    let flags = place::flags(server, directory);
    if let (Place::Server(client), true) = (&place, arguments.force) {
        let what = format!(
            "--force has no effect at a server, and {} is asked",
            client.server()
        );
        return Err(Failure::usage(what).fix(
            "leave it out (--yes asks nothing), or stop the server first and name its data \
             directory with --data DIR",
        ));
    }
    let removed = remove_all(server, &place, arguments, &flags).await;
    place.close().await;
    removed?;
    Ok(Exit::Ok)
}

async fn remove_all(
    server: &ServerArguments,
    place: &Place,
    arguments: &Arguments,
    flags: &str,
) -> Result<(), Failure> {
    for named in &arguments.keys {
        let keys = match place {
            Place::Server(client) => all_keys(client).await?,
            Place::Directory { ring, .. } => ring.list().keys,
        };
        let key = find(&keys, named, flags)?;
        let name = &key.name;
        if !arguments.yes && !arguments.force {
            confirm::ask(
                &format!(
                    "Delete key {} `{name}`? What uses it is refused then.",
                    key.id
                ),
                &format!("deleting key `{name}`"),
                &format!("autom8 keys rm {} --yes{flags}", show::quoted(named)),
            )?;
        }
        let deleted = match place {
            Place::Server(client) => {
                let deleted = client.remove_key(key.id).await;
                deleted.map_err(|error| refused(error, named, flags))?
            }
            Place::Directory { ring, .. } => {
                if !arguments.force && ring.is_last_admin(key.id) {
                    return Err(last_admin(key, flags));
                }
                remove_here(ring, key).await?
            }
        };
        server
            .output()
            .answer(&deleted, |_| format!("Deleted key {} `{name}`", key.id))?;
    }
    Ok(())
}

/// The only conflict of a deletion is that the key is the last one with admin.
fn refused(error: ClientError, named: &str, flags: &str) -> Failure {
    let is_last = matches!(&error, ClientError::Refused(problem)
        if problem.code == ProblemCode::Conflict);
    let failure = place::explained(error);
    match is_last {
        true => failure.fix(format!(
            "make another first: autom8 keys add NAME --scope admin{flags}; or stop the server, \
             and then: autom8 keys rm {} --force --data DIR",
            show::quoted(named)
        )),
        false => failure,
    }
}

fn last_admin(key: &KeyView, flags: &str) -> Failure {
    let what = format!(
        "`{}` is the last key with admin, not counting those that expire: without it nobody could \
         make another through the server",
        key.name
    );
    Failure::new(Exit::Failed, what).fix(format!(
        "make another first: autom8 keys add NAME --scope admin{flags}; or repeat with --force"
    ))
}

async fn remove_here(ring: &KeyRing, key: &KeyView) -> Result<Answer<KeyDeleted>, Failure> {
    let deleted = ring.remove(key.id).await;
    let deleted = deleted.map_err(|problem| ClientError::Refused(Box::new(problem)))?;
    let text = serde_json::to_string(&deleted).map_err(std::io::Error::from)?;
    Ok(Answer {
        value: deleted,
        text,
    })
}

async fn all_keys(client: &Client) -> Result<Vec<KeyView>, Failure> {
    let mut page = PageQuery {
        limit: Some(1_000),
        cursor: None,
    };
    let mut keys = Vec::new();
    // A server has at most ten thousand (model/src/limits.rs).
    loop {
        let list = client.keys(&page).await.map_err(place::explained)?.value;
        keys.extend(list.keys);
        page.cursor = list.meta.next_cursor;
        if page.cursor.is_none() {
            return Ok(keys);
        }
    }
}

/// The key of this name, or else of this id: a name may be a number.
fn find<'a>(keys: &'a [KeyView], named: &str, flags: &str) -> Result<&'a KeyView, Failure> {
    let by_name = keys.iter().find(|key| key.name == named);
    let id = named.parse().ok().map(KeyId);
    let by_id = keys.iter().find(|key| Some(key.id) == id);
    match (by_name, by_id) {
        (Some(one), Some(other)) if one.id != other.id => Err(Failure::usage(format!(
            "`{named}` is the name of key {} and the id of another",
            one.id
        ))
        .fix(format!("use the id: autom8 keys rm {}{flags}", one.id))),
        (Some(key), _) | (None, Some(key)) => Ok(key),
        (None, None) => {
            let failure = Failure::new(Exit::NotFound, format!("key `{named}` does not exist"));
            let names = keys.iter().map(|key| key.name.as_str());
            Err(failure.fix(match suggest::nearest(named, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("`autom8 keys ls{flags}` lists the keys"),
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_name_or_id_and_never_by_guess() {
        let key = |id: i64, name: &str| -> KeyView {
            let json = format!(
                r#"{{"id":{id},"name":"{name}","scopes":["read"],"shown":"a8_abcdef",
                "rate_limit":null,"created_at":"2026-01-01T00:00:00Z","expires_at":null,
                "last_used_at":null}}"#
            );
            serde_json::from_str(&json).unwrap()
        };
        let keys = [key(1, "ops"), key(2, "1"), key(3, "3")];
        let found = |named: &str| find(&keys, named, "").map(|key| key.id.0);
        assert_eq!(found("ops").unwrap(), 1);
        assert_eq!(found("2").unwrap(), 2);
        assert_eq!(found("3").unwrap(), 3);
        assert_eq!(found("1").unwrap_err().exit, Exit::Usage);
        let slip = found("opss").unwrap_err();
        assert_eq!(slip.exit, Exit::NotFound);
        assert!(slip.to_string().contains("did you mean `ops`"), "{slip}");
    }
}
