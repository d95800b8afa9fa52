//! Who asks too often: refused, told for how long, and nobody else with them.

use std::net::Ipv4Addr;
use std::time::Duration;

use autom8_tests::limits::{self, Asker};
use autom8_tests::wire::Wire;
use autom8_tests::{Server, ServerOptions, wait};

/// The contract: 5,000 a minute, one every 12 ms.
const PER_MINUTE: u64 = 5_000;
const REFILL: Duration = Duration::from_millis(12);
/// Some of the GETs that ask how the server is.
const MONITORING: &[&str] = &[
    "/api/v1/health",
    "/livez",
    "/api/v1/info",
    "/metrics",
    "/api/v1/metrics",
    "/api/v1/metrics/system",
    "/api/v1/performance/stats",
    "/api/v1/performance/health",
    "/api/v1/slo",
    "/api/v1/task_logs/stats",
];

#[test]
fn a_client_at_full_speed_gets_its_five_thousand_and_what_flows_in_and_hurts_nobody() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    let started = wait::now();
    let asker = Asker::at(1);
    let outcome = limits::at_full_speed(server.port(), &asker, PER_MINUTE, Duration::from_secs(4));
    eprintln!("{outcome:?}");
    assert!(outcome.faults.is_empty(), "{:?}", outcome.faults);
    assert!(outcome.refused > 0, "{outcome:?}");
    let most = limits::allowance(PER_MINUTE, REFILL, outcome.took);
    assert!(outcome.accepted >= PER_MINUTE, "{outcome:?}");
    assert!(outcome.accepted <= most, "{outcome:?}, at most {most}");

    // Monitoring is never refused, and takes nothing.
    for path in MONITORING {
        for _ in 0..20 {
            assert_eq!(client.get(path).status, 200, "{path}");
        }
    }
    // A made-up key is a request of its address, and never a bucket of its own.
    let mut accepted = outcome.accepted;
    for number in 0..300 {
        let bearer = format!("Bearer a8_{number:043}");
        let headers = [("authorization", bearer.as_str())];
        let answer = client.send("GET", "/api/v1/tasks", &headers, None).unwrap();
        match answer.status {
            429 => assert!(answer.header("retry-after").is_some(), "{answer:?}"),
            // Whether it is served or told that there is no such key, it was one of the address's.
            200 | 401 => accepted += 1,
            status => panic!("{status}: {}", answer.text()),
        }
    }
    let most = limits::allowance(PER_MINUTE, REFILL, started.elapsed());
    assert!(
        accepted <= most,
        "{accepted} with made-up keys, at most {most}"
    );

    // Another address has all of its own.
    let mut other = Wire::open_from(Ipv4Addr::new(127, 0, 0, 2), server.port());
    other.send(b"GET /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let answer = other.answer(false).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-ratelimit-limit"), Some("5000"));
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("4999"));
}

/// The promises of minutes in tenths of them: 500 saved up, and one every 12 ms. The campaign
/// `limits` takes the minutes.
#[test]
fn who_stays_within_the_limit_is_never_refused_and_who_does_not_is() {
    let server = Server::start(&ServerOptions {
        environment: vec![
            ("RATE_LIMIT_DEFAULT".to_owned(), "84 per second".to_owned()),
            (
                "AUTOM8_SECURITY_RATE_LIMIT_BURST".to_owned(),
                "500".to_owned(),
            ),
        ],
        ..ServerOptions::default()
    });
    let port = server.port();
    let time = Duration::from_secs(6);
    std::thread::scope(|scope| {
        let beyond = scope.spawn(|| limits::paced(port, &Asker::at(2), 750, time));
        let too_much = scope.spawn(|| limits::paced(port, &Asker::at(3), 1_100, time));
        let within = scope.spawn(|| limits::paced(port, &Asker::at(4), 1_000, 2 * time));
        let beyond = beyond.join().unwrap();
        assert_eq!((beyond.accepted, beyond.refused), (750, 0), "{beyond:?}");
        let within = within.join().unwrap();
        assert_eq!((within.accepted, within.refused), (1_000, 0), "{within:?}");
        let too_much = too_much.join().unwrap();
        assert!(too_much.faults.is_empty(), "{too_much:?}");
        // A machine so slow that it took longer has sent less in the time.
        let most = limits::allowance(500, Duration::from_secs(1) / 84, too_much.took);
        assert!(too_much.accepted <= most, "{too_much:?}, at most {most}");
        assert!(too_much.refused > 0 || most > 1_100, "{too_much:?}");
    });

    let askers: Vec<Asker> = limits::make_keys(&server.client(), 20)
        .into_iter()
        .map(|key| Asker {
            key: Some(key),
            ..Asker::at(1)
        })
        .collect();
    let outcomes = limits::all_paced(port, &askers, 500, time);
    for outcome in &outcomes {
        assert_eq!((outcome.accepted, outcome.refused), (500, 0), "{outcome:?}");
    }
}
