//! Some hundred bodies, paths and queries, each wrong in its own way, against every route that the
//! server lists, by every method that it lists: refused with the place of the fault, nothing
//! written, and the server as well as before.
//!
//! [`bodies`] and [`urls`] are the corpus, [`fields`] adds what only one route can get wrong,
//! [`routes`] says what is attacked and [`attack`] sends and judges.

mod attack;
mod bodies;
mod fields;
mod routes;
mod urls;

use std::collections::HashSet;

use autom8_tests::steps::noop_task;
use autom8_tests::wire::Wire;
use autom8_tests::{Client, Server, ServerOptions};
use serde_json::{Value, json};

use attack::{Attack, Shot};
use routes::{Present, Takes, Target};

const JSON: &str = "content-type: application/json\r\n";
/// What the attack may leave in the server's memory: pools, buffers and rings that have grown.
const GROWTH_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Lists whose bytes must not change.
const LISTS: &[&str] = &[
    "/api/v1/tasks",
    "/api/v1/runs",
    "/api/v1/contacts",
    "/api/v1/keys",
];
/// Methods beside those that a route lists.
const METHODS: &[&str] = &[
    "GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE", "get",
];

/// A server with one of everything, and what is in it.
struct Victim {
    server: Server,
    client: Client,
    targets: Vec<Target>,
    present: Present,
    before: Vec<(String, Vec<u8>)>,
}

impl Victim {
    fn start() -> Victim {
        // The corpus is sent by one address, faster than any client may.
        let options = ServerOptions {
            environment: vec![("RATE_LIMIT_ENABLED".to_owned(), "false".to_owned())],
            ..ServerOptions::default()
        };
        let server = Server::start(&options);
        let client = server.client();
        let targets = routes::listed(&client);
        client.create_task(&noop_task("present"));
        let run = client.run_task("present");
        client.ended_run(run);
        let contact = routes::has(&targets, "POST", "/api/v1/contacts").then(|| {
            let contact = json!({"name": "Present", "phone": "+15550100200"});
            client.post("/api/v1/contacts", &contact).expect(201)["id"].to_string()
        });
        let before = state(&client, &targets);
        Victim {
            server,
            client,
            targets,
            present: Present {
                run: run.to_string(),
                contact,
            },
            before,
        }
    }

    /// Compares what could have been written with what was there before.
    fn judge_harm(&mut self, attack: &mut Attack, what: &str) {
        let now = state(&self.client, &self.targets);
        for ((path, now), (_, before)) in now.iter().zip(&self.before) {
            if now != before {
                let now: String = String::from_utf8_lossy(now).chars().take(600).collect();
                attack.note(what, format!("changed {path}: {now}"));
            }
        }
        self.before = now;
    }

    fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.server.process_id());
        let status = std::fs::read_to_string(path).expect("the server's status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kibibytes: u64 = line
            .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .expect("VmRSS in kB");
        kibibytes * 1024
    }
}

/// Everything that a write could have changed, as bytes.
fn state(client: &Client, targets: &[Target]) -> Vec<(String, Vec<u8>)> {
    LISTS
        .iter()
        .filter(|path| routes::has(targets, "GET", path))
        .map(|path| {
            let answer = client.get(path);
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            ((*path).to_owned(), answer.body)
        })
        .collect()
}

#[test]
fn three_hundred_bodies_and_targets_are_really_different() {
    let bodies: HashSet<_> = bodies::bad_bodies().into_iter().collect();
    let segments: HashSet<_> = urls::BAD_SEGMENTS.iter().collect();
    let tricks: HashSet<_> = urls::PATH_TRICKS.iter().collect();
    let queries: HashSet<_> = urls::BAD_QUERIES.iter().map(|(query, _)| query).collect();
    let counts = [bodies.len(), segments.len(), tricks.len(), queries.len()];
    eprintln!("bodies, segments, tricks, queries: {counts:?}");
    assert_eq!(bodies.len(), bodies::bad_bodies().len());
    assert_eq!(segments.len(), urls::BAD_SEGMENTS.len());
    assert_eq!(tricks.len(), urls::PATH_TRICKS.len());
    assert_eq!(queries.len(), urls::BAD_QUERIES.len());
    assert!(bodies.len() >= 300, "{counts:?}");
    assert!(counts.iter().sum::<usize>() >= 500, "{counts:?}");
}

