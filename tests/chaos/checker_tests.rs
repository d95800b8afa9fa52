//! One planted violation of each invariant: the checker must turn red for it and for nothing else.

use super::*;

fn run(id: i64, state: &str, attempt: u32) -> RunSeen {
    RunSeen {
        id,
        task: "call".to_owned(),
        task_type: "http".to_owned(),
        state: state.to_owned(),
        attempt,
        max_attempts: 3,
        epoch: (attempt > 0).then(|| id * 100 + i64::from(attempt)),
        planned_at: None,
        finished_at: None,
        replay_of: None,
    }
}

fn observed(asked_at_us: u64, run: RunSeen) -> Event {
    Event::Observed { asked_at_us, run }
}

fn effect(run: i64, attempt: u32) -> Event {
    Event::Effect {
        channel: Channel::Http,
        run,
        attempt,
    }
}

fn submitted(runs: &[i64]) -> Event {
    Event::Acknowledged {
        what: Request::Submit,
        task: "call".to_owned(),
        runs: runs.to_vec(),
        count: runs.len() as u64,
    }
}

/// A campaign in which nothing is wrong: run 1 succeeds, run 2 is retried after a kill, run 3
/// is cancelled, a request is lost on the way.
fn sound() -> Vec<Event> {
    vec![
        submitted(&[1, 2]),
        effect(1, 1),
        observed(15, run(1, "running", 1)),
        observed(25, run(1, "completed", 1)),
        effect(2, 1),
        Event::Killed {
            open_requests: 1,
            while_starting: false,
        },
        Event::Unknown {
            what: Request::Submit,
            task: "call".to_owned(),
            count: 1,
        },
        Event::NotSent,
        Event::Ready { took_us: 90_000 },
        submitted(&[3]),
        Event::Acknowledged {
            what: Request::Cancel,
            task: "call".to_owned(),
            runs: vec![3],
            count: 0,
        },
        effect(2, 2),
        Event::FaultsEnded,
        Event::Swept,
        observed(140, run(1, "completed", 1)),
        observed(140, run(2, "completed", 2)),
        observed(140, run(3, "cancelled", 0)),
    ]
}

fn judge(events: Vec<Event>) -> Verdict {
    let entries: Vec<Entry> = events
        .into_iter()
        .enumerate()
        .map(|(index, event)| Entry {
            at_us: index as u64 * 10,
            event,
        })
        .collect();
    check(&entries)
}

/// The invariants broken by a history with one thing planted in it.
fn broken(plant: impl FnOnce(&mut Vec<Event>)) -> Vec<&'static str> {
    let mut events = sound();
    plant(&mut events);
    let mut names: Vec<&str> = judge(events)
        .violations
        .iter()
        .map(|found| found.invariant)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn last_of(events: &mut [Event], id: i64) -> &mut RunSeen {
    let last = events.iter_mut().rev().find_map(|event| match event {
        Event::Observed { run, .. } if run.id == id => Some(run),
        _ => None,
    });
    last.expect("the run is in the sweep")
}

#[test]
fn a_sound_history_passes_and_its_faults_are_counted() {
    let verdict = judge(sound());
    assert_eq!(verdict.violations, []);
    let counters = verdict.counters;
    assert_eq!(
        (counters.kills, counters.kills_in_flight, counters.unknown),
        (1, 1, 1)
    );
    assert_eq!(
        (counters.runs, counters.retried, counters.effects),
        (3, 1, 3)
    );
    assert_eq!(counters.ready_p99_ms(), 90.0);
}

#[test]
fn an_acknowledged_run_that_is_gone_breaks_i1() {
    assert_eq!(
        broken(|events| {
            events.remove(16);
        }),
        ["I1"]
    );
    assert_eq!(broken(|events| events.insert(0, submitted(&[9]))), ["I1"]);
}

#[test]
fn one_request_that_made_two_runs_breaks_i1() {
    // One unknown request explains one run too many, not two.
    let more = |events: &mut Vec<Event>, id| events.push(observed(140, run(id, "failed", 3)));
    assert_eq!(broken(|events| more(events, 4)), [""; 0]);
    assert_eq!(
        broken(|events| {
            more(events, 4);
            more(events, 5)
        }),
        ["I1"]
    );
}

