//! HTTP/1.1 by hand: one connection a request, and an honest answer about what became of it.
//!
//! A history checker must tell "it was never sent" from "it may have happened"; clients that
//! retry or pool blur exactly that.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::wait;

/// Longer than any answer of a healthy server, shorter than a hung test is worth.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Lists of 1,000 runs with their inputs stay far below.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Asks one server on the loopback address.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
}

/// What a server said.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// Nobody listened: nothing has happened.
    NotSent(std::io::Error),
    /// The connection broke after a byte was sent: it may have happened.
    Unknown(std::io::Error),
}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unanswered::NotSent(error) => write!(f, "not sent: {error}"),
            Unanswered::Unknown(error) => write!(f, "sent, but no answer: {error}"),
        }
    }
}

impl Client {
    pub fn to_port(port: u16) -> Self {
        Client {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        }
    }

    /// Sends one request and reads its answer to the end.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer, Unanswered> {
        let mut stream = BufReader::new(self.ask(method, path, headers, body)?);
        read_answer(&mut stream, method == "HEAD").map_err(Unanswered::Unknown)
    }

    /// Sends bytes as they are, e.g. a request that is no HTTP, and reads what comes back.
    pub fn send_raw(&self, bytes: &[u8]) -> Result<Answer, Unanswered> {
        let mut stream = self.connect()?;
        stream.write_all(bytes).map_err(Unanswered::Unknown)?;
        read_answer(&mut BufReader::new(stream), false).map_err(Unanswered::Unknown)
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.must("GET", path, None)
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.must("POST", path, Some(body))
    }

    /// A POST without a body.
    #[track_caller]
    pub fn post_empty(&self, path: &str) -> Answer {
        self.must("POST", path, None)
    }

    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.must("PUT", path, Some(body))
    }

    #[track_caller]
    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        self.must("PATCH", path, Some(body))
    }

    #[track_caller]
    pub fn delete(&self, path: &str) -> Answer {
        self.must("DELETE", path, None)
    }

    #[track_caller]
    fn must(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(|value| value.to_string().into_bytes());
        match self.send(method, path, &[], body.as_deref()) {
            Ok(answer) => answer,
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    /// Opens a stream of server-sent events.
    #[track_caller]
    pub fn events(&self, path: &str, headers: &[(&str, &str)]) -> Events {
        let stream = match self.ask("GET", path, headers, None) {
            Ok(stream) => stream,
            Err(error) => panic!("GET {path}: {error}"),
        };
        let mut reader = BufReader::new(stream);
        let head = read_head(&mut reader).expect("the head of the stream");
        assert_eq!(head.status, 200, "GET {path}");
        let chunked = head
            .header("transfer-encoding")
            .is_some_and(|value| value == "chunked");
        Events {
            reader,
            chunked,
            rest: Vec::new(),
            ended: false,
        }
    }

    fn connect(&self) -> Result<TcpStream, Unanswered> {
        let stream =
            TcpStream::connect_timeout(&self.address, ANSWER_LIMIT).map_err(Unanswered::NotSent)?;
        stream.set_nodelay(true).map_err(Unanswered::NotSent)?;
        stream
            .set_read_timeout(Some(ANSWER_LIMIT))
            .map_err(Unanswered::NotSent)?;
        stream
            .set_write_timeout(Some(ANSWER_LIMIT))
            .map_err(Unanswered::NotSent)?;
        Ok(stream)
    }

    fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<TcpStream, Unanswered> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        let given = |name: &str| {
            headers
                .iter()
                .any(|(found, _)| found.eq_ignore_ascii_case(name))
        };
        if !given("host") {
            request.push_str(&format!("host: {}\r\n", self.address));
        }
        if body.is_some() && !given("content-type") {
            request.push_str("content-type: application/json\r\n");
        }
        if let Some(body) = body {
            request.push_str(&format!("content-length: {}\r\n", body.len()));
        } else if method != "GET" && method != "HEAD" {
            request.push_str("content-length: 0\r\n");
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body.unwrap_or_default());
        let mut stream = self.connect()?;
        match stream.write_all(&bytes) {
            // A server may answer and close before it has read a body it refuses: read on.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ) && bytes.len() > 64 * 1024 => {}
            Err(error) => return Err(Unanswered::Unknown(error)),
            Ok(()) => {}
        }
        Ok(stream)
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{} is no JSON ({error}): {}", self.status, self.text()),
        }
    }

    /// The body of an answer that has this status; anything else fails the test with the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        if self.body.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }
}

/// A stream of server-sent events.
pub struct Events {
    reader: BufReader<TcpStream>,
    chunked: bool,
    rest: Vec<u8>,
    ended: bool,
}

/// One event: its fields, `data` lines joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub name: Option<String>,
    pub id: Option<String>,
    pub data: String,
}

impl Events {
    /// The next event; `None` when the server ended the stream.
    #[track_caller]
    pub fn next_within(&mut self, limit: Duration) -> Option<Event> {
        let started = wait::now();
        loop {
            if let Some(event) = self.take_event() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            let left = limit.saturating_sub(started.elapsed());
            assert!(!left.is_zero(), "no event within {limit:?}");
            self.reader
                .get_ref()
                .set_read_timeout(Some(left))
                .expect("a read timeout");
            self.read_more();
        }
    }

