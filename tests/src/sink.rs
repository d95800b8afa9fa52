//! Where the effects of tasks arrive, outside of the product: it alone can tell whether a run was
//! done twice.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::wait;

/// A request's body beyond this is not read.
const BODY_BYTES_MAX: u64 = 1024 * 1024;

/// One request that a task made.
#[derive(Clone, Debug)]
pub struct Effect {
    pub run: i64,
    pub attempt: u32,
    pub path: String,
    pub idempotency_key: String,
    pub traceparent: Option<String>,
    pub body: String,
    pub arrived_at: Instant,
}

/// An HTTP server for tasks to call.
///
/// The path says how it answers: `/ok` at once, `/slow/MS` after that many milliseconds,
/// `/fail/N` with 503 to the first N attempts of a run, `/status/CODE` always with that status,
/// `/hold` only once [`Sink::release`] is called.
pub struct Sink {
    shared: Arc<Shared>,
    port: u16,
}

#[derive(Default)]
struct Shared {
    effects: Mutex<Vec<Effect>>,
    arrived: Condvar,
    /// Requests that have arrived and are not answered yet.
    open: AtomicU64,
    held: Mutex<Held>,
    released: Condvar,
}

#[derive(Default)]
struct Held {
    released: bool,
}

impl Sink {
    pub fn start() -> Sink {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port for the sink");
        let port = listener.local_addr().expect("its address").port();
        let shared = Arc::new(Shared::default());
        let accepting = shared.clone();
        // The thread ends with the process: a test process is short-lived, and a listener that
        // outlived its test would only answer nobody.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = accepting.clone();
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Sink { shared, port }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Everything that arrived so far, in order.
    pub fn effects(&self) -> Vec<Effect> {
        self.lock().clone()
    }

    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Requests of tasks that wait for their answer now.
    pub fn open(&self) -> u64 {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Waits for an effect that the test describes, from the first one on.
    #[track_caller]
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Effect) -> bool,
    ) -> Effect {
        let started = wait::now();
        let mut effects = self.lock();
        loop {
            if let Some(found) = effects.iter().find(|effect| wanted(effect)) {
                return found.clone();
            }
            let left = limit.saturating_sub(started.elapsed());
            assert!(
                !left.is_zero(),
                "{what} did not reach the sink within {limit:?}"
            );
            effects = self
                .shared
                .arrived
                .wait_timeout(effects, left)
                .expect("the effects")
                .0;
        }
    }

    /// How often each attempt of each run arrived.
    pub fn arrivals(&self) -> BTreeMap<(i64, u32), usize> {
        let mut counts = BTreeMap::new();
        for effect in self.lock().iter() {
            *counts.entry((effect.run, effect.attempt)).or_default() += 1;
        }
        counts
    }

