//! Records of a CSV file: RFC 4180 as `csv-core` reads it, with a bound on what one record takes.
//!
//! A quote that is opened and never closed swallows everything behind it. It costs one row here:
//! the record is refused, and reading goes on with the next line.

use std::io::{self, Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::source::Source;
use super::{COLUMNS_MAX, ROW_BYTES_MAX};

/// The fields of one record, unquoted, and the machine that reads them: to make one costs more
/// than to read a row with it.
pub(super) struct Record {
    parser: Reader,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    fields: usize,
}

impl Record {
    pub(super) fn new(delimiter: u8) -> Self {
        Record {
            parser: ReaderBuilder::new().delimiter(delimiter).build(),
            bytes: vec![0; ROW_BYTES_MAX],
            ends: vec![0; COLUMNS_MAX],
            fields: 0,
        }
    }

    pub(super) fn fields(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        let ends = self.ends.get(..self.fields).unwrap_or_default();
        ends.iter().map(move |end| {
            let field = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            field
        })
    }
}

/// What came of reading a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Record,
    Refused(&'static str),
    End,
}

pub(super) const UNCLOSED: &str =
    "a quote is opened here and not closed; write quotes within a quoted field twice";
const TOO_LONG: &str = "is longer than 256 KiB; is a quote opened and not closed?";
const TOO_MANY_FIELDS: &str = "has more than 1,000 fields";

/// Reads the next record and moves behind it.
///
/// # Errors
/// Those of the file.
pub(super) fn read<R: Read>(source: &mut Source<R>, record: &mut Record) -> io::Result<Outcome> {
    if !source.pass_line_ends()? {
        return Ok(Outcome::End);
    }
    record.parser.reset();
    let (mut seen, mut bytes, mut fields) = (0, 0, 0);
    let refused = loop {
        let input = source.rest().get(seen..).unwrap_or_default();
        if input.is_empty() && !source.is_at_end() {
            if !source.fill()? && !source.is_at_end() {
                break TOO_LONG;
            }
            continue;
        }
        let ended_by_file = input.is_empty();
        let (result, read, wrote, ended) = next(input, record, bytes, fields);
        seen += read;
        bytes += wrote;
        fields += ended;
        match result {
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull => break TOO_LONG,
            ReadRecordResult::OutputEndsFull => break TOO_MANY_FIELDS,
            ReadRecordResult::Record if ended_by_file && is_unclosed(source.rest()) => {
                break UNCLOSED;
            }
            ReadRecordResult::Record => {
                record.fields = fields;
                source.pass(seen);
                return Ok(Outcome::Record);
            }
            ReadRecordResult::End => {
                source.pass(seen);
                return Ok(Outcome::End);
            }
        }
    };
    source.pass_line()?;
    Ok(Outcome::Refused(refused))
}

fn next(
    input: &[u8],
    record: &mut Record,
    bytes: usize,
    fields: usize,
) -> (ReadRecordResult, usize, usize, usize) {
    record.parser.read_record(
        input,
        record.bytes.get_mut(bytes..).unwrap_or_default(),
        record.ends.get_mut(fields..).unwrap_or_default(),
    )
}

/// Of a record that the end of the file has ended: each quote that is opened has one that closes
/// it, and one within is written twice.
fn is_unclosed(raw: &[u8]) -> bool {
    raw.iter().filter(|byte| **byte == b'"').count() % 2 == 1
}
