//! Asking about API keys, and about what was written by whom.

use autom8_model::KeyId;
use reqwest::Method;

use super::{Answer, Client, ClientError, PageQuery};
use crate::key::KeyDeleted;
use crate::{AuditLog, KeyCreated, KeyList, KeyRequest};

impl Client {
    pub async fn keys(&self, page: &PageQuery) -> Result<Answer<KeyList>, ClientError> {
        self.ask(self.get(&["keys"]).query(page)).await
    }

    /// Makes a key. It is not sent again after a broken connection: an answer that holds a key is
    /// kept nowhere.
    pub async fn add_key(&self, key: &KeyRequest) -> Result<Answer<KeyCreated>, ClientError> {
        self.ask(self.request(Method::POST, &["keys"]).json(key))
            .await
    }

    pub async fn remove_key(&self, id: KeyId) -> Result<Answer<KeyDeleted>, ClientError> {
        self.ask(self.request(Method::DELETE, &["keys", &id.to_string()]))
            .await
    }

    pub async fn audit_log(&self, page: &PageQuery) -> Result<Answer<AuditLog>, ClientError> {
        self.ask(self.get(&["audit_log"]).query(page)).await
    }
}
