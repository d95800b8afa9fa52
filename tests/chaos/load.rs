//! The traffic of a campaign: tasks of every kind, and clients that submit, cancel, retry and read.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::history::{Event, History, Request, RunSeen};
use crate::random::Random;
use crate::sink::{Sink, append_command};
use crate::{Client, Unanswered, wait};

/// Tasks that clients start; the ones of [`SCHEDULED`] start themselves.
pub const BY_HAND: [&str; 7] = [
    "call", "slow", "flaky", "broken", "fragile", "script", "noop",
];
pub const SCHEDULED: [&str; 3] = ["each-second", "each-two-seconds", "each-minute"];

/// Runs that clients remember, to cancel, retry and read them.
const REMEMBERED_MAX: usize = 400;

/// The tasks of the campaign.
pub fn tasks(sink: &Sink, file: &Path) -> Vec<Value> {
    let call = |path: &str| json!({"http": {"method": "POST", "url": sink.url(path)}});
    // Crashes count as attempts, and a campaign is one crash after another.
    let patient = json!({"max_attempts": 20, "backoff": "50ms", "max_backoff": "200ms"});
    let script = format!("{}; sleep 0.05", append_command(file, "started"));
    let script = json!({"process": {"argv": ["/bin/sh", "-c", script]}});
    vec![
        json!({"name": "call", "do": call("/ok"), "retry": patient}),
        json!({"name": "slow", "do": call("/slow/150"), "retry": patient}),
        json!({"name": "flaky", "do": call("/fail/1"), "retry": patient}),
        json!({"name": "broken", "do": call("/status/500"),
               "retry": {"max_attempts": 2, "backoff": "20ms", "max_backoff": "50ms"}}),
        json!({"name": "fragile", "do": call("/slow/100"), "on_crash": "fail", "retry": patient}),
        json!({"name": "script", "do": script, "retry": patient}),
        json!({"name": "noop", "do": {"builtin": "noop"}, "retry": patient}),
        json!({"name": "each-second", "do": call("/ok"), "schedule": {"every": "1s"},
               "overlap": "allow", "retry": patient}),
        json!({"name": "each-two-seconds", "do": script, "schedule": {"every": "2s"},
               "catch_up": "all", "overlap": "allow", "retry": patient}),
        json!({"name": "each-minute", "do": {"builtin": "noop"},
               "schedule": {"cron": "*/1 * * * *"}, "retry": patient}),
    ]
}

/// What the clients and the one who kills share.
pub struct World {
    pub history: History,
    /// Where the server listens; 0 while it is down.
    port: AtomicU16,
    stopping: AtomicBool,
    remembered: Mutex<VecDeque<(i64, &'static str)>>,
    /// Answers that no client of a sound server gets: 5xx other than a refusal of load.
    defects: Mutex<Vec<String>>,
}

impl World {
    pub fn new(history: History) -> Self {
        World {
            history,
            port: AtomicU16::new(0),
            stopping: AtomicBool::new(false),
            remembered: Mutex::new(VecDeque::new()),
            defects: Mutex::new(Vec::new()),
        }
    }

    pub fn server_is_at(&self, port: u16) {
        self.port.store(port, Ordering::SeqCst);
    }

    pub fn server_is_down(&self) {
        self.port.store(0, Ordering::SeqCst);
    }

