//! Files of contacts: CSV for spreadsheets, NDJSON for programs.
//!
//! [`reader`] gives the rows of either as the same thing, each judged, with its line and its place
//! in the file, so that whoever reads may stop anywhere and go on later. [`source`] is the window
//! through which a file of any size is seen; [`records`] finds records of CSV in it, [`columns`]
//! says what each of their fields is, and [`json_lines`] reads the other format. [`writer`] writes
//! what these read. Nothing here knows of runs, requests or the store.

pub mod columns;
pub mod json_lines;
pub mod reader;
mod records;
mod source;
pub mod writer;

pub use autom8_api::contact_file::FileFormat;
pub use columns::Columns;
pub use reader::{HeaderFault, RowReader};
pub use writer::RowWriter;

/// A row may take this much: a contact with everything at its limit, written wastefully, takes a
/// tenth of it.
const ROW_BYTES_MAX: usize = 256 * 1024;
/// Columns of a CSV file.
const COLUMNS_MAX: usize = 1_000;

#[cfg(test)]
mod tests;
