//! Asks over many kept connections, as fast as answers come, pipelining off: the same every time, or
//! what a function makes of a random number.
//!
//! Written for this purpose and used against both sides of a comparison, so that its own cost
//! cancels out of the ratio. It reads an answer's head only as far as its length.

use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::machine::now;
use crate::percentiles::Samples;
use crate::random::Random;

/// Threads of the generator: with two, a two-core machine is contested by both sides, and what
/// the server spends shows.
const THREADS: usize = 2;
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Clone)]
pub struct Load {
    pub port: u16,
    pub ask: Ask,
    pub connections: usize,
    pub duration: Duration,
}

/// What is asked next. Each connection brings numbers of its own.
pub type Ask = Arc<dyn Fn(&mut Random) -> Request + Send + Sync>;

/// A request, and the status that it is to be answered with.
#[derive(Clone, Debug)]
pub struct Request {
    bytes: Vec<u8>,
    expected: u16,
}

impl Request {
    pub fn get(path: &str) -> Request {
        Request {
            bytes: format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: */*\r\n\r\n")
                .into_bytes(),
            expected: 200,
        }
    }

    pub fn post(path: &str, body: &str, expected: u16) -> Request {
        Request {
            bytes: format!(
                "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: */*\r\ncontent-type: \
                 application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes(),
            expected,
        }
    }
}

/// The same path every time.
pub fn always(path: &str) -> Ask {
    let request = Request::get(path);
    Arc::new(move |_| request.clone())
}

#[derive(Debug)]
pub struct Measured {
    pub requests_per_s: f64,
    pub latencies: Samples,
}

/// Runs a load to its end. An answer other than the expected one ends it with an error: a server that refuses
/// quickly is not quick.
pub fn run(load: &Load) -> Result<Measured> {
    let started = now();
    let results: Vec<Result<Samples>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let own =
                    load.connections / THREADS + usize::from(number < load.connections % THREADS);
                scope.spawn(move || run_thread(load, number, own))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("a generator panicked")))
            })
            .collect()
    });
    let elapsed = started.elapsed();
    let mut latencies = Samples::default();
    for result in results {
        latencies.append(result?);
    }
    ensure!(
        !latencies.is_empty(),
        "no answer came from port {}",
        load.port
    );
    Ok(Measured {
        requests_per_s: latencies.len() as f64 / elapsed.as_secs_f64(),
        latencies,
    })
}

fn run_thread(load: &Load, thread: usize, connections: usize) -> Result<Samples> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let mut clients = tokio::task::JoinSet::new();
        for connection in 0..connections {
            let random = Random::seeded((connection * THREADS + thread) as u64);
            clients.spawn(run_connection(load.clone(), random));
        }
        let mut all = Samples::default();
        while let Some(result) = clients.join_next().await {
            all.append(result??);
        }
        Ok(all)
    })
}

async fn run_connection(load: Load, mut random: Random) -> Result<Samples> {
    let mut connection = Connection::open(load.port).await?;
    let started = now();
    let mut samples = Samples::with_capacity(64 * 1024);
    let mut asked_at = started;
    while asked_at - started < load.duration {
        let request = (load.ask)(&mut random);
        let status = connection.ask(&request.bytes).await?;
        ensure!(
            status == request.expected,
            "answered {status}, not {}: {}",
            request.expected,
            connection.text()
        );
        let answered_at = now();
        samples.push(answered_at - asked_at);
        asked_at = answered_at;
    }
    Ok(samples)
}

/// One answer as it came, head and body.
#[derive(Clone, Debug)]
pub struct Raw {
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Asks once for a path and returns the answer whole.
pub fn fetch(port: u16, path: &str) -> Result<Raw> {
    send(port, &Request::get(path)).with_context(|| format!("GET {path}"))
}

/// Sends one request and returns the answer whole.
pub fn send(port: u16, request: &Request) -> Result<Raw> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let mut connection = Connection::open(port).await?;
        let status = connection.ask(&request.bytes).await?;
        ensure!(
            status == request.expected,
            "answered {status}, not {}: {}",
            request.expected,
            connection.text()
        );
        let head = find_end_of_head(&connection.buffer).context("an answer without a head")?;
        let text = String::from_utf8_lossy(&connection.buffer[..head]).into_owned();
        let headers = text
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Ok(Raw {
            headers,
            body: connection.buffer[head..connection.answer_bytes].to_vec(),
        })
    })
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Length of the answer at the beginning of the buffer.
    answer_bytes: usize,
}

impl Connection {
    async fn open(port: u16) -> Result<Connection> {
        let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            buffer: Vec::with_capacity(64 * 1024),
            answer_bytes: 0,
        })
    }

    /// The answer, for an error.
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.buffer[..self.answer_bytes]).into_owned()
    }

    /// Sends a request and reads its answer to the end; returns the status.
    async fn ask(&mut self, request: &[u8]) -> std::io::Result<u16> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        let mut head = None;
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(Error::new(
                    ErrorKind::UnexpectedEof,
                    "the server closed the connection",
                ));
            }
            if head.is_none() {
                head = find_end_of_head(&self.buffer)
                    .map(|end| content_length(&self.buffer[..end]).map(|length| end + length))
                    .transpose()?;
            }
            if let Some(answer_bytes) = head
                && self.buffer.len() >= answer_bytes
            {
                self.answer_bytes = answer_bytes;
                return status(&self.buffer);
            }
            if self.buffer.len() > ANSWER_BYTES_MAX {
                return Err(Error::new(
                    ErrorKind::InvalidData,
                    "an answer beyond every bound",
                ));
            }
        }
    }
}

/// Where the body begins.
fn find_end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map(|at| at + 4)
}

fn status(bytes: &[u8]) -> std::io::Result<u16> {
    bytes
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
        .ok_or_else(|| Error::new(ErrorKind::InvalidData, "no status line"))
}

fn content_length(head: &[u8]) -> std::io::Result<usize> {
    const NAME: &[u8] = b"content-length:";
    head.split(|byte| *byte == b'\n')
        .find(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME))
        .and_then(|line| {
            std::str::from_utf8(&line[NAME.len()..])
                .ok()?
                .trim()
                .parse()
                .ok()
        })
        .ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidData,
                "an answer without content-length is not for this load",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_by_its_length_whatever_the_case() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-LENGTH: 12\r\n\r\nabc";
        let end = find_end_of_head(answer).unwrap();
        assert_eq!(&answer[end..], b"abc");
        assert_eq!(content_length(&answer[..end]).unwrap(), 12);
        assert_eq!(status(answer).unwrap(), 200);
        assert!(content_length(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(status(b"HTTP").is_err());
    }
}