    pub fn stop_clients(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub fn into_parts(self) -> (History, Vec<String>) {
        (
            self.history,
            self.defects.into_inner().expect("the defects"),
        )
    }

    /// Notes what every answer of a read says of its runs.
    pub fn observe(&self, asked_at_us: u64, runs: &[Value]) {
        for run in runs {
            match RunSeen::read(run) {
                Ok(run) => self.history.record(Event::Observed { asked_at_us, run }),
                Err(error) => self.note_defect(error),
            }
        }
    }

    fn note_defect(&self, defect: String) {
        self.defects.lock().expect("the defects").push(defect);
    }

    fn remember(&self, runs: &[i64], task: &'static str) {
        let mut remembered = self.remembered.lock().expect("the runs");
        // Of a large batch a few will do.
        for run in runs.iter().step_by((runs.len() / 8).max(1)) {
            remembered.push_back((*run, task));
        }
        while remembered.len() > REMEMBERED_MAX {
            remembered.pop_front();
        }
    }

    fn recall(&self, random: &mut Random) -> Option<(i64, &'static str)> {
        let remembered = self.remembered.lock().expect("the runs");
        let index = random.below(remembered.len() as u64) as usize;
        remembered.get(index).copied()
    }

    /// One client, until the campaign ends its load.
    pub fn run_client(&self, mut random: Random) {
        while !self.stopping.load(Ordering::SeqCst) {
            let port = self.port.load(Ordering::SeqCst);
            if port != 0 {
                self.act(&Client::to_port(port), &mut random);
            }
            wait::pause_for(Duration::from_millis(2 + random.below(20)));
        }
    }

    fn act(&self, client: &Client, random: &mut Random) {
        match random.below(100) {
            0..40 => self.submit_one(client, random),
            40..50 => self.submit_batch(client, random),
            50..62 => self.cancel(client, random),
            62..72 => self.retry(client, random),
            72..95 => self.read_one(client, random),
            _ => self.read_list(client),
        }
    }

    fn submit_one(&self, client: &Client, random: &mut Random) {
        let Some(task) = random.pick(&BY_HAND).copied() else {
            return;
        };
        let input = json!({"input": {"number": random.below(1_000)}});
        let path = format!("/api/v1/tasks/{task}/run");
        let answer = self.write(client, &path, Some(&input), Request::Submit, task, 1);
        let Some(body) = answer else { return };
        self.accepted(&body["id"], Request::Submit, task);
    }

    fn submit_batch(&self, client: &Client, random: &mut Random) {
        let (task, count) = match random.below(3) {
            0 => ("call", 2 + random.below(6)),
            _ => ("noop", 50 + random.below(500)),
        };
        let return_ids = random.below(2) == 0;
        let inputs: Vec<Value> = (0..count).map(|number| json!({"number": number})).collect();
        let body = json!({"task": task, "inputs": inputs, "return_ids": return_ids});
        let path = "/api/v1/runs/batch";
        let Some(body) = self.write(client, path, Some(&body), Request::Submit, task, count) else {
            return;
        };
        let runs: Vec<i64> = match body["ids"].as_array() {
            Some(ids) => ids.iter().filter_map(Value::as_i64).collect(),
            None => Vec::new(),
        };
        if body["accepted"].as_u64() != Some(count) || (return_ids && runs.len() as u64 != count) {
            self.note_defect(format!("a batch of {count} was answered with {body}"));
        }
        self.remember(&runs, task);
        self.history.record(Event::Acknowledged {
            what: Request::Submit,
            task: task.to_owned(),
            runs,
            count,
        });
    }

    fn cancel(&self, client: &Client, random: &mut Random) {
        let Some((run, task)) = self.recall(random) else {
            return;
        };
        let path = format!("/api/v1/runs/{run}/cancel");
        if self
            .write(client, &path, None, Request::Cancel, task, 0)
            .is_some()
        {
            self.history.record(Event::Acknowledged {
                what: Request::Cancel,
                task: task.to_owned(),
                runs: vec![run],
                count: 0,
            });
        }
    }

    fn retry(&self, client: &Client, random: &mut Random) {
        let Some((original, task)) = self.recall(random) else {
            return;
        };
        let what = Request::Retry { original };
        let path = format!("/api/v1/runs/{original}/retry");
        if let Some(body) = self.write(client, &path, None, what, task, 1) {
            self.accepted(&body["id"], what, task);
        }
    }

    fn accepted(&self, id: &Value, what: Request, task: &'static str) {
        let Some(run) = id.as_i64() else {
            self.note_defect(format!("a run was accepted without an id: {id}"));
            return;
        };
        self.remember(&[run], task);
        self.history.record(Event::Acknowledged {
            what,
            task: task.to_owned(),
            runs: vec![run],
            count: 1,
        });
    }

    fn read_one(&self, client: &Client, random: &mut Random) {
        let Some((run, _)) = self.recall(random) else {
            return;
        };
        let asked_at_us = self.history.now_us();
        let Ok(answer) = client.send("GET", &format!("/api/v1/runs/{run}"), &[], None) else {
            return;
        };
        match answer.status {
            200 => self.observe(asked_at_us, &[answer.json()]),
            // Only acknowledged runs are asked for.
            404 => self.note_defect(format!("run {run} was acknowledged and answers 404")),
            503 => {}
            status => self.note_defect(format!("GET of run {run}: {status} {}", answer.text())),
        }
    }

    fn read_list(&self, client: &Client) {
        let asked_at_us = self.history.now_us();
        if let Ok(answer) = client.send("GET", "/api/v1/runs?limit=200", &[], None)
            && answer.status == 200
        {
            self.observe(
                asked_at_us,
                answer.json()["runs"].as_array().map_or(&[], Vec::as_slice),
            );
        }
    }

    /// Sends a write and notes what became of it, but for the acknowledgement, which is the
    /// caller's to read.
    fn write(
        &self,
        client: &Client,
        path: &str,
        body: Option<&Value>,
        what: Request,
        task: &str,
        count: u64,
    ) -> Option<Value> {
        let body = body.map(|value| value.to_string().into_bytes());
        match client.send("POST", path, &[], body.as_deref()) {
            Ok(answer) if answer.status / 100 == 2 => Some(answer.json()),
            Ok(answer) => {
                self.history.record(Event::Refused {
                    what,
                    status: answer.status,
                });
                // A run that has ended cannot be cancelled, one that has not cannot be retried;
                // overload is refused.
                if !matches!(answer.status, 409 | 429 | 503) {
                    self.note_defect(format!("{path}: {} {}", answer.status, answer.text()));
                }
                None
            }
            Err(Unanswered::NotSent(_)) => {
                self.history.record(Event::NotSent);
                None
            }
            Err(Unanswered::Unknown(_)) => {
                self.history.record(Event::Unknown {
                    what,
                    task: task.to_owned(),
                    count,
                });
                None
            }
        }
    }
}
