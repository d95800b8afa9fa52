//! Lists of runs: every filter against the same filter done by hand, whole pages or short ones.

use std::collections::HashSet;

use autom8_model::limits;
use autom8_model::ready::Lane;
use autom8_model::schedule::{FireOutcome, PlannedFire};
use autom8_model::task::{OnCrash, Overlap};
use autom8_model::transition::Decision;
use autom8_model::{Run, RunId, RunState, TaskSpec, TaskType, Timestamp, Trigger};

use super::Backend;
use super::fixture::{
    CANCELLED, COMPLETED, FAILED, Fixture, batch, http_task, instant_task, local_claim, minutely,
    name, numbers, slot_task,
};
use crate::{FireBatch, RunFilter, RunPage, Write};

/// Runs of several tasks, types, triggers, times and every state, the last of them `running` and
/// `queued`.
async fn populate(store: &Fixture<'_>) {
    store.create(http_task("web")).await;
    store
        .create(TaskSpec {
            on_crash: OnCrash::Fail,
            ..slot_task("job")
        })
        .await;
    store.create(instant_task("nothing")).await;
    let scheduled = store
        .create(TaskSpec {
            overlap: Overlap::Allow,
            ..minutely("tick")
        })
        .await;
    for round in 0..4_u64 {
        store.advance(60);
        for task in ["web", "job", "nothing"] {
            store.enqueue_many(task, 7).await;
            store.enqueue_one(task, "1").await;
        }
        let planned_at = store.now();
        let fire = PlannedFire {
            planned_at,
            outcome: FireOutcome::Run,
        };
        let fires = FireBatch {
            task: scheduled.id,
            rev: scheduled.rev,
            fires: vec![fire],
            fired_through: planned_at,
        };
        store.record_fires(vec![fires]).await.unwrap();
        let mut leases = store.claim(local_claim(Lane::Instant, 5)).await.unwrap();
        leases.extend(store.claim_up_to(14).await);
        let ends = [COMPLETED, COMPLETED, FAILED, CANCELLED];
        for (index, lease) in leases.iter().enumerate() {
            let decision = match index % 6 {
                4 => Decision::End(RunState::Interrupted),
                5 if round < 3 => Decision::RetryAt(store.after(1)),
                5 => continue,
                end => ends[end],
            };
            store.settle(lease, decision).await;
        }
        let ended = store.in_state(RunState::Failed).await;
        store
            .replay_run(ended[0], Write::unattended())
            .await
            .unwrap();
        let queued = store.in_state(RunState::Queued).await;
        store
            .cancel_run(queued[round as usize], Write::unattended())
            .await
            .unwrap();
    }
}

fn matches(filter: &RunFilter, run: &Run) -> bool {
    filter.task.as_ref().is_none_or(|task| *task == run.task)
        && filter
            .task_type
            .is_none_or(|task_type| task_type == run.task_type)
        && (filter.states.is_empty() || filter.states.contains(&run.state))
        && filter.trigger.is_none_or(|trigger| trigger == run.trigger)
        && filter.since.is_none_or(|since| run.queued_at >= since)
        && filter.until.is_none_or(|until| run.queued_at < until)
        && filter.before.is_none_or(|before| run.id < before)
}

/// Every combination of a few values of every filter.
fn filters(all: &[Run]) -> Vec<RunFilter> {
    let mut times: Vec<Timestamp> = all.iter().map(|run| run.queued_at).collect();
    times.sort();
    times.dedup();
    let some = |task: &str| Some(name(task));
    let state_sets: [&[RunState]; 9] = [
        &[],
        &[RunState::Queued],
        &[RunState::Running],
        &[RunState::Completed],
        &[RunState::Failed],
        &[RunState::Cancelled],
        &[RunState::Interrupted],
        &[RunState::Running, RunState::Queued],
        &[RunState::Failed, RunState::Interrupted, RunState::Completed],
    ];
    let mut filters = Vec::new();
    for task in [None, some("web"), some("tick"), some("unknown")] {
        for task_type in [None, Some(TaskType::Http), Some(TaskType::Process)] {
            for states in state_sets {
                for trigger in [None, Some(Trigger::Batch), Some(Trigger::Schedule)] {
                    for (since, until) in [(None, None), (Some(times[1]), Some(times[3]))] {
                        filters.push(RunFilter {
                            task: task.clone(),
                            task_type,
                            states: states.to_vec(),
                            trigger,
                            since,
                            until,
                            before: None,
                            limit: 1_000,
                        });
                    }
                }
            }
        }
    }
    filters
}

