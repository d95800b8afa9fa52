use std::io::Cursor;

use autom8_model::contact_import::{ContactKey, ImportRow, ImportRule, OnDuplicate, RowFailure};
use autom8_model::{Contact, ContactId, Timestamp};
use autom8_store::FilePlace;
use proptest::prelude::*;

use super::*;

type Row = Result<ImportRow, RowFailure>;

fn open(text: impl AsRef<[u8]>, format: FileFormat) -> RowReader<Cursor<Vec<u8>>> {
    RowReader::open(Cursor::new(text.as_ref().to_vec()), format).unwrap()
}

fn rest(reader: &mut RowReader<Cursor<Vec<u8>>>) -> Vec<Row> {
    std::iter::from_fn(|| reader.next_row().unwrap()).collect()
}

fn csv(text: impl AsRef<[u8]>) -> Vec<Row> {
    rest(&mut open(text, FileFormat::Csv))
}

fn ndjson(text: impl AsRef<[u8]>) -> Vec<Row> {
    rest(&mut open(text, FileFormat::Ndjson))
}

#[track_caller]
fn failure(row: &Row) -> (u64, Option<&str>, &str) {
    let failure = row.as_ref().unwrap_err();
    (failure.line, failure.field.as_deref(), &failure.error)
}

#[track_caller]
fn draft(row: &Row) -> &autom8_model::ContactDraft {
    row.as_ref().unwrap().draft.as_ref().unwrap()
}

fn header_fault(text: impl AsRef<[u8]>) -> String {
    let opened = RowReader::open(Cursor::new(text.as_ref().to_vec()), FileFormat::Csv);
    match opened {
        Err(fault) => fault.to_string(),
        Ok(reader) => reader.check(ImportRule::default()).unwrap_err().to_string(),
    }
}

#[test]
fn every_column_goes_to_its_field_and_unknown_ones_to_the_attributes() {
    let rows = csv(
        "Name,PHONE,E-Mail,tags,City,attributes,id,attributes.shoe size\r\n\
         Ada,555 0100,ada@example.org,vip; early|x,London,\"{\"\"n\"\":1.10}\",9,38\r\n",
    );
    let draft = draft(&rows[0]);
    assert_eq!(draft.name, "Ada");
    assert_eq!(draft.phone.as_str(), "555 0100");
    assert_eq!(draft.email.as_ref().unwrap().as_str(), "ada@example.org");
    let tags: Vec<&str> = draft.tags.iter().map(|tag| tag.as_str()).collect();
    assert_eq!(tags, ["vip", "early", "x"]);
    assert_eq!(
        draft.attributes.get(),
        r#"{"n":1.10,"City":"London","shoe size":"38"}"#
    );
}

#[test]
fn the_delimiter_is_seen_in_the_header() {
    for delimiter in [",", ";", "\t", "|"] {
        let text = format!(
            "name{delimiter}phone{delimiter}\"a,b;c\"\nAda{delimiter}5550100{delimiter}\"x{delimiter}y\"\n"
        );
        let rows = csv(text);
        let note = serde_json::to_string(&format!("x{delimiter}y")).unwrap();
        let expected = format!("{{\"a,b;c\":{note}}}");
        assert_eq!(draft(&rows[0]).attributes.get(), expected, "{delimiter:?}");
    }
}

#[test]
fn marks_line_ends_quotes_and_breaks_within_fields_are_read() {
    for line_end in ["\n", "\r\n", "\r"] {
        let text = [
            "\u{feff}name,phone,note",
            "\"Ada \"\"the\"\" first\",5550100,\"two\nlines\"",
            "",
            "Grace,5550101,x",
            "Edsger,12,x",
        ]
        .join(line_end);
        let rows = csv(text);
        assert_eq!(rows.len(), 3, "{line_end:?}");
        assert_eq!(draft(&rows[0]).name, "Ada \"the\" first");
        assert_eq!(
            draft(&rows[0]).attributes.get(),
            "{\"note\":\"two\\nlines\"}"
        );
        assert_eq!(rows[1].as_ref().unwrap().line, 5, "{line_end:?}");
        assert_eq!(failure(&rows[2]).0, 6, "{line_end:?}");
    }
}

