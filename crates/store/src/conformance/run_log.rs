//! Captured output: durable with the outcome, and back byte for byte.

use autom8_model::limits;
use autom8_model::run::LogSummary;
use autom8_model::transition::Decision;

use super::Backend;
use super::fixture::{COMPLETED, FAILED, Fixture, log, slot_task};
use super::random::Random;
use crate::{AttemptLog, CapturedLog, Finish};

fn told(logs: &[AttemptLog]) -> Vec<(u16, &[u8])> {
    logs.iter()
        .map(|one| (one.attempt, one.bytes.as_slice()))
        .collect()
}

pub(super) async fn output_comes_back_byte_for_byte(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let mut random = Random::seeded(7);
    let outputs: Vec<Vec<u8>> = vec![
        b"one line\n".to_vec(),
        (0..=255).collect(),
        vec![0; 5_000],
        "ä\r\n\u{1b}[31mred\0".repeat(1_000).into_bytes(),
        // The most that a run may leave, once well and once hardly compressible.
        b"0123456789abcdef".repeat(limits::RUN_LOG_BYTES_MAX / 16),
        (0..limits::RUN_LOG_BYTES_MAX)
            .map(|_| random.byte())
            .collect(),
    ];
    let runs = store.enqueue_many("a", outputs.len()).await;
    let leases = store.claim_up_to(outputs.len()).await;
    let finishes: Vec<Finish> = outputs
        .iter()
        .zip(&leases)
        .map(|(bytes, lease)| Finish {
            log: log(bytes),
            ..store.ended(lease, COMPLETED)
        })
        .collect();
    assert_eq!(
        store.finish(finishes).await.unwrap().accepted,
        outputs.len() as u64
    );
    for round in ["at once", "after a crash", "after a restart"] {
        for (index, (run, bytes)) in runs.iter().zip(&outputs).enumerate() {
            let logs = store.run_log(*run).await.unwrap();
            assert_eq!(
                (logs.len(), logs[0].attempt),
                (1, 1),
                "{round}, output {index}"
            );
            assert!(logs[0].bytes == *bytes, "{round}, output {index} differs");
            let summary = LogSummary {
                bytes: bytes.len() as u64,
                truncated: false,
            };
            assert_eq!(logs[0].summary, summary, "{round}, output {index}");
            assert_eq!(
                store.get(*run).await.log,
                Some(summary),
                "{round}, output {index}"
            );
        }
        match round {
            "at once" => store.crash().await,
            _ => store.restart().await,
        }
    }
}

pub(super) async fn a_cut_in_the_middle_is_told(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let lease = store.claim_one().await;
    let captured = CapturedLog {
        bytes: b"head ... tail".to_vec(),
        truncated: true,
    };
    let length = captured.bytes.len() as u64;
    let finish = Finish {
        log: Some(captured),
        ..store.ended(&lease, COMPLETED)
    };
    store.finish(vec![finish]).await.unwrap();
    let summary = LogSummary {
        bytes: length,
        truncated: true,
    };
    assert_eq!(store.run_log(run).await.unwrap()[0].summary, summary);
    assert_eq!(store.get(run).await.log, Some(summary));
}

pub(super) async fn each_attempt_keeps_its_output(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let neighbour = store.enqueue_one("a", "1").await;
    for (attempt, output) in [(1, Some("first")), (2, None), (3, Some("third"))] {
        let leases = store.claim_up_to(2).await;
        let lease = leases
            .iter()
            .find(|lease| lease.claimed.run == run)
            .expect("the run");
        let decision = if attempt < 3 {
            Decision::RetryAt(store.now())
        } else {
            FAILED
        };
        let mut finish = store.ended(lease, decision);
        finish.log = output.and_then(|text: &str| log(text.as_bytes()));
        let mut finishes = vec![finish];
        if let Some(other) = leases.iter().find(|lease| lease.claimed.run == neighbour) {
            finishes.push(Finish {
                log: log(b"another's"),
                ..store.ended(other, COMPLETED)
            });
        }
        store.finish(finishes).await.unwrap();
    }
    for _ in 0..2 {
        let logs = store.run_log(run).await.unwrap();
        assert_eq!(
            told(&logs),
            [(1, &b"first"[..]), (3, &b"third"[..])],
            "oldest first"
        );
        let logs = store.run_log(neighbour).await.unwrap();
        assert_eq!(told(&logs), [(1, &b"another's"[..])]);
        store.crash().await;
    }
}

pub(super) async fn a_silent_run_has_no_output(backend: &dyn Backend) {
    let store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    assert!(store.run_log(run).await.unwrap().is_empty());
    store.drain().await;
    assert!(store.run_log(run).await.unwrap().is_empty());
    assert_eq!(store.get(run).await.log, None);
}

pub(super) async fn output_of_a_stale_end_is_dropped_with_it(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let run = store.enqueue_one("a", "1").await;
    let lease = store.claim_one().await;
    let first = Finish {
        log: log(b"first"),
        ..store.ended(&lease, COMPLETED)
    };
    let second = Finish {
        log: log(b"second"),
        ..store.ended(&lease, COMPLETED)
    };
    let finished = store.finish(vec![first, second.clone()]).await.unwrap();
    assert_eq!(finished.accepted, 1);
    store.finish(vec![second]).await.unwrap();
    store.crash().await;
    assert_eq!(
        told(&store.run_log(run).await.unwrap()),
        [(1, &b"first"[..])]
    );
}

pub(super) async fn output_of_many_runs_is_not_mixed_up(backend: &dyn Backend) {
    let mut store = Fixture::start(backend).await;
    store.create(slot_task("a")).await;
    let runs = store.enqueue_many("a", 300).await;
    while let leases = store.claim_up_to(50).await
        && !leases.is_empty()
    {
        let finishes = leases
            .iter()
            .map(|lease| {
                let text = format!("output of {}\n", lease.claimed.run).repeat(20);
                Finish {
                    log: log(text.as_bytes()),
                    ..store.ended(lease, COMPLETED)
                }
            })
            .collect();
        store.finish(finishes).await.unwrap();
    }
    store.crash().await;
    for run in runs {
        let expected = format!("output of {run}\n").repeat(20);
        assert_eq!(
            told(&store.run_log(run).await.unwrap()),
            [(1, expected.as_bytes())]
        );
    }
}
