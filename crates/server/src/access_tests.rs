//! Every endpoint of the table, with every kind of credential, on every kind of server: who gets
//! in is worked out here by a rule of its own, written from what the documentation promises. And
//! the table against the router, in both directions.

use std::collections::BTreeSet;

use autom8_model::api_key::Secret;
use autom8_model::{Author, Scope, Scopes, Timestamp};
use autom8_store::{NewKey, Write};
use axum::body::Body;
use axum::http::{Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;

use crate::digest::sha256;
use crate::endpoints;
use crate::routes::test_bench::Bench;

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    /// On loopback, and no key was ever made.
    Open,
    LoopbackWithKeys,
    Beyond,
    BeyondWithMonitoringOpen,
}

/// A kind of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Nothing,
    Malformed,
    Unknown,
    Expired,
    Deleted,
    Bearer(&'static [Scope]),
    Basic(&'static [Scope]),
}

const READ: &[Scope] = &[Scope::Read];
const RUN: &[Scope] = &[Scope::Run];
const ADMIN: &[Scope] = &[Scope::Admin];
const DEBUG: &[Scope] = &[Scope::Debug];
const READ_DEBUG: &[Scope] = &[Scope::Read, Scope::Debug];

const SHOWN: [Shown; 13] = [
    Shown::Nothing,
    Shown::Malformed,
    Shown::Unknown,
    Shown::Expired,
    Shown::Deleted,
    Shown::Bearer(READ),
    Shown::Bearer(RUN),
    Shown::Bearer(ADMIN),
    Shown::Bearer(DEBUG),
    Shown::Bearer(READ_DEBUG),
    Shown::Basic(READ),
    Shown::Basic(RUN),
    Shown::Basic(ADMIN),
];

/// What a call needs, from its method and path alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    ToMonitor,
    Scope(Scope),
}

fn needs(method: &str, path: &str) -> Needs {
    const HEALTH: [&str; 3] = ["/livez", "/readyz", "/api/v1/health"];
    const MONITORING: [&str; 9] = [
        "/metrics",
        "/api/v1/info",
        "/api/v1/slo",
        "/api/v1/readiness",
        "/api/v1/task_logs/stats",
        "/api/v1/tasklogs/stats",
        "/tasklogs/stats",
        "/api/v1/metrics",
        "/api/v1/performance/",
    ];
    let under = |prefix: &str| path.starts_with(prefix);
    let reads = method == "GET";
    if reads && HEALTH.contains(&path) {
        Needs::Nothing
    } else if reads
        && (MONITORING.contains(&path) || under("/api/v1/metrics/") || under(MONITORING[8]))
    {
        Needs::ToMonitor
    } else if under("/api/v1/keys") || under("/api/v1/audit_log") {
        Needs::Scope(Scope::Admin)
    } else if reads {
        Needs::Scope(Scope::Read)
    } else if under("/api/v1/contacts")
        || under("/api/v1/runs")
        || (method == "POST" && path.ends_with("/run"))
    {
        Needs::Scope(Scope::Run)
    } else {
        Needs::Scope(Scope::Admin)
    }
}

/// 401, 403, or none for an answer of the handler.
fn refused(server: Server, shown: Shown, method: &str, needs: Needs) -> Option<u16> {
    let needed = match (needs, server) {
        (Needs::Nothing, _) => return None,
        (Needs::ToMonitor, Server::Beyond) => Scope::Read,
        (Needs::ToMonitor, _) => return None,
        (Needs::Scope(scope), _) => scope,
    };
    let scopes = match shown {
        Shown::Nothing if server == Server::Open => return None,
        // There every key is another server's.
        _ if server == Server::Open => return Some(401),
        Shown::Bearer(scopes) => scopes,
        Shown::Basic(scopes) if method == "GET" => scopes,
        _ => return Some(401),
    };
    let ladder = [Scope::Read, Scope::Run, Scope::Admin];
    let step = |scope: &Scope| ladder.iter().position(|known| known == scope);
    let reaches = scopes.iter().any(|scope| match step(&needed) {
        Some(needed) => step(scope).is_some_and(|step| step >= needed),
        None => *scope == needed,
    });
    (!reaches).then_some(403)
}

