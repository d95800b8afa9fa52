//! Requests that two programs could read as different requests, floods of headers, and request
//! lines that are none: each is answered as exactly one request, or refused and its connection
//! closed. What follows a refusal is never read as a request.
//!
//! The bytes are written by hand, and every case that means one request ends with a second one
//! hidden where a lax reader would find it.

mod cases;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use autom8_tests::wire::Wire;
use autom8_tests::{Answer, Server, ServerOptions, wait};

/// What must become of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// So many answers that are no refusals; after them nothing, or a refusal and the end.
    Answered(usize),
    /// Refusals only, and the end.
    Refused,
}
/// Long enough for an answer, short enough for the cases of which no end comes.
const SILENT_FOR: Duration = Duration::from_secs(1);
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

struct Case {
    bytes: Vec<u8>,
    outcome: Outcome,
    why: &'static str,
}

/// What follows each case.
const LAST: &str = "GET /the-last HTTP/1.1\r\nhost: localhost\r\n\r\n";
const LAST_TARGET: &str = "there is no /the-last here";
/// The answers to these bytes, until the server closes or has said all it will, and whether it
/// closed.
///
/// A last request follows the bytes. Where they mean whole requests and the connection goes on, it
/// is answered, too, which shows that the server is in step; it is taken off here.
fn answers(port: u16, bytes: &[u8]) -> (Vec<Answer>, bool) {
    let mut wire = Wire::open(port);
    wire.send(bytes);
    wire.send(LAST.as_bytes());
    let mut answers = Vec::new();
    while let Ok(answer) = wire.answer_within(SILENT_FOR) {
        if answer.text().contains(LAST_TARGET) {
            return (answers, true);
        }
        answers.push(answer);
    }
    // It waits for more, which will not come.
    wire.end_sending();
    (answers, wire.rest(CLOSED_WITHIN).is_ok())
}

/// 404 is how a request for the absent task is answered: as a request.
fn is_refusal(answer: &Answer) -> bool {
    (400..500).contains(&answer.status) && answer.status != 404
        || answer.status == 404 && answer.text().contains("there is no ")
}

fn judge(case: &Case, answers: &[Answer], closed: bool) -> Result<(), String> {
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    let served = answers.iter().filter(|answer| !is_refusal(answer)).count();
    let first_refusal = answers.iter().position(is_refusal);
    if let Some(status) = statuses.iter().find(|status| **status >= 500) {
        return Err(format!("{status}"));
    }
    if !closed {
        return Err("was not closed".to_owned());
    }
    if first_refusal.is_some_and(|place| place + 1 < answers.len()) {
        return Err(format!("went on after a refusal: {statuses:?}"));
    }
    let expected = match case.outcome {
        Outcome::Answered(count) => count,
        Outcome::Refused => 0,
    };
    if served != expected {
        return Err(format!("{statuses:?}, and {expected} were meant"));
    }
    Ok(())
}

#[test]
fn bytes_that_could_be_two_requests_are_one_or_none() {
    let server = Server::start(&ServerOptions {
        environment: vec![("RATE_LIMIT_ENABLED".to_owned(), "false".to_owned())],
        ..ServerOptions::default()
    });
    let cases = cases::all();
    let over = AtomicBool::new(false);
    let mut faults = Vec::new();
    let mut slowest = Duration::ZERO;
    let mut honest = 0_usize;
    std::thread::scope(|scope| {
        let bystander = scope.spawn(|| {
            let client = server.client();
            let (mut count, mut slowest) = (0, Duration::ZERO);
            while !over.load(Ordering::SeqCst) {
                let started = wait::now();
                assert_eq!(client.get("/api/v1/tasks").status, 200);
                slowest = slowest.max(started.elapsed());
                count += 1;
            }
            (count, slowest)
        });
        for case in &cases {
            let (answers, closed) = answers(server.port(), &case.bytes);
            if let Err(fault) = judge(case, &answers, closed) {
                let shown = &case.bytes[..case.bytes.len().min(200)];
                faults.push(format!("{}: {fault}: {}", case.why, shown.escape_ascii()));
            }
        }
        over.store(true, Ordering::SeqCst);
        (honest, slowest) = bystander.join().expect("the honest client");
    });
    eprintln!(
        "{} cases; {honest} honest requests, slowest {slowest:?}",
        cases.len()
    );
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
    assert!(
        honest > cases.len() / 10,
        "{honest} honest requests show little"
    );
    let client = server.client();
    assert_eq!(client.get("/api/v1/health").status, 200);
}
