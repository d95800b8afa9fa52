//! `GET /api/v1/runs/{id}/log`: what a run printed, and with `follow=1` what it is printing.
//!
//! A follower reads the live log of an attempt while it runs here, and the stored logs of attempts
//! that are over; it moves on from attempt to attempt and ends with the run. The id of each event
//! is `attempt-offset` with the offset behind its text, so that a stream that broke is taken up
//! where it broke, by a browser without being told. Nothing is held back for a slow reader: it
//! reads from the log itself, at its own pace.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use autom8_api::run::{AttemptLogView, LogChunk, LogEnd, RunLogView};
use autom8_engine::{RunLog, timer};
use autom8_model::{RunId, RunState, limits};
use autom8_store::AttemptLog;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::stream::{self, Stream, StreamExt as _};

use crate::error::ApiProblem;
use crate::extract::path::no_run;
use crate::extract::{FromQuery, Parameters, Query, RunPath};
use crate::state::AppState;

pub fn routes() -> Router<AppState> {
    Router::new().route("/api/v1/runs/{id}/log", get(log))
}

struct LogQuery {
    follow: bool,
}

impl FromQuery for LogQuery {
    fn take(parameters: &mut Parameters) -> Self {
        LogQuery {
            follow: parameters.flag("follow"),
        }
    }
}

async fn log(
    State(state): State<AppState>,
    RunPath(run): RunPath,
    Query(query): Query<LogQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiProblem> {
    let accepts = |kind: &str| {
        let accept = headers
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok());
        accept.is_some_and(|accept| accept.contains(kind))
    };
    if query.follow || accepts("text/event-stream") {
        // Found now, so that an unknown run is a 404 and not a stream.
        current_state(&state, run).await?;
        let place = headers
            .get("last-event-id")
            .and_then(|id| id.to_str().ok())
            .map(Place::parse);
        let events = follow(state, run, place.flatten().unwrap_or_default());
        return Ok(Sse::new(events)
            .keep_alive(KeepAlive::default())
            .into_response());
    }
    let attempts = attempts(&state, run).await?;
    let answer = if accepts("application/json") {
        Json(RunLogView { run, attempts }).into_response()
    } else {
        as_text(&attempts).into_response()
    };
    Ok((
        [
            (header::VARY, "accept"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ],
        answer,
    )
        .into_response())
}

/// The output of all attempts until now.
async fn attempts(state: &AppState, run: RunId) -> Result<Vec<AttemptLogView>, ApiProblem> {
    let live = live_attempt(state, run).await?;
    let stored = state.store.run_log(run).await?;
    let mut attempts: Vec<AttemptLogView> = stored
        .into_iter()
        .map(|log| AttemptLogView {
            attempt: log.attempt,
            text: String::from_utf8_lossy(&log.bytes).into_owned(),
            bytes: log.summary.bytes,
            truncated: log.summary.truncated,
            live: false,
        })
        .collect();
    // It may have been stored since it was seen live.
    let live = live.filter(|live| attempts.iter().all(|stored| stored.attempt != live.attempt));
    if let Some((live, captured)) = live.and_then(|live| Some((live.attempt, live.log.capture()?)))
    {
        attempts.push(AttemptLogView {
            attempt: live,
            text: String::from_utf8_lossy(&captured.bytes).into_owned(),
            bytes: captured.bytes.len() as u64,
            truncated: captured.truncated,
            live: true,
        });
    }
    Ok(attempts)
}

/// Plain text; attempts are told apart where there are several.
fn as_text(attempts: &[AttemptLogView]) -> String {
    let mut text = String::new();
    for log in attempts {
        if attempts.len() > 1 {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            // Writing into memory cannot fail.
            let _ = writeln!(text, "── attempt {} ──", log.attempt);
        }
        text.push_str(&log.text);
    }
    text
}

async fn current_state(state: &AppState, run: RunId) -> Result<RunState, ApiProblem> {
    match state.store.run(run).await? {
        Some(run) => Ok(run.state),
        None => Err(no_run(&run.to_string())),
    }
}

struct LiveAttempt {
    attempt: u16,
    log: RunLog,
}

/// The attempt that is running here now, if one is.
async fn live_attempt(state: &AppState, run: RunId) -> Result<Option<LiveAttempt>, ApiProblem> {
    let live = state.engine.live_log(run);
    let stored = state
        .store
        .run(run)
        .await?
        .ok_or_else(|| no_run(&run.to_string()))?;
    // A log that has not ended after the run was read is the one of the attempt that was read: the
    // next claim comes after the end of this.
    let live = live.filter(|log| !log.has_ended());
    Ok(live.map(|log| LiveAttempt {
        attempt: stored.attempt,
        log,
    }))
}

/// How far a follower has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    /// 0 before the first.
    attempt: u16,
    offset: u64,
}

impl Place {
    fn parse(id: &str) -> Option<Self> {
        let (attempt, offset) = id.split_once('-')?;
        Some(Place {
            attempt: attempt.parse().ok()?,
            offset: offset.parse().ok()?,
        })
    }

    fn event_id(self) -> String {
        format!("{}-{}", self.attempt, self.offset)
    }
}

struct Follower {
    state: AppState,
    run: RunId,
    place: Place,
    live: Option<LiveAttempt>,
    /// The attempt that was read live to its end: its stored form has nothing new, but may be
    /// counted differently, since a dropped middle has left it.
    read_to_end: Option<u16>,
    /// The last event is out.
    over: bool,
}

