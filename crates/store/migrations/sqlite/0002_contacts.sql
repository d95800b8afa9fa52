-- Contacts, API keys, answers to repeat, and who wrote what.

-- The keys are the normalised forms: what is unique, and what lookups and searches ask for.
-- Tags are kept once more in the row, joined by commas, so that a contact is one read.
CREATE TABLE contacts (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    name_key   TEXT NOT NULL,
    phone      TEXT NOT NULL,
    phone_key  TEXT NOT NULL,
    email      TEXT,
    email_key  TEXT,
    tags       TEXT NOT NULL,
    attributes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX contacts_by_phone ON contacts (phone_key);
CREATE UNIQUE INDEX contacts_by_email ON contacts (email_key) WHERE email_key IS NOT NULL;
CREATE INDEX contacts_by_name ON contacts (name_key);
CREATE INDEX contacts_by_updated_at ON contacts (updated_at);

CREATE TABLE contact_tags (
    tag        TEXT NOT NULL,
    contact_id INTEGER NOT NULL,
    PRIMARY KEY (tag, contact_id)
) STRICT, WITHOUT ROWID;

-- How many there are, and the last id that was given: an id is never used again.
CREATE TABLE contact_counts (
    node     INTEGER PRIMARY KEY,
    contacts INTEGER NOT NULL,
    last_id  INTEGER NOT NULL
) STRICT;

INSERT INTO contact_counts (node, contacts, last_id) VALUES (0, 0, 0);

CREATE TABLE api_keys (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    name           TEXT NOT NULL UNIQUE,
    hash           BLOB NOT NULL UNIQUE,
    shown          TEXT NOT NULL,
    scopes         INTEGER NOT NULL,
    limit_requests INTEGER,
    limit_period_s INTEGER,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER,
    last_used_at   INTEGER
) STRICT;

-- Answers that a repeated request is given again, oldest first by id. `bytes_before` adds up the
-- bodies of those that came before, forgotten ones included, so that what all of them take is one
-- subtraction. The body comes last: what is old is told without reading it.
CREATE TABLE idempotency (
    id           INTEGER PRIMARY KEY,
    key          BLOB NOT NULL UNIQUE,
    created_at   INTEGER NOT NULL,
    bytes_before INTEGER NOT NULL,
    fingerprint  BLOB NOT NULL,
    status       INTEGER NOT NULL,
    location     TEXT,
    body         BLOB NOT NULL
) STRICT;

CREATE TABLE audit_log (
    id         INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    key_id     INTEGER,
    principal  TEXT NOT NULL,
    action     INTEGER NOT NULL,
    target     TEXT NOT NULL,
    request_id TEXT,
    address    TEXT
) STRICT;