#[test]
fn a_damaged_row_fails_alone_and_says_why() {
    let mut text = b"name,phone\nAda,5550100\n".to_vec();
    text.extend(b"J\xfcrgen,5550101\n");
    text.extend(b"Grace\n");
    text.extend(b"Grace,5550102,more\n");
    text.extend(b"Grace,5550103,\n");
    text.extend(b",5550104\n");
    let rows = csv(text);
    assert_eq!(rows.len(), 6);
    assert!(failure(&rows[1]).2.contains("not UTF-8"));
    assert_eq!(failure(&rows[1]).1, Some("name"));
    assert!(
        failure(&rows[2])
            .2
            .contains("has 1 fields, the header has 2")
    );
    assert!(failure(&rows[3]).2.contains("has 3 fields"));
    assert_eq!(draft(&rows[4]).phone.as_str(), "5550103");
    assert!(rows[5].as_ref().unwrap().draft.is_err(), "no name");
}

#[test]
fn a_quote_that_is_never_closed_costs_its_row_alone() {
    let rows = csv("name,phone\n\"Ada,5550100\nGrace,5550101\nEdsger,5550102\n");
    assert_eq!(failure(&rows[0]), (2, None, super::records::UNCLOSED));
    assert_eq!(draft(&rows[1]).name, "Grace");
    assert_eq!(rows.len(), 3);

    let mut long = "name,phone\n\"Ada,5550100\n".to_owned();
    for number in 0..20_000 {
        long.push_str(&format!("Grace,{}\n", 5_560_000 + number));
    }
    let rows = csv(long);
    assert_eq!(rows.len(), 20_001);
    assert!(failure(&rows[0]).2.contains("longer than 256 KiB"));
    assert_eq!(rows[20_000].as_ref().unwrap().line, 20_002);
}

#[test]
fn a_row_beyond_every_bound_is_passed_and_the_next_is_read() {
    let long = "x".repeat(3 * ROW_BYTES_MAX);
    let rows = csv(format!("name,phone\n{long},5550100\nGrace,5550101\n"));
    assert_eq!(failure(&rows[0]).0, 2);
    assert_eq!(draft(&rows[1]).name, "Grace");
    let many = "x,".repeat(5_000);
    let rows = csv(format!("name,phone\n{many}\nGrace,5550101\n"));
    assert!(failure(&rows[0]).2.contains("more than 1,000 fields"));
    assert_eq!(draft(&rows[1]).name, "Grace");
    let rows = ndjson(format!(
        "{{\"name\":\"{long}\"}}\n{{\"name\":\"Grace\",\"phone\":\"5550101\"}}"
    ));
    assert_eq!(failure(&rows[0]).0, 1);
    assert_eq!(draft(&rows[1]).name, "Grace");
}

#[test]
fn a_header_without_what_is_needed_is_refused_with_what_was_meant() {
    assert!(header_fault("").contains("the file is empty"));
    assert!(header_fault("name,Phnoe\n").contains("is it the one called `Phnoe`?"));
    assert!(header_fault("name,phone,Phone\n").contains("names `Phone` twice"));
    assert!(header_fault("name\n").contains("has no column `phone`"));
    assert!(header_fault(b"\xff\xfen\0a\0").contains("UTF-16"));
    assert!(header_fault(b"n\xfcme,phone").contains("not UTF-8"));
    assert!(header_fault("\"name,phone\n").contains("a quote"));

    let changes = open("email,tags\n", FileFormat::Csv);
    let rule = |on_duplicate, key| ImportRule { on_duplicate, key };
    let by_email = rule(OnDuplicate::Update, ContactKey::Email);
    changes.check(by_email).unwrap();
    assert!(
        changes
            .check(rule(OnDuplicate::Update, ContactKey::Phone))
            .is_err()
    );
}

#[test]
fn a_column_that_is_nearly_a_field_is_pointed_out() {
    let reader = open("name,phone,emial,city,id\n", FileFormat::Csv);
    let notes = reader.columns().unwrap().notes();
    assert_eq!(notes[2].field.as_deref(), Some("attributes.emial"));
    assert_eq!(notes[2].suggestion.as_deref(), Some("email"));
    assert_eq!(notes[3].suggestion, None);
    assert_eq!(notes[4].field, None);
}

