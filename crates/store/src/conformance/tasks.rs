//! Tasks: written, changed, paused, deleted, and what that does to their runs.

use crate::Write;
use std::time::Duration;

use autom8_model::schedule::{CatchUpLimits, Due, due};
use autom8_model::transition::Decision;
use autom8_model::{Inputs, RunState, Schedule, Task, TaskSpec, Timestamp};

use super::Backend;
use super::fixture::{
    CANCELLED, COMPLETED, Fixture, is_conflict, is_not_found, manual, minutely, name, slot_task,
    spec,
};
use crate::RunFilter;

fn json(spec: &TaskSpec) -> String {
    serde_json::to_string(spec).unwrap()
}

/// What the scheduler would do for a stored task now.
fn due_now(task: &Task, now: Timestamp) -> Due {
    let schedule = task.spec.schedule.as_ref().expect("a schedule");
    let limits = CatchUpLimits::default();
    due(
        schedule,
        task.anchor_at,
        task.fired_through,
        now,
        task.spec.catch_up,
        &limits,
    )
}

pub(super) async fn a_task_is_read_back_as_it_was_written(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let written = spec(
        r#"{"name":"nightly-sync","do":{"http":{"method":"POST","url":"https://crm.example/hook",
            "headers":{"X-A":"b"},"body":{ "a" : [1, 2.50] }}},
            "schedule":{"cron":"0 2 * * 1","timezone":"Europe/Berlin"},
            "retry":{"max_attempts":7,"backoff":"2s","max_backoff":"1m"},"timeout":"90s",
            "queue":"crm","priority":-5,"overlap":"replace","catch_up":"all","on_crash":"fail",
            "enabled":false}"#,
    );
    let created = store.create(written.clone()).await;
    assert_eq!(json(&created.spec), json(&written));
    assert_eq!(
        (created.created_at, created.updated_at),
        (store.now(), store.now())
    );
    let read = store
        .task(&name("nightly-sync"))
        .await
        .unwrap()
        .expect("the task is there");
    assert_eq!(json(&read.spec), json(&written));
    assert_eq!((read.id, read.rev), (created.id, created.rev));
    assert!(store.task(&name("nightly")).await.unwrap().is_none());
    assert_eq!(store.totals().tasks, 1);
}

pub(super) async fn a_taken_name_is_a_conflict_and_changes_nothing(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let first = store.create(slot_task("a")).await;
    let other = TaskSpec {
        priority: 9,
        ..slot_task("a")
    };
    assert!(is_conflict(
        &store.create_task(other, Write::unattended()).await
    ));
    let read = store.task(&name("a")).await.unwrap().unwrap();
    assert_eq!(
        (read.id, read.rev, read.spec.priority),
        (first.id, first.rev, 0)
    );
    assert_eq!(store.totals().tasks, 1);
}

pub(super) async fn of_two_who_take_one_name_at_once_one_gets_it(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let (left, right) = tokio::join!(
        store.create_task(slot_task("a"), Write::unattended()),
        store.create_task(slot_task("a"), Write::unattended())
    );
    assert_eq!(u8::from(left.is_ok()) + u8::from(right.is_ok()), 1);
    assert!(is_conflict(&left) || is_conflict(&right));
}

pub(super) async fn an_update_is_the_next_revision_of_the_same_task(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let created = store.create(slot_task("a")).await;
    store.advance(5);
    let changed = TaskSpec {
        priority: 9,
        ..slot_task("a")
    };
    let updated = store
        .update_task(changed, Write::unattended())
        .await
        .unwrap();
    assert_eq!((updated.id, updated.rev), (created.id, created.rev + 1));
    assert_eq!(
        (updated.created_at, updated.updated_at),
        (created.created_at, store.now())
    );
    let read = store.task(&name("a")).await.unwrap().unwrap();
    assert_eq!((read.rev, read.spec.priority), (updated.rev, 9));
}

pub(super) async fn an_unknown_name_is_not_found(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    assert!(is_not_found(
        &store.update_task(slot_task("a"), Write::unattended()).await
    ));
    assert!(is_not_found(
        &store
            .set_task_enabled(&name("a"), false, Write::unattended())
            .await
    ));
    assert!(is_not_found(
        &store.delete_task(&name("a"), Write::unattended()).await
    ));
    assert!(is_not_found(
        &store
            .enqueue(manual("a", Inputs::none()), Write::unattended())
            .await
    ));
    assert_eq!(store.totals().tasks, 0);
}