pub(super) async fn every_filter_shows_what_it_names_newest_first(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    populate(&store).await;
    let every = RunFilter {
        limit: 1_000,
        ..RunFilter::default()
    };
    for round in ["live", "after a crash"] {
        let all = store.list(every.clone()).await;
        assert!(
            all.is_sorted_by(|newer, older| newer.id > older.id),
            "newest first"
        );
        let states: HashSet<RunState> = all.iter().map(|run| run.state).collect();
        // A crash leaves nothing running.
        assert_eq!(states.len(), if round == "live" { 6 } else { 5 }, "{round}");
        for filter in filters(&all) {
            let expected: Vec<RunId> = all
                .iter()
                .filter(|run| matches(&filter, run))
                .map(|run| run.id)
                .collect();
            assert_eq!(
                store.list_ids(filter.clone()).await,
                expected,
                "{round}: {filter:?}"
            );
        }
        for trigger in Trigger::ALL {
            let filter = RunFilter {
                trigger: Some(trigger),
                ..every.clone()
            };
            let expected: Vec<RunId> = all
                .iter()
                .filter(|run| run.trigger == trigger)
                .map(|run| run.id)
                .collect();
            assert!(!expected.is_empty(), "{trigger:?} is in the population");
            assert_eq!(
                store.list_ids(filter).await,
                expected,
                "{round}: {trigger:?}"
            );
        }
        if round == "live" {
            store.crash().await;
        }
    }
}

pub(super) async fn a_list_tells_each_run_as_it_is_told_alone(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    populate(&store).await;
    let all = store
        .list(RunFilter {
            limit: 1_000,
            ..RunFilter::default()
        })
        .await;
    assert_eq!(all.len(), 4 * (3 * 8 + 1) + 4);
    for mut listed in all {
        let mut alone = store.get(listed.id).await;
        // A list may leave out what can be large.
        for run in [&mut listed, &mut alone] {
            (run.input, run.result) = (None, None);
        }
        assert_eq!(format!("{listed:?}"), format!("{alone:?}"));
    }
}

pub(super) async fn pages_of_any_size_show_each_run_once(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    populate(&store).await;
    let all = store
        .list(RunFilter {
            limit: 1_000,
            ..RunFilter::default()
        })
        .await;
    for filter in [
        RunFilter::default(),
        RunFilter {
            states: vec![RunState::Completed],
            ..RunFilter::default()
        },
        RunFilter {
            states: vec![RunState::Queued, RunState::Failed],
            ..RunFilter::default()
        },
        RunFilter {
            task: Some(name("web")),
            ..RunFilter::default()
        },
        RunFilter {
            task_type: Some(TaskType::Builtin),
            ..RunFilter::default()
        },
    ] {
        let expected: Vec<RunId> = all
            .iter()
            .filter(|run| matches(&filter, run))
            .map(|run| run.id)
            .collect();
        for limit in [1, 2, 7, expected.len().max(1), 500] {
            let paged = store
                .list_ids(RunFilter {
                    limit,
                    ..filter.clone()
                })
                .await;
            assert_eq!(paged, expected, "pages of {limit}: {filter:?}");
        }
        // A cursor may name any run, also one that the filter leaves out.
        let before = Some(all[all.len() / 2].id);
        let filter = RunFilter {
            before,
            limit: 3,
            ..filter
        };
        let expected: Vec<RunId> = all
            .iter()
            .filter(|run| matches(&filter, run))
            .map(|run| run.id)
            .collect();
        assert_eq!(store.list_ids(filter).await, expected);
    }
}

