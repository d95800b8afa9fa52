//! API keys of a data directory that no server uses: how the first one is made, and how to get in
//! again after the last one was lost.
//!
//! Who may write in the directory may do everything, so nothing asks for a key here. The audit log
//! names the author `local`.

use std::sync::Arc;

use autom8_api::key::{KeyCreated, KeyDeleted, KeyList, KeyRequest, KeyView};
use autom8_api::page::PageMeta;
use autom8_api::problem::Problem;
use autom8_config::Config;
use autom8_model::{Author, Clock, KeyId, SystemClock};
use autom8_store::{Store, Write};

pub use autom8_store::error::OpenError;

use crate::error::ApiProblem;
use crate::key_rules;
use crate::telemetry::Telemetry;
use crate::wiring;

/// An open data directory; no server can start on it meanwhile.
pub struct KeyRing {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

/// Opens a data directory as a start of the server would, and creates it if there is none.
///
/// # Errors
/// [`OpenError::Locked`] while a server runs on it, and what else keeps one from starting.
pub async fn open(config: &Config) -> Result<KeyRing, OpenError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let telemetry = Telemetry::new(Arc::clone(&clock));
    let opened = wiring::open_store(config, Arc::clone(&clock), &telemetry).await?;
    Ok(KeyRing {
        store: opened.store,
        clock,
    })
}

impl KeyRing {
    pub fn list(&self) -> KeyList {
        let keys = self.store.keys();
        KeyList {
            keys: keys.iter().map(|key| KeyView::from(&**key)).collect(),
            meta: PageMeta { next_cursor: None },
        }
    }

    /// Makes a key.
    ///
    /// # Errors
    /// What is wrong with it, or that one of this name exists.
    pub async fn add(&self, request: KeyRequest) -> Result<KeyCreated, Problem> {
        let is_first = !self.store.has_keys();
        key_rules::check(&request, is_first, self.clock.now())?;
        let (secret, new) = key_rules::make(request).map_err(|error| error.problem)?;
        let made = self.store.create_key(new, Write::by(author())).await;
        let made = made.map_err(problem)?;
        Ok(KeyCreated {
            view: KeyView::from(&*made),
            key: secret.as_str().to_owned(),
            message: key_rules::message(is_first),
        })
    }

    /// Whether without this key nobody could make another through a server.
    pub fn is_last_admin(&self, id: KeyId) -> bool {
        let keys = self.store.keys();
        key_rules::is_last_admin(keys.iter().map(|key| &**key), id, self.clock.now())
    }

    /// # Errors
    /// There is no such key.
    pub async fn remove(&self, id: KeyId) -> Result<KeyDeleted, Problem> {
        let deleted = self.store.delete_key(id, Write::by(author())).await;
        deleted.map_err(problem)?;
        Ok(KeyDeleted {
            message: "Key deleted".to_owned(),
        })
    }

    /// Writes what is left to write, and lets go of the directory.
    pub async fn close(self) {
        self.store.close().await;
    }
}

fn problem(error: autom8_store::StoreError) -> Problem {
    ApiProblem::from(error).problem
}

fn author() -> Author {
    Author {
        key: None,
        principal: "local".to_owned(),
        request_id: None,
        address: None,
    }
}
