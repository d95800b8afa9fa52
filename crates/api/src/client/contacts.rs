//! Asking about contacts.

use autom8_model::{Contact, ContactId};
use reqwest::{Method, header};
use serde::Serialize;

use super::{Answer, Client, ClientError, PageQuery};
use crate::contact::{ContactBatchResults, ContactDeleted, ContactList};

/// Which contacts a list is to hold, and in which order; an absent member says nothing.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ContactQuery {
    /// The beginning of a name, e-mail or phone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// `id`, `name`, `created_at` or `updated_at`; `-` before it reverses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    #[serde(flatten)]
    pub page: PageQuery,
}

/// By what a contact is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContactKey {
    Phone(String),
    Email(String),
}

impl Client {
    pub async fn contacts(&self, query: &ContactQuery) -> Result<Answer<ContactList>, ClientError> {
        self.ask(self.get(&["contacts"]).query(query)).await
    }

    pub async fn contact(&self, id: ContactId) -> Result<Answer<Contact>, ClientError> {
        self.ask(self.get(&["contacts", &id.to_string()])).await
    }

    pub async fn look_up_contact(&self, key: &ContactKey) -> Result<Answer<Contact>, ClientError> {
        let parameter = match key {
            ContactKey::Phone(phone) => [("phone", phone)],
            ContactKey::Email(email) => [("email", email)],
        };
        self.ask(self.get(&["contacts", "lookup"]).query(&parameter))
            .await
    }

    /// Creates a contact from its fields in JSON.
    pub async fn add_contact(
        &self,
        contact: &impl Serialize,
    ) -> Result<Answer<Contact>, ClientError> {
        self.ask(self.post_once(&["contacts"]).json(contact)).await
    }

    /// Creates many, from a line of JSON for each.
    pub async fn add_contacts(
        &self,
        lines: Vec<u8>,
    ) -> Result<Answer<ContactBatchResults>, ClientError> {
        let request = self.post_once(&["contacts", "batch"]);
        let request = request.header(header::CONTENT_TYPE, "application/x-ndjson");
        self.ask(request.body(lines)).await
    }

    /// Changes the fields given; `attributes` are merged.
    pub async fn edit_contact(
        &self,
        id: ContactId,
        patch: &impl Serialize,
    ) -> Result<Answer<Contact>, ClientError> {
        let path = ["contacts", &id.to_string()];
        self.ask(self.request(Method::PATCH, &path).json(patch))
            .await
    }

    pub async fn remove_contact(
        &self,
        id: ContactId,
    ) -> Result<Answer<ContactDeleted>, ClientError> {
        let path = ["contacts", &id.to_string()];
        self.ask(self.request(Method::DELETE, &path)).await
    }
}