pub(super) async fn pages_show_each_run_once_while_new_ones_arrive(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let mut expected = store.enqueue_many("a", 30).await;
    expected.reverse();
    let mut seen = Vec::new();
    let mut filter = RunFilter {
        task: Some(name("a")),
        limit: 4,
        ..RunFilter::default()
    };
    loop {
        let page = store.runs(filter.clone()).await.unwrap();
        seen.extend(page.runs.iter().map(|run| run.id));
        store.enqueue_many("a", 3).await;
        store.drain().await;
        match page.next {
            Some(next) => filter.before = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, expected);
}

pub(super) async fn since_is_inclusive_and_until_is_not(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let mut runs = Vec::new();
    let mut times = Vec::new();
    for _ in 0..4 {
        store.advance(1);
        times.push(store.now());
        runs.push(store.enqueue_one("a", "1").await);
    }
    let between = |since: Option<usize>, until: Option<usize>| RunFilter {
        since: since.map(|index| times[index]),
        until: until.map(|index| times[index]),
        limit: 10,
        ..RunFilter::default()
    };
    assert_eq!(
        store.list_ids(between(Some(2), None)).await,
        [runs[3], runs[2]]
    );
    assert_eq!(store.list_ids(between(None, Some(1))).await, [runs[0]]);
    assert_eq!(
        store.list_ids(between(Some(1), Some(3))).await,
        [runs[2], runs[1]]
    );
    assert_eq!(store.list_ids(between(Some(2), Some(2))).await, []);
}

/// One run at the far end of a history of others: it is found, page by page, and no page goes
/// through all of it.
pub(super) async fn a_filter_that_matches_little_is_answered_in_bounded_pages(
    backend: &dyn Backend,
) {
    let store = Fixture::start(backend).await;
    store.create(instant_task("n")).await;
    let oldest = store.enqueue_one("n", "1").await;
    let mut rest = limits::PAGE_VISITS_MAX + 2_000;
    while rest > 0 {
        let count = rest.min(limits::BATCH_RUNS_MAX);
        store
            .enqueue(batch("n", &numbers(count)), Write::unattended())
            .await
            .unwrap();
        rest -= count;
    }
    let newest = store.enqueue_one("n", "1").await;
    for states in [vec![], vec![RunState::Queued], RunState::ALL.to_vec()] {
        let mut filter = RunFilter {
            trigger: Some(Trigger::Manual),
            states,
            limit: limits::PAGE_DEFAULT,
            ..RunFilter::default()
        };
        let mut found = Vec::new();
        let mut pages = 0;
        loop {
            let page = store.runs(filter.clone()).await.unwrap();
            found.extend(page.runs.iter().map(|run| run.id));
            pages += 1;
            assert!(pages <= 100, "{pages} pages, {found:?}");
            let Some(next) = page.next else { break };
            assert!(filter.before.is_none_or(|before| next < before));
            filter.before = Some(next);
        }
        assert_eq!(found, [newest, oldest]);
    }
    let nothing = RunFilter {
        states: vec![RunState::Failed],
        limit: 10,
        ..RunFilter::default()
    };
    assert_eq!(store.list_ids(nothing).await, []);
}

/// One answer of all of them would be as large as the history.
pub(super) async fn a_page_of_large_runs_ends_early_and_the_next_one_goes_on(
    backend: &dyn Backend,
) {
    let store = Fixture::start(backend).await;
    store.create(instant_task("n")).await;
    let large = vec![format!("\"{}\"", "x".repeat(limits::INPUT_BYTES_MAX - 2)); 8];
    let count = limits::PAGE_BYTES_MAX / limits::INPUT_BYTES_MAX + 8;
    for _ in 0..count / 8 {
        store
            .enqueue(batch("n", &large), Write::unattended())
            .await
            .unwrap();
    }
    let mut filter = RunFilter {
        limit: limits::PAGE_MAX,
        ..RunFilter::default()
    };
    let first = store.runs(filter.clone()).await.unwrap();
    let length = |page: &RunPage| -> usize {
        let inputs = page.runs.iter().filter_map(|run| run.input.as_ref());
        inputs.map(Vec::len).sum()
    };
    assert!(length(&first) >= limits::PAGE_BYTES_MAX);
    assert!(length(&first) < limits::PAGE_BYTES_MAX + limits::INPUT_BYTES_MAX);
    filter.before = first.next;
    let second = store.runs(filter).await.unwrap();
    assert_eq!(
        (first.runs.len() + second.runs.len(), second.next),
        (count, None)
    );
}

pub(super) async fn an_empty_store_lists_nothing(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    let page = store
        .runs(RunFilter {
            limit: 10,
            ..RunFilter::default()
        })
        .await
        .unwrap();
    assert!(page.runs.is_empty());
    assert_eq!(page.next, None);
    assert!(store.tasks(None, 10).await.unwrap().is_empty());
}
