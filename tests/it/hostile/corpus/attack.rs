//! Sends the corpus over connections that are kept, and judges each answer by what is promised of
//! all of them.

use std::collections::BTreeMap;

use autom8_tests::wire::Wire;
use autom8_tests::{Answer, Server};
use serde_json::Value;

/// What a lost connection is allowed to cost.
const TRIES: usize = 2;
/// Bodies are shown up to here in the message of a failure.
const SHOWN_BYTES: usize = 120;
/// Faults that are shown of one place.
const FAULTS_SHOWN: usize = 5;
/// A refusal is for a person to read.
const REFUSAL_BYTES_MAX: usize = 8 * 1024;

pub(super) struct Attack {
    port: u16,
    wire: Option<Wire>,
    pub(super) sent: usize,
    /// How often each status was answered, for the summary.
    pub(super) statuses: BTreeMap<u16, usize>,
    /// What was wrong, by where it was.
    faults: BTreeMap<String, Vec<String>>,
}

/// One request, as it is written.
pub(super) struct Shot<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    /// Whole header lines, beside `Host` and the length.
    pub(super) headers: &'a str,
    pub(super) body: Option<&'a [u8]>,
}

impl std::fmt::Display for Shot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cut = |bytes: &[u8]| {
            let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
            String::from_utf8_lossy(shown).into_owned()
        };
        write!(f, "{} {}", self.method, cut(self.target.as_bytes()))?;
        if !self.headers.is_empty() {
            write!(f, " [{}]", self.headers.trim_end())?;
        }
        match self.body {
            Some(body) => write!(f, " with {} bytes: {}", body.len(), cut(body)),
            None => Ok(()),
        }
    }
}

impl Attack {
    pub(super) fn on(server: &Server) -> Self {
        Attack {
            port: server.port(),
            wire: None,
            sent: 0,
            statuses: BTreeMap::new(),
            faults: BTreeMap::new(),
        }
    }

    /// Sends one request and demands what every answer owes: it comes, it is no failure of the
    /// server's, and a refusal has the form of all refusals.
    pub(super) fn send(&mut self, shot: &Shot<'_>) -> Answer {
        let answer = self.exchange(shot);
        self.sent += 1;
        *self.statuses.entry(answer.status).or_default() += 1;
        if answer.status >= 500 {
            self.fault(shot, &answer, "a failure of the server");
        } else if answer.status >= 400
            && shot.method != "HEAD"
            && let Err(fault) = judge_refusal(&answer)
        {
            self.fault(shot, &answer, &fault);
        }
        answer
    }

    /// Sends what must be refused with one of these statuses.
    pub(super) fn refuse(&mut self, shot: &Shot<'_>, statuses: &[u16]) -> Answer {
        let answer = self.send(shot);
        if !statuses.contains(&answer.status) {
            let fault = format!("{} and not one of {statuses:?}", answer.status);
            self.fault(shot, &answer, &fault);
        }
        answer
    }

    /// Sends what must be refused with 400 and a fault at `place` or inside of it. `/` and `?` stand
    /// for anywhere.
    pub(super) fn refuse_at(&mut self, shot: &Shot<'_>, place: &str) {
        let answer = self.refuse(shot, &[400]);
        if answer.status == 400 && !names(&answer, place) {
            self.fault(shot, &answer, &format!("does not name {place}"));
        }
    }

    /// Notes what is wrong and goes on: the tenth fault may tell more than the first.
    pub(super) fn fault(&mut self, shot: &Shot<'_>, answer: &Answer, fault: &str) {
        let text: String = answer.text().chars().take(300).collect();
        let path = shot.target.split('?').next().unwrap_or_default();
        let place: String = path.chars().take(80).collect();
        self.note(
            &format!("{} {place}", shot.method),
            format!("{shot}: {fault}: {} {text}", answer.status),
        );
    }

    pub(super) fn note(&mut self, place: &str, fault: String) {
        self.faults.entry(place.to_owned()).or_default().push(fault);
    }

    /// Some faults of each place, and how many there are.
    pub(super) fn verdict(&self) -> Result<(), String> {
        if self.faults.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for (place, faults) in &self.faults {
            text.push_str(&format!("{place}: {} faults\n", faults.len()));
            for fault in faults.iter().take(FAULTS_SHOWN) {
                text.push_str(&format!("    {}\n", fault.escape_debug()));
            }
        }
        Err(text)
    }

    #[track_caller]
    fn exchange(&mut self, shot: &Shot<'_>) -> Answer {
        let mut request = format!(
            "{} {} HTTP/1.1\r\nhost: localhost\r\n{}",
            shot.method, shot.target, shot.headers
        )
        .into_bytes();
        if let Some(body) = shot.body {
            request.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(shot.body.unwrap_or_default());
        let mut last = None;
        for _ in 0..TRIES {
            let port = self.port;
            let wire = self.wire.get_or_insert_with(|| Wire::open(port));
            wire.send(&request);
            match wire.answer(shot.method == "HEAD") {
                Ok(answer) => {
                    let is_over = ["connection", "content-type"].iter().any(|name| {
                        answer.header(name).is_some_and(|value| {
                            value == "close" || value.starts_with("text/event-stream")
                        })
                    });
                    // A body that was refused unread may have been left in the way of the next.
                    let unread = shot.body.is_some_and(|body| body.len() > 1024);
                    if is_over || unread {
                        self.wire = None;
                    }
                    return answer;
                }
                Err(error) => {
                    self.wire = None;
                    last = Some(error);
                }
            }
        }
        panic!("{shot}: no answer: {last:?}");
    }
}

fn judge_refusal(answer: &Answer) -> Result<(), String> {
    let kind = answer.header("content-type");
    if kind != Some("application/problem+json") {
        return Err(format!("a refusal as {kind:?}"));
    }
    let problem = answer.json();
    for member in ["type", "title", "code", "message", "request_id", "error"] {
        if problem[member].as_str().unwrap_or_default().is_empty() {
            return Err(format!("a refusal without `{member}`"));
        }
    }
    if problem["status"] != answer.status {
        return Err("a refusal with another status inside".to_owned());
    }
    let errors = problem["errors"].as_array().map_or(&[][..], Vec::as_slice);
    let is_whole = |error: &Value| {
        let text = |member: &str| error[member].as_str().is_some_and(|text| !text.is_empty());
        text("path") && text("message")
    };
    if answer.status == 400 && (errors.is_empty() || !errors.iter().all(is_whole)) {
        return Err("no path or no message in `errors`".to_owned());
    }
    // What was sent is repeated in part at most.
    if answer.body.len() > REFUSAL_BYTES_MAX {
        return Err(format!("a refusal of {} bytes", answer.body.len()));
    }
    Ok(())
}

fn names(answer: &Answer, place: &str) -> bool {
    let problem = answer.json();
    let errors = problem["errors"].as_array().map_or(&[][..], Vec::as_slice);
    errors
        .iter()
        .filter_map(|error| error["path"].as_str())
        .any(|path| match path.strip_prefix(place) {
            Some(rest) => rest.is_empty() || rest.starts_with('/') || place.len() == 1,
            None => false,
        })
}
