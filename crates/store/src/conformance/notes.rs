//! What is kept of a write beside itself, its answer and who made it: with the write, and only
//! with it.

use std::sync::Arc;
use std::time::Duration;

use autom8_model::{
    AuditAction, AuditEntry, AuditId, Contact, ContactId, Inputs, KeyId, RunId, Scopes, limits,
};

use super::Backend;
use super::fixture::{
    COMPLETED, Fixture, answer, answer_key, author, batch, draft, is_conflict, is_not_found,
    is_sent, manual, name, numbers, patch_of, repeatable, slot_task,
};
use crate::{NewKey, Result, RetentionPolicy, RunFilter, StoreError, Write};

fn by<T>(principal: &str) -> Write<T> {
    Write::by(author(principal))
}

fn new_key(name: &str, hash: u8) -> NewKey {
    NewKey {
        name: name.to_owned(),
        scopes: Scopes::default(),
        hash: [hash; 32],
        shown: "a8_12345".to_owned(),
        limit: None,
        expires_at: None,
    }
}

async fn log(store: &Fixture<'_>) -> Vec<AuditEntry> {
    store.audit_log(None, 10_000).await.unwrap()
}

/// What was done to what, oldest first.
async fn done(store: &Fixture<'_>) -> Vec<(AuditAction, String)> {
    let mut entries = log(store).await;
    entries.reverse();
    entries
        .into_iter()
        .map(|entry| (entry.action, entry.target))
        .collect()
}

async fn is_kept(store: &Fixture<'_>, key: u8) -> bool {
    store
        .remembered_answer(&answer_key(key))
        .await
        .unwrap()
        .is_some()
}