    /// Lets `/hold` answer, now and from now on.
    pub fn release(&self) {
        self.shared.held.lock().expect("the hold").released = true;
        self.shared.released.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Effect>> {
        self.shared.effects.lock().expect("the effects")
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.release();
    }
}

/// Serves one connection until its other end closes it.
fn serve(stream: TcpStream, shared: &Shared) {
    let Ok(write_half) = stream.try_clone() else {
        return;
    };
    let mut writer = write_half;
    let mut reader = BufReader::new(stream);
    while let Some(effect) = read_request(&mut reader) {
        let (path, attempt) = (effect.path.clone(), effect.attempt);
        shared.open.fetch_add(1, Ordering::SeqCst);
        shared.effects.lock().expect("the effects").push(effect);
        shared.arrived.notify_all();
        let status = answer_status(&path, attempt, shared);
        shared.open.fetch_sub(1, Ordering::SeqCst);
        let body = format!("{{\"path\":{path:?}}}");
        let answer = format!(
            "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Effect> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        let (name, value) = text.split_once(':')?;
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length: u64 = headers
        .get("content-length")
        .map_or(Some(0), |text| text.parse().ok())?;
    let mut body = Vec::new();
    reader
        .take(length.min(BODY_BYTES_MAX))
        .read_to_end(&mut body)
        .ok()?;
    let number = |name: &str| headers.get(name).and_then(|text| text.parse::<i64>().ok());
    Some(Effect {
        // A call that does not say which run it is for is kept as run -1: tests see it.
        run: number("x-autom8-run").unwrap_or(-1),
        attempt: number("x-autom8-attempt")
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(0),
        path,
        idempotency_key: headers.get("idempotency-key").cloned().unwrap_or_default(),
        traceparent: headers.get("traceparent").cloned(),
        body: String::from_utf8_lossy(&body).into_owned(),
        arrived_at: wait::now(),
    })
}

fn answer_status(path: &str, attempt: u32, shared: &Shared) -> u16 {
    let mut parts = path.trim_start_matches('/').split(['/', '?']);
    let kind = parts.next().unwrap_or_default();
    let number: u64 = parts.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    match kind {
        "ok" => 200,
        "slow" => {
            wait::pause_for(Duration::from_millis(number));
            200
        }
        "fail" if u64::from(attempt) <= number => 503,
        "fail" => 200,
        "status" => u16::try_from(number).unwrap_or(500),
        "hold" => {
            let mut held = shared.held.lock().expect("the hold");
            while !held.released {
                held = shared.released.wait(held).expect("the hold");
            }
            200
        }
        _ => 404,
    }
}

/// One line that a process task wrote: which run and attempt it was, and what it said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    pub run: i64,
    pub attempt: u32,
    pub word: String,
}

/// A shell command that appends `RUN ATTEMPT WORD` to `file`. One short write with O_APPEND is
/// never torn, not even by kill -9.
pub fn append_command(file: &Path, word: &str) -> String {
    format!(
        "echo \"$AUTOM8_RUN_ID $AUTOM8_ATTEMPT {word}\" >> '{}'",
        file.display()
    )
}

/// The lines that process tasks appended; none if there is no file yet.
pub fn read_lines(file: &Path) -> Vec<Line> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => panic!("{}: {error}", file.display()),
    };
    text.lines()
        .map(|line| {
            let mut words = line.split(' ');
            let mut number = || words.next().and_then(|word| word.parse::<i64>().ok());
            let (run, attempt) = (number(), number());
            match (run, attempt, words.next()) {
                (Some(run), Some(attempt), Some(word)) => Line {
                    run,
                    attempt: u32::try_from(attempt).unwrap_or(0),
                    word: word.to_owned(),
                },
                _ => panic!(
                    "{} holds a line that no task wrote: {line:?}",
                    file.display()
                ),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Client;

    #[test]
    fn an_effect_is_counted_with_its_run_and_attempt_and_answered_by_its_path() {
        let sink = Sink::start();
        let client = Client::to_port(sink.port);
        let headers = |attempt| [("X-Autom8-Run", "42"), ("X-Autom8-Attempt", attempt)];
        let status = |path, attempt| {
            client
                .send("POST", path, &headers(attempt), Some(b"{}"))
                .unwrap()
                .status
        };
        assert_eq!(status("/fail/1", "1"), 503);
        assert_eq!(status("/fail/1", "2"), 200);
        assert_eq!(status("/status/404", "3"), 404);
        assert_eq!(
            sink.arrivals().into_keys().collect::<Vec<_>>(),
            [(42, 1), (42, 2), (42, 3)]
        );
        assert_eq!(sink.effects()[0].body, "{}");
    }

    #[test]
    fn a_held_request_is_open_until_it_is_released() {
        let sink = Sink::start();
        let client = Client::to_port(sink.port);
        let asking = std::thread::spawn(move || client.get("/hold").status);
        wait::until("the held request", wait::PROMPT, || {
            (sink.open() == 1).then_some(())
        });
        sink.release();
        assert_eq!(asking.join().unwrap(), 200);
        assert_eq!(sink.open(), 0);
    }
}
