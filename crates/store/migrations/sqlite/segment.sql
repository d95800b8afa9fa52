-- Written once; only a retry updates a row (attempt, settled_epoch, run_at).
CREATE TABLE runs_{segment} (
    id            INTEGER PRIMARY KEY,
    task_id       INTEGER NOT NULL,
    task_rev      INTEGER NOT NULL,
    priority      INTEGER NOT NULL,
    queued_at     INTEGER NOT NULL,
    trigger       INTEGER NOT NULL,
    attempt       INTEGER NOT NULL DEFAULT 0,
    settled_epoch INTEGER NOT NULL DEFAULT 0,
    queue         TEXT,
    run_at        INTEGER,
    planned_at    INTEGER,
    replay_of     INTEGER,
    payload       BLOB
) STRICT;

-- Appended once: how a run ended.
CREATE TABLE outcomes_{segment} (
    id          INTEGER PRIMARY KEY,
    attempt     INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    state       INTEGER NOT NULL,
    started_at  INTEGER,
    finished_at INTEGER NOT NULL,
    result      BLOB,
    error       TEXT
) STRICT;

-- Completed runs, nearly all, pay for no index.
CREATE INDEX outcomes_{segment}_uncompleted ON outcomes_{segment} (state, id) WHERE state <> 2;

-- Attempts that did not end their run.
CREATE TABLE attempts_{segment} (
    run_id      INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    error       TEXT,
    PRIMARY KEY (run_id, attempt)
) STRICT, WITHOUT ROWID;

-- The runs of each task, derived, as ranges of ids.
CREATE TABLE postings_{segment} (
    task_id INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    ranges  BLOB NOT NULL,
    PRIMARY KEY (task_id, last_id)
) STRICT, WITHOUT ROWID;

-- Where the captured output of an attempt lies in the segment's log file.
CREATE TABLE logs_{segment} (
    run_id       INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    offset       INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,
    truncated    INTEGER NOT NULL,
    PRIMARY KEY (run_id, attempt)
) STRICT, WITHOUT ROWID;
