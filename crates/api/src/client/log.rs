//! Following the output of a run over server-sent events.

use std::collections::VecDeque;

use autom8_model::RunId;
use reqwest::{Response, StatusCode, header};

use super::{Client, ClientError};
use crate::run::{LogChunk, LogEnd};

/// Connections in a row that bring no event, after which the follower gives up.
const FRUITLESS_MAX: u32 = 5;
/// One event; a server sends far smaller ones.
const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a follower is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEvent {
    /// More output.
    Chunk(LogChunk),
    /// The run has ended and all of its output was told.
    End(LogEnd),
}

/// A server-sent event as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RawEvent {
    /// `message` if the server does not say.
    kind: String,
    data: String,
}

/// Reads events one by one and takes up where it was when the connection breaks.
#[derive(Debug)]
pub struct LogFollower {
    client: Client,
    run: RunId,
    connection: Option<Response>,
    parser: EventParser,
    waiting: VecDeque<RawEvent>,
    fruitless: u32,
}

impl LogFollower {
    pub(super) fn new(client: Client, run: RunId) -> Self {
        LogFollower {
            client,
            run,
            connection: None,
            parser: EventParser::default(),
            waiting: VecDeque::new(),
            fruitless: 0,
        }
    }

    /// The next event. After [`LogEvent::End`] there is none to wait for.
    ///
    /// # Errors
    /// If the server refuses, or several connections in a row bring nothing.
    pub async fn next(&mut self) -> Result<LogEvent, ClientError> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.fruitless = 0;
                match self.understood(&event)? {
                    Some(event) => return Ok(event),
                    // A newer server may say more than this.
                    None => continue,
                }
            }
            let Some(connection) = &mut self.connection else {
                self.connect().await?;
                continue;
            };
            match connection.chunk().await {
                Ok(Some(bytes)) => {
                    self.waiting
                        .extend(self.parser.push(&bytes).map_err(|reason| {
                            ClientError::Unreadable {
                                server: self.client.server.clone(),
                                status: 200,
                                reason: reason.to_owned(),
                            }
                        })?);
                }
                Ok(None) => self.broken("the server closed the log before its end".to_owned())?,
                Err(error) => self.broken(super::innermost(&error))?,
            }
        }
    }

    fn understood(&self, event: &RawEvent) -> Result<Option<LogEvent>, ClientError> {
        let read = match event.kind.as_str() {
            "log" => serde_json::from_str(&event.data).map(LogEvent::Chunk),
            "end" => serde_json::from_str(&event.data).map(LogEvent::End),
            "problem" => match serde_json::from_str(&event.data) {
                Ok(problem) => return Err(ClientError::Refused(Box::new(problem))),
                Err(error) => Err(error),
            },
            _ => return Ok(None),
        };
        read.map(Some)
            .map_err(|error| self.client.unreadable(StatusCode::OK, error))
    }

    async fn connect(&mut self) -> Result<(), ClientError> {
        let mut request = self
            .client
            .get(&["runs", &self.run.to_string(), "log"])
            .query(&[("follow", "1")])
            .header(header::ACCEPT, "text/event-stream");
        if let Some(id) = &self.parser.last_id {
            request = request.header("last-event-id", id);
        }
        self.connection = Some(self.client.send(request).await?);
        Ok(())
    }

    /// Drops the connection; the next call makes another.
    fn broken(&mut self, reason: String) -> Result<(), ClientError> {
        self.connection = None;
        self.parser.forget_half();
        self.fruitless += 1;
        match self.fruitless >= FRUITLESS_MAX {
            true => Err(ClientError::Interrupted {
                server: self.client.server.clone(),
                reason,
            }),
            false => Ok(()),
        }
    }
}

/// Takes server-sent events apart as they come, in pieces of any size.
#[derive(Debug, Default)]
struct EventParser {
    /// Bytes of a line that is not complete.
    line: Vec<u8>,
    kind: String,
    data: String,
    /// The latest id; it stays in force until another one comes.
    last_id: Option<String>,
    /// The id of the event that is being read; it counts once the event is complete.
    id: Option<String>,
}

impl EventParser {
    fn push(&mut self, bytes: &[u8]) -> Result<Vec<RawEvent>, &'static str> {
        let mut events = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                if self.line.len() + self.data.len() >= EVENT_BYTES_MAX {
                    return Err("an event without an end");
                }
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line =
                String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line)).into_owned();
            events.extend(self.line(&line));
        }
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Option<RawEvent> {
        if line.is_empty() {
            return self.event();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "id" => self.id = Some(value.to_owned()),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            // A comment keeps the connection alive; other fields are not for us.
            _ => {}
        }
        None
    }

    fn event(&mut self) -> Option<RawEvent> {
        let kind = std::mem::take(&mut self.kind);
        let mut data = std::mem::take(&mut self.data);
        if let Some(id) = self.id.take() {
            self.last_id = Some(id);
        }
        if data.is_empty() && kind.is_empty() {
            return None;
        }
        data.pop();
        let kind = if kind.is_empty() {
            "message".to_owned()
        } else {
            kind
        };
        Some(RawEvent { kind, data })
    }

    /// A connection broke: what it had begun to say will be said again.
    fn forget_half(&mut self) {
        self.line.clear();
        self.kind.clear();
        self.data.clear();
        self.id = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_in_pieces_of_any_size() {
        let stream = ": hello\n\nid: 4\nevent: output\ndata: one\ndata:two\r\n\r\ndata: {\"a\":1}\n\nevent: end\n\n";
        let event = |kind: &str, data: &str| RawEvent {
            kind: kind.into(),
            data: data.into(),
        };
        let expected = [
            event("output", "one\ntwo"),
            event("message", "{\"a\":1}"),
            event("end", ""),
        ];
        for size in 1..stream.len() {
            let mut parser = EventParser::default();
            let mut found = Vec::new();
            for piece in stream.as_bytes().chunks(size) {
                found.extend(parser.push(piece).unwrap());
            }
            assert_eq!(found, expected, "in pieces of {size}");
            assert_eq!(parser.last_id.as_deref(), Some("4"));
        }
    }

    #[test]
    fn the_id_of_half_an_event_does_not_count() {
        let mut parser = EventParser::default();
        parser.push(b"id: 1\ndata: a\n\nid: 2\ndata: b").unwrap();
        parser.forget_half();
        assert_eq!(parser.last_id.as_deref(), Some("1"));
        let events = parser.push(b"data: c\n\n").unwrap();
        assert_eq!(events[0].data, "c");
    }
}