fn secret(seed: u8) -> Secret {
    Secret::new([seed; 32])
}

fn author() -> Author {
    Author {
        key: None,
        principal: "local".to_owned(),
        request_id: None,
        address: None,
    }
}

/// The header of each credential. Which key it is follows from its place in [`SHOWN`].
fn authorization(shown: Shown) -> Option<String> {
    let place = SHOWN.iter().position(|known| *known == shown).unwrap();
    let secret = secret(place as u8 + 1);
    match shown {
        Shown::Nothing => None,
        Shown::Malformed => Some("Bearer a8_hunter2".to_owned()),
        Shown::Basic(_) => {
            let pair = format!("anybody:{}", secret.as_str());
            Some(format!("Basic {}", STANDARD.encode(pair)))
        }
        _ => Some(format!("Bearer {}", secret.as_str())),
    }
}

async fn start(server: Server) -> Bench {
    let bench = Bench::start_with(|config| {
        if matches!(server, Server::Beyond | Server::BeyondWithMonitoringOpen) {
            config.server.listen = autom8_config::Listen::parse("0.0.0.0").unwrap();
        }
        config.security.monitoring_open = server == Server::BeyondWithMonitoringOpen;
    })
    .await;
    if server == Server::Open {
        return bench;
    }
    for (place, shown) in SHOWN.into_iter().enumerate() {
        let (scopes, expires_at) = match shown {
            Shown::Nothing | Shown::Malformed | Shown::Unknown => continue,
            Shown::Expired => (ADMIN, Some(Timestamp::from_seconds(1_700_000_000))),
            Shown::Deleted => (ADMIN, None),
            Shown::Bearer(scopes) | Shown::Basic(scopes) => (scopes, None),
        };
        let secret = secret(place as u8 + 1);
        let key = NewKey {
            name: format!("key-{place}"),
            scopes: Scopes::of(scopes.iter().copied()),
            hash: sha256(secret.as_str().as_bytes()),
            shown: secret.shown().to_owned(),
            limit: None,
            expires_at,
        };
        let store = &bench.state().store;
        let made = store.create_key(key, Write::by(author())).await.unwrap();
        if shown == Shown::Deleted {
            store
                .delete_key(made.id, Write::by(author()))
                .await
                .unwrap();
        }
    }
    bench
}

/// A path of the template that names nothing there is.
fn concrete(template: &str) -> String {
    let mut path = String::new();
    for segment in template.split_inclusive('/') {
        match segment.strip_prefix('{') {
            Some(rest) => {
                path.push_str("999999999");
                path.push_str(if rest.ends_with('/') { "/" } else { "" });
            }
            None => path.push_str(segment),
        }
    }
    path
}

