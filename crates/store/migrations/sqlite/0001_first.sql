-- Times are i64 microseconds UTC, ids i64, JSON is kept as the bytes that came.

CREATE TABLE migrations (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    checksum   TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;

-- A deleted task keeps its row: its history stands under its name.
CREATE TABLE tasks (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL,
    rev           INTEGER NOT NULL,
    type          INTEGER NOT NULL,
    enabled       INTEGER NOT NULL,
    anchor_at     INTEGER NOT NULL,
    fired_through INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    deleted_at    INTEGER
) STRICT;

CREATE UNIQUE INDEX tasks_by_name ON tasks (name) WHERE deleted_at IS NULL;

-- A run keeps the revision it was queued with.
CREATE TABLE task_revs (
    task_id INTEGER NOT NULL,
    rev     INTEGER NOT NULL,
    spec    BLOB NOT NULL,
    PRIMARY KEY (task_id, rev)
) STRICT, WITHOUT ROWID;

-- Planned times of schedules, each once. `through` and `count` summarise missed times in a row.
CREATE TABLE fires (
    task_id     INTEGER NOT NULL,
    planned_at  INTEGER NOT NULL,
    outcome     INTEGER NOT NULL,
    run_id      INTEGER,
    through     INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (task_id, planned_at)
) STRICT, WITHOUT ROWID;

-- Runs, outcomes, attempts, postings and log places live in tables of their own per segment.
-- `settled` is set when a closed segment has no open run left; `posted_through` is the watermark
-- of its postings.
CREATE TABLE segments (
    id             INTEGER PRIMARY KEY,
    first_id       INTEGER NOT NULL,
    last_id        INTEGER,
    opened_at      INTEGER NOT NULL,
    closed_at      INTEGER,
    runs           INTEGER NOT NULL DEFAULT 0,
    bytes          INTEGER NOT NULL DEFAULT 0,
    settled        INTEGER NOT NULL DEFAULT 0,
    posted_through INTEGER NOT NULL
) STRICT;

-- A run due late, or still open when its segment is sealed, waits here with its outcome.
CREATE TABLE parked (
    id            INTEGER PRIMARY KEY,
    task_id       INTEGER NOT NULL,
    task_rev      INTEGER NOT NULL,
    queue         TEXT,
    priority      INTEGER NOT NULL,
    run_at        INTEGER,
    queued_at     INTEGER NOT NULL,
    planned_at    INTEGER,
    trigger       INTEGER NOT NULL,
    replay_of     INTEGER,
    attempt       INTEGER NOT NULL,
    settled_epoch INTEGER NOT NULL,
    payload       BLOB,
    state         INTEGER,
    epoch         INTEGER,
    started_at    INTEGER,
    finished_at   INTEGER,
    result        BLOB,
    error         TEXT
) STRICT;

CREATE INDEX parked_by_run_at ON parked (run_at);

-- One receipt a claim, deleted when its last run is settled. `first_id` and `last_id` let other
-- nodes find who covers a run without decoding `ids`.
CREATE TABLE claims (
    epoch       INTEGER PRIMARY KEY,
    shard       INTEGER NOT NULL,
    worker      TEXT NOT NULL,
    boot        INTEGER NOT NULL,
    claimed_at  INTEGER NOT NULL,
    lease_until INTEGER,
    first_id    INTEGER NOT NULL,
    last_id     INTEGER NOT NULL,
    ids         BLOB NOT NULL
) STRICT;

CREATE TABLE shards (
    id          INTEGER PRIMARY KEY,
    owner       INTEGER NOT NULL,
    lease_until INTEGER,
    epoch       INTEGER NOT NULL,
    changes     INTEGER NOT NULL,
    -- Finishes refused because their epoch was not the live one, ever.
    stale       INTEGER NOT NULL
) STRICT;

INSERT INTO shards (id, owner, lease_until, epoch, changes, stale) VALUES (0, 0, NULL, 0, 0, 0);

-- Slices of batches that are not complete yet: never claimable, dropped at start.
CREATE TABLE batches (
    batch    INTEGER NOT NULL,
    first_id INTEGER NOT NULL,
    last_id  INTEGER NOT NULL,
    PRIMARY KEY (batch, first_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE cancel_requests (
    run_id       INTEGER PRIMARY KEY,
    requested_at INTEGER NOT NULL
) STRICT;

-- Lifetime counts, exact per commit group; retention never lowers them.
CREATE TABLE totals (
    node        INTEGER NOT NULL,
    type        INTEGER NOT NULL,
    completed   INTEGER NOT NULL,
    failed      INTEGER NOT NULL,
    interrupted INTEGER NOT NULL,
    cancelled   INTEGER NOT NULL,
    PRIMARY KEY (node, type)
) STRICT, WITHOUT ROWID;