#[test]
fn an_attribute_is_given_once() {
    let rows =
        csv("name,phone,attributes,city\nAda,5550100,\"{\"\"city\"\":1}\",x\nAda,5550100,[1],\n");
    assert_eq!(failure(&rows[0]).1, Some("city"));
    assert_eq!(failure(&rows[1]).1, Some("attributes"));
    let deep = format!("{{\"\"a\"\":{}{}}}", "[".repeat(99), "]".repeat(99));
    let rows = csv(format!("name,phone,attributes\nAda,5550100,\"{deep}\"\n"));
    assert_eq!(failure(&rows[0]).1, Some("attributes"), "too deep");
}

#[test]
fn a_json_line_is_what_the_api_takes_and_answers() {
    let rows = ndjson(concat!(
        "{\"id\":1,\"name\":\"Ada\",\"phone\":\"5550100\",\"created_at\":\"x\",",
        "\"updated_at\":null,\"email\":null}\n\n",
        "{\"name\":\"Ada\",\"phnoe\":\"5550100\"}\n",
        "{\"name\":\n",
        "[]\n",
        "{\"name\":\"Ada\",\"phone\":12}\r\n",
        "{\"name\":\"Ada\",\"phone\":\"5550100\",\"tags\":[\"a,b\"]}",
    ));
    assert_eq!(draft(&rows[0]).name, "Ada");
    let wrong: Vec<_> = rows[1..].iter().map(failure).collect();
    assert_eq!(
        wrong.iter().map(|wrong| wrong.0).collect::<Vec<_>>(),
        [3, 4, 5, 6, 7]
    );
    assert!(wrong[0].2.contains("did you mean `phone`"), "{wrong:?}");
    assert_eq!(wrong[3].1, Some("phone"), "{wrong:?}");
    assert_eq!(wrong[4].1, Some("tags.0"), "{wrong:?}");
}

