//! The first key of a server that nobody has made one for yet, from a file: how a container that
//! is started by a program gets its key.

use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use autom8_model::api_key::Secret;
use autom8_model::{Author, Scope, Scopes};
use autom8_store::{NewKey, Store, Write};

use crate::digest::sha256;

/// What lists call it.
const NAME: &str = "first-admin";
/// A key is 52 bytes; more is another file given by mistake.
const FILE_BYTES_MAX: u64 = 4 * 1024;

/// Takes the key in if the store has none.
///
/// # Errors
/// What is wrong with the file, and what to do about it.
pub(crate) async fn take_in(path: &Path, store: &dyn Store) -> Result<(), String> {
    if store.has_keys() {
        return Ok(());
    }
    let secret = read(path)?;
    let key = NewKey {
        name: NAME.to_owned(),
        scopes: Scopes::of([Scope::Admin]),
        hash: sha256(secret.as_str().as_bytes()),
        shown: secret.shown().to_owned(),
        limit: None,
        expires_at: None,
    };
    let author = Author {
        key: None,
        principal: "local".to_owned(),
        request_id: None,
        address: None,
    };
    let made = store.create_key(key, Write::by(author)).await;
    let made = made.map_err(|error| format!("the store did not take it: {error}"))?;
    tracing::info!(
        key.name = made.name,
        key.shown = made.shown,
        "made the first API key from security.api_key_file: from now on every call needs a key"
    );
    Ok(())
}

fn read(path: &Path) -> Result<Secret, String> {
    let text = read_private(path)?;
    text.trim().parse().map_err(|error| {
        format!("{error}; `autom8 keys add NAME --scope admin` makes a key and shows it")
    })
}

/// Others who may read the file have the key.
fn read_private(path: &Path) -> Result<String, String> {
    let cannot = |error: io::Error| format!("it cannot be read: {error}");
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mode = file.metadata().map_err(cannot)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!(
            "others than its owner may read it (mode {:03o}): chmod 600 it",
            mode & 0o777
        ));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;

    #[test]
    fn only_a_key_that_its_owner_alone_can_read_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(read(&path).unwrap_err().contains("cannot be read"));

        let secret = Secret::new([7; 32]);
        std::fs::write(&path, format!("{}\n", secret.as_str())).unwrap();
        let set_mode =
            |mode| std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        for open in [0o644, 0o640, 0o604, 0o660] {
            set_mode(open);
            let refused = read(&path).unwrap_err();
            assert!(refused.contains("chmod 600"), "{refused}");
        }
        for private in [0o600, 0o400] {
            set_mode(private);
            assert_eq!(read(&path).unwrap(), secret);
        }
        set_mode(0o600);
        for (text, why) in [("hunter2", "begins with `a8_`"), ("", "begins with `a8_`")] {
            std::fs::write(&path, text).unwrap();
            let refused = read(&path).unwrap_err();
            assert!(
                refused.contains(why) && !refused.contains("hunter2"),
                "{refused}"
            );
        }
    }
}
