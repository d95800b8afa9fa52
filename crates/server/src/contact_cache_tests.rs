//! On a whole server: what is kept is the same as what is read, and never what was before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use autom8_performance::cache::CacheStatistics;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::routes::test_bench::Bench;

#[tokio::test]
async fn an_answer_is_the_same_with_and_without_the_caches_and_they_are_counted() {
    let bench = Bench::start().await;
    bench.contacts(20).await;
    let paths = [
        "/api/v1/contacts/7",
        "/api/v1/contacts?limit=10",
        "/api/v1/contacts?q=c1&sort=-name",
    ];
    let mut fresh = Vec::new();
    for path in paths {
        let answer = bench.get(path).await;
        answer.expect(200);
        fresh.push(answer.bytes);
    }
    let counts = || {
        bench
            .state()
            .contacts
            .statistics()
            .map(|(_, statistics)| (statistics.hits, statistics.misses))
    };
    assert_eq!(counts(), [(0, 1), (0, 2)]);
    for round in 1..=2 {
        for (path, fresh) in paths.iter().zip(&fresh) {
            assert_eq!(bench.get(path).await.bytes, *fresh, "{path}");
        }
        assert_eq!(counts(), [(round, 1), (round * 2, 2)]);
    }
    // The same query in other words is the same page.
    bench
        .get("/api/v1/contacts?sort=id&limit=10&offset=0&q=")
        .await
        .expect(200);
    assert_eq!(counts()[1], (5, 2));

    let cleared = bench
        .post("/api/v1/performance/cache/clear", "{}")
        .await
        .expect(200);
    assert_eq!(cleared, json!({"cleared": ["contact", "contact_list"]}));
    for (path, fresh) in paths.iter().zip(&fresh) {
        assert_eq!(bench.get(path).await.bytes, *fresh, "{path}");
    }
    assert_eq!(counts(), [(2, 2), (5, 4)]);

    let report = bench
        .until("/api/v1/metrics", |report| {
            report["cache"][1]["misses"] == 4
        })
        .await;
    assert_eq!(report["database"]["contacts"], 20);
    assert_eq!(report["cache"][0]["name"], "contact");
    assert_eq!(report["cache"][0]["size"], 1);
    assert!(
        report["cache"][1]["bytes"].as_u64().unwrap() > 1_000,
        "{}",
        report["cache"]
    );
    let stats = bench.get("/api/v1/performance/stats").await.expect(200);
    assert_eq!(stats["cache_hit_ratio_percent"], 53.85, "7 of 13");
    let text = bench.get("/metrics").await;
    let line = r#"autom8_cache_requests_total{cache="contact_list",result="hit"} 5"#;
    assert!(text.text().contains(line), "{}", text.text());
    assert!(text.text().contains("autom8_contact_count 20"));
}

#[tokio::test]
async fn without_room_nothing_is_kept_and_the_answers_are_the_same() {
    let none = autom8_config::ByteSize(0);
    let bench = Bench::start_with(|config| {
        config.cache.contacts = none;
        config.cache.contact_lists = none;
    })
    .await;
    bench.contacts(20).await;
    for path in ["/api/v1/contacts/7", "/api/v1/contacts?limit=10"] {
        let first = bench.get(path).await;
        first.expect(200);
        assert_eq!(bench.get(path).await.bytes, first.bytes, "{path}");
    }
    for (name, statistics) in bench.state().contacts.statistics() {
        let CacheStatistics {
            hits,
            misses,
            entries,
            weight,
            ..
        } = statistics;
        assert_eq!((hits, misses, entries, weight), (0, 2, 0, 0), "{name}");
    }
}

#[tokio::test]
async fn a_page_that_many_ask_for_at_once_is_read_once() {
    let bench = Bench::start().await;
    bench.contacts(20).await;
    let counts = || bench.state().contacts.statistics()[1].1;
    // A page of the list is read where it is asked for, a search elsewhere, with the others waiting
    // unless it was there at once.
    for path in ["/api/v1/contacts", "/api/v1/contacts?q=c"] {
        let before = counts();
        let answers = join_all((0..50).map(|_| bench.get(path))).await;
        assert!(
            answers
                .iter()
                .all(|answer| answer.bytes == answers[0].bytes)
        );
        let after = counts();
        let misses = after.misses - before.misses;
        let coalesced = after.coalesced - before.coalesced;
        assert_eq!(misses - coalesced, 1, "{after:?}");
        assert_eq!(after.hits - before.hits + misses, 50, "{after:?}");
    }
}

