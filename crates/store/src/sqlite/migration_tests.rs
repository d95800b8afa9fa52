//! A database that an earlier program wrote is brought to this one's schema with all it has.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use autom8_model::ready::Lane;
use autom8_model::transition::Decision;
use autom8_model::{
    BootId, Clock as _, ContactDraft, Inputs, ManualClock, RunState, TaskSpec, Timestamp, Trigger,
    WorkerName,
};
use rusqlite::Connection;

use super::{Durability, SqliteOptions, SqliteStore, open, schema};
use crate::observe::Unobserved;
use crate::{CapturedLog, Claim, Enqueue, Finish, RetentionPolicy, RunFilter, Store, Write};

fn open_store(directory: &Path, boot: u64, clock: &Arc<ManualClock>) -> Arc<SqliteStore> {
    let options = SqliteOptions {
        directory: directory.to_owned(),
        durability: Durability::Normal,
        boot: BootId(boot),
        retention: RetentionPolicy {
            age_max: Duration::from_secs(30 * 86_400),
            runs_max: 1_000_000,
            bytes_max: 1 << 40,
            audit_age_max: Duration::from_secs(90 * 86_400),
        },
    };
    SqliteStore::open(options, Arc::clone(clock) as _, Arc::new(Unobserved)).unwrap()
}

/// Tasks, one of them deleted; runs that wait, back off and have ended, with their output.
async fn furnish(store: &SqliteStore, clock: &ManualClock) {
    for text in [
        r#"{"name":"a","do":{"process":{"argv":["true"]}},"schedule":{"every":"2s"}}"#,
        r#"{"name":"b","do":{"process":{"argv":["true"]}}}"#,
    ] {
        let spec: TaskSpec = serde_json::from_str(text).unwrap();
        store.create_task(spec, Write::unattended()).await.unwrap();
    }
    for (task, count) in [("a", 300), ("b", 3)] {
        for number in 0..count {
            let enqueue = Enqueue {
                task: task.parse().unwrap(),
                trigger: Trigger::Manual,
                inputs: Inputs::one(format!("{{\"number\":{number}}}").as_bytes()),
            };
            store.enqueue(enqueue, Write::unattended()).await.unwrap();
        }
    }
    let claim = Claim {
        worker: WorkerName::new("w"),
        lane: Lane::Slot,
        queues: vec![],
        runs_max: 12,
        wait: Duration::ZERO,
        lease: None,
    };
    let leases = store.claim(claim).await.unwrap();
    assert_eq!(leases.len(), 12);
    let finishes = leases.iter().enumerate().map(|(place, lease)| Finish {
        run: lease.claimed.run,
        epoch: lease.epoch,
        attempt: lease.claimed.attempt,
        task_type: lease.task.spec.action.task_type(),
        decision: match place % 3 {
            0 => Decision::End(RunState::Completed),
            1 => Decision::End(RunState::Failed),
            _ => Decision::RetryAt(clock.now().plus(Duration::from_secs(3_600))),
        },
        started_at: clock.now(),
        finished_at: clock.now(),
        result: Some(b"{}".to_vec()),
        error: None,
        log: Some(CapturedLog {
            bytes: format!("output {place}\n").into_bytes(),
            truncated: false,
        }),
    });
    store.finish(finishes.collect()).await.unwrap();
    let b = "b".parse().unwrap();
    store.delete_task(&b, Write::unattended()).await.unwrap();
}

/// All that is told of tasks and runs.
async fn told(store: &SqliteStore) -> String {
    let mut runs = Vec::new();
    let mut filter = RunFilter {
        limit: 1_000,
        ..RunFilter::default()
    };
    loop {
        let page = store.runs(filter.clone()).await.unwrap();
        for run in page.runs {
            let attempts = store.attempts(run.id).await.unwrap();
            let log = store.run_log(run.id).await.unwrap();
            runs.push(format!("{run:?} {attempts:?} {log:?}"));
        }
        match page.next {
            Some(next) => filter.before = Some(next),
            None => break,
        }
    }
    let tasks = store.tasks(None, 100).await.unwrap();
    format!("{:?} {tasks:?} {runs:#?}", store.totals())
}

