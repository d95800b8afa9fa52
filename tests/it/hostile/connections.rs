//! Two thousand connections that keep the server waiting in every way there is, from one address:
//! each is closed when its time is over, and an honest client beside them notices nothing.
//!
//! They come from 127.0.0.2, and no bound on one peer holds them off (the loopback is exempt):
//! it is the deadlines alone that are seen at work. Those are of 10 and of 30 s, and so the test
//! takes as long.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use autom8_tests::steps::noop_task;
use autom8_tests::wire::{Wire, connect_from};
use autom8_tests::{Client, Server, ServerOptions, wait};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

const FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Ten times what is due, as everything that a test suite times.
const HONEST_P99_MAX: Duration = Duration::from_secs(1);
/// Between two requests of the honest client.
const HONEST_PAUSE: Duration = Duration::from_millis(5);
/// A deadline is late by up to two ticks of a second, and this machine may be busy.
const LATE_BY: Duration = Duration::from_secs(5);
const FIRST_BYTE: Duration = Duration::from_secs(10);
const HEAD: Duration = Duration::from_secs(10);
const BODY: Duration = Duration::from_secs(10);
const ANSWER_STALLED: Duration = Duration::from_secs(30);
/// How often a slow connection sends its next byte, or reads one.
const BYTE_EVERY: Duration = Duration::from_secs(1);
/// Small, so that an answer which nobody reads stays with the server.
const RECEIVE_BYTES: usize = 4 * 1024;
/// More than the kernel takes from the server before it makes it wait.
const LARGE_ANSWER_RUNS: usize = 40;
const LARGE_INPUT_BYTES: usize = 200 * 1024;

/// One way to keep a server waiting.
struct Manner {
    name: &'static str,
    count: usize,
    /// Sent at once.
    opening: &'static [u8],
    /// Sent afterwards, a piece a second; the piece is repeated.
    trickle: &'static [u8],
    half_close: bool,
    /// How it must end.
    end: End,
}

#[derive(Clone, Copy, Debug)]
enum End {
    /// Not before this and soon after it.
    After(Duration),
    /// Soon.
    AtOnce,
    /// It does not read, so that only the answer that was cut off shows the end.
    CutOff { reads: bool },
}

const MANNERS: &[Manner] = &[
    Manner {
        name: "says nothing",
        count: 200,
        opening: b"",
        trickle: b"",
        half_close: false,
        end: End::After(FIRST_BYTE),
    },
    Manner {
        name: "sends a byte and no more",
        count: 100,
        opening: b"G",
        trickle: b"",
        half_close: false,
        end: End::After(HEAD),
    },
    Manner {
        name: "sends its request line a byte a second",
        count: 150,
        opening: b"GET /",
        trickle: b"a",
        half_close: false,
        end: End::After(HEAD),
    },
    Manner {
        name: "sends a header a second",
        count: 150,
        opening: b"GET / HTTP/1.1\r\nhost: localhost\r\n",
        trickle: b"x: y\r\n",
        half_close: false,
        end: End::After(HEAD),
    },
    Manner {
        // More than may be in handlers at once, where they would be in everybody's way.
        name: "sends its body a byte a second",
        count: 1_100,
        opening: b"POST /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{",
        trickle: b" ",
        half_close: false,
        end: End::After(BODY),
    },
    Manner {
        name: "sends a chunk a second",
        count: 50,
        opening: b"POST /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n",
        trickle: b"1\r\n \r\n",
        half_close: false,
        end: End::After(BODY),
    },
    Manner {
        name: "sends a body that nobody wants a byte a second",
        count: 50,
        opening: b"POST /api/v1/tasks/absent/pause HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{",
        trickle: b" ",
        half_close: false,
        end: End::AtOnce,
    },
    Manner {
        name: "speaks TLS",
        count: 50,
        opening: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x01\x02\x03\r\n\r\n",
        trickle: b"",
        half_close: false,
        end: End::AtOnce,
    },
    Manner {
        name: "speaks HTTP/2",
        count: 30,
        opening: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        trickle: b"",
        half_close: false,
        end: End::AtOnce,
    },
    Manner {
        name: "ends before it began",
        count: 30,
        opening: b"",
        trickle: b"",
        half_close: true,
        end: End::AtOnce,
    },
    Manner {
        name: "ends in the middle of its head",
        count: 20,
        opening: b"GET / HTTP/1.1\r\nhost:",
        trickle: b"",
        half_close: true,
        end: End::AtOnce,
    },
    Manner {
        name: "ends in the middle of its body",
        count: 20,
        opening: b"POST /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{",
        trickle: b"",
        half_close: true,
        end: End::AtOnce,
    },
    Manner {
        name: "reads nothing of a large answer",
        count: 10,
        opening: b"GET /api/v1/runs?limit=1000 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        trickle: b"",
        half_close: false,
        end: End::CutOff { reads: false },
    },
    Manner {
        name: "reads a large answer a byte a second",
        count: 10,
        opening: b"GET /api/v1/runs?limit=1000 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        trickle: b"",
        half_close: false,
        end: End::CutOff { reads: true },
    },
];

