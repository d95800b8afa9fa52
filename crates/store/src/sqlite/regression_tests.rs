//! Holes that were found by thinking of two things at once; each was closed with its test here.
//!
//! Long because the holes have nothing in common but the store.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use autom8_model::ready::Lane;
use autom8_model::transition::Decision;
use autom8_model::{
    BootId, Clock as _, Inputs, ManualClock, RunId, RunState, Schedule, TaskName, TaskSpec,
    TaskType, Trigger, WorkerName, limits,
};

use super::backup::{self, BackupError};
use super::{Durability, SqliteOptions, SqliteStore};
use crate::conformance::Gate;
use crate::{
    CapturedLog, Claim, Enqueue, Finish, Lease, RetentionPolicy, RunFilter, Statement, Store,
    StoreError, StoreObserver, Write,
};

const COMPLETED: Decision = Decision::End(RunState::Completed);
/// A claim that is in no hurry.
const PATIENCE: Duration = Duration::from_secs(20);

fn generous() -> RetentionPolicy {
    RetentionPolicy {
        age_max: Duration::from_secs(30 * 86_400),
        runs_max: 100_000_000,
        bytes_max: 1 << 40,
        audit_age_max: Duration::from_secs(90 * 86_400),
    }
}

fn open_observed(
    directory: &Path,
    boot: u64,
    observer: Arc<dyn StoreObserver>,
    clock: &Arc<ManualClock>,
    retention: RetentionPolicy,
) -> Result<Arc<SqliteStore>, crate::error::OpenError> {
    let options = SqliteOptions {
        directory: directory.to_owned(),
        durability: Durability::Normal,
        boot: BootId(boot),
        retention,
    };
    SqliteStore::open(options, Arc::clone(clock) as _, observer)
}

fn open(dir: &Path, boot: u64, gate: Arc<Gate>, clock: &Arc<ManualClock>) -> Arc<SqliteStore> {
    open_observed(dir, boot, gate, clock, generous()).unwrap()
}

/// An empty store and all around it.
struct Fresh {
    store: Arc<SqliteStore>,
    gate: Arc<Gate>,
    clock: Arc<ManualClock>,
    directory: tempfile::TempDir,
}

impl Fresh {
    fn open() -> Self {
        let (gate, clock) = (Gate::open(), clock());
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path(), 1, Arc::clone(&gate), &clock);
        Fresh {
            store,
            gate,
            clock,
            directory,
        }
    }
}

/// With segments of a twentieth of `runs_max`.
fn open_with(
    dir: &Path,
    boot: u64,
    gate: Arc<Gate>,
    clock: &Arc<ManualClock>,
    runs_max: u64,
) -> Arc<SqliteStore> {
    let retention = RetentionPolicy {
        runs_max,
        ..generous()
    };
    open_observed(dir, boot, gate, clock, retention).unwrap()
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at("2026-11-24T12:00:00Z".parse().unwrap()))
}

fn task(name: &str) -> TaskSpec {
    let action = r#"{"process":{"argv":["true"]}}"#;
    serde_json::from_str(&format!(r#"{{"name":"{name}","do":{action}}}"#)).unwrap()
}

fn name(text: &str) -> TaskName {
    text.parse().unwrap()
}

/// So many runs of a task, each with an input of about so many bytes.
fn many(task: &str, count: usize, bytes: usize) -> Enqueue {
    let one = format!("\"{}\"", "x".repeat(bytes));
    let length = u32::try_from(one.len()).unwrap();
    let spans = (0..u32::try_from(count).unwrap())
        .map(|i| i * length..(i + 1) * length)
        .collect();
    Enqueue {
        task: name(task),
        trigger: Trigger::Batch,
        inputs: Inputs::from_spans(one.repeat(count).into_bytes().into(), spans),
    }
}

async fn enqueue_one(store: &SqliteStore, task: &str) -> RunId {
    store
        .enqueue(many(task, 1, 1), Write::unattended())
        .await
        .unwrap()
        .iter()
        .next()
        .unwrap()
}

fn claim(runs_max: usize, lease: Option<Duration>, wait: Duration) -> Claim {
    Claim {
        worker: WorkerName::new("w"),
        lane: Lane::Slot,
        queues: vec![],
        runs_max,
        wait,
        lease,
    }
}

fn ended(lease: &Lease, decision: Decision, log: Option<CapturedLog>) -> Finish {
    let at = lease.claimed.queued_at;
    Finish {
        run: lease.claimed.run,
        epoch: lease.epoch,
        attempt: lease.claimed.attempt,
        task_type: TaskType::Process,
        decision,
        started_at: at,
        finished_at: at,
        result: None,
        error: None,
        log,
    }
}

/// Polls a call once, so that its command is with the writer; true while it has no answer.
async fn sent<T>(call: &mut (impl Future<Output = T> + Unpin)) -> bool {
    std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *call).poll(context).is_pending()))
        .await
}

