//! Random operations against the store and against the model: after each step both must tell the
//! same. Crashes and restarts are among the operations.

use autom8_model::ready::Lane;
use autom8_model::task::OnCrash;
use autom8_model::transition::Decision;
use autom8_model::{Epoch, RunId, RunState, TaskName, TaskSpec, Timestamp, Trigger, WorkerName};

use super::Backend;
use super::fixture::{
    CANCELLED, COMPLETED, FAILED, Fixture, LEASE, batch, counted, draft, http_task, instant_task,
    is_conflict, is_not_found, json, local_claim, name, patch_of, remote_claim, slot_task,
    with_attempts,
};
use super::model::{Model, RemoteHold, lane};
use super::random::Random;
use crate::{Lease, RunFilter, StoreError, Write};

const STEPS: usize = 250;
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

pub(super) async fn the_first_known_history_agrees_with_the_model(backend: &dyn Backend) {
    agree(backend, 1).await;
}

pub(super) async fn the_second_known_history_agrees_with_the_model(backend: &dyn Backend) {
    agree(backend, 2).await;
}

pub(super) async fn the_third_known_history_agrees_with_the_model(backend: &dyn Backend) {
    agree(backend, 3).await;
}

/// Repeat one with the seed that it printed in `AUTOM8_CONFORMANCE_SEED`.
#[allow(
    clippy::print_stderr,
    reason = "a failure is repeated with the seed it names"
)]
pub(super) async fn a_fresh_history_agrees_with_the_model(backend: &dyn Backend) {
    let given = std::env::var("AUTOM8_CONFORMANCE_SEED").ok();
    let seed = given.map_or_else(Random::fresh_seed, |text| text.parse().expect("a number"));
    eprintln!("AUTOM8_CONFORMANCE_SEED={seed}");
    agree(backend, seed).await;
}

struct History<'a> {
    store: Fixture<'a>,
    model: Model,
    random: Random,
    /// Every lease that was ever given, dead ones included: they make the stale ends.
    leases: Vec<Lease>,
}

async fn agree(backend: &dyn Backend, seed: u64) {
    let mut history = History {
        store: Fixture::start(backend).await,
        model: Model::default(),
        random: Random::seeded(seed),
        leases: Vec::new(),
    };
    for text in NAMES {
        history.create(&name(text)).await;
    }
    for _ in 0..STEPS {
        history.step().await;
        history.compare().await;
    }
    history.wind_up().await;
}

