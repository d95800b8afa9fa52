-- How far the import of a run has come, written with the contacts of each slice.

CREATE TABLE contact_imports (
    run_id         INTEGER PRIMARY KEY,
    position       INTEGER NOT NULL,
    line           INTEGER NOT NULL,
    created        INTEGER NOT NULL,
    updated        INTEGER NOT NULL,
    skipped        INTEGER NOT NULL,
    failed         INTEGER NOT NULL,
    -- Of the file of failures, without those of the last slice…
    failures_bytes INTEGER NOT NULL,
    -- …which are here, until the next slice says that the file has them.
    last_failures  TEXT NOT NULL,
    -- The whole file is applied.
    done           INTEGER NOT NULL
) STRICT;
