use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};

use crate::routes::test_bench::{Answer, Bench};

async fn call(bench: &Bench, key: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if !key.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    let body = match body {
        Some(body) => {
            request = request.header(header::CONTENT_TYPE, "application/json");
            Body::from(body.to_string())
        }
        None => Body::empty(),
    };
    bench.send_request(request.body(body).unwrap()).await
}

async fn make(bench: &Bench, key: &str, name: &str, scopes: &[&str]) -> Value {
    let body = json!({"name": name, "scopes": scopes});
    call(bench, key, Method::POST, "/api/v1/keys", Some(body))
        .await
        .expect(201)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_key_closes_the_server_and_is_shown_once() {
    let bench = Bench::start().await;
    assert_eq!(bench.get("/api/v1/tasks").await.status, 200);
    let refused = bench
        .post("/api/v1/keys", r#"{"name":"ci","scopes":["run"]}"#)
        .await;
    assert!(refused.expect_problem(400).contains("the first key"));
    assert_eq!(bench.get("/api/v1/tasks").await.status, 200, "still open");

    let made = make(&bench, "", "ops", &["admin"]).await;
    let key = made["key"].as_str().unwrap().to_owned();
    assert!(
        made["message"]
            .as_str()
            .unwrap()
            .contains("every call needs a key"),
        "{made}"
    );
    let refused = bench.get("/api/v1/tasks").await;
    assert!(refused.expect_problem(401).contains("autom8 keys add"));
    let info = bench.get("/api/v1/info").await.expect(200);
    assert_eq!(info["security"]["api_key_required"], true);

    let listed = call(&bench, &key, Method::GET, "/api/v1/keys", None).await;
    assert!(!listed.text().contains(&key));
    let listed = listed.expect(200);
    assert_eq!(listed["keys"][0]["name"], "ops");
    assert_eq!(listed["keys"][0]["shown"], made["shown"]);
    assert!(key.starts_with(made["shown"].as_str().unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_admin_key_stays_and_a_deleted_one_opens_nothing() {
    let bench = Bench::start().await;
    let ops = make(&bench, "", "ops", &["admin"]).await;
    let key = ops["key"].as_str().unwrap();
    let reader = make(&bench, key, "dashboard", &["read"]).await;
    let path = |made: &Value| format!("/api/v1/keys/{}", made["id"]);

    let refused = call(&bench, key, Method::DELETE, &path(&ops), None).await;
    assert!(
        refused
            .expect_problem(409)
            .contains("the last key with `admin`")
    );
    let forbidden = call(
        &bench,
        reader["key"].as_str().unwrap(),
        Method::DELETE,
        &path(&ops),
        None,
    )
    .await;
    assert!(forbidden.expect_problem(403).contains("`admin`"));

    let deleted = call(&bench, key, Method::DELETE, &path(&reader), None).await;
    assert_eq!(deleted.expect(200)["message"], "Key deleted");
    let gone = call(&bench, key, Method::DELETE, &path(&reader), None).await;
    gone.expect_problem(404);
    let used = call(
        &bench,
        reader["key"].as_str().unwrap(),
        Method::GET,
        "/api/v1/tasks",
        None,
    )
    .await;
    assert!(
        used.expect_problem(401)
            .contains("does not know this API key")
    );

    let second = make(&bench, key, "ops-2", &["admin"]).await;
    let deleted = call(&bench, key, Method::DELETE, &path(&ops), None).await;
    deleted.expect(200);
    let by_second = second["key"].as_str().unwrap();
    let log = call(&bench, by_second, Method::GET, "/api/v1/audit_log", None).await;
    let log = log.expect(200);
    let told: Vec<(&str, &str)> = log["audit_log"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            (
                entry["action"].as_str().unwrap(),
                entry["principal"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("key.delete", "ops"),
            ("key.create", "ops"),
            ("key.delete", "ops"),
            ("key.create", "ops"),
            ("key.create", "open"),
        ]
    );
    assert!(log["audit_log"][0]["request_id"].is_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_used_is_refused_with_its_place() {
    let bench = Bench::start().await;
    let ops = make(&bench, "", "ops", &["admin"]).await;
    let key = ops["key"].as_str().unwrap();
    let long = "x".repeat(65);
    for (body, path) in [
        (json!({"name": "", "scopes": ["read"]}), "/name"),
        (json!({"name": " ci", "scopes": ["read"]}), "/name"),
        (json!({"name": "c\ni", "scopes": ["read"]}), "/name"),
        (json!({"name": long, "scopes": ["read"]}), "/name"),
        (json!({"name": "ci", "scopes": []}), "/scopes"),
        (json!({"name": "ci", "scopes": ["write"]}), "/scopes/0"),
        (json!({"name": "ci"}), "/"),
        (
            json!({"name": "ci", "scopes": ["read"], "rate_limit": "0 per minute"}),
            "/rate_limit",
        ),
        (
            json!({"name": "ci", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}),
            "/expires_at",
        ),
        (
            json!({"name": "ci", "scopes": ["read"], "limit": 7}),
            "/limit",
        ),
    ] {
        let answer = call(
            &bench,
            key,
            Method::POST,
            "/api/v1/keys",
            Some(body.clone()),
        )
        .await;
        answer.expect_problem(400);
        let problem = answer.json();
        assert!(
            problem["errors"][0]["path"]
                .as_str()
                .unwrap()
                .starts_with(path),
            "{body}: {problem}"
        );
    }
    let again = json!({"name": "ops", "scopes": ["read"]});
    let taken = call(&bench, key, Method::POST, "/api/v1/keys", Some(again)).await;
    taken.expect_problem(409);
    assert_eq!(bench.state().store.keys().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_audit_entries_come_in_pages() {
    let bench = Bench::start().await;
    let ops = make(&bench, "", "ops", &["admin"]).await;
    let key = ops["key"].as_str().unwrap();
    for number in 1..5 {
        make(&bench, key, &format!("key-{number}"), &["read"]).await;
    }
    for (path, list, field) in [
        ("/api/v1/keys", "keys", "name"),
        ("/api/v1/audit_log", "audit_log", "id"),
    ] {
        let get = async |query: String| {
            call(&bench, key, Method::GET, &format!("{path}{query}"), None)
                .await
                .expect(200)
        };
        let whole = get(String::new()).await;
        assert!(whole["meta"]["next_cursor"].is_null());
        let mut seen = Vec::new();
        let mut query = "?limit=2".to_owned();
        loop {
            let page = get(query).await;
            let rows = page[list].as_array().unwrap();
            assert!(rows.len() <= 2 && !rows.is_empty());
            seen.extend(rows.iter().map(|row| row[field].clone()));
            let Some(cursor) = page["meta"]["next_cursor"].as_str() else {
                break;
            };
            query = format!("?limit=2&cursor={cursor}");
        }
        let all: Vec<Value> = whole[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row[field].clone())
            .collect();
        assert_eq!(seen, all, "{path}");
        assert_eq!(seen.len(), 5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_has_its_own_limit() {
    let bench = Bench::start().await;
    let ops = make(&bench, "", "ops", &["admin"]).await;
    let admin = ops["key"].as_str().unwrap();
    let body = json!({"name": "slow", "scopes": ["read"], "rate_limit": "2 per hour"});
    let made = call(&bench, admin, Method::POST, "/api/v1/keys", Some(body))
        .await
        .expect(201);
    assert_eq!(made["rate_limit"], "2 per hour");
    let slow = made["key"].as_str().unwrap();
    for left in ["1", "0"] {
        let answer = call(&bench, slow, Method::GET, "/api/v1/tasks", None).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["x-ratelimit-limit"], "2");
        assert_eq!(answer.headers["x-ratelimit-remaining"], left);
        assert_eq!(answer.headers["ratelimit-policy"], "\"key\";q=2;w=3600");
    }
    let refused = call(&bench, slow, Method::GET, "/api/v1/tasks", None).await;
    let message = refused.expect_problem(429);
    assert!(
        message.contains("`slow`") && message.contains("2 per hour"),
        "{message}"
    );
    assert_eq!(refused.headers["retry-after"], "1800");
    // Nobody else is limited by it.
    let other = call(&bench, admin, Method::GET, "/api/v1/tasks", None).await;
    assert_eq!(other.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_is_sent_again_is_answered_again_and_a_key_is_never_shown_again() {
    let bench = Bench::start().await;
    let ops = make(&bench, "", "ops", &["admin"]).await;
    let authorization = format!("Bearer {}", ops["key"].as_str().unwrap());
    let send = async |method: Method, path: &str, body: &str| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, &authorization)
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", "once");
        bench
            .send_request(request.body(Body::from(body.to_owned())).unwrap())
            .await
    };
    let body = r#"{"name":"ci","scopes":["run"]}"#;
    let made = send(Method::POST, "/api/v1/keys", body).await.expect(201);
    let again = send(Method::POST, "/api/v1/keys", body).await;
    assert!(again.expect_problem(409).contains("exists already"));
    let path = format!("/api/v1/keys/{}", made["id"]);
    for _ in 0..2 {
        let deleted = send(Method::DELETE, &path, "").await;
        assert_eq!(deleted.expect(200)["message"], "Key deleted");
    }
    let log = bench.state().store.audit_log(None, 100).await.unwrap();
    assert_eq!(log.len(), 3, "two keys made, one deleted");
}