impl History<'_> {
    async fn step(&mut self) {
        let task = name(NAMES[self.random.below(NAMES.len())]);
        match self.random.below(100) {
            0..4 => self.create(&task).await,
            4..7 => self.update(&task).await,
            7..10 => self.pause(&task).await,
            10..11 => self.delete(&task).await,
            11..30 => self.enqueue(&task).await,
            30..50 => self.claim().await,
            50..70 => self.finish().await,
            70..76 => self.cancel().await,
            76..80 => self.replay().await,
            80..88 => self.tick().await,
            88..92 => self.renew().await,
            92..96 => self.crash().await,
            96..97 => self.restart().await,
            97..98 => self.contact().await,
            _ => self.finish_stale().await,
        }
    }

    /// Creates a contact, or changes or deletes the one that has its phone.
    async fn contact(&mut self) {
        let new = draft(self.random.below(4));
        let id = match self.store.create_contact(new, Write::unattended()).await {
            Ok(made) => {
                assert_eq!(self.model.contacts.insert(made.id, json(&made)), None);
                return;
            }
            Err(StoreError::Duplicate { existing, .. }) => existing,
            Err(refused) => panic!("{refused}"),
        };
        assert!(self.model.contacts.contains_key(&id), "{id} has it");
        if self.random.one_in(2) {
            let deleted = self.store.delete_contact(id, Write::unattended()).await;
            deleted.unwrap();
            self.model.contacts.remove(&id);
        } else {
            let patch = patch_of(r#"{"name":"Ada","tags":["changed"]}"#);
            let changed = self.store.update_contact(id, patch, Write::unattended());
            let told = json(&changed.await.unwrap());
            self.model.contacts.insert(id, told);
        }
    }

    fn any_spec(&mut self, task: &TaskName) -> TaskSpec {
        let of_type = [slot_task, http_task, instant_task][self.random.below(3)];
        TaskSpec {
            priority: self.random.below(3) as i16 - 1,
            on_crash: if self.random.one_in(4) {
                OnCrash::Fail
            } else {
                OnCrash::Retry
            },
            enabled: !self.random.one_in(8),
            ..with_attempts(of_type(task.as_str()), 1 + self.random.below(4) as u16)
        }
    }

    fn any_run(&mut self) -> Option<RunId> {
        let ids: Vec<RunId> = self.model.runs.keys().copied().collect();
        self.random.pick(&ids).copied()
    }

    async fn create(&mut self, task: &TaskName) {
        let spec = self.any_spec(task);
        let answer = self.store.create_task(spec, Write::unattended()).await;
        if self.model.tasks.contains_key(task) {
            assert!(is_conflict(&answer), "{task} is taken");
        } else {
            self.model
                .tasks
                .insert(task.clone(), (*answer.unwrap()).clone());
        }
    }

    async fn update(&mut self, task: &TaskName) {
        let spec = self.any_spec(task);
        let answer = self.store.update_task(spec, Write::unattended()).await;
        match self.model.tasks.get_mut(task) {
            Some(known) => {
                let updated = answer.unwrap();
                assert_eq!((updated.id, updated.rev), (known.id, known.rev + 1));
                *known = (*updated).clone();
            }
            None => assert!(is_not_found(&answer)),
        }
    }

    async fn pause(&mut self, task: &TaskName) {
        let enabled = self.random.one_in(2);
        let answer = self
            .store
            .set_task_enabled(task, enabled, Write::unattended())
            .await;
        match self.model.tasks.get_mut(task) {
            Some(known) => {
                let told = answer.unwrap();
                assert_eq!((told.id, told.spec.enabled), (known.id, enabled));
                *known = (*told).clone();
            }
            None => assert!(is_not_found(&answer)),
        }
    }

    async fn delete(&mut self, task: &TaskName) {
        let answer = self.store.delete_task(task, Write::unattended()).await;
        if !self.model.tasks.contains_key(task) {
            assert!(is_not_found(&answer));
            return;
        }
        let (cancelled, running) = self.model.delete(task, self.store.now());
        let mut deleted = answer.unwrap();
        deleted.running.sort();
        assert_eq!((deleted.cancelled, deleted.running), (cancelled, running));
    }

    async fn enqueue(&mut self, task: &TaskName) {
        let count = 1 + self.random.below(6);
        let inputs: Vec<String> = (0..count)
            .map(|_| format!("{}", self.random.below(1_000)))
            .collect();
        let answer = self
            .store
            .enqueue(batch(task.as_str(), &inputs), Write::unattended())
            .await;
        if !self.model.tasks.contains_key(task) {
            assert!(is_not_found(&answer));
            return;
        }
        let ids: Vec<RunId> = answer.unwrap().iter().collect();
        assert_eq!(ids.len(), count);
        for (id, input) in ids.into_iter().zip(inputs) {
            self.model
                .accept(id, task, input.into_bytes(), Trigger::Batch, None);
        }
    }

    async fn claim(&mut self) {
        let lane_asked = if self.random.one_in(3) {
            Lane::Instant
        } else {
            Lane::Slot
        };
        let runs_max = 1 + self.random.below(8);
        let (claim, remote) = if self.random.one_in(3) {
            let hold = RemoteHold {
                renewed_at: self.store.now(),
                sure: true,
            };
            (
                crate::Claim {
                    lane: lane_asked,
                    ..remote_claim("far", runs_max)
                },
                Some(hold),
            )
        } else {
            (local_claim(lane_asked, runs_max), None)
        };
        let leases = self.store.claim(claim).await.unwrap();
        self.model
            .claim((lane_asked, runs_max), &leases, self.store.now(), remote);
        self.leases.extend(leases);
    }

    /// The leases of runs that run.
    fn live(&self) -> Vec<Lease> {
        let is_live = |lease: &&Lease| {
            let run = &self.model.runs[&lease.claimed.run];
            run.state == RunState::Running && run.epoch == Some(lease.epoch)
        };
        self.leases.iter().filter(is_live).cloned().collect()
    }

    async fn finish(&mut self) {
        let mut finishes = Vec::new();
        for lease in self.live() {
            if finishes.len() < 5 && self.random.one_in(2) {
                let decision = match self.random.below(6) {
                    0..3 => COMPLETED,
                    3 => Decision::RetryAt(self.store.after(self.random.below(30) as u64)),
                    4 => CANCELLED,
                    // An engine that knows of the request to stop does not say failed.
                    _ if self.model.runs[&lease.claimed.run].stop => CANCELLED,
                    _ => FAILED,
                };
                finishes.push(self.store.ended(&lease, decision));
            }
        }
        let expected = finishes.len() as u64;
        for finish in &finishes {
            assert!(self.model.finish(finish.run, finish.epoch, finish.decision));
        }
        let finished = self.store.finish(finishes).await.unwrap();
        assert_eq!((finished.accepted, finished.stale), (expected, vec![]));
    }

    async fn finish_stale(&mut self) {
        let Some(lease) = self.random.pick(&self.leases).cloned() else {
            return;
        };
        let mut finish = self.store.ended(&lease, COMPLETED);
        if self
            .live()
            .iter()
            .any(|live| live.claimed.run == finish.run)
        {
            finish.epoch = Epoch(finish.epoch.0 + 1_000_000);
        }
        assert!(!self.model.finish(finish.run, finish.epoch, finish.decision));
        let run = finish.run;
        assert_eq!(self.store.finish(vec![finish]).await.unwrap().stale, [run]);
    }

    async fn cancel(&mut self) {
        let Some(run) = self.any_run() else { return };
        let answer = self.store.cancel_run(run, Write::unattended()).await;
        match self.model.cancel(run, self.store.now()) {
            Some(expected) => assert_eq!(answer.unwrap(), expected, "{run}"),
            None => assert!(is_conflict(&answer), "{run} has ended"),
        }
    }

    async fn replay(&mut self) {
        let Some(run) = self.any_run() else { return };
        let answer = self.store.replay_run(run, Write::unattended()).await;
        let known = self.model.runs[&run].clone();
        let task = self.model.tasks.values().find(|task| task.id == known.task);
        match task.map(|task| task.spec.name.clone()) {
            _ if !known.state.is_terminal() => assert!(is_conflict(&answer), "{run} is open"),
            None => assert!(is_not_found(&answer), "the task of {run} is gone"),
            Some(task) => {
                self.model.accept(
                    answer.unwrap().run,
                    &task,
                    known.input,
                    Trigger::Replay,
                    Some(run),
                );
            }
        }
    }

    fn held_remotely(&self) -> Vec<(RunId, RemoteHold)> {
        let running = self
            .model
            .runs
            .iter()
            .filter(|(_, run)| run.state == RunState::Running);
        running
            .filter_map(|(id, run)| Some((*id, run.remote?)))
            .collect()
    }

    async fn tick(&mut self) {
        let seconds = 1 + self.random.below(20) as u64;
        self.store.tick(seconds).await;
        let now = self.store.now();
        for (run, hold) in self.held_remotely() {
            let held = now.since(hold.renewed_at);
            let kept = self.store.state(run).await == RunState::Running;
            assert!(
                kept || held >= LEASE || !hold.sure,
                "{run} was lost after {held:?}"
            );
            assert!(
                !kept || held <= LEASE + LEASE / 5,
                "{run} is held after {held:?}"
            );
            if !kept {
                self.model.lose(run, now);
            }
        }
    }

    async fn renew(&mut self) {
        let far: Vec<Lease> = self
            .live()
            .into_iter()
            .filter(|lease| self.model.runs[&lease.claimed.run].remote.is_some())
            .collect();
        let mut held = super::fixture::held(&far);
        let mut lost = Vec::new();
        if let Some(dead) = self.random.pick(&self.leases).cloned()
            && !self
                .live()
                .iter()
                .any(|live| live.claimed.run == dead.claimed.run)
        {
            held.push((dead.claimed.run, dead.epoch));
            lost.push(dead.claimed.run);
        }
        let renewed = self
            .store
            .renew(&WorkerName::new("far"), held)
            .await
            .unwrap();
        let mut cancel = Vec::new();
        for lease in far {
            let run = self
                .model
                .runs
                .get_mut(&lease.claimed.run)
                .expect("a known run");
            run.remote = Some(RemoteHold {
                renewed_at: self.store.now(),
                sure: true,
            });
            if run.stop {
                cancel.push(lease.claimed.run);
            }
        }
        let mut told = renewed.cancel;
        told.sort();
        cancel.sort();
        assert_eq!((renewed.lost, told), (lost, cancel));
    }

    async fn crash(&mut self) {
        self.store.crash().await;
        self.forget_the_living().await;
    }

    async fn restart(&mut self) {
        self.store.restart().await;
        self.forget_the_living().await;
    }

    /// What ran in the process is lost with it. What a remote worker holds may be kept or lost.
    async fn forget_the_living(&mut self) {
        let now = self.store.now();
        for run in self.model.in_state(RunState::Running) {
            let far = self.model.runs[&run].remote.is_some();
            if far && self.store.state(run).await == RunState::Running {
                let hold = RemoteHold {
                    renewed_at: now,
                    sure: false,
                };
                self.model.runs.get_mut(&run).expect("a known run").remote = Some(hold);
            } else {
                self.model.lose(run, now);
            }
        }
    }

    async fn compare(&mut self) {
        assert_eq!(counted(self.store.totals()), counted(self.model.totals()));
        for (id, told) in &self.model.contacts {
            assert_eq!(
                self.store.told(*id).await.as_ref(),
                Some(told),
                "contact {id}"
            );
        }
        let every = RunFilter {
            limit: 1 + self.random.below(200),
            ..RunFilter::default()
        };
        let told: Vec<_> = self
            .store
            .list(every)
            .await
            .into_iter()
            .map(|run| {
                let limits = (run.max_attempts, run.task_type, run.trigger, run.replay_of);
                (run.id, run.task, run.state, run.attempt, limits)
            })
            .collect();
        let expected: Vec<_> = self
            .model
            .runs
            .iter()
            .rev()
            .map(|(id, run)| {
                let spec = &run.spec;
                let task_type = spec.action.task_type();
                let limits = (
                    spec.retry.max_attempts,
                    task_type,
                    run.trigger,
                    run.replay_of,
                );
                (*id, spec.name.clone(), run.state, run.attempt, limits)
            })
            .collect();
        assert_eq!(told, expected);
        let state = RunState::ALL[self.random.below(RunState::ALL.len())];
        assert_eq!(
            self.store.in_state(state).await,
            self.model.in_state(state),
            "{state:?}"
        );
        let Some(run) = self.any_run() else { return };
        let known = &self.model.runs[&run];
        let told = self.store.get(run).await;
        assert_eq!(
            (told.state, told.input),
            (known.state, Some(known.input.clone())),
            "{run}"
        );
        let attempts = self.store.attempts(run).await.unwrap();
        assert_eq!(attempts.len(), known.attempts_open, "{run}: {attempts:?}");
        if known.state == RunState::Running {
            assert_eq!(told.epoch, known.epoch, "{run}");
        }
    }

    /// With the faults off, everything ends: nothing waits or runs for ever.
    async fn wind_up(&mut self) {
        for text in NAMES {
            let known = self.model.tasks.contains_key(&name(text));
            let answer = self
                .store
                .set_task_enabled(&name(text), true, Write::unattended())
                .await;
            assert_eq!(answer.is_ok(), known);
            if let Some(task) = self.model.tasks.get_mut(&name(text)) {
                task.spec.enabled = true;
            }
        }
        let due = self
            .model
            .runs
            .values()
            .map(|run| run.run_at)
            .max()
            .unwrap_or_default();
        self.store.tick(20).await;
        self.store.clock.advance(due.since(self.store.now()));
        for (run, _) in self.held_remotely() {
            self.model.lose(run, Timestamp::UNIX_EPOCH);
        }
        for turn in 0.. {
            for lease in self.live() {
                let finish = self.store.ended(&lease, COMPLETED);
                assert!(self.model.finish(finish.run, finish.epoch, finish.decision));
                assert_eq!(self.store.finish(vec![finish]).await.unwrap().accepted, 1);
            }
            let mut claimed = 0;
            for lane_asked in [Lane::Slot, Lane::Instant] {
                let leases = self.store.claim(local_claim(lane_asked, 8)).await.unwrap();
                self.model
                    .claim((lane_asked, 8), &leases, self.store.now(), None);
                claimed += leases.len();
                self.leases.extend(leases);
            }
            self.compare().await;
            if claimed == 0 {
                break;
            }
            assert!(turn < 10_000, "it never comes to an end");
        }
        for (id, run) in &self.model.runs {
            assert!(
                run.state.is_terminal(),
                "{id} was left {:?} in {:?}",
                run.state,
                lane(&run.spec)
            );
        }
    }
}
