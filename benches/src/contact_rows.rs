//! The contacts that both sides of a comparison hold: the n-th is the same on each.

use anyhow::{Result, anyhow};
use autom8_model::contact::{ContactDraft, ContactFields};
use autom8_model::limits::BATCH_CONTACTS_MAX;
use autom8_store::Write;
use serde_json::{Value, json};

use crate::in_process::InProcess;

pub fn phone(number: u64) -> String {
    format!("+49{number:010}")
}

pub fn email(number: u64) -> String {
    format!("contact{number}@example.com")
}

/// The n-th contact as a client sends it.
pub fn contact(number: u64) -> Value {
    json!({
        "name": format!("Contact {number}"),
        "phone": phone(number),
        "email": email(number),
        "tags": ["customer"],
        "attributes": {"number": number, "city": "Berlin"},
    })
}

/// Creates the contacts `1..=contacts` in a new store, by its own operation, in full batches.
pub fn fill(product: &InProcess, contacts: u64) -> Result<()> {
    let mut number = 1;
    while number <= contacts {
        let until = contacts.min(number + BATCH_CONTACTS_MAX as u64 - 1);
        let drafts = (number..=until)
            .map(|number| {
                let fields: ContactFields = serde_json::from_value(contact(number))?;
                ContactDraft::new(fields).map_err(|faults| anyhow!("{faults:?}"))
            })
            .collect::<Result<Vec<_>>>()?;
        for made in product.wait(product.store.create_contacts(drafts, Write::unattended()))? {
            made?;
        }
        number = until + 1;
    }
    Ok(())
}
