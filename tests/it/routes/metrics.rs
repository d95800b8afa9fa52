use autom8_tests::steps::noop_task;
use autom8_tests::{Server, ServerOptions, wait};

#[test]
fn the_report_has_the_sections_of_the_contract_and_counts_this_very_traffic() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&noop_task("n"));
    client.ended_run(client.run_task("n"));
    let report = wait::until("a report of the run", wait::PROMPT, || {
        let report = client.get("/api/v1/metrics").expect(200);
        (report["tasks"]["completed"] == 1).then_some(report)
    });
    assert!(matches!(
        report["status"].as_str(),
        Some("healthy" | "warning" | "unhealthy")
    ));
    for section in ["slo", "issues", "recommendations", "cache"] {
        assert!(report[section].is_array(), "{section} in {report}");
    }
    for section in ["system", "http", "tasks", "database"] {
        assert!(report[section].is_object(), "{section} in {report}");
    }
    assert!(report["age_ms"].as_f64().unwrap() >= 0.0);
    assert!(report["http"]["requests_total"].as_u64().unwrap() >= 2);
    assert!(
        report["http"]["by_status"]["201"].as_u64().unwrap() >= 1,
        "{}",
        report["http"]
    );
    let routes = report["http"]["routes"].to_string();
    assert!(
        routes.contains("/api/v1/tasks/{name}/run"),
        "by template, never by path: {routes}"
    );
    let statements = report["database"]["statements"].as_array().unwrap();
    assert!(!statements.is_empty(), "{}", report["database"]);
    assert_eq!(report["tasks"]["success_rate"], 100.0);
}

#[test]
fn a_report_is_at_most_a_sampling_interval_old() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    let times: std::collections::BTreeSet<String> = (0..120)
        .map(|_| {
            wait::pause_for(std::time::Duration::from_millis(15));
            let system = client.get("/api/v1/metrics/system").expect(200);
            // Two intervals: the machine of a test is busy.
            assert!(system["age_ms"].as_f64().unwrap() <= 2_000.0, "{system}");
            system["timestamp"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(times.len() >= 2, "samples go on: {times:?}");
}

#[test]
fn the_format_follows_what_the_client_accepts() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    let kind = |path: &str, accept: &str| {
        let answer = client
            .send("GET", path, &[("accept", accept)], None)
            .unwrap();
        assert_eq!(answer.status, 200);
        answer
            .header("content-type")
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    };
    let metrics = "/api/v1/metrics";
    assert_eq!(kind(metrics, "*/*"), "application/json");
    assert_eq!(kind(metrics, "application/json"), "application/json");
    assert_eq!(kind(metrics, "text/plain"), "text/plain");
    // What Prometheus sends: text is worth more to it than */*.
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    assert_eq!(kind(metrics, prometheus), "application/openmetrics-text");
    assert_ne!(kind("/metrics", "*/*"), "application/json");
}

#[test]
fn the_exposition_is_well_formed_and_names_units() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.get("/api/v1/tasks").expect(200);
    let text = wait::until("the request in the exposition", wait::PROMPT, || {
        Some(client.get("/metrics").text()).filter(|text| text.contains("/api/v1/tasks"))
    });
    let mut samples = 0;
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        // An exemplar may follow after ` # `.
        let value = line
            .split(" # ")
            .next()
            .unwrap()
            .split_whitespace()
            .next_back()
            .unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        samples += 1;
    }
    assert!(samples > 20, "{text}");
    for name in [
        "http_server_request_duration_seconds",
        "process_memory_usage",
    ] {
        assert!(text.contains(name), "{name} is missing");
    }
}

#[test]
fn the_stream_sends_a_sample_a_second() {
    let server = Server::start(&ServerOptions::default());
    let mut events = server.client().events("/api/v1/metrics/stream", &[]);
    for _ in 0..2 {
        let event = events.next_within(wait::PROMPT).expect("a sample");
        let sample: serde_json::Value = serde_json::from_str(&event.data).unwrap();
        assert!(sample.is_object(), "{sample}");
    }
}