pub(super) async fn a_new_schedule_counts_from_its_creation(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let created = store.create(minutely("a")).await;
    assert_eq!(created.anchor_at, store.now());
    assert_eq!(due_now(&created, store.now()).fires, []);
    assert_eq!(due_now(&created, store.after(60)).fires.len(), 1);
}

pub(super) async fn a_changed_schedule_counts_from_its_change(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(minutely("a")).await;
    store.advance(1_000);
    let slower = Schedule::every(Duration::from_secs(90)).unwrap();
    let changed = TaskSpec {
        schedule: Some(slower),
        ..minutely("a")
    };
    let updated = store
        .update_task(changed, Write::unattended())
        .await
        .unwrap();
    assert_eq!(updated.anchor_at, store.now());
    assert_eq!(due_now(&updated, store.after(89)).fires, []);
    assert_eq!(due_now(&updated, store.after(90)).fires.len(), 1);
}

pub(super) async fn an_update_that_keeps_the_schedule_keeps_its_count(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let created = store.create(minutely("a")).await;
    store.advance(100);
    let changed = TaskSpec {
        priority: 9,
        ..minutely("a")
    };
    let updated = store
        .update_task(changed, Write::unattended())
        .await
        .unwrap();
    assert_eq!(updated.anchor_at, created.anchor_at);
    assert_eq!(updated.fired_through, created.fired_through);
}

pub(super) async fn fires_within_a_pause_are_not_made_up_for(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(minutely("a")).await;
    store.advance(30);
    let paused = store
        .set_task_enabled(&name("a"), false, Write::unattended())
        .await
        .unwrap();
    assert!(!paused.spec.enabled);
    store.advance(600);
    let resumed = store
        .set_task_enabled(&name("a"), true, Write::unattended())
        .await
        .unwrap();
    assert!(resumed.spec.enabled);
    assert_eq!(due_now(&resumed, store.now()).fires, []);
    // It goes on in its old rhythm: the next fire is the one at minute 11.
    assert_eq!(due_now(&resumed, store.after(29)).fires, []);
    assert_eq!(due_now(&resumed, store.after(30)).fires.len(), 1);
}

pub(super) async fn a_deleted_task_cancels_its_queued_runs_and_names_the_running(
    backend: &dyn Backend,
) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    store.create(slot_task("b")).await;
    let other = store.enqueue_one("b", "1").await;
    let runs = store.enqueue_many("a", 5).await;
    let done = store.claim_up_to(3).await;
    assert_eq!(done[0].claimed.run, other);
    store.settle(&done[1], COMPLETED).await;
    store
        .settle(&done[0], Decision::RetryAt(store.after(60)))
        .await;
    let deleted = store
        .delete_task(&name("a"), Write::unattended())
        .await
        .unwrap();
    assert_eq!(deleted.cancelled, 3);
    assert_eq!(deleted.running, [runs[1]]);
    assert!(store.task(&name("a")).await.unwrap().is_none());
    assert_eq!(store.state(runs[0]).await, RunState::Completed);
    assert_eq!(store.state(runs[1]).await, RunState::Running);
    for run in &runs[2..] {
        assert_eq!(store.state(*run).await, RunState::Cancelled);
    }
    assert_eq!(
        store.state(other).await,
        RunState::Queued,
        "another task's run is untouched"
    );
    assert!(store.claim_up_to(10).await.is_empty());
    store.settle(&done[2], COMPLETED).await;
    assert_eq!(store.state(runs[1]).await, RunState::Completed);
    assert_eq!(store.totals().tasks, 1);
}

pub(super) async fn a_run_of_a_deleted_task_is_not_tried_again(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs = store.enqueue_many("a", 2).await;
    let leases = store.claim_up_to(2).await;
    store
        .delete_task(&name("a"), Write::unattended())
        .await
        .unwrap();
    store
        .settle(&leases[0], Decision::RetryAt(store.now()))
        .await;
    assert_eq!(store.state(runs[0]).await, RunState::Cancelled);
    store.crash().await;
    assert_eq!(store.state(runs[1]).await, RunState::Cancelled);
    assert!(store.claim_up_to(10).await.is_empty());
    assert_eq!((store.totals().queued, store.totals().running), (0, 0));
}

