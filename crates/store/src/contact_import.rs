//! What an import of contacts asks of the store: slices of rows, each applied with its place.

use async_trait::async_trait;
use autom8_model::RunId;
use autom8_model::contact_import::{ImportCounts, ImportRow, ImportRule, RowFailure};

use crate::Result;

/// Rows of one slice: some milliseconds of the writer, so that nobody's small write waits longer.
pub const IMPORT_SLICE_ROWS_MAX: usize = 250;

/// Failures that an import tells, beside those of the slice that reaches it; the others are only
/// counted. A row of two bytes has a reason of seventy, and the file of a wrong export is all such.
pub const IMPORT_FAILURES_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A place in an import's file, between two rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilePlace {
    /// Bytes before it.
    pub position: u64,
    /// The line that begins there; the first is 1.
    pub line: u64,
}

/// Rows that follow each other in a file, in its order.
#[derive(Clone, Debug)]
pub struct ImportSlice {
    pub run: RunId,
    pub rule: ImportRule,
    /// Where the first row begins: where the slice before has ended.
    pub from: FilePlace,
    pub to: FilePlace,
    /// Those that could not be read are counted with the others.
    pub rows: Vec<Result<ImportRow, RowFailure>>,
    /// The file ends behind it.
    pub is_last: bool,
}

/// How far an import has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactImport {
    pub place: FilePlace,
    pub counts: ImportCounts,
    /// Bytes of all failures but those of the last slice, a line of JSON each.
    pub failures_bytes: u64,
    /// The failures of the last slice, in that form.
    pub last_failures: String,
    /// The whole file is applied.
    pub done: bool,
}

impl ContactImport {
    /// The state after a slice.
    #[must_use]
    pub fn followed_by(&self, slice: SliceOutcome, to: FilePlace, done: bool) -> Self {
        let mut counts = self.counts;
        counts.add(&slice.counts);
        let failures_bytes = self.failures_bytes + self.last_failures.len() as u64;
        let is_full = failures_bytes >= IMPORT_FAILURES_BYTES_MAX;
        ContactImport {
            place: to,
            counts,
            failures_bytes,
            last_failures: if is_full {
                String::new()
            } else {
                slice.failures
            },
            done,
        }
    }
}

/// What came of the rows of one slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SliceOutcome {
    pub counts: ImportCounts,
    failures: String,
}

impl SliceOutcome {
    pub(crate) fn fail(&mut self, failure: &RowFailure) {
        self.counts.failed += 1;
        // A struct of texts and a number is JSON.
        if let Ok(line) = serde_json::to_string(failure) {
            self.failures.push_str(&line);
            self.failures.push('\n');
        }
    }
}

/// An import that changes nothing: it counts what the same slices would come to, earlier rows of
/// the file included.
#[async_trait]
pub trait ImportRehearsal: Send {
    /// As [`crate::Store::import_contacts`], in memory: a rehearsal that is dropped begins anew.
    async fn apply(&mut self, slice: ImportSlice) -> Result<ContactImport>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_up_to_a_bound_and_counted_beyond_it() {
        let failed = || {
            let mut slice = SliceOutcome::default();
            slice.fail(&RowFailure {
                line: 2,
                field: None,
                error: "has 1 fields, the header has 2".to_owned(),
            });
            slice
        };
        let next =
            |import: &ContactImport| import.followed_by(failed(), FilePlace::default(), false);
        let line = next(&ContactImport::default()).last_failures;
        assert!(line.ends_with("}\n"), "{line}");
        let nearly_full = ContactImport {
            failures_bytes: IMPORT_FAILURES_BYTES_MAX - line.len() as u64 - 1,
            last_failures: line.clone(),
            ..ContactImport::default()
        };
        let told = next(&nearly_full);
        assert_eq!(told.last_failures, line);
        let counted = next(&told);
        assert_eq!(counted.last_failures, "");
        assert_eq!(counted.counts.failed, 2);
        // Once full it stays so, or the file would tell of some rows and pass over others.
        let later = next(&counted);
        assert_eq!(later.last_failures, "");
        assert_eq!(later.failures_bytes, counted.failures_bytes);
        assert!(later.failures_bytes < IMPORT_FAILURES_BYTES_MAX + line.len() as u64);
    }
}
