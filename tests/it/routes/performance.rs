use autom8_tests::{Server, ServerOptions};

#[test]
fn percentiles_probes_and_a_verdict_are_served() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.get("/api/v1/tasks").expect(200);
    let stats = client.get("/api/v1/performance/stats").expect(200);
    assert!(stats.to_string().contains("p95"), "{stats}");
    let system = client.get("/api/v1/performance/system").expect(200);
    assert!(
        system["cpu"].is_object() && system["memory"].is_object(),
        "{system}"
    );
    let health = client.get("/api/v1/performance/health").expect(200);
    assert!(
        health["issues"].is_array() && health["recommendations"].is_array(),
        "{health}"
    );
    let answer = client.post_empty("/api/v1/performance/cache/clear");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn budgets_and_slow_work_are_listed() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    let slo = client.get("/api/v1/slo").expect(200);
    assert!(
        slo["slo"].as_array().is_some_and(|rows| !rows.is_empty()),
        "{slo}"
    );
    assert_eq!(client.get("/api/v1/slow_log").status, 200);
    assert_eq!(client.get("/api/v1/logs/errors").status, 200);
}