pub(super) async fn a_backing_off_run_is_cancelled_with_its_task(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let lease = store.claim_one().await;
    store
        .settle(&lease, Decision::RetryAt(store.after(60)))
        .await;
    assert_eq!(
        store
            .delete_task(&name("a"), Write::unattended())
            .await
            .unwrap()
            .cancelled,
        1
    );
    assert_eq!(store.state(run).await, RunState::Cancelled);
    store.advance(61);
    assert!(store.claim_up_to(10).await.is_empty());
}

pub(super) async fn a_deleted_name_can_be_used_again_and_keeps_its_history(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    let first = store.create(slot_task("a")).await;
    let old = store.enqueue_one("a", "1").await;
    store.drain().await;
    store
        .delete_task(&name("a"), Write::unattended())
        .await
        .unwrap();
    let of_a = || RunFilter {
        task: Some(name("a")),
        limit: 10,
        ..RunFilter::default()
    };
    assert_eq!(store.list_ids(of_a()).await, [old]);
    let second = store.create(slot_task("a")).await;
    assert_ne!(first.id, second.id, "an id is never used again");
    let new = store.enqueue_one("a", "2").await;
    assert_eq!(store.list_ids(of_a()).await, [new, old]);
    store.crash().await;
    assert_eq!(store.list_ids(of_a()).await, [new, old]);
    assert_eq!(store.get(old).await.task, name("a"));
    assert_eq!(store.drain().await, [new]);
}

pub(super) async fn a_cancelled_run_of_a_deleted_task_ends_once(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs = store.enqueue_many("a", 5).await;
    store
        .cancel_run(runs[2], Write::unattended())
        .await
        .unwrap();
    assert_eq!(
        store
            .delete_task(&name("a"), Write::unattended())
            .await
            .unwrap()
            .cancelled,
        4
    );
    assert_eq!(store.totals().sum().cancelled, 5);
    assert_eq!(store.totals().queued, 0);
}

pub(super) async fn tasks_are_listed_by_name_page_by_page(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    for text in ["d", "b", "a.x", "c", "a"] {
        store.create(slot_task(text)).await;
    }
    let mut seen = Vec::new();
    loop {
        let after = seen.last().cloned();
        let page = store.tasks(after.as_ref(), 2).await.unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        seen.extend(page.iter().map(|task| task.spec.name.clone()));
    }
    let texts: Vec<&str> = seen.iter().map(|name| name.as_str()).collect();
    assert_eq!(texts, ["a", "a.x", "b", "c", "d"]);
    let after_gap = store.tasks(Some(&name("b0")), 10).await.unwrap();
    assert_eq!(after_gap.len(), 2, "the name to start after need not exist");
}

pub(super) async fn tasks_survive_a_restart_and_a_crash_to_the_letter(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(minutely("a")).await;
    store.create(slot_task("b")).await;
    store.create(slot_task("gone")).await;
    store.advance(10);
    store
        .update_task(
            TaskSpec {
                priority: 3,
                ..minutely("a")
            },
            Write::unattended(),
        )
        .await
        .unwrap();
    store
        .set_task_enabled(&name("b"), false, Write::unattended())
        .await
        .unwrap();
    store
        .delete_task(&name("gone"), Write::unattended())
        .await
        .unwrap();
    let told = |tasks: Vec<std::sync::Arc<Task>>| format!("{tasks:?}");
    let before = told(store.tasks(None, 10).await.unwrap());
    store.advance(10);
    store.crash().await;
    assert_eq!(told(store.tasks(None, 10).await.unwrap()), before);
    store.restart().await;
    assert_eq!(told(store.tasks(None, 10).await.unwrap()), before);
    assert_eq!(store.totals().tasks, 2);
}

pub(super) async fn an_end_recorded_after_the_deletion_stands(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let lease = store.claim_one().await;
    store
        .delete_task(&name("a"), Write::unattended())
        .await
        .unwrap();
    store.settle(&lease, CANCELLED).await;
    assert_eq!(store.state(run).await, RunState::Cancelled);
    assert_eq!(store.totals().sum().cancelled, 1);
}
