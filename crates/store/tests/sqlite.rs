//! The SQLite backend under the conformance suite, and what only it can show.

use std::sync::Arc;
use std::time::Duration;

use autom8_model::ready::Lane;
use autom8_model::transition::Decision;
use autom8_model::{BootId, Inputs, RunState, SystemClock, TaskType, Trigger, WorkerName};
use autom8_store::observe::Unobserved;
use autom8_store::sqlite::{Durability, SqliteOptions, SqliteStore};
use autom8_store::{Claim, Enqueue, Finish, RetentionPolicy, RunFilter, Store};

#[tokio::test(flavor = "multi_thread")]
async fn smoke() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::new());
    let store = SqliteStore::open(
        SqliteOptions {
            directory: dir.path().to_owned(),
            durability: Durability::Full,
            boot: BootId(1),
            retention: RetentionPolicy {
                age_max: Duration::from_secs(86_400),
                runs_max: 1_000_000,
                bytes_max: 1 << 40,
            },
        },
        clock,
        Arc::new(Unobserved),
    )
    .unwrap();
    let task = store
        .create_task(serde_json::from_str(r#"{"name":"a","do":{"builtin":"noop"}}"#).unwrap())
        .await
        .unwrap();
    let buffer: Arc<[u8]> = Arc::from(*b"{}");
    let inputs = Inputs::from_spans(buffer, vec![0..2; 10_000]);
    let enqueued = store
        .enqueue(Enqueue {
            task: task.spec.name.clone(),
            trigger: Trigger::Batch,
            inputs,
        })
        .await
        .unwrap();
    assert_eq!(enqueued.count(), 10_000);
    let mut done = 0;
    while done < 10_000 {
        let leases = store
            .claim(Claim {
                worker: WorkerName::new("w"),
                lane: Lane::Instant,
                queues: vec![],
                runs_max: 3_000,
                wait: Duration::from_secs(1),
                lease: None,
            })
            .await
            .unwrap();
        assert!(!leases.is_empty());
        done += leases.len();
        let now = leases[0].claimed.queued_at;
        let finishes = leases
            .iter()
            .map(|lease| Finish {
                run: lease.claimed.run,
                epoch: lease.epoch,
                attempt: lease.claimed.attempt,
                task_type: TaskType::Builtin,
                decision: Decision::End(RunState::Completed),
                started_at: now,
                finished_at: now,
                result: None,
                error: None,
                log: None,
            })
            .collect();
        let finished = store.finish(finishes).await.unwrap();
        assert_eq!(finished.stale, []);
    }
    let totals = store.totals();
    assert_eq!(totals.sum().completed, 10_000);
    assert_eq!((totals.queued, totals.running), (0, 0));
    let page = store
        .runs(RunFilter {
            limit: 10,
            ..RunFilter::default()
        })
        .await
        .unwrap();
    assert_eq!(page.runs.len(), 10);
    let report = store.backup(&dir.path().join("backup")).await.unwrap();
    assert_eq!(report.runs, 10_000);
    store.close().await;
}
