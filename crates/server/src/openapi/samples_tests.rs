//! What is answered is what the document says: real answers of every endpoint, refusals among them.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::BodyExt as _;
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::endpoints;
use crate::routes::test_bench::Bench;

struct Samples {
    bench: Bench,
    document: Value,
    /// Method and template of all that was asked and not refused.
    answered: BTreeSet<(String, String)>,
}

impl Samples {
    async fn start() -> Samples {
        Samples {
            bench: Bench::start().await,
            document: serde_json::from_str(&super::json().unwrap()).unwrap(),
            answered: BTreeSet::new(),
        }
    }

    async fn get(&mut self, template: &str, rest: &str, status: u16) -> Value {
        self.send("GET", template, rest, None, status).await
    }

    async fn post(&mut self, template: &str, rest: &str, body: Option<&str>, status: u16) -> Value {
        self.send("POST", template, rest, body, status).await
    }

    /// Sends a request to `template`, with what stands in it and behind it in `rest`: `{x}` is
    /// replaced by the part before a `?`.
    async fn send(
        &mut self,
        method: &str,
        template: &str,
        rest: &str,
        body: Option<&str>,
        status: u16,
    ) -> Value {
        let request = Request::builder().method(method).uri(path(template, rest));
        let request = match body {
            None => request.body(Body::empty()),
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_owned())),
        };
        self.check(method, template, request.unwrap(), status).await
    }

    async fn check(
        &mut self,
        method: &str,
        template: &str,
        request: Request<Body>,
        status: u16,
    ) -> Value {
        let what = format!("{method} {}", request.uri());
        let answer = self.bench.send_request(request).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        let content_type = answer
            .headers
            .get(header::CONTENT_TYPE)
            .map(|value| value.to_str().unwrap());
        let said = self.said(method, template, status, content_type, &what);
        for (name, _) in said["headers"].as_object().into_iter().flatten() {
            let may_be_missing = name.starts_with("X-RateLimit")
                || name.starts_with("RateLimit")
                || name == "Idempotency-Replayed";
            assert!(
                may_be_missing || answer.headers.contains_key(name.as_str()),
                "{what}: no {name}"
            );
        }
        if status < 400 {
            self.answered
                .insert((method.to_owned(), template.to_owned()));
        }
        let is_json = content_type.is_some_and(|content_type| {
            ["application/json", "application/problem+json"].contains(&content_type)
        });
        if !is_json {
            return Value::String(answer.text().to_owned());
        }
        let found = answer.json();
        let media_type = content_type.unwrap();
        let schema = &said["content"][media_type]["schema"];
        if let Err(error) = self.validator(schema).validate(&found) {
            let place = error.instance_path().to_string();
            panic!(
                "{what}: {error} at {place}\n{}",
                found.pointer(&place).unwrap()
            );
        }
        self.has_only_what_is_described(schema, &found, &what);
        found
    }

    /// What the document says of an answer, references followed.
    fn said(
        &self,
        method: &str,
        template: &str,
        status: u16,
        content_type: Option<&str>,
        what: &str,
    ) -> Value {
        let operation = &self.document["paths"][template][method.to_lowercase()];
        let mut said = operation["responses"][status.to_string()].clone();
        if let Some(reference) = said["$ref"].as_str() {
            said = self.document.pointer(&reference[1..]).unwrap().clone();
        }
        assert!(said.is_object(), "{what}: {status} is not described");
        if let Some(content_type) = content_type {
            let media_type = content_type.split(';').next().unwrap();
            let content = said["content"].as_object();
            let described = content.is_some_and(|content| content.contains_key(media_type));
            assert!(described, "{what}: {media_type} is not described");
        }
        said
    }

    fn validator(&self, schema: &Value) -> Validator {
        super::tests::validator(&self.document, schema)
    }

    /// Every field of an answer is described: a schema that allows more would let a forgotten one
    /// pass.
    fn has_only_what_is_described(&self, schema: &Value, found: &Value, what: &str) {
        let (properties, is_open) = self.properties(schema);
        match found {
            Value::Object(members) if !is_open => {
                for (name, value) in members {
                    let Some(schema) = properties.iter().find(|(known, _)| known == name) else {
                        panic!("{what}: `{name}` is not described: {found}");
                    };
                    self.has_only_what_is_described(&schema.1, value, what);
                }
            }
            Value::Array(items) => {
                let items_schema = &self.followed(schema)["items"];
                for item in items.iter().filter(|_| items_schema.is_object()) {
                    self.has_only_what_is_described(items_schema, item, what);
                }
            }
            _ => {}
        }
    }

    /// The properties that a schema names, and whether it leaves others open.
    fn properties(&self, schema: &Value) -> (Vec<(String, Value)>, bool) {
        let schema = self.followed(schema);
        let mut found = Vec::new();
        let mut is_open = schema.get("properties").is_none();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            found.push((name.clone(), property.clone()));
        }
        for kind in ["allOf", "oneOf", "anyOf"] {
            for part in schema[kind].as_array().into_iter().flatten() {
                let (properties, _) = self.properties(part);
                is_open &= properties.is_empty();
                found.extend(properties);
            }
        }
        (found, is_open)
    }

    fn followed(&self, schema: &Value) -> Value {
        match schema["$ref"].as_str() {
            Some(reference) => self.document.pointer(&reference[1..]).unwrap().clone(),
            None => schema.clone(),
        }
    }

    /// The head and the first piece of an answer that does not end.
    async fn begins(&mut self, template: &str, rest: &str) -> String {
        let request = Request::get(path(template, rest))
            .body(Body::empty())
            .unwrap();
        let mut answer = self.bench.open(request).await;
        assert_eq!(answer.status(), 200, "{template}");
        let content_type = answer.headers()[header::CONTENT_TYPE].to_str().unwrap();
        self.said("GET", template, 200, Some(content_type), template);
        let first = answer.body_mut().frame().await.unwrap().unwrap();
        self.answered
            .insert(("GET".to_owned(), template.to_owned()));
        String::from_utf8(first.into_data().unwrap().to_vec()).unwrap()
    }
}