#[test]
fn nothing_in_a_request_breaks_a_route_or_writes_what_it_should_not() {
    let mut victim = Victim::start();
    let mut attack = Attack::on(&victim.server);
    // What grows in any case has grown after some requests.
    let targets = victim.targets.clone();
    for target in &targets {
        send_queries(&mut attack, &victim, target);
    }
    let resident = victim.resident_bytes();
    victim.judge_harm(&mut attack, "a query");
    for target in &targets {
        send_bodies(&mut attack, &victim, target);
        send_cut_bodies(&mut attack, &victim, target);
        send_paths(&mut attack, target);
        victim.judge_harm(&mut attack, &target.to_string());
    }
    send_other_methods(&mut attack, &victim);
    fields::send(&mut attack, &mut victim);
    victim.judge_harm(&mut attack, "another method");

    let health = victim.client.get("/api/v1/health").expect(200);
    assert_eq!(health["status"], "healthy");
    let grown = victim.resident_bytes().saturating_sub(resident);
    eprintln!(
        "{} requests, answered {:?}; memory grew by {} KiB",
        attack.sent,
        attack.statuses,
        grown / 1024
    );
    if let Err(faults) = attack.verdict() {
        panic!("{faults}");
    }
    assert!(grown < GROWTH_BYTES_MAX, "memory grew by {grown} bytes");
}

fn send_bodies(attack: &mut Attack, victim: &Victim, target: &Target) {
    if target.takes == Takes::Nothing {
        return;
    }
    let path = target.body_path(&victim.present);
    for body in bodies::bad_bodies() {
        // A read ignores a body; a few show that.
        if target.is_read() && body.bytes.len() > 3 {
            continue;
        }
        let shot = Shot {
            method: &target.method,
            target: &path,
            headers: JSON,
            body: Some(&body.bytes),
        };
        match target.takes {
            Takes::Json => attack.refuse_at(&shot, &body.path),
            Takes::Items => take_no_item(attack, &shot),
            Takes::File => _ = attack.refuse(&shot, &[415]),
            Takes::Unsaid if !target.is_read() => _ = attack.refuse(&shot, &[400, 404, 415]),
            _ => _ = attack.send(&shot),
        }
    }
    if matches!(target.takes, Takes::Json | Takes::Items) {
        for announcement in bodies::WRONG_ANNOUNCEMENTS {
            let shot = Shot {
                method: &target.method,
                target: &path,
                headers: announcement,
                body: Some(b"{}"),
            };
            attack.refuse(&shot, &[415]);
        }
        // Larger than any route takes.
        let shot = Shot {
            method: &target.method,
            target: &path,
            headers: "content-type: application/json\r\ncontent-length: 999999999999\r\n",
            body: None,
        };
        attack.refuse(&shot, &[413]);
    }
}

/// Bodies of which the end does not come: what was announced is more than what is sent.
const CUT_BODIES: &[&str] = &[
    "content-length: 100\r\n\r\n{\"name\":\"cut\"}",
    "content-length: 100\r\n\r\n",
    "transfer-encoding: chunked\r\n\r\n",
    "transfer-encoding: chunked\r\n\r\n1",
    "transfer-encoding: chunked\r\n\r\n2\r\n{}",
    "transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
    "transfer-encoding: chunked\r\n\r\nff\r\n{}",
    "transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx: y",
];

/// A body that was cut is no body, though its beginning be a good one.
fn send_cut_bodies(attack: &mut Attack, victim: &Victim, target: &Target) {
    if !matches!(target.takes, Takes::Json | Takes::Items | Takes::File) {
        return;
    }
    let path = target.present_path(&victim.present);
    for cut in CUT_BODIES {
        let mut wire = Wire::open(victim.server.port());
        let head = format!(
            "{} {path} HTTP/1.1\r\nhost: localhost\r\n{JSON}",
            target.method
        );
        wire.send(format!("{head}{cut}").as_bytes());
        wire.end_sending();
        attack.sent += 1;
        // Most are closed without a word, since nobody can be there to read it.
        if let Ok(answer) = wire.answer(false)
            && !(400..500).contains(&answer.status)
        {
            attack.note(&target.to_string(), format!("{cut:?}: {}", answer.status));
        }
    }
}

