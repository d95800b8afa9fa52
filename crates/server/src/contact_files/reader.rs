//! The rows of a file, whichever its format.

use std::io::{self, Read, Seek, SeekFrom};

use autom8_model::contact_import::{ImportRow, ImportRule, RowFailure, RowFault};
use autom8_store::FilePlace;

use super::columns::Columns;
use super::records::{self, Outcome, Record};
use super::source::Source;
use super::{FileFormat, ROW_BYTES_MAX, json_lines};

/// What separates fields, likelier ones first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Reads rows, one after the other.
pub struct RowReader<R> {
    source: Source<R>,
    form: Form,
}

enum Form {
    Csv {
        columns: Columns,
        record: Box<Record>,
    },
    JsonLines,
}

/// Why a file is not read at all.
#[derive(Debug, thiserror::Error)]
pub enum HeaderFault {
    #[error("{0}")]
    File(#[from] io::Error),
    /// Of the first line.
    #[error("the first line {0}")]
    Header(String),
}

impl<R: Read + Seek> RowReader<R> {
    /// Reads the beginning of a file, and of CSV its header.
    ///
    /// # Errors
    /// [`HeaderFault`].
    pub fn open(input: R, format: FileFormat) -> Result<Self, HeaderFault> {
        let mut source = Source::at(input, 0, 1);
        while source.rest().len() < BYTE_ORDER_MARK.len() && source.fill()? {}
        if source.rest().starts_with(&BYTE_ORDER_MARK) {
            source.pass(BYTE_ORDER_MARK.len());
        }
        if source.rest().starts_with(&[0xff, 0xfe]) || source.rest().starts_with(&[0xfe, 0xff]) {
            return Err(HeaderFault::Header(
                "is UTF-16: save the file as UTF-8".to_owned(),
            ));
        }
        let form = match format {
            FileFormat::Ndjson => Form::JsonLines,
            FileFormat::Csv => header(&mut source)?,
        };
        Ok(RowReader { source, form })
    }

    /// Goes on at a place that [`Self::place`] once told of this file.
    ///
    /// # Errors
    /// Those of the file.
    pub fn resume(self, mut input: R, place: FilePlace) -> io::Result<Self> {
        input.seek(SeekFrom::Start(place.position))?;
        Ok(RowReader {
            source: Source::at(input, place.position, place.line),
            form: self.form,
        })
    }
}

fn header<R: Read>(source: &mut Source<R>) -> Result<Form, HeaderFault> {
    if !source.pass_line_ends()? {
        return Err(HeaderFault::Header(
            "is missing: the file is empty".to_owned(),
        ));
    }
    while source.fill()? {}
    let mut record = Box::new(Record::new(sniffed(source.rest())));
    match records::read(source, &mut record)? {
        Outcome::Record => {}
        Outcome::Refused(why) => return Err(HeaderFault::Header(why.to_owned())),
        Outcome::End => return Err(HeaderFault::Header("is missing".to_owned())),
    }
    let columns = Columns::read(record.fields()).map_err(HeaderFault::Header)?;
    Ok(Form::Csv { columns, record })
}

/// The delimiter that the first line has most of, outside of quotes.
fn sniffed(text: &[u8]) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut is_quoted = false;
    for byte in text {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\r' | b'\n' if !is_quoted => break,
            byte if !is_quoted => {
                if let Some(place) = DELIMITERS.iter().position(|known| known == byte) {
                    counts[place] += 1;
                }
            }
            _ => {}
        }
    }
    let mut best = 0;
    for place in 1..DELIMITERS.len() {
        if counts[place] > counts[best] {
            best = place;
        }
    }
    DELIMITERS[best]
}

impl<R: Read> RowReader<R> {
    /// Of CSV.
    pub fn columns(&self) -> Option<&Columns> {
        match &self.form {
            Form::Csv { columns, .. } => Some(columns),
            Form::JsonLines => None,
        }
    }

    /// Whether rows of this file can be taken by a rule.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self, rule: ImportRule) -> Result<(), HeaderFault> {
        match self.columns() {
            Some(columns) => columns.check(rule).map_err(HeaderFault::Header),
            None => Ok(()),
        }
    }

    /// Behind the last row that was read.
    pub fn place(&self) -> FilePlace {
        FilePlace {
            position: self.source.position(),
            line: self.source.line(),
        }
    }

    /// The next row, or why it is none; `None` at the end of the file.
    ///
    /// # Errors
    /// Those of the file.
    pub fn next_row(&mut self) -> io::Result<Option<Result<ImportRow, RowFailure>>> {
        match &mut self.form {
            Form::Csv { columns, record } => {
                if !self.source.pass_line_ends()? {
                    return Ok(None);
                }
                let line = self.source.line();
                let fields = match records::read(&mut self.source, record)? {
                    Outcome::End => return Ok(None),
                    Outcome::Refused(why) => Err(RowFault::of_row(why)),
                    Outcome::Record => columns.contact(record.fields()),
                };
                Ok(Some(match fields {
                    Ok(fields) => ImportRow::read(line, fields),
                    Err(fault) => Err(fault.at(line)),
                }))
            }
            Form::JsonLines => next_json_line(&mut self.source),
        }
    }
}

fn next_json_line<R: Read>(
    source: &mut Source<R>,
) -> io::Result<Option<Result<ImportRow, RowFailure>>> {
    loop {
        if !source.pass_line_ends()? {
            return Ok(None);
        }
        let mut looked_at = 0;
        let end = loop {
            let rest = source.rest();
            let fresh = rest.get(looked_at..).unwrap_or_default();
            if let Some(end) = fresh.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
                break Some(looked_at + end);
            }
            looked_at = rest.len();
            if looked_at > ROW_BYTES_MAX {
                break None;
            }
            if !source.fill()? && source.is_at_end() {
                break Some(looked_at);
            }
        };
        let line = source.line();
        let Some(end) = end.filter(|end| *end <= ROW_BYTES_MAX) else {
            source.pass_line()?;
            let fault = RowFault::of_row("is longer than 256 KiB");
            return Ok(Some(Err(fault.at(line))));
        };
        let text = source.rest().get(..end).unwrap_or_default();
        let row = (!text.trim_ascii().is_empty()).then(|| match json_lines::contact(text) {
            Ok(fields) => ImportRow::read(line, fields),
            Err(fault) => Err(fault.at(line)),
        });
        source.pass(end);
        if row.is_some() {
            return Ok(row);
        }
    }
}
