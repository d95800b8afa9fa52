//! What was seen from outside, in the order in which it was seen: the checker's only input.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::wait;

/// One line of a history. Times are microseconds since the campaign began.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub at_us: u64,
    #[serde(flatten)]
    pub event: Event,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A 2xx: it must exist from now on. Without ids only the count is known.
    Acknowledged {
        what: Request,
        task: String,
        runs: Vec<i64>,
        count: u64,
    },
    /// Sent, and never answered: it may have happened.
    Unknown {
        what: Request,
        task: String,
        count: u64,
    },
    /// An answer that says nothing has happened.
    Refused { what: Request, status: u16 },
    /// Nobody listened.
    NotSent,
    /// A run as a read told it. The read began at `asked_at_us`: whatever ended before that must
    /// be seen as ended.
    Observed { asked_at_us: u64, run: RunSeen },
    /// A task's effect, recorded by the sink.
    Effect {
        channel: Channel,
        run: i64,
        attempt: u32,
    },
    /// `kill -9`, while this many requests of tasks waited for their answer.
    Killed {
        open_requests: u64,
        while_starting: bool,
    },
    /// The first healthy answer after a start.
    Ready { took_us: u64 },
    /// No fault is injected and no request is sent from now on.
    FaultsEnded,
    /// Everything had the time to end: what is observed from now on is final, and complete.
    Swept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    Submit,
    Cancel,
    Retry { original: i64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    Http,
    Process,
}

/// The parts of a run that the invariants speak of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSeen {
    pub id: i64,
    pub task: String,
    pub task_type: String,
    pub state: String,
    pub attempt: u32,
    pub max_attempts: u32,
    pub epoch: Option<i64>,
    pub planned_at: Option<String>,
    pub finished_at: Option<String>,
    pub replay_of: Option<i64>,
}

impl RunSeen {
    /// Reads the JSON of a run. A field that is missing or of another type is an error: the
    /// checker must not pass because it saw nothing.
    pub fn read(json: &Value) -> Result<RunSeen, String> {
        let missing = |name: &str| format!("a run without a good `{name}`: {json}");
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        let number = |name: &str| json[name].as_u64().and_then(|n| u32::try_from(n).ok());
        Ok(RunSeen {
            id: json["id"].as_i64().ok_or_else(|| missing("id"))?,
            task: text("task").ok_or_else(|| missing("task"))?,
            task_type: text("task_type").ok_or_else(|| missing("task_type"))?,
            state: text("state").ok_or_else(|| missing("state"))?,
            attempt: number("attempt").ok_or_else(|| missing("attempt"))?,
            max_attempts: number("max_attempts").ok_or_else(|| missing("max_attempts"))?,
            epoch: json["epoch"].as_i64(),
            planned_at: text("planned_at"),
            finished_at: text("finished_at"),
            replay_of: json["replay_of"].as_i64(),
        })
    }

    pub fn is_terminal(&self) -> bool {
        matches!(
            self.state.as_str(),
            "completed" | "failed" | "cancelled" | "interrupted"
        )
    }
}

/// Takes entries from any thread. Each is written out at once, so that a campaign that dies
/// leaves its history.
pub struct History {
    started: Instant,
    written: Mutex<Written>,
}

struct Written {
    entries: Vec<Entry>,
    file: BufWriter<File>,
}

impl History {
    pub fn in_file(path: &Path) -> std::io::Result<History> {
        let file = BufWriter::new(File::create(path)?);
        Ok(History {
            started: wait::now(),
            written: Mutex::new(Written {
                entries: Vec::new(),
                file,
            }),
        })
    }

    pub fn now_us(&self) -> u64 {
        self.micros_at(wait::now())
    }

    pub fn micros_at(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_micros()).unwrap_or(u64::MAX)
    }

    pub fn record(&self, event: Event) {
        self.record_at(self.now_us(), event);
    }

    pub fn record_at(&self, at_us: u64, event: Event) {
        let entry = Entry { at_us, event };
        let mut line = serde_json::to_string(&entry).expect("an entry is JSON");
        line.push('\n');
        let mut written = self.written.lock().expect("the history");
        written
            .file
            .write_all(line.as_bytes())
            .expect("the history's file");
        written.entries.push(entry);
    }

    /// The whole history, in order of time.
    pub fn into_entries(self) -> Vec<Entry> {
        let mut written = self.written.into_inner().expect("the history");
        written.file.flush().expect("the history's file");
        let mut entries = written.entries;
        entries.sort_by_key(|entry| entry.at_us);
        entries
    }
}

/// Reads a history back, to check it again.
pub fn read(path: &Path) -> Result<Vec<Entry>, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut entries: Vec<Entry> = Vec::new();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let at = |error: String| format!("{}:{}: {error}", path.display(), index + 1);
        let line = line.map_err(|error| at(error.to_string()))?;
        entries.push(serde_json::from_str(&line).map_err(|error| at(error.to_string()))?);
    }
    entries.sort_by_key(|entry| entry.at_us);
    Ok(entries)
}