/// Waits until the store says so; a store that never does fails the test.
async fn until(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

/// What one committed moment would leave behind.
fn crash_copy(directory: &Path, root: &Path) -> PathBuf {
    let copy = root.join("after-the-crash");
    std::fs::create_dir_all(copy.join("logs")).unwrap();
    let source = rusqlite::Connection::open(directory.join("autom8.db")).unwrap();
    source
        .execute("VACUUM INTO ?1", [copy.join("autom8.db").to_string_lossy()])
        .unwrap();
    copy
}

/// Lets the database grow to so many pages and no further, as a full disk would.
async fn limit_pages(store: &SqliteStore, pages: &'static str) {
    store
        .operate(Statement::TaskUpdate, move |writer, _| {
            let sql = format!("PRAGMA max_page_count = {pages}");
            writer
                .connection
                .query_row(&sql, [], |row| row.get::<_, i64>(0))?;
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_ran_out_is_reaped_at_the_pace_of_the_engine() {
    let Fresh { store, clock, .. } = &Fresh::open();
    store
        .create_task(task("a"), Write::unattended())
        .await
        .unwrap();
    let run = enqueue_one(store, "a").await;
    assert_eq!(
        store
            .claim(claim(1, Some(Duration::from_secs(15)), Duration::ZERO))
            .await
            .unwrap()
            .len(),
        1
    );
    for _ in 0..20 {
        clock.advance(limits::REAP_EVERY);
        store.reap().await.unwrap();
    }
    assert_ne!(
        store.run(run).await.unwrap().unwrap().state,
        RunState::Running,
        "20 s after a lease of 15 s"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_during_a_deletion_counts_once() {
    let Fresh { store, gate, .. } = &Fresh::open();
    store
        .create_task(task("a"), Write::unattended())
        .await
        .unwrap();
    store
        .enqueue(many("a", 10_000, 1), Write::unattended())
        .await
        .unwrap();
    let held = gate.hold();
    let a = name("a");
    let mut deletion = Box::pin(store.delete_task(&a, Write::unattended()));
    assert!(sent(&mut deletion).await);
    held.arrived().await;
    let mut cancels: Vec<_> = [9_999, 10_000]
        .into_iter()
        .map(|r| Box::pin(store.cancel_run(RunId(r), Write::unattended())))
        .collect();
    for c in &mut cancels {
        sent(c).await;
    }
    drop(held);
    for cancel in cancels {
        cancel.await.unwrap();
    }
    deletion.await.unwrap();
    let totals = store.totals();
    assert_eq!((totals.queued, totals.sum().cancelled), (0, 10_000));
}

/// The count of open runs goes wrong with it: a segment is settled while a run of it waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_during_a_deletion_settles_no_segment_too_early() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let gate = Gate::open();
    let store = open_with(dir.path(), 1, Arc::clone(&gate), &clock, 200_000); // segments of 10,000
    for t in ["a", "b", "c"] {
        store
            .create_task(task(t), Write::unattended())
            .await
            .unwrap();
    }
    let neighbour = enqueue_one(&store, "b").await;
    store
        .enqueue(many("a", 9_999, 1), Write::unattended())
        .await
        .unwrap();
    store
        .enqueue(many("c", 1, 1), Write::unattended())
        .await
        .unwrap(); // rotates
    let held = gate.hold();
    let a = name("a");
    let mut deletion = Box::pin(store.delete_task(&a, Write::unattended()));
    assert!(sent(&mut deletion).await);
    held.arrived().await;
    let mut cancel = Box::pin(store.cancel_run(RunId(9_999), Write::unattended()));
    sent(&mut cancel).await;
    drop(held);
    cancel.await.unwrap();
    deletion.await.unwrap();
    store.close().await;
    let store = open_with(dir.path(), 2, Gate::open(), &clock, 200_000);
    let claimed: Vec<_> = store
        .claim(claim(100, None, Duration::ZERO))
        .await
        .unwrap()
        .iter()
        .map(|l| l.claimed.run)
        .collect();
    assert!(claimed.contains(&neighbour), "an accepted run is lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_given_back_stays_cancelled_or_deleted() {
    let Fresh { store, .. } = &Fresh::open();
    for t in ["a", "b"] {
        store
            .create_task(task(t), Write::unattended())
            .await
            .unwrap();
    }
    enqueue_one(store, "a").await;
    let b = enqueue_one(store, "b").await;
    let mut claiming = Box::pin(store.claim(claim(10, None, PATIENCE)));
    sent(&mut claiming).await;
    until(|| store.totals().running == 2).await;
    store
        .delete_task(&name("a"), Write::unattended())
        .await
        .unwrap();
    store.cancel_run(b, Write::unattended()).await.unwrap();
    drop(claiming);
    until(|| store.totals().running == 0).await;
    let again: Vec<_> = store
        .claim(claim(10, None, Duration::ZERO))
        .await
        .unwrap()
        .iter()
        .map(|l| l.claimed.run)
        .collect();
    assert!(again.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_whose_slice_was_dropped_is_not_used_anew() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("data");
    let clock = clock();
    let gate = Gate::open();
    let store = open(&dir, 1, Arc::clone(&gate), &clock);
    for t in ["a", "b"] {
        store
            .create_task(task(t), Write::unattended())
            .await
            .unwrap();
    }
    for _ in 0..13 {
        store
            .enqueue(many("a", 10_000, 1), Write::unattended())
            .await
            .unwrap();
    }
    let held = gate.hold();
    let mut batch = Box::pin(store.enqueue(many("a", 10_000, 1), Write::unattended()));
    assert!(sent(&mut batch).await);
    held.arrived().await;
    held.step().await; // one slice is written, and the postings with it
    let after = crash_copy(&dir, root.path());
    std::mem::forget(batch);
    let store2 = open(&after, 2, Gate::open(), &clock);
    enqueue_one(&store2, "b").await;
    store2.close().await;
    let store3 = open(&after, 3, Gate::open(), &clock);
    let page = store3
        .runs(RunFilter {
            task: Some(name("b")),
            limit: 10,
            ..RunFilter::default()
        })
        .await
        .unwrap();
    let listed = page.runs.len();
    drop(held);
    std::mem::forget(store);
    assert_eq!(listed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_wait_are_bounded() {
    let Fresh { store, gate, .. } = &Fresh::open();
    store
        .create_task(task("a"), Write::unattended())
        .await
        .unwrap();
    let held = gate.hold();
    let batch = many("a", 100, 100_000);
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let mut call = Box::pin(store.enqueue(batch.clone(), Write::unattended()));
        if sent(&mut call).await {
            waiting.push(call);
        }
        held.arrived().await;
        // The writer takes what is there and writes a slice of it.
        held.step().await;
    }
    let mut bytes = 0;
    for call in &mut waiting {
        bytes += if sent(call).await {
            batch.inputs.bytes()
        } else {
            0
        };
    }
    assert!(bytes > 0);
    // One batch is in the writer's hands beside those that wait.
    let most = limits::WRITER_INBOX_BYTES_MAX + batch.inputs.bytes();
    assert!(bytes <= most, "{bytes} bytes wait");
    drop(waiting);
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_file_that_cannot_be_opened_does_not_end_the_store() {
    let Fresh {
        store,
        gate,
        directory: dir,
        ..
    } = &Fresh::open();
    store
        .create_task(task("a"), Write::unattended())
        .await
        .unwrap();
    store
        .enqueue(many("a", 2, 1), Write::unattended())
        .await
        .unwrap();
    let leases = store.claim(claim(2, None, Duration::ZERO)).await.unwrap();
    let _ = std::fs::remove_dir_all(dir.path().join("logs"));
    // open(2) fails, as it would for want of file descriptors.
    std::fs::write(dir.path().join("logs"), b"in the way").unwrap();
    let held = gate.hold();
    let log = Some(CapturedLog {
        bytes: b"x".to_vec(),
        truncated: false,
    });
    let mut first = Box::pin(store.finish(vec![ended(&leases[0], COMPLETED, log)]));
    assert!(sent(&mut first).await);
    held.arrived().await;
    drop(held);
    assert!(first.await.is_err(), "its output is not durable");
    std::fs::remove_file(dir.path().join("logs")).unwrap();
    let third = store.enqueue(many("a", 1, 1), Write::unattended()).await;
    assert!(third.is_ok(), "transient trouble ended the store");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_during_a_batch_heals() {
    let Fresh { store, gate, .. } = &Fresh::open();
    store
        .create_task(task("a"), Write::unattended())
        .await
        .unwrap();
    let before = enqueue_one(store, "a").await;
    limit_pages(store, "300").await;
    let held = gate.hold();
    let mut batch = Box::pin(store.enqueue(many("a", 10_000, 400), Write::unattended()));
    assert!(sent(&mut batch).await);
    held.arrived().await;
    held.step().await;
    // One of the slices finds no room.
    drop(held);
    assert!(matches!(batch.await, Err(StoreError::DiskFull { .. })));
    assert!(matches!(
        store
            .enqueue(many("a", 5_000, 400), Write::unattended())
            .await,
        Err(StoreError::DiskFull { .. })
    ));
    limit_pages(store, "1000000").await;
    let after = enqueue_one(store, "a").await;
    assert_eq!(store.totals().queued, 2);
    let leases = store.claim(claim(10, None, Duration::ZERO)).await.unwrap();
    let claimed: Vec<RunId> = leases.iter().map(|lease| lease.claimed.run).collect();
    assert_eq!(claimed, [before, after], "nothing of the batch is left");
    let page = store
        .runs(RunFilter {
            limit: 100,
            ..RunFilter::default()
        })
        .await
        .unwrap();
    assert_eq!(page.runs.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_schedule_counts_from_now_after_a_step_of_the_clock() {
    let Fresh { store, clock, .. } = &Fresh::open();
    let true_now = clock.now();
    clock.step_wall(true_now.plus(Duration::from_secs(365 * 86_400)));
    let mut spec = task("a");
    spec.schedule = Some(Schedule::every(Duration::from_secs(60)).unwrap());
    store
        .create_task(spec.clone(), Write::unattended())
        .await
        .unwrap();
    clock.step_wall(true_now);
    spec.schedule = Some(Schedule::every(Duration::from_secs(30)).unwrap());
    let changed = store.update_task(spec, Write::unattended()).await.unwrap();
    assert!(changed.fired_through <= true_now);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_a_deleted_task_stay_readable_after_a_step_of_the_clock() {
    let Fresh { store, clock, .. } = &Fresh::open();
    store
        .create_task(task("a"), Write::unattended())
        .await
        .unwrap();
    store
        .create_task(task("b"), Write::unattended())
        .await
        .unwrap();
    clock.step_wall(clock.now().minus(Duration::from_secs(60)));
    store
        .enqueue(many("a", 1, 1), Write::unattended())
        .await
        .unwrap();
    store
        .delete_task(&name("a"), Write::unattended())
        .await
        .unwrap();
    let policy = RetentionPolicy {
        age_max: Duration::from_secs(30 * 86_400),
        runs_max: 100_000_000,
        bytes_max: 1 << 40,
        audit_age_max: Duration::from_secs(90 * 86_400),
    };
    store.apply_retention(policy).await.unwrap();
    let page = store
        .runs(RunFilter {
            limit: 10,
            ..RunFilter::default()
        })
        .await;
    assert!(page.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_revisions_leave_memory() {
    let Fresh { store, .. } = &Fresh::open();
    let first = Arc::downgrade(
        &store
            .create_task(task("a"), Write::unattended())
            .await
            .unwrap(),
    );
    for _ in 0..300 {
        store
            .update_task(task("a"), Write::unattended())
            .await
            .unwrap();
    }
    assert!(
        first.upgrade().is_none(),
        "revision 1 of 301, of which 100 are kept in the file, is in memory"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_singles_is_bounded() {
    struct LargestGroup {
        rows: AtomicUsize,
        gate: Arc<Gate>,
    }
    impl StoreObserver for LargestGroup {
        fn statement(&self, _: Statement, _: u64, _: bool) {}
        fn commit(&self, _: u64, rows: usize) {
            self.rows.fetch_max(rows, Ordering::SeqCst);
        }
        fn waiting(&self, commands: usize) {
            self.gate.waiting(commands);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::open();
    let largest = Arc::new(LargestGroup {
        rows: AtomicUsize::new(0),
        gate: Arc::clone(&gate),
    });
    let observer = Arc::clone(&largest) as Arc<dyn StoreObserver>;
    let store = open_observed(dir.path(), 1, observer, &clock(), generous()).unwrap();
    store
        .create_task(task("a"), Write::unattended())
        .await
        .unwrap();
    let held = gate.hold();
    let mut calls = Vec::new();
    for index in 0..200 {
        let mut call = Box::pin(store.enqueue(many("a", 64, 1), Write::unattended()));
        sent(&mut call).await;
        if index == 0 {
            held.arrived().await;
        }
        calls.push(call);
    }
    drop(held);
    for call in calls {
        call.await.unwrap();
    }
    let rows = largest.rows.load(Ordering::SeqCst);
    assert!(
        rows <= limits::GROUP_ROWS_MAX + 64,
        "{rows} rows in one group"
    );
}

/// Its run would stay running with nobody running it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_give_back_survives_a_failed_group() {
    let Fresh { store, gate, .. } = &Fresh::open();
    store
        .create_task(task("a"), Write::unattended())
        .await
        .unwrap();
    let mut claiming = Box::pin(store.claim(claim(10, None, PATIENCE)));
    assert!(sent(&mut claiming).await);
    let run = enqueue_one(store, "a").await;
    until(|| store.totals().running == 1).await;
    limit_pages(store, "1").await;
    let held = gate.hold();
    let mut large = Box::pin(store.enqueue(many("a", 60, 4_000), Write::unattended()));
    assert!(sent(&mut large).await);
    held.arrived().await;
    // The caller goes away; what it would have brought goes back in the group that fails.
    drop(claiming);
    let mut larger = Box::pin(store.enqueue(many("a", 60, 4_000), Write::unattended()));
    assert!(sent(&mut larger).await);
    drop(held);
    assert!(matches!(large.await, Err(StoreError::DiskFull { .. })));
    assert!(matches!(larger.await, Err(StoreError::DiskFull { .. })));
    limit_pages(store, "1000000").await;
    until(|| store.totals().running == 0).await;
    let leases = store.claim(claim(10, None, Duration::ZERO)).await.unwrap();
    let claimed: Vec<RunId> = leases.iter().map(|lease| lease.claimed.run).collect();
    assert_eq!(claimed, [run]);
}

/// A suspect that was given back goes out together with its neighbours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspect_given_back_is_a_suspect() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("data");
    let clock = clock();
    let store = open(&dir, 1, Gate::open(), &clock);
    store
        .create_task(task("a"), Write::unattended())
        .await
        .unwrap();
    store
        .enqueue(many("a", 4, 1), Write::unattended())
        .await
        .unwrap();
    assert_eq!(
        store
            .claim(claim(4, None, Duration::ZERO))
            .await
            .unwrap()
            .len(),
        4
    );
    store.close().await;
    let store = open(&dir, 2, Gate::open(), &clock);
    let half = store.claim(claim(4, None, Duration::ZERO)).await.unwrap();
    assert_eq!(half.len(), 2);
    let mut claiming = Box::pin(store.claim(claim(4, None, PATIENCE)));
    assert!(sent(&mut claiming).await);
    store
        .finish(half.iter().map(|l| ended(l, COMPLETED, None)).collect())
        .await
        .unwrap();
    drop(claiming); // the half of what is left, 1 run, goes back
    until(|| store.totals().running == 0).await;
    let next = store.claim(claim(4, None, Duration::ZERO)).await.unwrap();
    assert_eq!(next.len(), 1);
}

/// SQLite would replay the log of the dead database onto the restored one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_is_refused_beside_a_stale_log() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let store = open(&data, 1, Gate::open(), &clock());
    store
        .create_task(task("a"), Write::unattended())
        .await
        .unwrap();
    store.backup(&root.path().join("backup")).await.unwrap();
    store
        .create_task(task("later"), Write::unattended())
        .await
        .unwrap();
    // kill -9, and somebody removes the database alone.
    let dead = root.path().join("dead");
    std::fs::create_dir_all(&dead).unwrap();
    std::fs::copy(data.join("autom8.db-wal"), dead.join("autom8.db-wal")).unwrap();
    let refused = backup::restore(&root.path().join("backup"), &dead);
    assert!(
        matches!(refused, Err(BackupError::Occupied { .. })),
        "{refused:?}"
    );
    std::fs::remove_file(dead.join("autom8.db-wal")).unwrap();
    backup::restore(&root.path().join("backup"), &dead).unwrap();
}

/// The umask of whoever makes or restores it is often 022, and a copy may have lost its modes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_can_read_a_backup_or_what_is_restored() {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let check_private = |directory: &Path| {
        let mut files = 0;
        for folder in [directory.to_owned(), directory.join("logs")] {
            assert_eq!(mode(&folder), 0o700, "{}", folder.display());
            for entry in std::fs::read_dir(&folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_file() {
                    assert_eq!(mode(&path), 0o600, "{}", path.display());
                    files += 1;
                }
            }
        }
        files
    };
    let store = open(&root.path().join("data"), 1, Gate::open(), &clock());
    let kept = root.path().join("backups/kept");
    store.backup(&kept).await.unwrap();
    assert!(check_private(&kept) >= 2, "a database and a manifest");
    for name in ["autom8.db", "manifest.json"] {
        std::fs::set_permissions(kept.join(name), Permissions::from_mode(0o644)).unwrap();
    }
    let restored = root.path().join("restored");
    backup::restore(&kept, &restored).unwrap();
    assert!(check_private(&restored) >= 2, "a database and its lock");
}

#[test]
fn a_foreign_database_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("autom8.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    let before = std::fs::read(&path).unwrap();
    let refused = open_observed(dir.path(), 1, Gate::open(), &clock(), generous());
    assert!(matches!(
        refused,
        Err(crate::error::OpenError::Foreign { .. })
    ));
    assert!(
        std::fs::read(&path).unwrap() == before,
        "a refused file was changed"
    );
}

/// A suspect that runs for long holds up the suspects of every other task.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_long_suspect_holds_up_the_others_only_for_a_while() {
    let Fresh {
        store,
        clock,
        directory: dir,
        ..
    } = &Fresh::open();
    for t in ["a", "b"] {
        store
            .create_task(task(t), Write::unattended())
            .await
            .unwrap();
    }
    store
        .enqueue(many("a", 1, 1), Write::unattended())
        .await
        .unwrap();
    store
        .enqueue(many("b", 1, 1), Write::unattended())
        .await
        .unwrap();
    assert_eq!(
        store
            .claim(claim(2, None, Duration::ZERO))
            .await
            .unwrap()
            .len(),
        2
    );
    store.close().await;
    let store = open(dir.path(), 2, Gate::open(), clock);
    assert_eq!(
        store
            .claim(claim(2, None, Duration::ZERO))
            .await
            .unwrap()
            .len(),
        1
    );
    clock.advance(Duration::from_secs(86_400));
    let second = store.claim(claim(2, None, Duration::ZERO)).await.unwrap();
    assert_eq!(second.len(), 1);
}
