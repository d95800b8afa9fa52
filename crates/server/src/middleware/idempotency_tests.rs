use autom8_model::AuditAction;
use autom8_store::Totals;
use axum::body::Body;
use axum::http::Request;
use futures_util::future::join_all;

use super::{IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED};
use crate::routes::test_bench::{Answer, Bench};

async fn send(bench: &Bench, method: &str, path: &str, key: &str, body: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .header(IDEMPOTENCY_KEY, key)
        .body(Body::from(body.to_owned()))
        .unwrap();
    bench.send_request(request).await
}

fn is_replayed(answer: &Answer) -> bool {
    answer.headers.contains_key(IDEMPOTENCY_REPLAYED)
}

const TASK: &str = r#"{"name":"once","do":{"builtin":"noop"}}"#;
const ADA: &str = r#"{"name":"Ada","phone":"5550100"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_write_is_done_once_and_answered_alike() {
    let bench = Bench::start().await;
    let writes = [
        ("POST", "/api/v1/tasks", TASK, 201),
        ("PATCH", "/api/v1/tasks/once", r#"{"priority":7}"#, 200),
        ("POST", "/api/v1/tasks/once/pause", "", 200),
        (
            "POST",
            "/api/v1/tasks/once/run",
            r#"{"input":{"n":1}}"#,
            202,
        ),
        ("POST", "/api/v1/runs/1/cancel", "", 202),
        ("POST", "/api/v1/runs/1/retry", "", 202),
        (
            "POST",
            "/api/v1/runs/batch",
            r#"{"task":"once","inputs":[1,2],"return_ids":true}"#,
            202,
        ),
        ("POST", "/api/v1/tasks/once/resume", "", 200),
        (
            "PUT",
            "/api/v1/tasks/once/toggle",
            r#"{"enabled":false}"#,
            200,
        ),
        ("DELETE", "/api/v1/tasks/once", "", 200),
        ("POST", "/api/v1/contacts", ADA, 201),
        ("PUT", "/api/v1/contacts/1", r#"{"name":"Ada L."}"#, 200),
        ("PATCH", "/api/v1/contacts/1", r#"{"tags":["vip"]}"#, 200),
        ("DELETE", "/api/v1/contacts/1", "", 200),
        (
            "POST",
            "/api/v1/contacts/batch",
            r#"[{"name":"Grace","phone":"5550101"},{"name":"Grace"}]"#,
            200,
        ),
    ];
    for (place, (method, path, body, status)) in writes.into_iter().enumerate() {
        let key = format!("key-{place}");
        let first = send(&bench, method, path, &key, body).await;
        first.expect(status);
        assert!(!is_replayed(&first), "{method} {path}");
        let before = bench.state().store.totals();
        let entries = bench
            .state()
            .store
            .audit_log(None, 1_000)
            .await
            .unwrap()
            .len();
        let again = send(&bench, method, path, &key, body).await;
        again.expect(status);
        assert!(is_replayed(&again), "{method} {path}: {}", again.text());
        assert_eq!(again.text(), first.text(), "{method} {path}");
        assert_eq!(again.headers.get("location"), first.headers.get("location"));
        let after = bench.state().store.totals();
        let counts = |totals: &Totals| (totals.tasks, totals.queued, totals.contacts);
        assert_eq!(counts(&before), counts(&after));
        assert_eq!(
            bench
                .state()
                .store
                .audit_log(None, 1_000)
                .await
                .unwrap()
                .len(),
            entries
        );
    }
    let log = bench.state().store.audit_log(None, 1_000).await.unwrap();
    let actions: Vec<AuditAction> = log.iter().rev().map(|entry| entry.action).collect();
    assert_eq!(
        actions,
        [
            AuditAction::TaskCreate,
            AuditAction::TaskUpdate,
            AuditAction::TaskPause,
            AuditAction::RunEnqueue,
            AuditAction::RunCancel,
            AuditAction::RunReplay,
            AuditAction::RunEnqueue,
            AuditAction::TaskResume,
            AuditAction::TaskPause,
            AuditAction::TaskDelete,
            AuditAction::ContactCreate,
            AuditAction::ContactUpdate,
            AuditAction::ContactUpdate,
            AuditAction::ContactDelete,
            AuditAction::ContactBatch,
        ]
    );
    assert!(
        log.iter()
            .all(|entry| entry.author.principal == "open" && entry.author.request_id.is_some())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_one_writes_and_all_are_answered_alike() {
    let bench = Bench::start().await;
    bench
        .create("busy", r#""do":{"builtin":"noop"},"enabled":false"#)
        .await;
    for round in 0..20 {
        let key = format!("round-{round}");
        let body = format!(r#"{{"input":{round}}}"#);
        let answers =
            join_all((0..16).map(|_| send(&bench, "POST", "/api/v1/tasks/busy/run", &key, &body)))
                .await;
        assert_eq!(answers.iter().filter(|one| !is_replayed(one)).count(), 1);
        for answer in &answers {
            assert_eq!(answer.expect(202), answers[0].json());
        }
        assert_eq!(bench.state().store.totals().queued, round + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_body_under_the_same_key_is_refused_and_another_route_is_another_key() {
    let bench = Bench::start().await;
    bench
        .create("one", r#""do":{"builtin":"noop"},"enabled":false"#)
        .await;
    bench
        .create("two", r#""do":{"builtin":"noop"},"enabled":false"#)
        .await;
    let path = "/api/v1/tasks/one/run";
    send(&bench, "POST", path, "k", r#"{"input":1}"#)
        .await
        .expect(202);
    let reused = send(&bench, "POST", path, "k", r#"{"input":2}"#).await;
    let message = reused.expect_problem(422);
    assert!(message.contains("new key"), "{message}");
    assert_eq!(reused.json()["code"], "idempotency_key_reused");
    let elsewhere = send(
        &bench,
        "POST",
        "/api/v1/tasks/two/run",
        "k",
        r#"{"input":1}"#,
    )
    .await;
    elsewhere.expect(202);
    assert_eq!(bench.state().store.totals().queued, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_not_kept_and_is_judged_anew() {
    let bench = Bench::start().await;
    let path = "/api/v1/tasks/late/run";
    send(&bench, "POST", path, "k", "{}")
        .await
        .expect_problem(404);
    bench
        .create("late", r#""do":{"builtin":"noop"},"enabled":false"#)
        .await;
    send(&bench, "POST", path, "k", "{}").await.expect(202);
    // What fails for another reason than a repetition is told as it is.
    let taken = send(
        &bench,
        "POST",
        "/api/v1/tasks",
        "t",
        &TASK.replace("once", "late"),
    )
    .await;
    assert!(taken.expect_problem(409).contains("exists already"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_none_is_refused_with_its_form() {
    let bench = Bench::start().await;
    let long = "k".repeat(256);
    for bad in ["", long.as_str(), "tab\tbed"] {
        let refused = send(&bench, "POST", "/api/v1/tasks", bad, TASK).await;
        let message = refused.expect_problem(400);
        assert!(message.contains("255"), "{message}");
        assert_eq!(refused.json()["errors"][0]["path"], "Idempotency-Key");
    }
    assert_eq!(bench.state().store.totals().tasks, 0);
    let twice = Request::post("/api/v1/tasks")
        .header("content-type", "application/json")
        .header(IDEMPOTENCY_KEY, "a")
        .header(IDEMPOTENCY_KEY, "b")
        .body(Body::from(TASK))
        .unwrap();
    bench.send_request(twice).await.expect_problem(400);
    // A read changes nothing: the header says nothing there.
    send(&bench, "GET", "/api/v1/tasks", "", "")
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_left_finds_its_answer_when_it_comes_again() {
    let bench = Bench::start().await;
    bench
        .create("gone", r#""do":{"builtin":"noop"},"enabled":false"#)
        .await;
    for round in 0..50 {
        let key = format!("left-{round}");
        let path = "/api/v1/tasks/gone/run";
        {
            // Begun, and dropped at its first wait.
            let first = send(&bench, "POST", path, &key, "{}");
            let mut first = std::pin::pin!(first);
            for _ in 0..=round % 3 {
                if futures_util::poll!(first.as_mut()).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        send(&bench, "POST", path, &key, "{}").await.expect(202);
        send(&bench, "POST", path, &key, "{}").await.expect(202);
        assert_eq!(bench.state().store.totals().queued, round + 1);
    }
}