fn path(template: &str, rest: &str) -> String {
    let (segment, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut path = template.to_owned();
    if let (Some(start), Some(end)) = (template.find('{'), template.find('}')) {
        path.replace_range(start..=end, segment);
    }
    if query.is_empty() {
        path
    } else {
        format!("{path}?{query}")
    }
}

const TASK: &str = r#"{"name": "work", "do": {"builtin": "noop"}, "schedule": {"every": "1h"}}"#;
const HOOK: &str = r#"{"name": "hook", "do": {"http": {"method": "POST", "url": "http://127.0.0.1:9/",
    "headers": {"a": "b"}, "body": [1]}}, "schedule": {"cron": "0 2 * * *", "timezone": "Europe/Berlin"},
    "retry": {"max_attempts": 1}, "timeout": "1m30s"}"#;

#[tokio::test]
async fn every_endpoint_answers_what_the_document_says() {
    let mut samples = Samples::start().await;
    tasks_and_runs(&mut samples).await;
    contacts(&mut samples).await;
    service_and_monitoring(&mut samples).await;
    // From the first key on every call needs one, so keys come last.
    keys(&mut samples).await;
    let missing: Vec<_> = endpoints::all()
        .map(|endpoint| (endpoint.method.to_owned(), endpoint.path.to_owned()))
        .filter(|endpoint| !samples.answered.contains(endpoint))
        .collect();
    assert!(missing.is_empty(), "no sample of {missing:?}");
}