struct Held {
    manner: &'static Manner,
    stream: TcpStream,
    opened: Instant,
    last_byte: Instant,
    read: usize,
    closed: Option<Duration>,
}

impl Held {
    fn open(manner: &'static Manner, port: u16) -> Held {
        let receive = matches!(manner.end, End::CutOff { .. }).then_some(RECEIVE_BYTES);
        let mut stream = connect_from(FROM, port, receive).expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let opened = wait::now();
        stream.write_all(manner.opening).expect("the first bytes");
        if manner.half_close {
            stream.shutdown(Shutdown::Write).expect("half of a close");
        }
        stream.set_nonblocking(true).expect("no waiting");
        Held {
            manner,
            stream,
            opened,
            last_byte: opened,
            read: 0,
            closed: None,
        }
    }

    /// Does what its manner is, and looks whether the server has closed.
    fn go_on(&mut self) {
        if self.closed.is_some() {
            return;
        }
        let is_due = self.last_byte.elapsed() >= BYTE_EVERY;
        if is_due {
            self.last_byte = wait::now();
            if !self.manner.trickle.is_empty() {
                let _ = self.stream.write(self.manner.trickle);
            }
        }
        match self.manner.end {
            End::CutOff { reads: true } if is_due => self.look(1),
            End::CutOff { .. } => {}
            End::After(_) | End::AtOnce => self.look(64 * 1024),
        }
    }

    fn look(&mut self, bytes: usize) {
        let mut buffer = vec![0; bytes];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.closed = Some(self.opened.elapsed()),
            Ok(read) => self.read += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.closed = Some(self.opened.elapsed()),
        }
    }

    fn is_reader(&self) -> bool {
        matches!(self.manner.end, End::CutOff { .. })
    }

    /// What is wrong with how it ended.
    fn fault(&mut self, large_answer: usize) -> Option<String> {
        let name = self.manner.name;
        match (self.manner.end, self.closed) {
            (End::CutOff { .. }, _) => {
                // Whatever the kernels had taken is read now; a server that still sent would
                // send it all.
                self.stream.set_nonblocking(false).expect("waiting");
                let limit = Some(Duration::from_secs(10));
                self.stream.set_read_timeout(limit).expect("a limit");
                let mut rest = Vec::new();
                let ended = self.stream.read_to_end(&mut rest);
                let got = self.read + rest.len();
                match ended {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        Some(format!("{name}: still open"))
                    }
                    _ if got >= large_answer => Some(format!("{name}: had all of its answer")),
                    _ => None,
                }
            }
            (_, None) => Some(format!("{name}: still open")),
            (End::After(limit), Some(after)) if after < limit => {
                Some(format!("{name}: closed early, after {after:?}"))
            }
            (End::After(limit), Some(after)) if after > limit + LATE_BY => {
                Some(format!("{name}: closed late, after {after:?}"))
            }
            (End::AtOnce, Some(after)) if after > LATE_BY => {
                Some(format!("{name}: closed late, after {after:?}"))
            }
            _ => None,
        }
    }
}

/// What an honest client saw while all this went on.
#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    refused: Vec<String>,
}