#[test]
fn a_lost_cancel_or_a_nameless_replay_breaks_i1() {
    assert_eq!(
        broken(|events| *last_of(events, 3) = run(3, "failed", 1)),
        ["I1"]
    );
    let replay = |original| Event::Acknowledged {
        what: Request::Retry { original },
        task: "call".to_owned(),
        runs: vec![4],
        count: 1,
    };
    let with = |events: &mut Vec<Event>, replay_of| {
        events.insert(4, replay(1));
        events.push(observed(
            150,
            RunSeen {
                replay_of,
                ..run(4, "failed", 3)
            },
        ));
    };
    assert_eq!(broken(|events| with(events, Some(1))), [""; 0]);
    assert_eq!(broken(|events| with(events, None)), ["I1"]);
}

#[test]
fn an_end_that_changes_breaks_i2() {
    assert_eq!(
        broken(|events| *last_of(events, 1) = run(1, "failed", 1)),
        ["I2"]
    );
    assert_eq!(
        broken(|events| last_of(events, 1).finished_at = Some("later".to_owned())),
        ["I2"]
    );
    assert_eq!(
        broken(|events| events.insert(8, observed(75, run(1, "queued", 1)))),
        ["I2"]
    );
}

#[test]
fn a_slow_read_that_began_before_the_end_breaks_nothing() {
    assert_eq!(
        broken(|events| events.insert(8, observed(5, run(1, "running", 1)))),
        [""; 0]
    );
}

#[test]
fn a_completed_run_without_its_effect_breaks_i2() {
    assert_eq!(
        broken(|events| {
            events.remove(11);
        }),
        ["I2"]
    );
}

#[test]
fn an_attempt_executed_twice_or_after_the_end_breaks_i3() {
    assert_eq!(broken(|events| events.insert(12, effect(2, 2))), ["I3"]);
    assert_eq!(broken(|events| events.insert(12, effect(1, 2))), ["I3"]);
}

#[test]
fn an_effect_without_a_run_breaks_i1() {
    assert_eq!(broken(|events| events.insert(12, effect(77, 1))), ["I1"]);
}

#[test]
fn an_epoch_that_stays_falls_or_changes_breaks_i4() {
    let running = |epoch| RunSeen {
        epoch: Some(epoch),
        ..run(2, "running", 1)
    };
    assert_eq!(
        broken(|events| events.insert(5, observed(45, running(201)))),
        [""; 0]
    );
    assert_eq!(
        broken(|events| events.insert(5, observed(45, running(202)))),
        ["I4"]
    );
    assert_eq!(
        broken(|events| events.insert(5, observed(45, running(203)))),
        ["I4"]
    );
    assert_eq!(
        broken(|events| {
            events.insert(5, observed(45, running(201)));
            events.insert(6, observed(55, running(200)));
        }),
        ["I4"]
    );
}

#[test]
fn a_run_that_never_ends_breaks_i5() {
    assert_eq!(
        broken(|events| *last_of(events, 2) = run(2, "running", 2)),
        ["I5"]
    );
}

#[test]
fn an_attempt_beyond_the_limit_breaks_i6() {
    let found = broken(|events| {
        *last_of(events, 2) = run(2, "completed", 4);
        events.insert(12, effect(2, 4));
    });
    assert_eq!(found, ["I6"]);
}

#[test]
fn two_runs_of_one_fire_break_i7() {
    let fired = |id| RunSeen {
        planned_at: Some("2026-11-24T03:04:00Z".to_owned()),
        ..run(id, "failed", 3)
    };
    assert_eq!(
        broken(|events| events.push(observed(140, fired(8)))),
        [""; 0]
    );
    let found = broken(|events| {
        events.push(observed(140, fired(8)));
        events.push(observed(140, fired(9)));
    });
    assert_eq!(found, ["I7"]);
}

#[test]
fn a_history_without_a_sweep_is_refused() {
    assert_eq!(judge(sound()[..13].to_vec()).violations[0].invariant, "I1");
    assert_eq!(judge(Vec::new()).violations[0].invariant, "I1");
}