async fn tasks_and_runs(samples: &mut Samples) {
    let tasks = "/api/v1/tasks";
    let task = "/api/v1/tasks/{name}";
    samples.post(tasks, "", Some(TASK), 201).await;
    samples.post(tasks, "", Some(HOOK), 201).await;
    samples.post(tasks, "", Some(TASK), 409).await;
    samples.post(tasks, "", Some("{}"), 400).await;
    samples.post(tasks, "", Some("{"), 400).await;
    let process = r#"{"name": "p", "do": {"process": {"argv": ["true"]}}}"#;
    samples.post(tasks, "", Some(process), 403).await;
    samples.get(tasks, "?limit=1", 200).await;
    samples.get(tasks, "?limit=0", 400).await;
    samples.get(task, "work", 200).await;
    samples.get(task, "nobody", 404).await;
    let patch = r#"{"retry": {"max_attempts": 2}, "schedule": null, "priority": null}"#;
    samples.send("PATCH", task, "hook", Some(patch), 200).await;
    samples
        .get("/api/v1/tasks/{name}/next", "work?n=2", 200)
        .await;
    for verb in ["pause", "resume"] {
        samples
            .post(&format!("/api/v1/tasks/{{name}}/{verb}"), "work", None, 200)
            .await;
        samples
            .post(
                &format!("/api/v1/scheduler/jobs/{{name}}/{verb}"),
                "work",
                None,
                200,
            )
            .await;
    }
    let toggle = "/api/v1/tasks/{name}/toggle";
    samples
        .send("PUT", toggle, "work", Some(r#"{"enabled": true}"#), 200)
        .await;
    let input = Some(r#"{"input": {"a": 1}}"#);
    let made = samples
        .post("/api/v1/tasks/{name}/run", "work", input, 202)
        .await;
    let run = made["id"].as_i64().unwrap();
    samples.bench.ended(run).await;
    let run = run.to_string();
    samples
        .post("/api/v1/scheduler/jobs/{name}/run", "work", None, 202)
        .await;
    let batch = r#"{"task": "work", "inputs": [1, 2], "return_ids": true}"#;
    samples
        .post("/api/v1/runs/batch", "", Some(batch), 202)
        .await;
    samples
        .post("/api/v1/runs/{id}/retry", &run, None, 202)
        .await;
    samples
        .post("/api/v1/runs/{id}/cancel", &run, None, 409)
        .await;
    // A run of a paused task waits, so that it can be cancelled.
    samples
        .post("/api/v1/tasks/{name}/pause", "work", None, 200)
        .await;
    let waiting = samples
        .post("/api/v1/tasks/{name}/run", "work", None, 202)
        .await;
    let waiting = waiting["id"].to_string();
    samples
        .post("/api/v1/runs/{id}/cancel", &waiting, None, 202)
        .await;
    samples
        .get("/api/v1/runs", "?state=completed,queued&limit=2", 200)
        .await;
    samples.get("/api/v1/runs/{id}", &run, 200).await;
    samples.get("/api/v1/runs/{id}", "0", 404).await;
    samples.get("/api/v1/runs/{id}/log", &run, 200).await;
    for accept in ["application/json", "text/event-stream"] {
        let request = Request::get(format!("/api/v1/runs/{run}/log"))
            .header(header::ACCEPT, accept)
            .body(Body::empty())
            .unwrap();
        samples
            .check("GET", "/api/v1/runs/{id}/log", request, 200)
            .await;
    }
    for path in ["/api/v1/task_logs", "/api/v1/tasklogs", "/tasklogs"] {
        samples.get(path, "?status=completed", 200).await;
        samples.get(&format!("{path}/stats"), "", 200).await;
    }
    samples.get("/api/v1/scheduler/status", "", 200).await;
    samples.send("DELETE", task, "work", None, 200).await;
}

async fn contacts(samples: &mut Samples) {
    let contacts = "/api/v1/contacts";
    let contact = "/api/v1/contacts/{id}";
    let ada = r#"{"name": "Ada", "phone": "+44 20 7946 0018", "email": "ada@example.org",
        "tags": ["a"], "attributes": {"x": 1}}"#;
    let made = samples.post(contacts, "", Some(ada), 201).await;
    let id = made["id"].to_string();
    samples.post(contacts, "", Some(ada), 409).await;
    samples.post(contacts, "", Some("{}"), 400).await;
    samples.get(contacts, "?q=a&tag=a", 200).await;
    samples.get(contacts, "?limit=1&sort=-name", 200).await;
    samples.get(contact, &id, 200).await;
    samples.get(contact, "99", 404).await;
    samples
        .get("/api/v1/contacts/lookup", "?email=ADA@example.org", 200)
        .await;
    for method in ["PUT", "PATCH"] {
        samples
            .send(method, contact, &id, Some(r#"{"email": null}"#), 200)
            .await;
    }
    let batch = r#"[{"name": "B", "phone": "2125550100"}, {"name": "C"}]"#;
    samples
        .post("/api/v1/contacts/batch", "", Some(batch), 200)
        .await;
    samples.send("DELETE", contact, &id, None, 200).await;
    contact_files(samples).await;
}

async fn contact_files(samples: &mut Samples) {
    let import = "/api/v1/contacts/import";
    let request = |query: &str, content_type: &str, body: &'static str| {
        Request::post(format!("{import}{query}"))
            .header(header::CONTENT_TYPE, content_type)
            .body(Body::from(body))
            .unwrap()
    };
    let file = "name,phone\nDorothy,+1 757 555 0100\nNobody,\n";
    let upload = request("?on_duplicate=update&dry_run=0", "text/csv", file);
    let made = samples.check("POST", import, upload, 202).await;
    let run = made["id"].as_i64().unwrap();
    let ended = samples.bench.ended(run).await;
    assert_eq!(ended["result"]["failed"], 1, "{ended}");
    let failures = "/api/v1/contacts/imports/{id}/failures";
    samples.get(failures, &run.to_string(), 200).await;
    samples.get(failures, "99999", 404).await;
    let upload = request("", "application/octet-stream", file);
    samples.check("POST", import, upload, 415).await;
    let upload = request("?format=csv", "", "a,b\n");
    samples.check("POST", import, upload, 400).await;
    let export = "/api/v1/contacts/export";
    let exported = "/api/v1/contacts/exports/{id}";
    for format in ["csv", "ndjson"] {
        let made = samples
            .post(export, &format!("?format={format}"), None, 202)
            .await;
        let run = made["id"].as_i64().unwrap();
        samples.bench.ended(run).await;
        samples.get(exported, &run.to_string(), 200).await;
    }
    samples.get(exported, "99999", 404).await;
}

async fn service_and_monitoring(samples: &mut Samples) {
    samples.get("/readyz", "", 503).await;
    samples.bench.state().lifecycle.become_ready();
    for path in [
        "/",
        "/openapi.json",
        "/docs",
        "/livez",
        "/readyz",
        "/metrics",
        "/api/v1/health",
        "/api/v1/info",
        "/api/v1/metrics",
        "/api/v1/metrics/system",
        "/api/v1/performance/stats",
        "/api/v1/performance/system",
        "/api/v1/performance/health",
        "/api/v1/slo",
        "/api/v1/slow_log",
        "/api/v1/logs/errors",
    ] {
        samples.get(path, "", 200).await;
    }
    for accept in ["text/html", "application/openmetrics-text", "text/plain"] {
        for path in ["/", "/metrics", "/api/v1/metrics"] {
            let request = Request::get(path)
                .header(header::ACCEPT, accept)
                .body(Body::empty())
                .unwrap();
            samples.check("GET", path, request, 200).await;
        }
    }
    samples
        .post("/api/v1/performance/cache/clear", "", None, 200)
        .await;
    let first = samples.begins("/api/v1/metrics/stream", "").await;
    let data = first
        .lines()
        .find_map(|line| line.strip_prefix("data:"))
        .unwrap_or_else(|| panic!("{first}"));
    let report: Value = serde_json::from_str(data).unwrap();
    let schema = json!({"$ref": "#/components/schemas/Report"});
    if let Err(error) = samples.validator(&schema).validate(&report) {
        panic!("the stream: {error}");
    }
}

async fn keys(samples: &mut Samples) {
    let request = r#"{"name": "root", "scopes": ["admin"], "rate_limit": "600 per minute"}"#;
    let made = samples.post("/api/v1/keys", "", Some(request), 201).await;
    let key = format!("Bearer {}", made["key"].as_str().unwrap());
    samples.get("/api/v1/keys", "", 401).await;
    let with_key = |method: &str, path: &str, body: &str| {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, &key)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap()
    };
    let other = r#"{"name": "other", "scopes": ["read"]}"#;
    let post = with_key("POST", "/api/v1/keys", other);
    let other = samples.check("POST", "/api/v1/keys", post, 201).await;
    let get = with_key("GET", "/api/v1/keys", "");
    samples.check("GET", "/api/v1/keys", get, 200).await;
    for (id, status) in [(&other["id"], 200), (&made["id"], 409), (&other["id"], 404)] {
        let delete = with_key("DELETE", &format!("/api/v1/keys/{id}"), "");
        samples
            .check("DELETE", "/api/v1/keys/{id}", delete, status)
            .await;
    }
    let audit_log = with_key("GET", "/api/v1/audit_log", "");
    samples
        .check("GET", "/api/v1/audit_log", audit_log, 200)
        .await;
}