    fn read_more(&mut self) {
        let read = if self.chunked {
            read_chunk(&mut self.reader)
        } else {
            let mut bytes = [0; 4096];
            self.reader.read(&mut bytes).map(|n| bytes[..n].to_vec())
        };
        match read {
            Ok(bytes) if bytes.is_empty() => self.ended = true,
            Ok(bytes) => self.rest.extend(bytes),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.ended = true,
        }
    }

    fn take_event(&mut self) -> Option<Event> {
        loop {
            let end = self.rest.windows(2).position(|pair| pair == b"\n\n")?;
            let block: Vec<u8> = self.rest.drain(..end + 2).collect();
            let block = String::from_utf8_lossy(&block).into_owned();
            let mut event = Event::default();
            let mut data: Vec<&str> = Vec::new();
            for line in block.lines() {
                let (field, value) = line.split_once(':').unwrap_or((line, ""));
                let value = value.strip_prefix(' ').unwrap_or(value);
                match field {
                    "event" => event.name = Some(value.to_owned()),
                    "id" => event.id = Some(value.to_owned()),
                    "data" => data.push(value),
                    _ => {}
                }
            }
            event.data = data.join("\n");
            // Comments keep a connection alive and say nothing.
            if event != Event::default() {
                return Some(event);
            }
        }
    }
}

fn read_answer(reader: &mut impl BufRead, head_only: bool) -> std::io::Result<Answer> {
    let head = read_head(reader)?;
    read_body(reader, head, head_only)
}

/// Reads an answer, and of a stream of events, which has no end, its head.
pub(crate) fn read_answer_unless_endless(
    reader: &mut impl BufRead,
    head_only: bool,
) -> std::io::Result<Answer> {
    let head = read_head(reader)?;
    let endless = head
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("text/event-stream"));
    read_body(reader, head, head_only || endless)
}

fn read_body(
    reader: &mut impl BufRead,
    mut answer: Answer,
    head_only: bool,
) -> std::io::Result<Answer> {
    if head_only || matches!(answer.status, 100..=199 | 204 | 304) {
        return Ok(answer);
    }
    if answer
        .header("transfer-encoding")
        .is_some_and(|value| value == "chunked")
    {
        loop {
            let chunk = read_chunk(reader)?;
            if chunk.is_empty() {
                return Ok(answer);
            }
            answer.body.extend(chunk);
            if answer.body.len() > BODY_BYTES_MAX {
                return Err(malformed("a body beyond every limit"));
            }
        }
    }
    if let Some(length) = answer.header("content-length") {
        let length: usize = length.parse().map_err(|_| malformed("content-length"))?;
        if length > BODY_BYTES_MAX {
            return Err(malformed("a body beyond every limit"));
        }
        answer.body = vec![0; length];
        reader.read_exact(&mut answer.body)?;
    } else {
        reader
            .take(BODY_BYTES_MAX as u64)
            .read_to_end(&mut answer.body)?;
    }
    Ok(answer)
}

fn read_head(reader: &mut impl BufRead) -> std::io::Result<Answer> {
    let status_line = read_line(reader)?;
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| status_line.strip_prefix("HTTP/1.0 "))
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| malformed(&format!("a status line {status_line:?}")))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            return Ok(Answer {
                status,
                headers,
                body: Vec::new(),
            });
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| malformed("a header line"))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

fn read_chunk(reader: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let size = read_line(reader)?;
    let size = size.split(';').next().unwrap_or_default().trim();
    let size = usize::from_str_radix(size, 16).map_err(|_| malformed("a chunk size"))?;
    if size > BODY_BYTES_MAX {
        return Err(malformed("a chunk beyond every limit"));
    }
    let mut chunk = vec![0; size];
    reader.read_exact(&mut chunk)?;
    read_line(reader)?;
    Ok(chunk)
}

fn read_line(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = Vec::new();
    if reader.take(64 * 1024).read_until(b'\n', &mut line)? == 0 {
        return Err(std::io::Error::new(
            ErrorKind::UnexpectedEof,
            "the connection was closed",
        ));
    }
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn malformed(what: &str) -> std::io::Error {
    std::io::Error::new(
        ErrorKind::InvalidData,
        format!("the answer is malformed: {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> std::io::Result<Answer> {
        read_answer(&mut BufReader::new(bytes), false)
    }

    #[test]
    fn bodies_come_whole_in_all_three_framings() {
        let length = read(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef").unwrap();
        assert_eq!((length.status, length.text().as_str()), (200, "abc"));
        let chunked =
            read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n");
        assert_eq!(chunked.unwrap().text(), "abc");
        assert_eq!(read(b"HTTP/1.1 404 N\r\n\r\nabc").unwrap().text(), "abc");
    }

    #[test]
    fn an_answer_cut_short_is_no_answer() {
        assert!(read(b"").is_err());
        assert!(read(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc").is_err());
        assert!(read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab").is_err());
    }
}