/// Status and, of a problem, the body. A stream's body does not end, and is not read.
async fn send(bench: &Bench, method: &str, path: &str, shown: Shown) -> (u16, String) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(line) = authorization(shown) {
        request = request.header(header::AUTHORIZATION, line);
    }
    let response = bench.open(request.body(Body::empty()).unwrap()).await;
    let status = response.status().as_u16();
    if status < 400 {
        return (status, String::new());
    }
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_endpoint_lets_in_with_every_credential_whom_it_should_and_nobody_else() {
    let mut tried = 0;
    for server in [
        Server::Open,
        Server::LoopbackWithKeys,
        Server::Beyond,
        Server::BeyondWithMonitoringOpen,
    ] {
        let bench = start(server).await;
        for endpoint in endpoints::all() {
            let (method, path) = (endpoint.method, concrete(endpoint.path));
            for shown in SHOWN {
                let expected = refused(server, shown, method, needs(method, endpoint.path));
                let (status, body) = send(&bench, method, &path, shown).await;
                let case = format!("{server:?} {method} {} {shown:?}", endpoint.path);
                match expected {
                    Some(expected) => assert_eq!(status, expected, "{case}: {body}"),
                    None => assert!(
                        !matches!(status, 401 | 403 | 405 | 429) && status != 500,
                        "{case}: {status} {body}"
                    ),
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 4 * 40 * SHOWN.len(), "{tried}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_leaves_nothing_behind() {
    let bench = start(Server::LoopbackWithKeys).await;
    let keys = bench.state().store.keys().len();
    for shown in [Shown::Nothing, Shown::Unknown, Shown::Bearer(RUN)] {
        let request = |path: &str, body: &str| {
            let mut request = Request::builder()
                .method("POST")
                .uri(path)
                .header(header::CONTENT_TYPE, "application/json");
            if let Some(line) = authorization(shown) {
                request = request.header(header::AUTHORIZATION, line);
            }
            request.body(Body::from(body.to_owned())).unwrap()
        };
        let task = request("/api/v1/tasks", r#"{"name":"t","do":{"builtin":"noop"}}"#);
        assert!(matches!(
            bench.send_request(task).await.status.as_u16(),
            401 | 403
        ));
        let key = request("/api/v1/keys", r#"{"name":"mine","scopes":["admin"]}"#);
        assert!(matches!(
            bench.send_request(key).await.status.as_u16(),
            401 | 403
        ));
    }
    assert_eq!(bench.state().store.keys().len(), keys);
    assert_eq!(bench.state().store.totals().tasks, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_listed_is_routed_and_what_is_not_listed_is_not() {
    let bench = start(Server::Open).await;
    let listed: BTreeSet<(&str, &str)> = endpoints::all()
        .map(|endpoint| (endpoint.method, endpoint.path))
        .collect();
    let paths: BTreeSet<&str> = listed.iter().map(|(_, path)| *path).collect();
    for path in &paths {
        for method in METHODS {
            let (status, body) = send(&bench, method, &concrete(path), Shown::Nothing).await;
            let routed = status != 405 && !body.contains("GET / lists the endpoints");
            assert_eq!(
                routed,
                listed.contains(&(method, path)),
                "{method} {path}: {status} {body}"
            );
        }
    }
    // axum lists the routes of a router to nobody but a debugger.
    let routed: BTreeSet<String> = templates(&format!("{:?}", crate::router::api()));
    let paths: BTreeSet<String> = paths.into_iter().map(str::to_owned).collect();
    assert_eq!(routed, paths);
}

/// The texts in quotes that begin with a slash.
fn templates(debug: &str) -> BTreeSet<String> {
    let quoted = debug.split('"').skip(1).step_by(2);
    quoted
        .filter(|text| text.starts_with('/') && !text.contains("__private"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_is_asked_for_a_password_to_read_and_gets_in_with_a_key() {
    let bench = start(Server::Beyond).await;
    let request = |line: Option<String>| {
        let mut request = Request::builder()
            .uri("/")
            .header(header::ACCEPT, "text/html,*/*;q=0.8");
        if let Some(line) = line {
            request = request.header(header::AUTHORIZATION, line);
        }
        request.body(Body::empty()).unwrap()
    };
    let asked = bench.send_request(request(None)).await;
    asked.expect_problem(401);
    let challenges: Vec<&str> = asked
        .headers
        .get_all(header::WWW_AUTHENTICATE)
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    assert!(
        challenges.len() == 2 && challenges[1].starts_with("Basic "),
        "{challenges:?}"
    );
    let page = bench
        .send_request(request(authorization(Shown::Basic(READ))))
        .await;
    assert_eq!(page.status, 200);
    assert!(
        page.text().starts_with("<!doctype html>"),
        "{}",
        page.text()
    );
}