/// Reads and writes, over a kept connection and over new ones, until it is told to stop.
fn be_honest(server: &Server, over: &AtomicBool) -> Seen {
    let client = server.client();
    let mut kept = Wire::open(server.port());
    let mut seen = Seen::default();
    while !over.load(Ordering::SeqCst) {
        for request in 0..4 {
            let started = wait::now();
            let status = match request {
                0 => {
                    kept.send(b"GET /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\n\r\n");
                    kept.answer(false).map(|answer| answer.status).ok()
                }
                1 => Some(client.get("/api/v1/health").status),
                2 => Some(client.get("/api/v1/runs?task=honest&limit=5").status),
                _ => {
                    let patch = json!({"priority": seen.took.len() % 100});
                    Some(client.patch("/api/v1/tasks/honest", &patch).status)
                }
            };
            seen.took.push(started.elapsed());
            if status != Some(200) {
                seen.refused.push(format!("request {request}: {status:?}"));
            }
            wait::pause_for(HONEST_PAUSE);
        }
    }
    seen
}

/// Sockets that the server has open.
fn sockets(server: &Server) -> usize {
    let folder = format!("/proc/{}/fd", server.process_id());
    std::fs::read_dir(folder)
        .expect("the server's files")
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

/// Room for them in this process.
fn raise_open_files() {
    const NEEDED: u64 = 4_096;
    let found = getrlimit(Resource::Nofile);
    if found.current.is_none_or(|current| current >= NEEDED) {
        return;
    }
    let raised = Rlimit {
        current: Some(NEEDED),
        maximum: found.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("4,096 open files (ulimit -n)");
}

/// One answer that no kernel buffers whole. Returns its length.
fn prepare_large_answer(client: &Client) -> usize {
    client.create_task(&noop_task("large"));
    let inputs = vec!["x".repeat(LARGE_INPUT_BYTES); LARGE_ANSWER_RUNS];
    let batch = json!({"task": "large", "inputs": inputs});
    client.post("/api/v1/runs/batch", &batch).expect(202);
    wait::until("the runs of the batch", wait::PATIENT, || {
        let completed = client.all_runs("task=large&state=completed").len();
        (completed == LARGE_ANSWER_RUNS).then_some(())
    });
    client.get("/api/v1/runs?limit=1000").body.len()
}

#[test]
fn connections_that_keep_it_waiting_are_closed_and_nobody_waits_for_them() {
    raise_open_files();
    let server = Server::start(&ServerOptions {
        environment: vec![("RATE_LIMIT_ENABLED".to_owned(), "false".to_owned())],
        ..ServerOptions::default()
    });
    let client = server.client();
    client.create_task(&noop_task("honest"));
    let large_answer = prepare_large_answer(&client);
    let sockets_before = sockets(&server);

    let over = AtomicBool::new(false);
    let (mut held, seen) = std::thread::scope(|scope| {
        let honest = scope.spawn(|| be_honest(&server, &over));
        let _over = Over(&over);
        let mut held: Vec<Held> = MANNERS
            .iter()
            .flat_map(|manner| (0..manner.count).map(move |_| manner))
            .map(|manner| Held::open(manner, server.port()))
            .collect();
        assert!(held.len() >= 1_900, "{}", held.len());
        let started = wait::now();
        let longest = ANSWER_STALLED + LATE_BY;
        while started.elapsed() < longest {
            held.iter_mut().for_each(Held::go_on);
            wait::pause_for(Duration::from_millis(100));
        }
        over.store(true, Ordering::SeqCst);
        (held, honest.join().expect("the honest client"))
    });

    let mut faults: Vec<String> = held
        .iter_mut()
        .filter_map(|held| held.fault(large_answer))
        .collect();
    let readers = held.iter().filter(|held| held.is_reader()).count();
    faults.truncate(40);
    assert!(faults.is_empty(), "{}", faults.join("\n"));

    let Seen { mut took, refused } = seen;
    took.sort_unstable();
    let p99 = took[took.len() * 99 / 100];
    eprintln!(
        "{} connections, {readers} of them readers; {} honest requests, p50 {:?}, p99 {p99:?}, \
         slowest {:?}",
        held.len(),
        took.len(),
        took[took.len() / 2],
        took[took.len() - 1]
    );
    assert!(refused.is_empty(), "{refused:?}");
    assert!(took.len() > 1_000, "{} requests show little", took.len());
    assert!(p99 < HONEST_P99_MAX, "p99 {p99:?}");
    // Nothing of them is left in the server.
    wait::until("the end of their sockets", wait::PROMPT, || {
        (sockets(&server) <= sockets_before + 2).then_some(())
    });
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
