//! The rate limit as a client meets it: some requests at some pace, and how many are refused.
//!
//! The contract is 5,000 requests a minute for each client. Whoever stays within it is never
//! refused, who was idle may go beyond it once, and nobody does so for long. [`paced`] and
//! [`at_full_speed`] are clients; the short tests and the campaign are made of them.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::wait;
use crate::wire::Wire;

/// Costs the server little, and one request of its client's limit.
const REQUEST: &str = "GET /api/v1/tasks?limit=1 HTTP/1.1\r\nhost: localhost\r\n";

/// Who asks.
#[derive(Clone, Debug)]
pub struct Asker {
    pub from: Ipv4Addr,
    pub key: Option<String>,
}

impl Asker {
    pub fn at(last: u8) -> Self {
        Asker {
            from: Ipv4Addr::new(127, 0, 0, last),
            key: None,
        }
    }

    fn request(&self) -> String {
        match &self.key {
            Some(key) => format!("{REQUEST}authorization: Bearer {key}\r\n\r\n"),
            None => format!("{REQUEST}\r\n"),
        }
    }
}

/// What became of some requests.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub accepted: u64,
    pub refused: u64,
    /// What was neither 200 nor a whole 429.
    pub faults: Vec<String>,
    /// From before the first request to after the last answer.
    pub took: Duration,
    /// How far the last request was behind its time.
    pub behind: Duration,
}

impl Outcome {
    fn count(&mut self, wire: &mut Wire, request: &[u8]) {
        wire.send(request);
        let answer = match wire.answer(false) {
            Ok(answer) => answer,
            Err(error) => {
                self.faults.push(format!("no answer: {error}"));
                return;
            }
        };
        match answer.status {
            200 if answer.header("x-ratelimit-remaining").is_some() => self.accepted += 1,
            429 if answer.header("retry-after").is_some() => self.refused += 1,
            status => self.faults.push(format!("{status}: {}", answer.text())),
        }
    }
}

/// Sends `requests` evenly over a time, one after the other over one connection; what is late is
/// sent at once.
pub fn paced(port: u16, asker: &Asker, requests: u64, over: Duration) -> Outcome {
    let request = asker.request();
    let mut wire = Wire::open_from(asker.from, port);
    let mut outcome = Outcome::default();
    let started = wait::now();
    for number in 0..requests {
        let due = over.mul_f64(number as f64 / requests as f64);
        let passed = started.elapsed();
        if passed < due {
            wait::pause_for(due - passed);
        }
        outcome.behind = started.elapsed().saturating_sub(due);
        outcome.count(&mut wire, request.as_bytes());
    }
    outcome.took = started.elapsed();
    outcome
}

/// Sends as fast as it is answered, for a time and until so many are accepted.
pub fn at_full_speed(port: u16, asker: &Asker, accepted: u64, at_least: Duration) -> Outcome {
    let request = asker.request();
    let mut wire = Wire::open_from(asker.from, port);
    let mut outcome = Outcome::default();
    let started = wait::now();
    while (started.elapsed() < at_least || outcome.accepted < accepted)
        && outcome.faults.is_empty()
        && started.elapsed() < at_least + wait::PATIENT
    {
        outcome.count(&mut wire, request.as_bytes());
    }
    outcome.took = started.elapsed();
    outcome
}

/// All at once, each on its own connection.
pub fn all_paced(port: u16, askers: &[Asker], requests: u64, over: Duration) -> Vec<Outcome> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = askers
            .iter()
            .map(|asker| scope.spawn(move || paced(port, asker, requests, over)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("an asker"))
            .collect()
    })
}

/// The sum of several, with the longest of their times.
pub fn sum(outcomes: &[Outcome]) -> Outcome {
    let mut sum = Outcome::default();
    for outcome in outcomes {
        sum.accepted += outcome.accepted;
        sum.refused += outcome.refused;
        sum.faults.extend(outcome.faults.iter().cloned());
        sum.took = sum.took.max(outcome.took);
        sum.behind = sum.behind.max(outcome.behind);
    }
    sum
}

/// The most that a bucket of this depth and refill lets through in a time.
pub fn allowance(depth: u64, refill: Duration, took: Duration) -> u64 {
    depth + (took.as_secs_f64() / refill.as_secs_f64()) as u64 + 1
}

/// Makes keys on a server that has none, the first of which may do everything; from then on it
/// wants one.
#[track_caller]
pub fn make_keys(client: &crate::Client, count: usize) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for number in 0..count {
        let scope = if number == 0 { "admin" } else { "read" };
        let body = serde_json::json!({"name": format!("asker-{number}"), "scopes": [scope]});
        let bearer = keys.first().map(|key| format!("Bearer {key}"));
        let headers: Vec<(&str, &str)> = bearer
            .iter()
            .map(|bearer| ("authorization", bearer.as_str()))
            .collect();
        let body = body.to_string();
        let answer = match client.send("POST", "/api/v1/keys", &headers, Some(body.as_bytes())) {
            Ok(answer) => answer.expect(201),
            Err(error) => panic!("POST /api/v1/keys: {error}"),
        };
        keys.push(answer["key"].as_str().expect("the key").to_owned());
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allowance_is_the_depth_and_what_flowed_in() {
        let refill = Duration::from_millis(12);
        assert_eq!(allowance(5_000, refill, Duration::ZERO), 5_001);
        assert_eq!(allowance(5_000, refill, Duration::from_secs(60)), 10_001);
    }
}
