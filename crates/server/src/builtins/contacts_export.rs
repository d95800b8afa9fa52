//! `contacts_export`: writes contacts into a file, page by page.
//!
//! Pages follow each other by id, so that each contact is in the file once, whatever is created or
//! changed meanwhile; it is not a picture of one moment.

use std::io::BufWriter;
use std::sync::Arc;

use async_trait::async_trait;
use autom8_api::contact_file::{ExportInput, ExportResult};
use autom8_engine::executors::Builtin;
use autom8_engine::{Ended, RunContext};
use autom8_model::{Clock, limits};
use autom8_store::{ContactFilter, Store, StoreError};

use super::contact_folders::{self, ContactFolders};
use super::{BuiltinError, dated, on_disk};
use crate::contact_files::RowWriter;

pub struct ContactsExport {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    folders: ContactFolders,
}

impl ContactsExport {
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, folders: ContactFolders) -> Self {
        ContactsExport {
            store,
            clock,
            folders,
        }
    }

    async fn export(
        &self,
        context: &RunContext,
        input: ExportInput,
    ) -> Result<ExportResult, BuiltinError> {
        self.folders.sweep(&self.store, &self.clock).await?;
        let (partial, path) = self.folders.export(context.run, input.format);
        let is_filtered = input.q.is_some() || input.tag.is_some();
        let total = (!is_filtered).then(|| self.store.totals().contacts);
        context.progress.expect(total, "contacts");
        let mut writer = {
            let (partial, folder) = (partial.clone(), self.folders.exports().to_owned());
            on_disk(move || {
                contact_folders::prepare(&folder)?;
                let output = BufWriter::new(contact_folders::create(&partial)?);
                RowWriter::new(output, input.format)
                    .map_err(dated::failed("cannot write", &partial))
            })
            .await?
        };
        let mut filter = ContactFilter {
            query: input.q,
            tag: input.tag,
            limit: limits::PAGE_MAX,
            ..ContactFilter::default()
        };
        let mut contacts = 0;
        loop {
            let page = self.store.contacts(filter.clone()).await?;
            contacts += page.contacts.len() as u64;
            let path = partial.clone();
            writer = on_disk(move || {
                for contact in &page.contacts {
                    writer
                        .write(contact)
                        .map_err(dated::failed("cannot write", &path))?;
                }
                Ok(writer)
            })
            .await?;
            context.progress.set(contacts);
            match page.next {
                Some(next) => filter.after = Some(next),
                None => break,
            }
        }
        let bytes = on_disk(move || {
            let finished = writer.finish().and_then(|output| {
                let file = output
                    .into_inner()
                    .map_err(std::io::IntoInnerError::into_error)?;
                file.sync_all()?;
                Ok(file.metadata()?.len())
            });
            let bytes = finished.map_err(dated::failed("cannot write", &partial))?;
            dated::publish(&partial, &path)?;
            Ok(bytes)
        })
        .await?;
        context.log.note(&format!("{contacts} contacts written"));
        Ok(ExportResult {
            location: format!("/api/v1/contacts/exports/{}", context.run),
            contacts,
            bytes,
        })
    }
}

#[async_trait]
impl Builtin for ContactsExport {
    fn name(&self) -> &'static str {
        "contacts_export"
    }

    async fn run(&self, context: RunContext) -> Ended {
        let input = match context.input_bytes() {
            [] => ExportInput::default(),
            bytes => match serde_json::from_slice(bytes) {
                Ok(input) => input,
                Err(error) => {
                    let why = format!("the input of this run is not that of an export: {error}");
                    return Ended::failed_for_good(why);
                }
            },
        };
        tokio::select! {
            biased;
            () = context.cancel.cancelled() => Ended::Cancelled,
            done = self.export(&context, input) => match done {
                Ok(result) => Ended::Completed { result: serde_json::to_vec(&result).ok() },
                Err(BuiltinError::Store(StoreError::Invalid(invalid))) => {
                    Ended::failed_for_good(invalid.to_string())
                }
                Err(error) => Ended::failed(error.to_string()),
            },
        }
    }
}
