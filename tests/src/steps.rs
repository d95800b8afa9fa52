//! The steps that many tests take: make a task, run it, wait for its end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{Client, wait};

impl Client {
    /// Creates a task and returns it as answered.
    #[track_caller]
    pub fn create_task(&self, task: &Value) -> Value {
        self.post("/api/v1/tasks", task).expect(201)
    }

    /// Starts a run by hand and returns its id.
    #[track_caller]
    pub fn run_task(&self, name: &str) -> i64 {
        let run = self
            .post_empty(&format!("/api/v1/tasks/{name}/run"))
            .expect(202);
        run["id"].as_i64().expect("the accepted run has an id")
    }

    #[track_caller]
    pub fn read_run(&self, id: i64) -> Value {
        self.get(&format!("/api/v1/runs/{id}")).expect(200)
    }

    /// Waits for a run's end and returns it.
    #[track_caller]
    pub fn ended_run(&self, id: i64) -> Value {
        let ended = wait::within(wait::PATIENT, || {
            let run = self.read_run(id);
            is_terminal(&run).then_some(run)
        });
        match ended {
            Some(run) => run,
            None => panic!("run {id} has not ended: {}", self.read_run(id)),
        }
    }

    /// Waits until a run is in a state.
    #[track_caller]
    pub fn run_in_state(&self, id: i64, state: &str, limit: Duration) -> Value {
        wait::until(&format!("run {id} {state}"), limit, || {
            Some(self.read_run(id)).filter(|run| run["state"] == state)
        })
    }

    /// The runs of a filter, by all its pages.
    #[track_caller]
    pub fn all_runs(&self, query: &str) -> Vec<Value> {
        let mut runs = Vec::new();
        let mut cursor = String::new();
        loop {
            let list = self
                .get(&format!("/api/v1/runs?{query}{cursor}"))
                .expect(200);
            runs.extend(
                list["runs"]
                    .as_array()
                    .expect("a list of runs")
                    .iter()
                    .cloned(),
            );
            match list["meta"]["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return runs,
            }
        }
    }
}

pub fn is_terminal(run: &Value) -> bool {
    matches!(
        run["state"].as_str(),
        Some("completed" | "failed" | "cancelled" | "interrupted")
    )
}

/// A task that calls `url` by POST.
pub fn http_task(name: &str, url: &str) -> Value {
    json!({"name": name, "do": {"http": {"method": "POST", "url": url}}})
}

/// A task that runs a shell script.
pub fn script_task(name: &str, script: &str) -> Value {
    json!({"name": name, "do": {"process": {"argv": ["/bin/sh", "-c", script]}}})
}

pub fn noop_task(name: &str) -> Value {
    json!({"name": name, "do": {"builtin": "noop"}})
}

/// `base` with further fields.
pub fn with(mut base: Value, fields: Value) -> Value {
    if let (Some(base), Value::Object(fields)) = (base.as_object_mut(), fields) {
        base.extend(fields);
    }
    base
}