/// Text sent in one event. A client that takes up a stream reads the log in such pieces.
const CHUNK_BYTES_MAX: usize = 64 * 1024;
/// How often a run that waits, or runs elsewhere, is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

const _: () = assert!(CHUNK_BYTES_MAX <= limits::RUN_LOG_BYTES_MAX);

fn follow(
    state: AppState,
    run: RunId,
    place: Place,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let stopping = state.lifecycle.stopping().clone().cancelled_owned();
    let follower = Follower {
        state,
        run,
        place,
        live: None,
        read_to_end: None,
        over: false,
    };
    // A stopping server would wait for its followers; they take up the stream at the next one.
    stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    })
    .take_until(stopping)
}

impl Follower {
    /// The next event; `None` after the last.
    async fn next(&mut self) -> Option<Event> {
        if self.over {
            return None;
        }
        loop {
            let looked = match self.live.take() {
                Some(live) => Ok(self.read_live(live).await),
                None => self.look().await,
            };
            match looked {
                Ok(Some(event)) => return Some(event),
                Ok(None) => {}
                // The answer has begun: all that is left to say is where to go on.
                Err(problem) => {
                    self.over = true;
                    return Event::default()
                        .event("problem")
                        .json_data(&problem.problem)
                        .ok();
                }
            }
        }
    }

    /// Waits for output of an attempt that runs here. `None` once it is over.
    async fn read_live(&mut self, live: LiveAttempt) -> Option<Event> {
        let mut more = live.log.follow();
        loop {
            // Asked before reading: what is written before the end is then read.
            let ended = live.log.has_ended();
            let (start, bytes) = live.log.read_from(self.place.offset);
            let text = first_chunk(&bytes, ended);
            if !text.is_empty() {
                let event = self.chunk(live.attempt, start, text);
                self.live = Some(live);
                return event;
            }
            if ended {
                self.read_to_end = Some(live.attempt);
                return None;
            }
            // An error means that the log has no writer any more, which `ended` tells next.
            if more.changed().await.is_err() {
                return None;
            }
        }
    }

    /// Looks for output that is stored, for an attempt that has begun, and for the end.
    async fn look(&mut self) -> Result<Option<Event>, ApiProblem> {
        let before = current_state(&self.state, self.run).await?;
        for log in self.state.store.run_log(self.run).await? {
            if let Some(event) = self.read_stored(&log) {
                return Ok(Some(event));
            }
        }
        // All that was stored when the run had ended is read by now.
        if before.is_terminal() {
            self.over = true;
            let end = Event::default().event("end").id(self.place.event_id());
            return Ok(end.json_data(LogEnd { state: before }).ok());
        }
        match live_attempt(&self.state, self.run).await? {
            Some(live) if self.read_to_end != Some(live.attempt) => {
                if self.place.attempt != live.attempt {
                    self.place = Place {
                        attempt: live.attempt,
                        offset: 0,
                    };
                }
                // A place beyond the end was made up, and would never be reached.
                self.place.offset = self.place.offset.min(live.log.written());
                self.live = Some(live);
            }
            _ => timer::sleep(LOOK_AGAIN).await,
        }
        Ok(None)
    }

    fn read_stored(&mut self, log: &AttemptLog) -> Option<Event> {
        if log.attempt < self.place.attempt || self.read_to_end == Some(log.attempt) {
            return None;
        }
        let mut start = if log.attempt == self.place.attempt {
            self.place.offset
        } else {
            0
        };
        let length = log.bytes.len() as u64;
        // The offset was counted while the middle was still there. What follows the kept head is
        // told again rather than left out.
        if log.summary.truncated && start > length {
            start = (limits::RUN_LOG_BYTES_MAX / 2) as u64;
        }
        let rest = log.bytes.get(usize::try_from(start).ok()?..)?;
        let text = first_chunk(rest, true);
        if text.is_empty() {
            return None;
        }
        self.chunk(log.attempt, start, text)
    }

    fn chunk(&mut self, attempt: u16, offset: u64, bytes: &[u8]) -> Option<Event> {
        self.place = Place {
            attempt,
            offset: offset + bytes.len() as u64,
        };
        let text = String::from_utf8_lossy(bytes).into_owned();
        let event = Event::default().event("log").id(self.place.event_id());
        event
            .json_data(LogChunk {
                attempt,
                offset,
                text,
            })
            .ok()
    }
}

/// What goes into one event. `complete` says that nothing will follow these bytes.
fn first_chunk(bytes: &[u8], complete: bool) -> &[u8] {
    match bytes.get(..CHUNK_BYTES_MAX) {
        Some(chunk) if chunk.len() < bytes.len() => whole_characters(chunk, false),
        _ => whole_characters(bytes, complete),
    }
}

/// The bytes without a character that is cut off at their end, unless they are the last.
fn whole_characters(bytes: &[u8], last: bool) -> &[u8] {
    if last {
        return bytes;
    }
    // A character has at most four bytes, so its first lies among the last three of a cut.
    let tail_start = bytes.len().saturating_sub(3);
    for start in (tail_start..bytes.len()).rev() {
        let needs = match bytes[start] {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            0x80..=0xbf => continue,
            _ => break,
        };
        if bytes.len() - start < needs {
            return &bytes[..start];
        }
        break;
    }
    bytes
}

#[cfg(test)]
#[path = "run_log_tests.rs"]
mod tests;
