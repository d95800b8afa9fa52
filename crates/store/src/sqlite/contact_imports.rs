//! Imports of contacts, slice by slice: the rows and the place behind them are one transaction, so
//! that a crash never applies a row twice or leaves one out.
//!
//! A rehearsal asks the same questions of the real contacts, seen through an overlay: a database of
//! its own that holds the contacts which the rows before would have made or changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use autom8_model::contact::{AttributesPatch, Email, Phone};
use autom8_model::contact_import::{Holders, ImportCounts, ImportRow, RowFailure, Verdict, judge};
use autom8_model::{Contact, ContactId, ContactPatch, RunId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _};

use super::contacts;
use super::group::Group;
use super::operation::Failure;
use super::readers::{Readers, Scan};
use super::writer::Writer;
use super::{SqlResult, SqliteStore};
use crate::contact_import::{ContactImport, FilePlace, ImportRehearsal, ImportSlice, SliceOutcome};
use crate::{Result, StoreError};

impl Writer {
    pub(crate) fn import_contacts(
        &mut self,
        slice: ImportSlice,
        group: &mut Group,
    ) -> Result<ContactImport, Failure> {
        let before = by_run(&self.connection, slice.run)?;
        if let Some(before) = &before
            && before.place != slice.from
        {
            return Err(elsewhere(slice.run, before.place).into());
        }
        let counted = self.memory.contacts;
        let (run, to, is_last) = (slice.run, slice.to, slice.is_last);
        let outcome = self.import_rows(slice, group);
        let written = outcome.and_then(|outcome| {
            let after = before.unwrap_or_default().followed_by(outcome, to, is_last);
            write(&self.connection, run, &after)?;
            Ok(after)
        });
        if written.is_err() {
            // The operation is undone as a whole.
            self.memory.contacts = counted;
        }
        written
    }

    fn import_rows(
        &mut self,
        slice: ImportSlice,
        group: &mut Group,
    ) -> Result<SliceOutcome, Failure> {
        let mut outcome = SliceOutcome::default();
        for row in slice.rows {
            let row = match row {
                Ok(row) => row,
                Err(failure) => {
                    outcome.fail(&failure);
                    continue;
                }
            };
            let line = row.line;
            let holders = Holders {
                phone: found(row.phone(), |key| contacts::by_phone(&self.connection, key))?,
                email: found(row.email(), |key| contacts::by_email(&self.connection, key))?,
            };
            match judge(row, holders, slice.rule) {
                Verdict::Create(draft) => {
                    self.create_contact(draft, group)?;
                    group.rows += 1;
                    outcome.counts.created += 1;
                }
                Verdict::Update(after) => {
                    let (id, patch) = (after.id, patch_to(after));
                    self.update_contact(id, &patch, group)?;
                    group.rows += 1;
                    outcome.counts.updated += 1;
                }
                Verdict::Skip => outcome.counts.skipped += 1,
                Verdict::Fail(fault) => outcome.fail(&fault.at(line)),
            }
        }
        Ok(outcome)
    }
}

fn found<K>(
    key: Option<&K>,
    find: impl FnOnce(&K) -> SqlResult<Option<Contact>>,
) -> SqlResult<Option<Contact>> {
    key.map_or(Ok(None), find)
}

/// The change that makes a contact what it is to be.
fn patch_to(after: Contact) -> ContactPatch {
    ContactPatch {
        name: Some(after.name),
        phone: Some(after.phone),
        email: Some(after.email),
        tags: Some(after.tags),
        attributes: Some(AttributesPatch::Replace(after.attributes)),
    }
}

fn elsewhere(run: RunId, place: FilePlace) -> StoreError {
    StoreError::Conflict {
        why: format!(
            "the import of run {run} has gone on to line {} meanwhile",
            place.line
        ),
    }
}

pub(crate) fn by_run(connection: &Connection, run: RunId) -> SqlResult<Option<ContactImport>> {
    connection
        .prepare_cached(
            "SELECT position, line, created, updated, skipped, failed, failures_bytes,
                    last_failures, done
             FROM contact_imports WHERE run_id = ?1",
        )?
        .query_row([run.0], |row| {
            let count = |column: usize| row.get::<_, i64>(column).map(i64::unsigned_abs);
            Ok(ContactImport {
                place: FilePlace {
                    position: count(0)?,
                    line: count(1)?,
                },
                counts: ImportCounts {
                    created: count(2)?,
                    updated: count(3)?,
                    skipped: count(4)?,
                    failed: count(5)?,
                },
                failures_bytes: count(6)?,
                last_failures: row.get(7)?,
                done: row.get(8)?,
            })
        })
        .optional()
}

fn write(connection: &Connection, run: RunId, import: &ContactImport) -> SqlResult<()> {
    let counts = import.counts;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO contact_imports
                 (run_id, position, line, created, updated, skipped, failed, failures_bytes,
                  last_failures, done)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute((
            run.0,
            import.place.position.cast_signed(),
            import.place.line.cast_signed(),
            counts.created.cast_signed(),
            counts.updated.cast_signed(),
            counts.skipped.cast_signed(),
            counts.failed.cast_signed(),
            import.failures_bytes.cast_signed(),
            &import.last_failures,
            import.done,
        ))?;
    Ok(())
}

/// Forgets imports of runs that are no longer kept.
pub(crate) fn forget_before(connection: &Connection, first_kept: RunId) -> SqlResult<()> {
    connection
        .prepare_cached("DELETE FROM contact_imports WHERE run_id < ?1")?
        .execute([first_kept.0])?;
    Ok(())
}