/// Eight write while eight read, through the caches. Whoever asks after a write was answered must
/// see it, or a later one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_sees_what_was_before_an_answered_write() {
    const WRITES: u64 = 40;
    const EACH: usize = 8;
    let bench = Bench::start_with(|config| config.security.rate_limit_enabled = false).await;
    let bench = Arc::new(bench);
    bench.contacts(EACH).await;
    let answered: Arc<[AtomicU64]> = (0..EACH).map(|_| AtomicU64::new(0)).collect();
    let over = Arc::new(AtomicBool::new(false));

    let writers = (0..EACH).map(|own| {
        let (bench, answered) = (Arc::clone(&bench), Arc::clone(&answered));
        tokio::spawn(async move {
            let path = format!("/api/v1/contacts/{}", own + 1);
            for number in 1..=WRITES {
                let body = format!(r#"{{"attributes":{{"n":{number}}}}}"#);
                bench.patch(&path, &body).await.expect(200);
                answered[own].store(number, Ordering::Release);
                // One that comes and goes is in the list, and then is not.
                let phone = format!("+1202{own}{number:06}");
                let passing = bench
                    .contact(&json!({"name": "passing", "phone": phone}))
                    .await;
                let list = bench.get("/api/v1/contacts?limit=1000").await.expect(200);
                let is_in = |list: &Value| {
                    let contacts = list["contacts"].as_array().unwrap();
                    contacts
                        .iter()
                        .any(|contact| contact["id"] == passing["id"])
                };
                assert!(is_in(&list));
                let passing_path = format!("/api/v1/contacts/{}", passing["id"]);
                bench.get(&passing_path).await.expect(200);
                bench.send("DELETE", &passing_path, None).await.expect(200);
                bench.get(&passing_path).await.expect_problem(404);
                assert!(!is_in(
                    &bench.get("/api/v1/contacts?limit=1000").await.expect(200)
                ));
            }
        })
    });
    let readers = (0..EACH).map(|reader| {
        let (bench, answered) = (Arc::clone(&bench), Arc::clone(&answered));
        let over = Arc::clone(&over);
        tokio::spawn(async move {
            let mut turn = reader;
            while !over.load(Ordering::Acquire) {
                // What is kept is answered at once, and nobody else would get a turn.
                tokio::task::yield_now().await;
                turn += 1;
                let before: Vec<u64> = answered.iter().map(|n| n.load(Ordering::Acquire)).collect();
                let number = |contact: &Value| contact["attributes"]["n"].as_u64().unwrap_or(0);
                if turn.is_multiple_of(2) {
                    let list = bench.get("/api/v1/contacts?limit=100").await.expect(200);
                    for (own, before) in before.iter().enumerate() {
                        let seen = number(&list["contacts"][own]);
                        assert!(seen >= *before, "contact {own}: {seen} after {before}");
                    }
                } else {
                    let own = turn / 2 % EACH;
                    let path = format!("/api/v1/contacts/{}", own + 1);
                    let seen = number(&bench.get(&path).await.expect(200));
                    assert!(
                        seen >= before[own],
                        "contact {own}: {seen} after {}",
                        before[own]
                    );
                }
            }
        })
    });
    let (writers, readers): (Vec<_>, Vec<_>) = (writers.collect(), readers.collect());
    for writer in writers {
        writer.await.unwrap();
    }
    over.store(true, Ordering::Release);
    for reader in readers {
        reader.await.unwrap();
    }
    let list = bench.get("/api/v1/contacts").await.expect(200);
    assert_eq!(
        (
            list["contacts"].as_array().unwrap().len(),
            &list["meta"]["total"]
        ),
        (EACH, &json!(EACH))
    );
    for (name, statistics) in bench.state().contacts.statistics() {
        assert!(
            statistics.hits > 0 && statistics.misses > WRITES,
            "{name}: {statistics:?}"
        );
    }
}
