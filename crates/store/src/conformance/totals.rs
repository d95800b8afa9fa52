//! Lifetime counts, exact as of the last commit.

use autom8_model::ready::Lane;
use autom8_model::transition::Decision;
use autom8_model::{RunState, TaskType};

use super::Backend;
use super::fixture::{
    CANCELLED, COMPLETED, FAILED, Fixture, counted, http_task, instant_task, local_claim, slot_task,
};
use crate::{Totals, TypeTotals, Write};

pub(super) async fn a_new_store_has_counted_nothing(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    assert_eq!(counted(store.totals()), Totals::default());
    let info = store.describe();
    assert!(!info.kind.is_empty() && !info.library_version.is_empty());
    assert!(["full", "normal"].contains(&info.durability));
    assert!(info.schema_version > 0);
}

pub(super) async fn each_type_is_counted_apart(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(instant_task("n")).await;
    store.create(slot_task("p")).await;
    store.create(http_task("h")).await;
    store.enqueue_many("n", 4).await;
    store.enqueue_many("p", 6).await;
    store.enqueue_many("h", 3).await;
    let instant = store.claim(local_claim(Lane::Instant, 3)).await.unwrap();
    store.settle(&instant[0], COMPLETED).await;
    store.settle(&instant[1], COMPLETED).await;
    let slots = store.claim_up_to(8).await;
    let decisions = [
        COMPLETED,
        FAILED,
        CANCELLED,
        Decision::End(RunState::Interrupted),
        Decision::RetryAt(store.after(3_600)),
    ];
    for (lease, decision) in slots.iter().zip(decisions) {
        store.settle(lease, decision).await;
    }
    store.settle(&slots[7], FAILED).await;
    let expected = Totals {
        contacts: 0,
        by_type: vec![
            (
                TaskType::Http,
                TypeTotals {
                    failed: 1,
                    running: 1,
                    ..TypeTotals::default()
                },
            ),
            (
                TaskType::Process,
                TypeTotals {
                    completed: 1,
                    failed: 1,
                    interrupted: 1,
                    cancelled: 1,
                    running: 1,
                },
            ),
            (
                TaskType::Builtin,
                TypeTotals {
                    completed: 2,
                    running: 1,
                    ..TypeTotals::default()
                },
            ),
        ],
        // One of the built-in, one of HTTP and the one that backs off.
        queued: 3,
        running: 3,
        tasks: 3,
        stale_finishes: 0,
    };
    assert_eq!(counted(store.totals()), expected);
    let sum = store.totals().sum();
    assert_eq!((sum.completed, sum.failed, sum.running), (3, 2, 3));
    // A crash puts what ran back, and forgets nothing.
    store.crash().await;
    let mut after = expected;
    for (_, one) in &mut after.by_type {
        one.running = 0;
    }
    (after.queued, after.running) = (6, 0);
    assert_eq!(counted(store.totals()), after);
    store.restart().await;
    assert_eq!(counted(store.totals()), after);
}

pub(super) async fn a_count_is_there_with_the_answer_that_made_it(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    for round in 1..=20 {
        store.create(slot_task(&format!("t{round}"))).await;
        assert_eq!(store.totals().tasks, round);
        let run = store.enqueue_one(&format!("t{round}"), "1").await;
        assert_eq!(store.totals().queued, 1);
        if round % 2 == 0 {
            store.cancel_run(run, Write::unattended()).await.unwrap();
            assert_eq!(store.totals().sum().cancelled, round / 2);
        } else {
            let lease = store.claim_one().await;
            assert_eq!((store.totals().queued, store.totals().running), (0, 1));
            store.settle(&lease, COMPLETED).await;
            assert_eq!(store.totals().sum().completed, round / 2 + 1);
        }
        assert_eq!((store.totals().queued, store.totals().running), (0, 0));
    }
}