/// A rehearsal and the overlay it works with.
struct Rehearsal {
    readers: Arc<Readers>,
    /// `None` only while a slice is being applied, or after one failed.
    overlay: Option<Overlay>,
    so_far: ContactImport,
}

/// The contacts that are not as they are in the store.
struct Overlay {
    path: PathBuf,
    connection: Connection,
}

impl SqliteStore {
    pub(crate) async fn start_rehearsal(&self, scratch: &Path) -> Result<Box<dyn ImportRehearsal>> {
        let scratch = scratch.to_owned();
        let opened = tokio::task::spawn_blocking(move || Overlay::create(scratch))
            .await
            .map_err(|error| StoreError::Unavailable {
                why: error.to_string(),
            })?;
        Ok(Box::new(Rehearsal {
            readers: Arc::clone(&self.readers),
            overlay: Some(opened?),
            so_far: ContactImport::default(),
        }))
    }
}

impl Overlay {
    fn create(path: PathBuf) -> Result<Self> {
        let failed = |message: String| StoreError::Backend {
            statement: "contacts_rehearse",
            message,
        };
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(format!("{}: {error}", path.display())));
            }
            _ => {}
        }
        let connection = Connection::open(&path).map_err(|error| failed(error.to_string()))?;
        // Nothing of it is to last, and 4 MiB of it are in memory at most.
        connection
            .execute_batch(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -4096;
                 PRAGMA locking_mode = EXCLUSIVE;
                 CREATE TABLE contacts (
                     id INTEGER PRIMARY KEY, name TEXT, phone TEXT, phone_key TEXT UNIQUE,
                     email TEXT, email_key TEXT UNIQUE, tags TEXT, attributes TEXT,
                     created_at INTEGER, updated_at INTEGER);
                 BEGIN;",
            )
            .map_err(|error| failed(error.to_string()))?;
        Ok(Overlay { path, connection })
    }

    /// The contact with a key, as the rows before have left it.
    fn seen(
        &self,
        over: Option<Contact>,
        under: impl FnOnce() -> SqlResult<Option<Contact>>,
    ) -> SqlResult<Option<Contact>> {
        if over.is_some() {
            return Ok(over);
        }
        let Some(contact) = under()? else {
            return Ok(None);
        };
        // One that was changed does not have this key any more.
        let changed = contacts::by_id(&self.connection, contact.id)?;
        Ok(changed.is_none().then_some(contact))
    }

    fn by_phone(&self, base: &Connection, phone: &Phone) -> SqlResult<Option<Contact>> {
        let over = contacts::by_phone(&self.connection, phone)?;
        self.seen(over, || contacts::by_phone(base, phone))
    }

    fn by_email(&self, base: &Connection, email: &Email) -> SqlResult<Option<Contact>> {
        let over = contacts::by_email(&self.connection, email)?;
        self.seen(over, || contacts::by_email(base, email))
    }

    fn put(&self, contact: &Contact) -> SqlResult<()> {
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO contacts
                     (id, name, phone, phone_key, email, email_key, tags, attributes,
                      created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 0)",
            )?
            .execute((
                contact.id.0,
                &contact.name,
                contact.phone.as_str(),
                contact.phone.key(),
                contact.email.as_ref().map(Email::as_str),
                contact.email.as_ref().map(Email::key),
                contacts::joined(&contact.tags),
                contact.attributes.get(),
            ))?;
        Ok(())
    }

    fn apply(&self, base: &Connection, slice: ImportSlice) -> SqlResult<SliceOutcome> {
        let mut outcome = SliceOutcome::default();
        for row in slice.rows {
            match row {
                Ok(row) => self.apply_row(base, row, slice.rule, &mut outcome)?,
                Err(failure) => outcome.fail(&failure),
            }
        }
        Ok(outcome)
    }

    fn apply_row(
        &self,
        base: &Connection,
        row: ImportRow,
        rule: autom8_model::contact_import::ImportRule,
        outcome: &mut SliceOutcome,
    ) -> SqlResult<()> {
        let line = row.line;
        let holders = Holders {
            phone: found(row.phone(), |key| self.by_phone(base, key))?,
            email: found(row.email(), |key| self.by_email(base, key))?,
        };
        match judge(row, holders, rule) {
            Verdict::Create(draft) => {
                self.put(&Contact {
                    // Of a contact that is not there: told by the line that makes it.
                    id: ContactId(-line.cast_signed()),
                    name: draft.name,
                    phone: draft.phone,
                    email: draft.email,
                    tags: draft.tags,
                    attributes: draft.attributes,
                    created_at: Timestamp::UNIX_EPOCH,
                    updated_at: Timestamp::UNIX_EPOCH,
                })?;
                outcome.counts.created += 1;
            }
            Verdict::Update(after) => {
                self.put(&after)?;
                outcome.counts.updated += 1;
            }
            Verdict::Skip => outcome.counts.skipped += 1,
            Verdict::Fail(fault) => {
                let failure: RowFailure = fault.at(line);
                outcome.fail(&failure);
            }
        }
        Ok(())
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[async_trait]
impl ImportRehearsal for Rehearsal {
    async fn apply(&mut self, slice: ImportSlice) -> Result<ContactImport> {
        let overlay = self.overlay.take().ok_or_else(|| StoreError::Unavailable {
            why: "the rehearsal has failed before".to_owned(),
        })?;
        let (to, is_last) = (slice.to, slice.is_last);
        let (overlay, outcome) = self
            .readers
            .scan(Scan::Rows, move |base| {
                let outcome = overlay.apply(base, slice)?;
                Ok((overlay, outcome))
            })
            .await?;
        self.overlay = Some(overlay);
        self.so_far = self.so_far.followed_by(outcome, to, is_last);
        Ok(self.so_far.clone())
    }
}