/// One write of each kind, under keys that begin with `key`. Returns whether each was done.
async fn every_write(store: &Fixture<'_>, key: u8) -> Vec<(AuditAction, Result<()>)> {
    fn told<T>(action: AuditAction, answer: Result<T>) -> (AuditAction, Result<()>) {
        (action, answer.map(|_| ()))
    }
    let contact = store
        .contacts(crate::ContactFilter {
            limit: 1,
            ..Default::default()
        })
        .await;
    let contact = contact
        .unwrap()
        .contacts
        .first()
        .map_or(ContactId(0), |one| one.id);
    let key_id = store.keys().first().map_or(KeyId(0), |one| one.id);
    let of_state = |state| RunFilter {
        states: vec![state],
        limit: 1,
        ..RunFilter::default()
    };
    let queued = store
        .list_ids(of_state(autom8_model::RunState::Queued))
        .await;
    let ended = store
        .list_ids(of_state(autom8_model::RunState::Completed))
        .await;
    let first = |runs: &[RunId]| runs.last().copied().unwrap_or(RunId(0));
    let many: Vec<_> = (0..3)
        .map(|number| draft(100 + usize::from(key) * 10 + number))
        .collect();
    let new = slot_task(&format!("new-{key}"));
    vec![
        told(
            AuditAction::ContactCreate,
            store
                .create_contact(draft(usize::from(key)), repeatable(key))
                .await,
        ),
        told(
            AuditAction::ContactBatch,
            store.create_contacts(many, repeatable(key + 1)).await,
        ),
        told(
            AuditAction::ContactUpdate,
            store
                .update_contact(contact, patch_of(r#"{"name":"N"}"#), repeatable(key + 2))
                .await,
        ),
        told(
            AuditAction::ContactDelete,
            store.delete_contact(contact, repeatable(key + 3)).await,
        ),
        told(
            AuditAction::TaskCreate,
            store.create_task(new, repeatable(key + 4)).await,
        ),
        told(
            AuditAction::TaskUpdate,
            store.update_task(slot_task("a"), repeatable(key + 5)).await,
        ),
        told(
            AuditAction::TaskPause,
            store
                .set_task_enabled(&name("a"), false, repeatable(key + 6))
                .await,
        ),
        told(
            AuditAction::TaskResume,
            store
                .set_task_enabled(&name("a"), true, repeatable(key + 7))
                .await,
        ),
        told(
            AuditAction::RunEnqueue,
            store
                .enqueue(manual("a", Inputs::one(b"1")), repeatable(key + 8))
                .await,
        ),
        told(
            AuditAction::RunEnqueue,
            store
                .enqueue(batch("a", &numbers(3_000)), repeatable(key + 9))
                .await,
        ),
        told(
            AuditAction::RunCancel,
            store.cancel_run(first(&queued), repeatable(key + 10)).await,
        ),
        told(
            AuditAction::RunReplay,
            store.replay_run(first(&ended), repeatable(key + 11)).await,
        ),
        told(
            AuditAction::KeyCreate,
            store
                .create_key(new_key(&format!("new {key}"), key), repeatable(key + 12))
                .await,
        ),
        told(
            AuditAction::KeyDelete,
            store.delete_key(key_id, repeatable(key + 13)).await,
        ),
        told(
            AuditAction::TaskDelete,
            store
                .delete_task(&name("doomed"), repeatable(key + 14))
                .await,
        ),
    ]
}

/// Something of everything that [`every_write`] works on.
async fn furnish(store: &Fixture<'_>) {
    for task in ["a", "doomed"] {
        if store.task(&name(task)).await.unwrap().is_none() {
            store.create(slot_task(task)).await;
        }
    }
    store.enqueue_one("a", "1").await;
    store.settle(&store.claim_one().await, COMPLETED).await;
    store.enqueue_one("a", "2").await;
    store.enqueue_many("doomed", 3_000).await;
    store.add(draft(90)).await;
    store
        .create_key(new_key("first", 200), Write::unattended())
        .await
        .unwrap();
}

pub(super) async fn an_answer_is_found_by_its_key_and_survives_a_crash(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    assert_eq!(store.remembered_answer(&answer_key(1)).await.unwrap(), None);
    let contact = store.create_contact(draft(1), repeatable(1)).await.unwrap();
    for _ in 0..2 {
        let kept = store
            .remembered_answer(&answer_key(1))
            .await
            .unwrap()
            .expect("it is kept");
        assert_eq!(kept.fingerprint, [2; 32]);
        assert_eq!(
            (kept.answer.status, kept.answer.location.as_deref()),
            (201, Some("/somewhere"))
        );
        assert_eq!(
            kept.answer.body,
            format!("{contact:?}").into_bytes(),
            "made of what was done"
        );
        assert!(!is_kept(&store, 2).await);
        store.crash().await;
    }
}

pub(super) async fn each_write_leaves_its_entry_and_its_answer(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    furnish(&store).await;
    assert!(log(&store).await.is_empty(), "nobody asked for these");
    let writes = every_write(&store, 1).await;
    let mut expected = Vec::new();
    for (place, (action, answer)) in writes.into_iter().enumerate() {
        assert!(answer.is_ok(), "{action}: {answer:?}");
        assert!(is_kept(&store, 1 + place as u8).await, "{action}");
        expected.push(action);
    }
    for _ in 0..2 {
        let done = done(&store).await;
        let actions: Vec<_> = done.iter().map(|(action, _)| *action).collect();
        assert_eq!(actions, expected, "one each, in the order of the writes");
        let target = |action: AuditAction| {
            let found = done.iter().filter(|(other, _)| *other == action);
            found.map(|(_, target)| target.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(target(AuditAction::ContactBatch), ["3 contacts"]);
        assert_eq!(target(AuditAction::ContactDelete), ["1"]);
        assert_eq!(target(AuditAction::TaskCreate), ["new-1"]);
        assert_eq!(target(AuditAction::TaskDelete), ["doomed"]);
        assert_eq!(target(AuditAction::RunEnqueue)[1], "a: 3000 runs");
        for entry in log(&store).await {
            assert_eq!((entry.author, entry.at), (author("somebody"), store.now()));
        }
        store.crash().await;
    }
}

pub(super) async fn a_key_that_comes_twice_is_a_conflict_and_nothing_is_done(
    backend: &dyn Backend,
) {
    let store = Fixture::start(backend).await;
    furnish(&store).await;
    every_write(&store, 1).await;
    furnish_again(&store).await;
    let told = || async {
        let runs = store
            .list_ids(RunFilter {
                limit: 1_000,
                ..RunFilter::default()
            })
            .await;
        let (tasks, keys) = (store.tasks(None, 10).await.unwrap(), store.keys());
        format!(
            "{:?} {runs:?} {tasks:?} {keys:?} {:?}",
            store.totals(),
            log(&store).await
        )
    };
    let before = told().await;
    for (action, answer) in every_write(&store, 1).await {
        assert!(is_conflict(&answer), "{action}: {answer:?}");
    }
    assert_eq!(told().await, before);
}

/// What [`every_write`] has taken away.
async fn furnish_again(store: &Fixture<'_>) {
    store.add(draft(91)).await;
    store.create(slot_task("doomed")).await;
    store
        .create_key(new_key("second", 201), Write::unattended())
        .await
        .unwrap();
}

pub(super) async fn a_refused_write_keeps_nothing(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let ada = store.add(draft(1)).await;
    store.create(slot_task("a")).await;
    let refused = store.create_contact(draft(1), repeatable(1)).await;
    assert!(matches!(refused, Err(StoreError::Duplicate { .. })));
    assert!(is_not_found(
        &store.delete_contact(ContactId(99), repeatable(2)).await
    ));
    assert!(is_conflict(
        &store.create_task(slot_task("a"), repeatable(3)).await
    ));
    assert!(is_not_found(
        &store
            .enqueue(batch("b", &numbers(3_000)), repeatable(4))
            .await
    ));
    assert!(is_not_found(
        &store
            .enqueue(manual("b", Inputs::one(b"1")), repeatable(5))
            .await
    ));
    assert!(is_not_found(
        &store.delete_task(&name("b"), repeatable(6)).await
    ));
    assert!(is_not_found(
        &store.cancel_run(RunId(99), repeatable(7)).await
    ));
    assert!(is_not_found(
        &store.delete_key(KeyId(9), repeatable(8)).await
    ));
    for key in 1..=8 {
        assert!(!is_kept(&store, key).await, "{key}");
    }
    assert!(log(&store).await.is_empty());
    // It is judged anew when it comes again.
    store
        .delete_contact(ada.id, Write::unattended())
        .await
        .unwrap();
    store.create_contact(draft(1), repeatable(1)).await.unwrap();
    assert!(is_kept(&store, 1).await);
}

/// The gate stands before the commit: what a crash leaves there is nothing, not a part.
pub(super) async fn a_crash_keeps_the_write_with_its_notes_or_neither(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    for committed in [false, true] {
        let held = backend.gate().hold();
        {
            let mut write = store.create_contact(draft(1), repeatable(1));
            assert!(is_sent(&mut write).await);
            assert!(held.arrived().await);
            if committed {
                held.step().await;
                answer(write).await.unwrap();
            }
        }
        store.crash().await;
        drop(held);
        let there = store.totals().contacts == 1;
        assert_eq!((there, is_kept(&store, 1).await), (committed, committed));
        assert_eq!(log(&store).await.len(), usize::from(committed));
    }
}

pub(super) async fn a_batch_of_runs_keeps_its_notes_with_its_last_slice(backend: &dyn Backend) {
    const COUNT: usize = 3 * limits::GROUP_ROWS_MAX;
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let held = backend.gate().hold();
    {
        let mut write = store.enqueue(batch("a", &numbers(COUNT)), repeatable(1));
        assert!(is_sent(&mut write).await);
        assert!(held.arrived().await);
        assert!(held.step().await, "one slice is not all");
        assert!(!is_kept(&store, 1).await);
    }
    store.crash().await;
    drop(held);
    assert_eq!(store.totals().queued, 0);
    assert!(!is_kept(&store, 1).await && log(&store).await.is_empty());
    let enqueued = store
        .enqueue(batch("a", &numbers(COUNT)), repeatable(1))
        .await
        .unwrap();
    assert_eq!(enqueued.count(), COUNT as u64);
    store.crash().await;
    assert_eq!(store.totals().queued, COUNT as u64);
    let kept = store
        .remembered_answer(&answer_key(1))
        .await
        .unwrap()
        .expect("it is kept");
    assert_eq!(kept.answer.body, format!("{enqueued:?}").into_bytes());
    assert_eq!(
        done(&store).await,
        [(AuditAction::RunEnqueue, format!("a: {COUNT} runs"))]
    );
}

/// Between two slices of a batch another write may come under its key, from another node or by a
/// slip of the client. One of them is refused, and nobody else in the group pays for it.
pub(super) async fn a_key_taken_between_the_slices_of_a_batch_refuses_the_batch(
    backend: &dyn Backend,
) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let held = backend.gate().hold();
    let mut large = store.enqueue(
        batch("a", &numbers(3 * limits::GROUP_ROWS_MAX)),
        repeatable(1),
    );
    assert!(is_sent(&mut large).await);
    assert!(held.arrived().await);
    assert!(held.step().await, "one slice is not all");
    let mut small = store.enqueue(manual("a", Inputs::one(b"1")), repeatable(1));
    assert!(is_sent(&mut small).await);
    let mut bystander = store.create_contact(draft(1), Write::unattended());
    assert!(is_sent(&mut bystander).await);
    drop(held);
    let made = answer(small).await.unwrap();
    answer(bystander).await.unwrap();
    let refused = answer(large).await;
    assert!(is_conflict(&refused), "{refused:?}");
    assert_eq!(store.totals().queued, 1);
    let all = RunFilter {
        limit: 1_000,
        ..RunFilter::default()
    };
    assert_eq!(store.list_ids(all).await, made.iter().collect::<Vec<_>>());
    assert_eq!(log(&store).await.len(), 1);
    assert_eq!(store.drain().await.len(), 1);
}

pub(super) async fn a_deleted_task_is_noted_with_its_deletion(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    store.enqueue_many("a", 10_000).await;
    let doomed = name("a");
    let held = backend.gate().hold();
    {
        let mut write = store.delete_task(&doomed, repeatable(1));
        assert!(is_sent(&mut write).await);
        assert!(held.arrived().await);
        assert!(!is_kept(&store, 1).await);
        // Its runs are cancelled in later groups.
        held.step().await;
    }
    store.crash().await;
    drop(held);
    assert!(store.task(&name("a")).await.unwrap().is_none());
    assert!(is_kept(&store, 1).await);
    assert_eq!(
        done(&store).await,
        [(AuditAction::TaskDelete, "a".to_owned())]
    );
    store.create(slot_task("a")).await;
    assert!(is_conflict(
        &store.delete_task(&name("a"), repeatable(1)).await
    ));
    assert!(store.task(&name("a")).await.unwrap().is_some());
}

pub(super) async fn of_two_at_once_under_one_key_one_is_done(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    for round in 0..5_u8 {
        let tries: Vec<_> = (0..4)
            .map(|place| {
                let inner = Arc::clone(&store.store);
                let number = usize::from(round) * 10 + place;
                tokio::spawn(
                    async move { inner.create_contact(draft(number), repeatable(round)).await },
                )
            })
            .collect();
        let mut made: Vec<Contact> = Vec::new();
        for one in tries {
            match answer(one).await.unwrap() {
                Ok(contact) => made.push(contact),
                refused => assert!(is_conflict(&refused), "{refused:?}"),
            }
        }
        assert_eq!(made.len(), 1);
        let kept = store
            .remembered_answer(&answer_key(round))
            .await
            .unwrap()
            .expect("it is kept");
        assert_eq!(kept.answer.body, format!("{:?}", made[0]).into_bytes());
        assert_eq!(store.totals().contacts, u64::from(round) + 1);
    }
}

pub(super) async fn an_answer_is_forgotten_after_a_day(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create_contact(draft(1), repeatable(1)).await.unwrap();
    store.advance(3_600);
    store.create_contact(draft(2), repeatable(2)).await.unwrap();
    store
        .clock
        .advance(limits::IDEMPOTENCY_AGE_MAX - Duration::from_secs(3_600));
    assert_eq!(
        store.forget_answers().await.unwrap(),
        0,
        "a day, to the second"
    );
    store.advance(1);
    assert_eq!(store.forget_answers().await.unwrap(), 1);
    assert!(!is_kept(&store, 1).await && is_kept(&store, 2).await);
    store.crash().await;
    assert!(!is_kept(&store, 1).await && is_kept(&store, 2).await);
    // What is forgotten may be done again.
    store.create_contact(draft(3), repeatable(1)).await.unwrap();
    store.advance(2 * 86_400);
    assert_eq!(store.forget_answers().await.unwrap(), 2);
    assert_eq!(store.forget_answers().await.unwrap(), 0);
    assert_eq!(log(&store).await.len(), 3, "who wrote stays known");
}

pub(super) async fn the_audit_log_is_read_newest_first_page_by_page(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    for number in 0..25 {
        let principal = ["ada", "bob"][number % 2];
        store
            .create_contact(draft(number), by(principal))
            .await
            .unwrap();
        store.advance(1);
    }
    let whole = log(&store).await;
    assert_eq!(whole.len(), 25);
    assert!(whole.is_sorted_by(|newer, older| newer.id > older.id && newer.at > older.at));
    let targets: Vec<_> = whole.iter().map(|entry| entry.target.clone()).collect();
    assert_eq!(
        targets,
        (1..=25).rev().map(|id| id.to_string()).collect::<Vec<_>>()
    );
    assert_eq!(whole[0].author.principal, "ada");
    let mut paged = Vec::new();
    let mut before: Option<AuditId> = None;
    loop {
        let page = store.audit_log(before, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        paged.extend(page);
        // What comes in the meantime is on no later page.
        store
            .create_contact(draft(100 + paged.len()), by("eve"))
            .await
            .unwrap();
    }
    assert_eq!(paged, whole);
}

pub(super) async fn entries_of_the_audit_log_leave_by_their_age(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    for number in 0..10 {
        store
            .create_contact(draft(number), by("ada"))
            .await
            .unwrap();
        store.advance(3_600);
    }
    let policy = RetentionPolicy {
        age_max: Duration::from_secs(30 * 86_400),
        runs_max: 1_000_000,
        bytes_max: 1 << 40,
        audit_age_max: Duration::from_secs(3 * 3_600),
    };
    let report = store.apply_retention(policy.clone()).await.unwrap();
    assert_eq!(report.audit_entries_dropped, 7);
    assert_eq!(
        store
            .apply_retention(policy.clone())
            .await
            .unwrap()
            .audit_entries_dropped,
        0
    );
    store.crash().await;
    let left: Vec<_> = log(&store)
        .await
        .into_iter()
        .map(|entry| entry.target)
        .collect();
    assert_eq!(left, ["10", "9", "8"]);
    assert_eq!(store.totals().contacts, 10, "what they tell of stays");
}
