//! A small write is never stuck behind a large one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use autom8_tests::steps::noop_task;
use autom8_tests::{Server, ServerOptions, wait};
use serde_json::{Value, json};

/// Ten times the bar of 5 ms, as everything that a test suite times.
const P50_LIMIT: Duration = Duration::from_millis(50);
const WRITES: usize = 100;
const BATCH_RUNS: usize = 10_000;

#[test]
fn small_writes_stay_quick_while_batches_of_ten_thousand_stream_in() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&noop_task("bulk"));
    client.create_task(&noop_task("small"));
    let inputs: Vec<Value> = (0..BATCH_RUNS)
        .map(|number| json!({"number": number}))
        .collect();
    let body = json!({"task": "bulk", "inputs": inputs})
        .to_string()
        .into_bytes();
    let stop = AtomicBool::new(false);
    let accepted = AtomicU64::new(0);
    let mut took = Vec::with_capacity(WRITES);
    let mut batches_meanwhile = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let answer = client.send("POST", "/api/v1/runs/batch", &[], Some(&body));
                // Overload is refused, which is an answer too; then the stream goes on.
                match answer.unwrap().status {
                    202 => _ = accepted.fetch_add(1, Ordering::SeqCst),
                    503 => {}
                    status => panic!("a batch was answered with {status}"),
                }
            }
        });
        let _stop = Stop(&stop);
        wait::until("the first batch", wait::PATIENT, || {
            (accepted.load(Ordering::SeqCst) > 0).then_some(())
        });
        let before = accepted.load(Ordering::SeqCst);
        for number in 0..WRITES {
            let started = wait::now();
            let patch = json!({"priority": number % 100});
            let answer = client.patch("/api/v1/tasks/small", &patch);
            took.push(started.elapsed());
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        batches_meanwhile = accepted.load(Ordering::SeqCst) - before;
    });
    took.sort_unstable();
    let (p50, p99) = (took[WRITES / 2], took[WRITES * 99 / 100]);
    eprintln!(
        "patch beside batches: p50 {p50:?}, p99 {p99:?}; {batches_meanwhile} batches meanwhile"
    );
    assert!(
        batches_meanwhile > 0,
        "no batch came in: the test proves nothing"
    );
    assert!(p50 < P50_LIMIT, "p50 {p50:?}, p99 {p99:?}");
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
