//! Accepting runs: single and in batches, whole or not at all, and not beyond what memory bears.

use std::sync::Arc;

use autom8_model::limits;
use autom8_model::ready::Lane;
use autom8_model::{Inputs, RunState, TaskSpec, Trigger};
use tokio::task::JoinSet;

use super::Backend;
use super::fixture::{
    Fixture, answer, batch, input_of, instant_task, is_sent, local_claim, manual, name, numbers,
    run_ids, slot_task,
};
use crate::{RunFilter, StoreError, Write};

pub(super) async fn an_accepted_run_waits_as_it_was_given(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store
        .create(TaskSpec {
            priority: 3,
            ..slot_task("a")
        })
        .await;
    let run = store.enqueue_one("a", r#"{ "b" : 1.0 }"#).await;
    let told = store.get(run).await;
    assert_eq!(
        (told.id, told.task, told.state),
        (run, name("a"), RunState::Queued)
    );
    assert_eq!(
        (told.trigger, told.queued_at),
        (Trigger::Manual, store.now())
    );
    assert_eq!((told.attempt, told.max_attempts, told.epoch), (0, 3, None));
    assert_eq!(
        (told.planned_at, told.started_at, told.finished_at),
        (None, None, None)
    );
    assert_eq!((told.run_at, told.replay_of), (None, None));
    assert_eq!(told.input.as_deref(), Some(&br#"{ "b" : 1.0 }"#[..]));
    assert_eq!((told.result, told.error, told.log), (None, None, None));
    assert_eq!(store.totals().queued, 1);
}

pub(super) async fn a_run_without_input_has_none(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    store
        .enqueue(manual("a", Inputs::none()), Write::unattended())
        .await
        .unwrap();
    let lease = store.claim_one().await;
    assert!(input_of(&lease).is_empty());
    assert_eq!(store.get(lease.claimed.run).await.input, None);
}

pub(super) async fn ids_rise_and_stay_below_two_to_the_fifty_third(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let mut last = 0;
    for round in 0..4 {
        for run in [
            store.enqueue_many("a", 3).await,
            vec![store.enqueue_one("a", "1").await],
        ] {
            for id in run {
                assert!(id.0 > last, "{id} follows {last}");
                assert!(id.0 < 1 << 53);
                last = id.0;
            }
        }
        if round == 1 {
            store.crash().await;
        } else if round == 2 {
            store.restart().await;
        }
    }
}

pub(super) async fn ten_thousand_inputs_come_back_byte_for_byte(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(instant_task("n")).await;
    let mut inputs = numbers(limits::BATCH_RUNS_MAX);
    inputs[17] = String::new();
    inputs[4_711] = format!(r#"{{ "ä\u0000" :  "{}" }}"#, "x".repeat(30_000));
    let enqueued = store
        .enqueue(batch("n", &inputs), Write::unattended())
        .await
        .unwrap();
    let ids: Vec<_> = enqueued.iter().collect();
    assert_eq!(
        (ids.len(), enqueued.count()),
        (inputs.len(), inputs.len() as u64)
    );
    assert!(ids.is_sorted_by(|left, right| left < right), "ids ascend");
    assert_eq!(store.totals().queued, inputs.len() as u64);
    // The first part is claimed by the process that accepted it, the rest by one that has to
    // read the inputs back.
    let mut claimed = 0;
    for (round, want) in [(0, 4_000), (1, limits::CLAIM_RUNS_MAX)] {
        let leases = store.claim(local_claim(Lane::Instant, want)).await.unwrap();
        for lease in &leases {
            let index = ids
                .binary_search(&lease.claimed.run)
                .expect("a run of the batch");
            assert_eq!(
                input_of(lease),
                inputs[index].as_bytes(),
                "input of run {index}"
            );
        }
        assert_eq!(
            run_ids(&leases),
            ids[claimed..claimed + leases.len()],
            "in order"
        );
        claimed += leases.len();
        let finishes = leases
            .iter()
            .map(|lease| store.ended(lease, super::fixture::COMPLETED))
            .collect();
        assert_eq!(
            store.finish(finishes).await.unwrap().accepted,
            leases.len() as u64
        );
        if round == 0 {
            assert_eq!(leases.len(), want);
            store.crash().await;
        }
    }
    assert_eq!(claimed, ids.len());
    for index in [0, 17, 4_711, 9_999] {
        let expected = Some(inputs[index].clone().into_bytes()).filter(|bytes| !bytes.is_empty());
        assert_eq!(store.get(ids[index]).await.input, expected);
    }
}

/// Follows a batch group by group: until the last of its slices is committed, none of it may be
/// claimed, nor is it acknowledged.
pub(super) async fn a_batch_is_claimable_only_when_it_is_whole(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let count = limits::BATCH_RUNS_MAX;
    let gate = backend.gate();
    let held = gate.hold();
    let inner = Arc::clone(&store.store);
    let enqueue = tokio::spawn(async move {
        inner
            .enqueue(batch("a", &numbers(count)), Write::unattended())
            .await
            .unwrap()
    });
    assert!(held.arrived().await, "the writer comes to the gate");
    let inner = Arc::clone(&store.store);
    // It waits for the first run that can be claimed.
    let claim = tokio::spawn(async move {
        let claim = crate::Claim {
            wait: limits::CLAIM_WAIT_MAX,
            ..local_claim(Lane::Slot, limits::CLAIM_RUNS_MAX)
        };
        let leases = inner.claim(claim).await.unwrap();
        (leases.len(), inner.totals())
    });
    let mut groups = 0;
    while held.step().await {
        groups += 1;
        assert!(
            groups < 1_000,
            "a batch is written in a bounded number of groups"
        );
    }
    assert!(
        groups + 1 >= count / limits::GROUP_ROWS_MAX,
        "{groups} groups for {count} runs: a group holds at most {}",
        limits::GROUP_ROWS_MAX
    );
    drop(held);
    assert_eq!(answer(enqueue).await.unwrap().count(), count as u64);
    let (claimed, totals) = answer(claim).await.unwrap();
    assert!(claimed > 0);
    assert_eq!(
        totals.queued + totals.running,
        count as u64,
        "claimed before it was whole"
    );
}

pub(super) async fn a_batch_cut_by_a_crash_is_there_whole_or_not_at_all(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let count = 3 * limits::GROUP_ROWS_MAX;
    for groups in 0..5 {
        let gate = backend.gate();
        let held = gate.hold();
        let inner = Arc::clone(&store.store);
        let enqueue = tokio::spawn(async move {
            inner
                .enqueue(batch("a", &numbers(count)), Write::unattended())
                .await
        });
        held.arrived().await;
        for _ in 0..groups {
            held.step().await;
        }
        let acknowledged = enqueue.is_finished();
        backend.crash(Arc::clone(&store.store)).await;
        drop(held);
        enqueue.abort();
        store.store = backend.start().await;
        let found = store.totals().queued;
        let expected: &[u64] = if acknowledged {
            &[count as u64]
        } else {
            &[0, count as u64]
        };
        assert!(
            expected.contains(&found),
            "{found} runs of {count} after {groups} groups"
        );
        let claimed = store.drain().await;
        assert_eq!(
            claimed.len() as u64,
            found,
            "what is counted can be claimed"
        );
        let listed = RunFilter {
            states: vec![RunState::Queued],
            limit: 1_000,
            ..Default::default()
        };
        assert_eq!(store.list_ids(listed).await, []);
    }
}

pub(super) async fn nothing_is_acknowledged_before_its_commit(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let gate = backend.gate();
    let held = gate.hold();
    let inner = Arc::clone(&store.store);
    let enqueue = tokio::spawn(async move {
        inner
            .enqueue(manual("a", Inputs::none()), Write::unattended())
            .await
    });
    assert!(held.arrived().await);
    assert!(!enqueue.is_finished(), "the group is not committed");
    assert_eq!(
        store.totals().queued,
        0,
        "totals are those of the last commit"
    );
    backend.crash(Arc::clone(&store.store)).await;
    drop(held);
    enqueue.abort();
    store.store = backend.start().await;
    assert_eq!(store.totals().queued, 0);
    assert!(store.claim_up_to(10).await.is_empty());
}

/// A task is written while a whole batch waits before it.
pub(super) async fn a_small_write_overtakes_a_large_batch(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let gate = backend.gate();
    let held = gate.hold();
    let inner = Arc::clone(&store.store);
    let inputs = numbers(limits::BATCH_RUNS_MAX);
    let enqueue = tokio::spawn(async move {
        inner
            .enqueue(batch("a", &inputs), Write::unattended())
            .await
    });
    assert!(held.arrived().await);
    let mut create = store.create_task(slot_task("b"), Write::unattended());
    assert!(
        is_sent(&mut create).await,
        "the writer stands still, so it has no answer yet"
    );
    let mut groups = 0;
    while store.totals().tasks < 2 {
        assert!(
            held.step().await,
            "the batch is not through, so the writer comes back"
        );
        groups += 1;
    }
    // The first group may have been chosen before the task was there; the next was not.
    assert!(groups <= 2, "the task waited for {groups} groups");
    assert!(!enqueue.is_finished(), "and the batch is not written yet");
    drop(held);
    answer(create).await.unwrap();
    answer(enqueue).await.unwrap().unwrap();
}

pub(super) async fn too_much_at_once_is_refused_and_the_rest_is_kept(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let gate = backend.gate();
    let held = gate.hold();
    let mut sent = JoinSet::new();
    let beyond = limits::WRITER_INBOX_COMMANDS_MAX + 2 * limits::GROUP_ROWS_MAX;
    for _ in 0..beyond {
        let inner = Arc::clone(&store.store);
        sent.spawn(async move {
            inner
                .enqueue(manual("a", Inputs::one(b"1")), Write::unattended())
                .await
        });
    }
    // A refusal comes at once, while the writer stands still.
    let refusal = answer(sent.join_next()).await.unwrap().unwrap();
    assert!(
        matches!(refusal, Err(StoreError::Overloaded { .. })),
        "{refusal:?}"
    );
    drop(held);
    let mut accepted = 0;
    let mut refused = 1;
    while let Some(done) = answer(sent.join_next()).await {
        match done.unwrap() {
            Ok(enqueued) => accepted += enqueued.count(),
            Err(StoreError::Overloaded { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(accepted + refused, beyond as u64);
    assert_eq!(
        store.totals().queued,
        accepted,
        "exactly what was accepted is there"
    );
    assert_eq!(store.drain().await.len() as u64, accepted);
    store.enqueue_one("a", "1").await;
}

pub(super) async fn runs_enqueued_at_once_are_all_there_once(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let mut sent = JoinSet::new();
    for number in 0..200 {
        let inner = Arc::clone(&store.store);
        sent.spawn(async move {
            let text = format!("{number}");
            let enqueued = inner
                .enqueue(
                    manual("a", Inputs::one(text.as_bytes())),
                    Write::unattended(),
                )
                .await
                .unwrap();
            (enqueued.iter().next().unwrap(), text)
        });
    }
    let mut expected: Vec<_> = answer(sent.join_all()).await;
    expected.sort();
    assert_eq!(store.totals().queued, 200);
    let leases = store.claim_up_to(500).await;
    let mut claimed: Vec<_> = leases
        .iter()
        .map(|lease| {
            (
                lease.claimed.run,
                String::from_utf8_lossy(input_of(lease)).into_owned(),
            )
        })
        .collect();
    claimed.sort();
    assert_eq!(claimed, expected);
}
