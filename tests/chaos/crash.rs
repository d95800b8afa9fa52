//! Kills and restarts the server under load, lets it come to rest, and hands the history to the
//! checker.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::checker::{self, Counters, Verdict};
use super::history::{Channel, Event, History};
use super::load::{self, SCHEDULED, World};
use crate::random::Random;
use crate::server::{Server, ServerOptions};
use crate::sink::{self, Sink};
use crate::{Client, wait};

const CLIENTS: u64 = 3;
/// How long the server lives between two kills: from hardly warm to well at work.
const LIFE_MS_MIN: u64 = 40;
const LIFE_MS_MAX: u64 = 900;
/// One kill in this many comes before the first healthy answer, into recovery itself.
const KILL_WHILE_STARTING_EACH: u64 = 6;
const STARTING_MS_MAX: u64 = 60;
/// I5's bound: what a campaign leaves open must end within this once faults stop. Backoffs here
/// are at most 300 ms and calls take 150 ms; the rest is the backlog of a two-core machine.
const SETTLE_LIMIT: Duration = Duration::from_secs(90);
const PAGE: usize = 1_000;

/// What to do to the server.
#[derive(Clone, Debug)]
pub struct Campaign {
    pub seed: u64,
    pub kills: u64,
    /// Where the history goes; it is kept whatever happens.
    pub history: PathBuf,
}

/// Runs a campaign to its verdict.
///
/// # Errors
/// Answers that no sound server gives (a 500, a run without an id), which are not a matter of
/// history.
pub fn run(campaign: &Campaign) -> Result<Verdict, String> {
    let sink = Sink::start();
    let history = History::in_file(&campaign.history)
        .map_err(|error| format!("{}: {error}", campaign.history.display()))?;
    let world = World::new(history);
    let mut server = Server::start(&ServerOptions {
        // The load asks as fast as it can.
        environment: vec![("RATE_LIMIT_ENABLED".to_owned(), "false".to_owned())],
        ..ServerOptions::allowing_processes()
    });
    let file = server.folder().join("effects.txt");
    for task in load::tasks(&sink, &file) {
        server.client().post("/api/v1/tasks", &task).expect(201);
    }
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let random = Random::stream(campaign.seed, number + 1);
            let world = &world;
            scope.spawn(move || world.run_client(random));
        }
        // The clients stop also when this panics: the scope waits for them.
        let _stop = StopClients(&world);
        torment(campaign, &world, &mut server, &sink);
    });
    world.history.record(Event::FaultsEnded);
    let client = server.client();
    let still_fires = schedules_go_on(&client, &world);
    for task in SCHEDULED {
        client.delete(&format!("/api/v1/tasks/{task}"));
    }
    come_to_rest(&client);
    world.history.record(Event::Swept);
    sweep(&client, &world);
    collect_effects(&world, &sink, &file);
    let (history, mut defects) = world.into_parts();
    if !still_fires {
        defects.push("no schedule fired any more after the last restart".to_owned());
    }
    if !defects.is_empty() {
        let shown = defects.len().min(20);
        return Err(format!(
            "{} answers that no sound server gives, e.g.\n{}",
            defects.len(),
            defects[..shown].join("\n")
        ));
    }
    Ok(checker::check(&history.into_entries()))
}

struct StopClients<'a>(&'a World);

impl Drop for StopClients<'_> {
    fn drop(&mut self) {
        self.0.stop_clients();
    }
}

fn torment(campaign: &Campaign, world: &World, server: &mut Server, sink: &Sink) {
    let mut random = Random::stream(campaign.seed, 0);
    world.server_is_at(server.port());
    for _ in 0..campaign.kills {
        let life_ms = LIFE_MS_MIN + random.below(LIFE_MS_MAX - LIFE_MS_MIN);
        wait::pause_for(Duration::from_millis(life_ms));
        let open_requests = sink.open();
        server.kill();
        world.server_is_down();
        world.history.record(Event::Killed {
            open_requests,
            while_starting: false,
        });
        if random.below(KILL_WHILE_STARTING_EACH) == 0 {
            let starting_ms = random.below(STARTING_MS_MAX);
            server.spawn_again();
            wait::pause_for(Duration::from_millis(starting_ms));
            server.kill();
            world.history.record(Event::Killed {
                open_requests: 0,
                while_starting: true,
            });
        }
        let started = wait::now();
        server.start_again();
        let took_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        world.history.record(Event::Ready { took_us });
        world.server_is_at(server.port());
    }
    // The last life is a quiet one, in which clients still act.
    wait::pause_for(Duration::from_millis(LIFE_MS_MAX));
}

