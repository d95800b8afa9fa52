//! Copies of the whole store, taken while it works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use autom8_model::api_key::Scope;
use autom8_model::transition::Decision;
use autom8_model::{Inputs, RunId, RunState, Scopes};

use super::Backend;
use super::fixture::{
    COMPLETED, FAILED, Fixture, answer, answer_key, counted, draft, json, log, manual, minutely,
    name, repeatable, slot_task,
};
use crate::{Finish, NewKey, RunFilter, Write};

fn every() -> RunFilter {
    RunFilter {
        limit: 100,
        ..RunFilter::default()
    }
}

pub(super) async fn a_backup_is_the_whole_store(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    store.create(minutely("tick")).await;
    let runs = store.enqueue_many("a", 20).await;
    let leases = store.claim_up_to(10).await;
    let finishes = leases
        .iter()
        .enumerate()
        .map(|(index, lease)| Finish {
            log: log(format!("output {index}\n").as_bytes()),
            result: Some(b"{}".to_vec()),
            ..store.ended(
                lease,
                match index % 3 {
                    0 => COMPLETED,
                    1 => FAILED,
                    _ => Decision::RetryAt(store.after(60)),
                },
            )
        })
        .collect();
    store.finish(finishes).await.unwrap();
    let path = backend.backup_directory();
    let report = store.backup(&path).await.unwrap();
    assert!(path.is_dir());
    assert!(report.path.starts_with(&path));
    assert_eq!((report.tasks, report.runs), (2, 20));
    assert!(report.bytes > 0);
    assert_eq!(report.sha256.len(), 64);
    assert!(report.sha256.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let described = |tasks: Vec<Arc<autom8_model::Task>>| format!("{tasks:?}");
    let expected_runs = format!("{:?}", store.list(every()).await);
    let expected_tasks = described(store.tasks(None, 10).await.unwrap());
    let expected_totals = counted(store.totals());
    let expected_log = store.run_log(runs[0]).await.unwrap()[0].bytes.clone();

    let copy = Fixture {
        store: backend.start_backup(&path).await,
        clock: backend.clock(),
        backend,
    };
    assert_eq!(format!("{:?}", copy.list(every()).await), expected_runs);
    assert_eq!(
        described(copy.tasks(None, 10).await.unwrap()),
        expected_tasks
    );
    assert_eq!(counted(copy.totals()), expected_totals);
    assert_eq!(copy.run_log(runs[0]).await.unwrap()[0].bytes, expected_log);
    assert_eq!(copy.attempts(runs[2]).await.unwrap().len(), 1);
    // It is a store like any other, and another than the one it was taken of.
    assert_eq!(copy.drain().await.len(), 10);
    copy.enqueue_one("a", "1").await;
    assert_eq!(copy.totals().queued, 1 + 3);
    assert_eq!(counted(store.totals()), expected_totals);
    copy.close().await;
    store.crash().await;
    assert_eq!(counted(store.totals()), expected_totals);
}

pub(super) async fn a_run_in_flight_is_an_attempt_in_the_copy(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let lease = store.claim_one().await;
    let path = backend.backup_directory();
    store.backup(&path).await.unwrap();
    store.settle(&lease, COMPLETED).await;
    let copy = Fixture {
        store: backend.start_backup(&path).await,
        clock: backend.clock(),
        backend,
    };
    let told = copy.get(run).await;
    assert_eq!((told.state, told.attempt), (RunState::Queued, 1));
    assert_eq!(copy.claim_one().await.claimed.attempt, 2);
    copy.close().await;
    assert_eq!(store.state(run).await, RunState::Completed);
}

/// Every run that is in the copy came with all that were accepted before it.
pub(super) async fn a_backup_is_of_one_moment_while_writes_go_on(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let before = store.enqueue_many("a", 1_000).await;
    let over = Arc::new(AtomicBool::new(false));
    let (inner, stop) = (Arc::clone(&store.store), Arc::clone(&over));
    let writes = tokio::spawn(async move {
        let mut accepted: Vec<RunId> = Vec::new();
        while !stop.load(Ordering::Relaxed) && accepted.len() < 20_000 {
            let enqueued = inner
                .enqueue(manual("a", Inputs::one(b"1")), Write::unattended())
                .await
                .unwrap();
            accepted.extend(enqueued.iter());
        }
        accepted
    });
    let path = backend.backup_directory();
    let report = answer(store.backup(&path)).await.unwrap();
    over.store(true, Ordering::Relaxed);
    let accepted = answer(writes).await.unwrap();
    let copy = Fixture {
        store: backend.start_backup(&path).await,
        clock: backend.clock(),
        backend,
    };
    let mut copied = copy
        .list_ids(RunFilter {
            limit: 1_000,
            ..RunFilter::default()
        })
        .await;
    copied.reverse();
    assert_eq!(copied.len() as u64, report.runs);
    assert!(copied.len() >= before.len());
    let all = [before, accepted].concat();
    assert_eq!(copied, all[..copied.len()], "a prefix of what was accepted");
    assert_eq!(copy.totals().queued, copied.len() as u64);
    assert_eq!(copy.drain().await, copied);
    assert_eq!(store.totals().queued, all.len() as u64);
    assert_eq!(store.drain().await, all);
}

pub(super) async fn a_backup_goes_nowhere_else_than_into_a_new_directory(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let path = backend.backup_directory();
    store.backup(&path).await.unwrap();
    store.create(slot_task("b")).await;
    assert!(
        store.backup(&path).await.is_err(),
        "it overwrites no earlier one"
    );
    let copy = backend.start_backup(&path).await;
    assert!(copy.task(&name("a")).await.unwrap().is_some());
    assert!(copy.task(&name("b")).await.unwrap().is_none());
}

pub(super) async fn a_backup_has_the_contacts_the_keys_and_what_was_noted(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let kept = store.create_contact(draft(1), repeatable(1)).await.unwrap();
    let gone = store.add(draft(2)).await;
    store
        .delete_contact(gone.id, Write::unattended())
        .await
        .unwrap();
    let key = NewKey {
        name: "key".to_owned(),
        scopes: Scopes::of([Scope::Admin]),
        hash: [5; 32],
        shown: "a8_12345".to_owned(),
        limit: None,
        expires_at: None,
    };
    let key = store.create_key(key, Write::unattended()).await.unwrap();
    let path = backend.backup_directory();
    store.backup(&path).await.unwrap();
    store.add(draft(3)).await;
    let copy = Fixture {
        store: backend.start_backup(&path).await,
        clock: backend.clock(),
        backend,
    };
    assert_eq!(copy.totals().contacts, 1);
    assert_eq!(copy.told(kept.id).await, Some(json(&kept)));
    let found = copy.contact_by_phone(&kept.phone).await.unwrap();
    assert_eq!(found.as_ref().map(json), Some(json(&kept)));
    assert_eq!(copy.key_by_hash(&[5; 32]), Some(key));
    let answer = store.remembered_answer(&answer_key(1)).await.unwrap();
    assert!(answer.is_some());
    assert_eq!(
        copy.remembered_answer(&answer_key(1)).await.unwrap(),
        answer
    );
    assert_eq!(
        copy.audit_log(None, 10).await.unwrap(),
        store.audit_log(None, 10).await.unwrap()
    );
    // Nor does it use an id again.
    assert!(copy.add(draft(4)).await.id > gone.id);
    copy.close().await;
}