/// The rows of a store in the tables of the first schema, which know nothing of what came later.
fn as_first_schema(from: &Path, into: &Path) {
    std::fs::create_dir_all(into).unwrap();
    let path = into.join(open::DATABASE_FILE);
    let database = open::open_writable(&path, false).unwrap();
    let (number, name, sql) = schema::MIGRATIONS[0];
    database.execute_batch(sql).unwrap();
    let row = (number, name, schema::checksum(sql));
    database
        .execute(
            "INSERT INTO migrations (version, name, checksum, applied_at) VALUES (?1, ?2, ?3, 0)",
            row,
        )
        .unwrap();
    let header = format!(
        "PRAGMA application_id = {}; PRAGMA user_version = 1;",
        schema::APPLICATION_ID
    );
    database.execute_batch(&header).unwrap();
    let source = from
        .join(open::DATABASE_FILE)
        .to_string_lossy()
        .into_owned();
    database.execute("ATTACH ?1 AS source", [source]).unwrap();
    for segment in integers(&database, "SELECT id FROM source.segments") {
        schema::create_segment(&database, segment).unwrap();
    }
    let tables: Vec<String> = database
        .prepare("SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name <> 'migrations' AND name NOT LIKE 'sqlite_%'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert!(!tables.iter().any(|table| table == "contacts"));
    for table in tables {
        database
            .execute_batch(&format!(
                "DELETE FROM main.{table}; INSERT INTO main.{table} SELECT * FROM source.{table}"
            ))
            .unwrap();
    }
    std::fs::create_dir_all(into.join("logs")).unwrap();
    for log in std::fs::read_dir(from.join("logs")).unwrap().flatten() {
        std::fs::copy(log.path(), into.join("logs").join(log.file_name())).unwrap();
    }
}

fn integers(database: &Connection, sql: &str) -> Vec<i64> {
    let mut select = database.prepare(sql).unwrap();
    let rows = select.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn a_database_of_the_first_schema_is_opened_with_all_it_had() {
    let root = tempfile::tempdir().unwrap();
    let (source, old) = (root.path().join("source"), root.path().join("old"));
    let clock = Arc::new(ManualClock::at("2026-11-24T12:00:00Z".parse().unwrap()));
    let store = open_store(&source, 1, &clock);
    furnish(&store, &clock).await;
    let expected = told(&store).await;
    store.close().await;
    as_first_schema(&source, &old);

    for boot in [2, 3] {
        let store = open_store(&old, boot, &clock);
        assert_eq!(store.describe().schema_version, schema::VERSION);
        if boot == 2 {
            assert_eq!(told(&store).await, expected);
        }
        let fields = format!(r#"{{"name":"Ada","phone":"123456{boot}"}}"#);
        let draft = ContactDraft::new(serde_json::from_str(&fields).unwrap()).unwrap();
        let made = store
            .create_contact(draft, Write::unattended())
            .await
            .unwrap();
        assert_eq!(made.id.0 as u64, boot - 1);
        store.close().await;
    }
    let database = open::open_readable(&old.join(open::DATABASE_FILE)).unwrap();
    let versions = integers(&database, "SELECT version FROM migrations ORDER BY version");
    assert_eq!(versions, (1..=schema::VERSION).collect::<Vec<_>>());
    let fresh = root.path().join("fresh");
    open_store(&fresh, 4, &clock).close().await;
    let made = |directory: &Path| -> Vec<String> {
        let database = open::open_readable(&directory.join(open::DATABASE_FILE)).unwrap();
        let mut select = database
            .prepare("SELECT coalesce(sql, name) FROM sqlite_schema WHERE tbl_name NOT GLOB '*_[0-9]*' ORDER BY 1")
            .unwrap();
        let rows = select.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(made(&old), made(&fresh), "upgraded and new are alike");
    let applied = integers(
        &database,
        "SELECT applied_at FROM migrations WHERE version > 1",
    );
    assert!(
        applied
            .iter()
            .all(|at| Timestamp::from_micros(*at) == clock.now())
    );
}