/// A refusal of the whole, or an answer that refuses each item.
fn take_no_item(attack: &mut Attack, shot: &Shot<'_>) {
    let answer = attack.send(shot);
    if answer.status < 400 {
        let results = answer.json()["results"].take();
        let is_refused = |result: &Value| matches!(result["status"].as_u64(), Some(400..=499));
        let results = results.as_array().map_or(&[][..], Vec::as_slice);
        if results.is_empty() || !results.iter().all(is_refused) {
            attack.fault(shot, &answer, "an item was taken");
        }
    }
}

fn send_paths(attack: &mut Attack, target: &Target) {
    let mut paths = Vec::new();
    if target.has_parameter() {
        paths.extend(urls::BAD_SEGMENTS.iter().map(|bad| target.path_with(bad)));
        paths.push(target.path_with(&"a".repeat(16 * 1024)));
        paths.push(target.path_with(&"%2e%2e%2f".repeat(1_500)));
    }
    let plain = target.absent_path();
    let inner = plain.trim_start_matches('/');
    paths.extend(
        urls::PATH_TRICKS
            .iter()
            .map(|trick| trick.replace("{}", inner)),
    );
    paths.extend(urls::respelled(&plain));
    for path in paths {
        let shot = Shot {
            method: &target.method,
            target: &path,
            headers: "",
            body: None,
        };
        attack.refuse(&shot, &[400, 404, 405, 414]);
    }
}

fn send_queries(attack: &mut Attack, victim: &Victim, target: &Target) {
    let path = match target.takes {
        Takes::Json | Takes::Items | Takes::File => target.present_path(&victim.present),
        _ if target.is_read() => target.present_path(&victim.present),
        _ => target.absent_path(),
    };
    let large = urls::large_queries();
    let large = large.iter().map(|(query, name)| (query.as_str(), *name));
    for (query, name) in urls::BAD_QUERIES.iter().copied().chain(large) {
        let asked = format!("{path}?{query}");
        let shot = Shot {
            method: &target.method,
            target: &asked,
            headers: JSON,
            body: (!target.is_read()).then_some(&b"[0]"[..]),
        };
        let is_strict = target.is_read() && !target.ignores_its_query();
        if is_strict || target.takes == Takes::Nothing {
            attack.refuse_at(&shot, name);
        } else {
            attack.send(&shot);
        }
    }
}

/// What a route does not list it does not do, and it says what it does.
fn send_other_methods(attack: &mut Attack, victim: &Victim) {
    let mut seen = HashSet::new();
    for target in &victim.targets {
        if !seen.insert(&target.template) {
            continue;
        }
        let path = target.absent_path();
        for method in METHODS {
            let listed = routes::has(&victim.targets, method, &target.template);
            // Another template may stand for the same path: `/runs/{id}` for `/runs/batch`.
            if listed || overlapped(victim, method, &path) {
                continue;
            }
            let shot = Shot {
                method,
                target: &path,
                headers: JSON,
                body: None,
            };
            let answer = attack.refuse(&shot, &[405]);
            if answer.header("allow").is_none() {
                attack.fault(&shot, &answer, "no Allow");
            }
        }
        let head = Shot {
            method: "HEAD",
            target: &path,
            headers: "",
            body: None,
        };
        attack.send(&head);
    }
}

fn overlapped(victim: &Victim, method: &str, path: &str) -> bool {
    victim.targets.iter().any(|target| {
        let (ours, theirs) = (path.split('/'), target.template.split('/'));
        target.method == method
            && ours.clone().count() == theirs.clone().count()
            && ours
                .zip(theirs)
                .all(|(ours, theirs)| ours == theirs || theirs.starts_with('{'))
    })
}
