//! How SQLite carries out the statements on contacts, keys, answers and the audit log. They are
//! taken from the sources, so that none can be forgotten.

use autom8_model::Timestamp;
use rusqlite::Connection;

use super::contact_lists::{BY_ID, BY_NAME, BY_TAG, BY_UPDATED_AT};
use super::{contacts, open};

const SOURCES: [(&str, &str); 5] = [
    ("contacts", include_str!("contacts.rs")),
    ("contact_lists", include_str!("contact_lists.rs")),
    ("contact_search", include_str!("contact_search.rs")),
    ("keys", include_str!("keys.rs")),
    ("notes", include_str!("notes.rs")),
];

/// Scans that are meant, each bounded by something else than an index.
const SCANS_ALLOWED: [(&str, &str); 7] = [
    (
        "SCAN contacts",
        "a list in the order of the ids, ended by its LIMIT",
    ),
    (
        "SCAN contacts USING INDEX contacts_by_name",
        "a list in this order, ended by its LIMIT",
    ),
    (
        "SCAN contacts USING INDEX contacts_by_updated_at",
        "the same",
    ),
    ("SCAN api_keys", "all of them, at the start: 10,000 at most"),
    (
        "SCAN api_keys USING COVERING INDEX sqlite_autoindex_api_keys_2",
        "their number, when one is created: 10,000 at most",
    ),
    ("SCAN idempotency", "the oldest, ended by its LIMIT"),
    ("SCAN audit_log", "the oldest, ended by its LIMIT"),
];

/// String literals of a source that are statements on rows.
fn statements(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    let code: Vec<&str> = source
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
        .collect();
    // Pieces of one text become one literal.
    let code = code.join(" ").replace("columns!()", "\"{columns}\"");
    let code = code.replace("\", \"", "");
    let mut found = Vec::new();
    let mut parts = code.split('"');
    while let (Some(_), Some(literal)) = (parts.next(), parts.next()) {
        let verb = literal.split_whitespace().next().unwrap_or_default();
        if ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&verb) {
            found.push(literal.to_owned());
        }
    }
    found
}

fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut explain = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let parameters = vec![0; explain.parameter_count()];
    explain
        .query_map(rusqlite::params_from_iter(parameters), |row| row.get(3))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

#[test]
fn every_statement_on_contacts_keys_and_notes_uses_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(open::DATABASE_FILE);
    let mut connection = open::open_writable(&path, false).unwrap();
    open::migrate(&mut connection, &path, Timestamp::from_seconds(1)).unwrap();
    let mut all: Vec<String> = Vec::new();
    for (name, source) in SOURCES {
        let found = statements(source);
        assert!(!found.is_empty(), "{name} has statements");
        for sql in found {
            if sql.contains("{table}") {
                for (table, time) in [("idempotency", "created_at"), ("audit_log", "at")] {
                    all.push(sql.replace("{table}", table).replace("{time}", time));
                }
            } else if name != "contact_lists" || !sql.contains("{columns}") {
                all.push(sql.replace("{columns}", contacts::columns!()));
            }
        }
    }
    for walks in [BY_ID, BY_NAME, BY_UPDATED_AT, BY_TAG] {
        all.extend(walks.all().map(str::to_owned));
    }
    for sql in all {
        for step in plan(&connection, &sql) {
            assert!(!step.contains("TEMP B-TREE"), "{sql}\n  {step}");
            let allowed = SCANS_ALLOWED.iter().any(|(scan, _)| *scan == step);
            let is_scan = step.starts_with("SCAN")
                && !step.contains("CONSTANT ROW")
                && !step.contains("(subquery");
            assert!(allowed || !is_scan, "{sql}\n  {step}");
        }
    }
}

#[test]
fn a_page_begins_at_its_cursor_even_among_contacts_that_sort_alike() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(open::DATABASE_FILE);
    let mut connection = open::open_writable(&path, false).unwrap();
    open::migrate(&mut connection, &path, Timestamp::from_seconds(1)).unwrap();
    for (walks, expected) in [
        (BY_NAME, "(name_key=? AND rowid"),
        (BY_UPDATED_AT, "(updated_at=? AND rowid"),
        (BY_TAG, "tag=? AND contact_id"),
        (BY_ID, "rowid"),
    ] {
        for sql in &walks.all()[2..] {
            let plan = plan(&connection, sql).join("; ");
            assert!(plan.contains(expected), "{sql}\n  {plan}");
        }
    }
}