/// Whether a fire planned after this moment completes.
fn schedules_go_on(client: &Client, world: &World) -> bool {
    let newest = |client: &Client| -> Option<(String, i64)> {
        let answer = client.get("/api/v1/runs?task=each-second&state=completed&limit=1");
        let asked_at_us = world.history.now_us();
        let json = answer.expect(200);
        let runs = json["runs"].as_array()?;
        world.observe(asked_at_us, runs);
        let run = runs.first()?;
        Some((run["planned_at"].as_str()?.to_owned(), run["id"].as_i64()?))
    };
    let before = newest(client);
    wait::within(wait::PATIENT, || {
        newest(client).filter(|now| Some(now) > before.as_ref())
    })
    .is_some()
}

/// Waits until nothing waits and nothing runs; what is left after the limit is I5's to name.
fn come_to_rest(client: &Client) {
    wait::within(SETTLE_LIMIT, || {
        ["queued", "running"]
            .iter()
            .all(|state| {
                let list = client
                    .get(&format!("/api/v1/runs?state={state}&limit=1"))
                    .expect(200);
                list["runs"].as_array().is_some_and(Vec::is_empty)
                    && list["meta"]["next_cursor"].is_null()
            })
            .then_some(())
    });
}

/// Reads every run there is, by its pages.
fn sweep(client: &Client, world: &World) {
    let mut path = format!("/api/v1/runs?limit={PAGE}");
    loop {
        let asked_at_us = world.history.now_us();
        let list = client.get(&path).expect(200);
        world.observe(
            asked_at_us,
            list["runs"].as_array().map_or(&[], Vec::as_slice),
        );
        match &list["meta"]["next_cursor"] {
            Value::String(cursor) => path = format!("/api/v1/runs?limit={PAGE}&cursor={cursor}"),
            _ => return,
        }
    }
}

fn collect_effects(world: &World, sink: &Sink, file: &Path) {
    for effect in sink.effects() {
        let at_us = world.history.micros_at(effect.arrived_at);
        let (run, attempt) = (effect.run, effect.attempt);
        world.history.record_at(
            at_us,
            Event::Effect {
                channel: Channel::Http,
                run,
                attempt,
            },
        );
    }
    for line in sink::read_lines(file) {
        world.history.record(Event::Effect {
            channel: Channel::Process,
            run: line.run,
            attempt: line.attempt,
        });
    }
}

/// One line of figures, for people and for the ledger.
pub fn summary(counters: &Counters) -> String {
    let states: Vec<String> = counters
        .by_state
        .iter()
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    format!(
        "{} kills ({} in flight, {} while starting), {} writes acknowledged, {} unknown, {} refused, \
         {} not sent; {} runs ({}), {} by schedule, {} attempted more than once; {} effects at the \
         sink, {} observations; ready p99 {:.0} ms",
        counters.kills,
        counters.kills_in_flight,
        counters.kills_while_starting,
        counters.acknowledged,
        counters.unknown,
        counters.refused,
        counters.not_sent,
        counters.runs,
        states.join(", "),
        counters.scheduled,
        counters.retried,
        counters.effects,
        counters.observations,
        counters.ready_p99_ms(),
    )
}

/// What a campaign must have done to mean anything.
///
/// # Errors
/// Which fault did not happen.
pub fn must_have_hurt(counters: &Counters) -> Result<(), String> {
    for (what, count) in [
        ("kill", counters.kills),
        ("kill hit a run in flight", counters.kills_in_flight),
        ("request was left unknown", counters.unknown),
        ("run was attempted more than once", counters.retried),
        ("run of a schedule exists", counters.scheduled),
        ("effect reached the sink", counters.effects),
    ] {
        if count == 0 {
            return Err(format!("no {what}: the campaign proves nothing"));
        }
    }
    Ok(())
}
