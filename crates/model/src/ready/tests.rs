use super::*;

fn traits(task: i64, priority: i16, max_attempts: u16) -> TaskTraits {
    TaskTraits {
        task: TaskId(task),
        rev: 1,
        queue: "default".into(),
        priority,
        lane: Lane::Slot,
        max_attempts,
        single: false,
    }
}

fn span(task: i64, first: i64, count: u32) -> Span {
    Span {
        first: RunId(first),
        count,
        task: TaskId(task),
        rev: 1,
        attempt: 0,
        queued_at: Timestamp::from_seconds(0),
        inputs: None,
    }
}

fn ids(claimed: &[Claimed]) -> Vec<i64> {
    claimed.iter().map(|c| c.run.0).collect()
}

const START: Monotonic = seconds(1_000);

const fn seconds(seconds: u64) -> Monotonic {
    Monotonic::from_micros(seconds * 1_000_000)
}

fn any(runs_max: usize) -> ClaimRequest {
    ClaimRequest {
        lane: Lane::Slot,
        queues: vec![],
        runs_max,
    }
}

#[test]
fn higher_priority_first_then_the_order_of_acceptance() {
    let mut queue = ReadyQueue::new();
    queue.learn(traits(1, 0, 3));
    queue.learn(traits(2, 5, 3));
    queue.push(span(1, 10, 3)).unwrap();
    queue.push(span(2, 13, 2)).unwrap();
    queue.push(span(1, 15, 1)).unwrap();
    assert_eq!(ids(&queue.claim(&any(4), START)), [13, 14, 10, 11]);
    assert_eq!(ids(&queue.claim(&any(9), START)), [12, 15]);
    assert!(queue.is_empty());
}

#[test]
fn a_paused_task_starves_nobody_and_keeps_its_place() {
    let mut queue = ReadyQueue::new();
    queue.learn(traits(1, 0, 3));
    queue.learn(traits(2, 0, 3));
    queue.push(span(1, 1, 2)).unwrap();
    queue.push(span(2, 3, 2)).unwrap();
    queue.set_paused(TaskId(1), true);
    assert_eq!(ids(&queue.claim(&any(9), START)), [3, 4]);
    queue.set_paused(TaskId(1), false);
    assert_eq!(ids(&queue.claim(&any(9), START)), [1, 2]);
}

#[test]
fn a_cancelled_run_in_the_middle_of_a_batch_is_skipped() {
    let mut queue = ReadyQueue::new();
    queue.learn(traits(1, 0, 3));
    queue.push(span(1, 1, 5)).unwrap();
    queue.drop_run(RunId(3));
    assert_eq!(queue.len(), 4);
    assert_eq!(ids(&queue.claim(&any(9), START)), [1, 2, 4, 5]);
    assert!(queue.is_empty());
}

#[test]
fn a_deleted_task_takes_its_runs_along_but_not_those_already_cancelled() {
    let mut queue = ReadyQueue::new();
    queue.learn(traits(1, 0, 3));
    queue.learn(traits(2, 0, 3));
    queue.push(span(1, 1, 5)).unwrap();
    queue.push(span(2, 6, 1)).unwrap();
    queue.push_delayed(seconds(9), span(1, 7, 1));
    queue.drop_run(RunId(3));
    let taken: Vec<(i64, u32)> = queue
        .take_task(TaskId(1))
        .iter()
        .map(|s| (s.first.0, s.count))
        .collect();
    assert_eq!(taken, [(1, 2), (4, 2), (7, 1)]);
    assert_eq!((queue.len(), queue.entries), (1, 1));
    assert_eq!(ids(&queue.claim(&any(9), START)), [6]);
}

#[test]
fn a_delay_holds_until_its_time() {
    let mut queue = ReadyQueue::new();
    queue.learn(traits(1, 0, 3));
    queue.push_delayed(seconds(5), span(1, 1, 1));
    assert!(queue.take_due(seconds(4)).is_empty());
    assert_eq!(queue.next_due(), Some(seconds(5)));
    let due = queue.take_due(seconds(5));
    assert_eq!((due.len(), due[0].first, queue.len()), (1, RunId(1), 0));
    assert_eq!(queue.next_due(), None);
}

#[test]
fn one_that_is_cancelled_in_its_delay_never_comes_due() {
    let mut queue = ReadyQueue::new();
    queue.learn(traits(1, 0, 3));
    queue.push_delayed(seconds(5), span(1, 1, 1));
    queue.drop_run(RunId(1));
    assert_eq!(queue.len(), 0);
    assert!(queue.take_due(seconds(9)).is_empty());
    assert_eq!(queue.len(), 0);
}

#[test]
fn a_suspect_that_lives_holds_up_the_others_only_for_a_while() {
    let mut queue = ReadyQueue::new();
    queue.learn(traits(1, 0, 3));
    queue.push_suspect(Span {
        attempt: 2,
        ..span(1, 1, 1)
    });
    queue.push_suspect(Span {
        attempt: 2,
        ..span(1, 2, 1)
    });
    assert_eq!(ids(&queue.claim(&any(9), START)), [1]);
    assert!(
        queue
            .claim(&any(9), START.plus(limits::SUSPECT_WATCH / 2))
            .is_empty()
    );
    assert_eq!(
        ids(&queue.claim(&any(9), START.plus(limits::SUSPECT_WATCH))),
        [2]
    );
}

#[test]
fn suspects_go_in_halves_and_the_last_attempt_alone() {
    let mut queue = ReadyQueue::new();
    queue.learn(traits(1, 0, 3));
    for id in 1..=8 {
        queue.push_suspect(Span {
            attempt: 1,
            ..span(1, id, 1)
        });
    }
    queue.push_suspect(Span {
        attempt: 2,
        ..span(1, 9, 1)
    });
    assert_eq!(ids(&queue.claim(&any(64), START)), [1, 2, 3, 4, 5]);
    assert!(
        queue.claim(&any(64), START).is_empty(),
        "the next half waits for the first"
    );
    for id in 1..=5 {
        queue.settled(RunId(id));
    }
    assert_eq!(ids(&queue.claim(&any(64), START)), [6, 7]);
    for id in 6..=7 {
        queue.settled(RunId(id));
    }
    assert_eq!(ids(&queue.claim(&any(64), START)), [8]);
    queue.settled(RunId(8));
    assert_eq!(ids(&queue.claim(&any(64), START)), [9]);
}

#[test]
fn a_batch_is_one_entry_and_knows_the_input_of_each_run() {
    let mut queue = ReadyQueue::new();
    queue.learn(traits(1, 0, 3));
    let inputs = Inputs::from_spans((*b"0123456789").into(), (0..10).map(|i| i..i + 1).collect());
    queue
        .push(Span {
            inputs: Some((inputs, 0)),
            ..span(1, 100, 10)
        })
        .unwrap();
    assert_eq!(queue.entries, 1);
    queue.claim(&any(4), START);
    let rest = queue.claim(&any(9), START);
    let (inputs, index) = rest[0].inputs.as_ref().unwrap();
    assert_eq!(
        (rest[0].run.0, inputs.get(*index as usize)),
        (104, Some(&b"4"[..]))
    );
    assert_eq!(queue.payload_bytes, 0);
    assert_eq!(queue.entries, 0);
}
