use autom8_tests::{Server, ServerOptions};

#[test]
fn health_has_the_fields_of_the_contract_and_probes_answer() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    let health = client.get("/api/v1/health").expect(200);
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["service"], "Autom8");
    assert!(
        health["version"].is_string() && health["environment"].is_string(),
        "{health}"
    );
    assert!(health["uptime_s"].as_f64().unwrap() >= 0.0);
    assert_eq!(client.get("/livez").status, 200);
    assert_eq!(client.get("/readyz").status, 200);
}

#[test]
fn info_names_the_durability_mode_so_that_figures_can() {
    let server = Server::start(&ServerOptions::default());
    let info = server.client().get("/api/v1/info").expect(200);
    assert!(
        info.to_string().contains("full"),
        "the default is durable: {info}"
    );
    assert!(info["version"].is_string(), "{info}");
    let docs = info["docs"].as_str().unwrap();
    let accept = [("accept", "text/html")];
    let page = server.client().send("GET", docs, &accept, None).unwrap();
    assert!(page.text().contains("/api/v1/tasks"), "{docs}");
    assert_eq!(docs, "/docs");
}

#[test]
fn the_root_lists_the_endpoints_and_an_unknown_path_is_a_problem() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    let root = client.get("/").expect(200);
    assert_eq!(root["service"], "Autom8");
    assert!(
        root["endpoints"].to_string().contains("/api/v1/tasks"),
        "{root}"
    );
    let answer = client.get("/api/v1/nothing-here");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let problem = answer.expect(404);
    for member in [
        "type",
        "title",
        "status",
        "code",
        "request_id",
        "error",
        "message",
    ] {
        assert!(
            !problem[member].is_null(),
            "{member} is missing in {problem}"
        );
    }
}

#[test]
fn every_answer_says_how_long_it_took_and_has_an_id() {
    let server = Server::start(&ServerOptions::default());
    for path in ["/api/v1/health", "/api/v1/tasks", "/api/v1/tasks/none"] {
        let answer = server.client().get(path);
        for name in ["x-request-id", "x-response-time", "server-timing"] {
            assert!(
                answer.header(name).is_some(),
                "{path} has no {name}: {:?}",
                answer.headers
            );
        }
    }
}

#[test]
fn a_page_of_another_host_cannot_reach_the_open_server() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    let status = |method, headers: &[(&str, &str)]| {
        client
            .send(method, "/api/v1/tasks", headers, Some(b"{}"))
            .unwrap()
            .status
    };
    // DNS rebinding: the browser thinks it speaks to its own site.
    assert_eq!(status("GET", &[("host", "evil.example")]), 403);
    // A form of another site.
    assert_eq!(status("POST", &[("origin", "https://evil.example")]), 403);
}