fn contact(number: usize, name: &str, tags: Vec<&str>, attributes: &str) -> Contact {
    Contact {
        id: ContactId(number as i64),
        name: name.to_owned(),
        phone: format!("+4930{number:07}").parse().unwrap(),
        email: number
            .is_multiple_of(2)
            .then(|| format!("=p{number}@example.org").parse().unwrap()),
        tags: tags.into_iter().map(|tag| tag.parse().unwrap()).collect(),
        attributes: serde_json::value::RawValue::from_string(attributes.to_owned()).unwrap(),
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

fn written(contacts: &[Contact], format: FileFormat) -> Vec<u8> {
    let mut writer = RowWriter::new(Vec::new(), format).unwrap();
    for contact in contacts {
        writer.write(contact).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn what_is_written_is_read_back_to_the_letter() {
    let contacts = [
        contact(1, "Ada", vec!["vip", "early bird"], "{}"),
        contact(
            2,
            "=SUM(A1:A9)",
            vec!["=1+1", "b"],
            r#"{"n": 1.10, "deep": {"a": [1]}}"#,
        ),
        contact(
            3,
            "'quoted'",
            vec!["a;b", "[c", "'=d"],
            r#"{"line":"a\nb"}"#,
        ),
        contact(4, "@\"x\", y", vec!["[x"], "{}"),
        contact(5, "''=", vec!["'=x"], "{}"),
        contact(6, "-1 +2", vec![], "{}"),
    ];
    for format in FileFormat::ALL {
        let bytes = written(&contacts, format);
        let rows = rest(&mut open(&bytes, format));
        assert_eq!(rows.len(), contacts.len());
        for (row, contact) in rows.iter().zip(&contacts) {
            let draft = draft(row);
            assert_eq!(draft.name, contact.name, "{format}");
            assert_eq!(draft.phone, contact.phone);
            assert_eq!(draft.email, contact.email);
            assert_eq!(draft.tags, contact.tags);
            assert_eq!(draft.attributes.get(), contact.attributes.get());
        }
    }
}

#[test]
fn attributes_that_came_on_several_lines_leave_on_one() {
    let pretty = "{\r\n  \"n\": 1.10,\n  \"list\": [1,\r 2],\n  \"text\": \"a\\nb\"\n}";
    let contacts = [
        contact(1, "Ada", vec![], pretty),
        contact(3, "Grace", vec![], "{}"),
    ];
    let bytes = written(&contacts, FileFormat::Ndjson);
    assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 2);
    let rows = ndjson(&bytes);
    assert_eq!(rows.len(), 2, "{rows:?}");
    let on_one_line = pretty.replace(['\r', '\n'], " ");
    assert_eq!(draft(&rows[0]).attributes.get(), on_one_line);
    // A cell may have several.
    let rows = csv(written(&contacts, FileFormat::Csv));
    assert_eq!(draft(&rows[0]).attributes.get(), pretty);
}

#[test]
fn no_cell_but_a_phone_begins_like_a_formula() {
    let contacts = [contact(2, "=cmd|' /C calc'!A0", vec!["@SUM", "x"], "{}")];
    let bytes = written(&contacts, FileFormat::Csv);
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let record = reader.records().next().unwrap().unwrap();
    for (place, cell) in record.iter().enumerate() {
        let is_formula = cell.starts_with(['=', '+', '-', '@']);
        assert_eq!(is_formula, place == 2, "{cell}");
    }
}

fn reread(bytes: &[u8], format: FileFormat, pause_after: usize) -> Vec<String> {
    let Ok(mut reader) = RowReader::open(Cursor::new(bytes.to_vec()), format) else {
        return Vec::new();
    };
    let mut rows = Vec::new();
    loop {
        for _ in 0..pause_after {
            match reader.next_row().unwrap() {
                Some(row) => rows.push(format!("{row:?}")),
                None => return rows,
            }
        }
        let place = reader.place();
        let again = RowReader::open(Cursor::new(bytes.to_vec()), format).unwrap();
        reader = again.resume(Cursor::new(bytes.to_vec()), place).unwrap();
        assert_eq!(reader.place(), place);
    }
}

#[test]
fn a_place_is_taken_up_in_the_middle_of_a_crlf_too() {
    let text = "name,phone\r\nAda,5550100\r\nAda,5550101\r\n\r\nAda,12\r\n";
    let whole = reread(text.as_bytes(), FileFormat::Csv, 100);
    assert_eq!(whole, reread(text.as_bytes(), FileFormat::Csv, 1));
    assert!(whole[2].contains("line: 5"), "{whole:?}");
    let mut reader = open(text, FileFormat::Csv);
    reader.next_row().unwrap();
    assert!(reader.place().position > 0 && reader.place() != FilePlace::default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever the bytes are, reading ends, and going on after each row reads the same.
    #[test]
    fn damaged_files_never_panic_and_every_place_can_be_taken_up(
        pieces in prop::collection::vec(prop_oneof![
            Just(b"\"".to_vec()), Just(b",".to_vec()), Just(b";".to_vec()), Just(b"\n".to_vec()),
            Just(b"\r\n".to_vec()), Just(b"\r".to_vec()), Just(b"\xff".to_vec()),
            Just(b"{".to_vec()), Just(b"}".to_vec()), Just(b"\"name\":".to_vec()),
            Just(b"5550100".to_vec()), Just(b"Ada".to_vec()), Just(b"'=".to_vec()),
            Just(vec![0]), prop::collection::vec(any::<u8>(), 0..8),
        ], 0..60),
        pause_after in 1_usize..4,
    ) {
        let mut bytes = b"name,phone,city\n".to_vec();
        bytes.extend(pieces.concat());
        for format in FileFormat::ALL {
            let whole = reread(&bytes, format, usize::MAX);
            prop_assert_eq!(&whole, &reread(&bytes, format, pause_after));
        }
        let _ = reread(&pieces.concat(), FileFormat::Csv, 1);
    }

    /// The record reader agrees with the library's own, which has no bounds and no places.
    #[test]
    fn well_formed_records_are_read_as_the_library_reads_them(
        records in prop::collection::vec(
            prop::collection::vec("[a-c \"',;\r\n=äß]{0,6}", 3..4), 1..20),
    ) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["x", "y", "z"]).unwrap();
        for record in &records {
            writer.write_record(record).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let mut source = super::source::Source::at(bytes.as_slice(), 0, 1);
        let mut record = super::records::Record::new(b',');
        let mut read = Vec::new();
        while super::records::read(&mut source, &mut record).unwrap()
            == super::records::Outcome::Record
        {
            let fields: Vec<String> = record
                .fields()
                .map(|field| String::from_utf8(field.to_vec()).unwrap())
                .collect();
            read.push(fields);
        }
        prop_assert_eq!(&read[1..], records.as_slice());
    }
}
