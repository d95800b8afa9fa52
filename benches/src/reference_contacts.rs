//! The contacts server that anybody would write first on axum and rusqlite, and write well: reads
//! inline on the request's thread, one writer thread that commits all that waits with one sync. No
//! middleware, no validation, no audit, no tags table, no totals: what the product adds is what it
//! costs. It runs as a process of its own, as the product does.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::Result;
use axum::body::Bytes;
use axum::extract::{Path as InPath, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use crate::contact_rows;

/// The argument that makes a benchmark's own program this server.
pub const ARGUMENT: &str = "--reference-contacts";

const FILE: &str = "contacts.db";
/// Inserts of one commit.
const GROUP_MAX: usize = 1_000;
const LIST_ROWS: usize = 100;
const COLUMNS: &str = "id, name, phone, email, tags, attributes, created_at, updated_at";

#[derive(Serialize)]
struct Contact {
    id: i64,
    name: String,
    phone: String,
    email: Option<String>,
    tags: Box<RawValue>,
    attributes: Box<RawValue>,
    created_at: i64,
    updated_at: i64,
}

#[derive(Serialize)]
struct Page {
    contacts: Vec<Contact>,
}

#[derive(Deserialize)]
struct Draft {
    name: String,
    phone: String,
    email: Option<String>,
    tags: Box<RawValue>,
    attributes: Box<RawValue>,
}

struct Insert {
    draft: Draft,
    answer: oneshot::Sender<rusqlite::Result<Contact>>,
}

#[derive(Clone)]
struct Shared {
    file: PathBuf,
    inserts: Sender<Insert>,
}

/// Makes the file with the contacts `1..=contacts`.
pub fn fill(folder: &Path, contacts: u64) -> Result<()> {
    let mut connection = open(&folder.join(FILE))?;
    connection.execute_batch(
        "CREATE TABLE contacts (
             id INTEGER PRIMARY KEY, name TEXT NOT NULL, phone TEXT NOT NULL UNIQUE,
             email TEXT UNIQUE, tags TEXT NOT NULL, attributes TEXT NOT NULL,
             created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL
         )",
    )?;
    let transaction = connection.transaction()?;
    for number in 1..=contacts {
        let draft = serde_json::from_value(contact_rows::contact(number))?;
        insert(&transaction, draft)?;
    }
    Ok(transaction.commit()?)
}

/// Serves the file in `folder` until killed.
pub fn serve(port: u16, folder: &Path) -> Result<()> {
    let (inserts, waiting) = channel();
    let file = folder.join(FILE);
    let connection = open(&file)?;
    std::thread::spawn(move || write(connection, &waiting));
    let router = Router::new()
        .route("/api/v1/contacts", get(list).post(create))
        .route("/api/v1/contacts/{id}", get(show))
        .with_state(Shared { file, inserts });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = tokio::net::TcpListener::bind(address).await?;
        axum::serve(listener, router).await?;
        Ok(())
    })
}

fn open(file: &Path) -> Result<Connection> {
    let connection = Connection::open(file)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384;
         PRAGMA wal_autocheckpoint = 4000;",
    )?;
    Ok(connection)
}

/// Commits group after group of whatever waits, each with one sync.
fn write(connection: Connection, waiting: &Receiver<Insert>) -> Result<()> {
    while let Ok(first) = waiting.recv() {
        let group = std::iter::once(first).chain(waiting.try_iter().take(GROUP_MAX - 1));
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let made: Vec<_> = group
            .map(|one| (insert(&connection, one.draft), one.answer))
            .collect();
        connection.execute_batch("COMMIT")?;
        for (contact, answer) in made {
            _ = answer.send(contact);
        }
    }
    Ok(())
}

fn insert(connection: &Connection, draft: Draft) -> rusqlite::Result<Contact> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO contacts (name, phone, email, tags, attributes, created_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    let at = now_micros();
    let id = statement.insert((
        &draft.name,
        &draft.phone,
        &draft.email,
        draft.tags.get(),
        draft.attributes.get(),
        at,
        at,
    ))?;
    Ok(Contact {
        id,
        name: draft.name,
        phone: draft.phone,
        email: draft.email,
        tags: draft.tags,
        attributes: draft.attributes,
        created_at: at,
        updated_at: at,
    })
}

#[allow(
    clippy::disallowed_methods,
    reason = "a reference server is not the product and has no clock to ask"
)]
fn now_micros() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as i64)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Contact> {
    let raw = |index: usize| -> rusqlite::Result<Box<RawValue>> {
        RawValue::from_string(row.get(index)?)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    };
    Ok(Contact {
        id: row.get(0)?,
        name: row.get(1)?,
        phone: row.get(2)?,
        email: row.get(3)?,
        tags: raw(4)?,
        attributes: raw(5)?,
        created_at: row.get(6)?,
        updated_at: row.get(7)?,
    })
}

/// With this thread's own connection.
fn with_reader<T>(
    file: &Path,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    thread_local! {
        static READER: RefCell<Option<Connection>> = const { RefCell::new(None) };
    }
    READER.with_borrow_mut(|reader| {
        let connection = match reader {
            Some(connection) => connection,
            None => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let connection = Connection::open_with_flags(file, flags)?;
                connection.execute_batch("PRAGMA mmap_size = 268435456;")?;
                reader.insert(connection)
            }
        };
        read(connection)
    })
}

async fn show(State(shared): State<Shared>, InPath(id): InPath<i64>) -> Response {
    let found = with_reader(&shared.file, |connection| {
        let sql = format!("SELECT {COLUMNS} FROM contacts WHERE id = ?");
        connection
            .prepare_cached(&sql)?
            .query_row([id], read)
            .optional()
    });
    match found {
        Ok(Some(contact)) => Json(contact).into_response(),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn list(State(shared): State<Shared>) -> Response {
    let found = with_reader(&shared.file, |connection| {
        let sql = format!("SELECT {COLUMNS} FROM contacts ORDER BY id LIMIT {LIST_ROWS}");
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map([], read)?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    });
    match found {
        Ok(contacts) => Json(Page { contacts }).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn create(State(shared): State<Shared>, body: Bytes) -> Response {
    let Ok(draft) = serde_json::from_slice(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let (answer, made) = oneshot::channel();
    if shared.inserts.send(Insert { draft, answer }).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    match made.await {
        Ok(Ok(contact)) => {
            let location = format!("/api/v1/contacts/{}", contact.id);
            (
                StatusCode::CREATED,
                [(header::LOCATION, location)],
                Json(contact),
            )
                .into_response()
        }
        Ok(Err(_)) => StatusCode::CONFLICT.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
