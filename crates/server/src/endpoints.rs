//! Every endpoint in one table: what it is for, who may call it, and how large a body it takes.
//!
//! `GET /`, the status page, the check of access, the limits of bodies and of requests, and what
//! counts as monitoring are all read from here; a test compares the table with the router in both
//! directions. Whoever adds a route adds its line to the group of its noun.

use std::fmt::Write as _;
use std::sync::LazyLock;

use autom8_model::Scope;
use axum::http::Method;

use crate::middleware::body_limit::{BATCH_BODY_BYTES_MAX, BODY_BYTES_MAX, IMPORT_BODY_BYTES_MAX};

/// One method of one path.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// As it is written on the wire. `GET` stands for `HEAD` too.
    pub method: &'static str,
    /// The template, as the router knows it.
    pub path: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    pub access: Access,
    pub body_bytes_max: u64,
}

/// Who may call an endpoint of a server that asks for keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, always: whether it is alive must not depend on a key.
    Open,
    /// Anybody as long as only this machine can connect, or the operator has opened it; beyond
    /// that, a key with `read`.
    Monitoring,
    /// A key with this scope.
    Scope(Scope),
}

impl Access {
    /// Costs a copy of memory: exempt from the rate limit, in a lane of its own, and left out of
    /// the latency SLO.
    pub fn is_monitoring(self) -> bool {
        matches!(self, Access::Open | Access::Monitoring)
    }
}

/// The endpoints of one noun.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    pub noun: &'static str,
    pub endpoints: &'static [Endpoint],
}

/// Everything there is, in the order in which people are shown it.
pub const GROUPS: &[Group] = &[
    group("Service", SERVICE),
    group("Contacts", CONTACTS),
    group("Tasks", TASKS),
    group("Runs", RUNS),
    group("Task logs", TASK_LOGS),
    group("Scheduler", SCHEDULER),
    group("Monitoring", MONITORING),
    group("Keys", KEYS),
];

const READ: Access = Access::Scope(Scope::Read);
const RUN: Access = Access::Scope(Scope::Run);
const ADMIN: Access = Access::Scope(Scope::Admin);

const SERVICE: &[Endpoint] = &[
    get("/", "This list; for a browser, the status page", READ),
    get(
        "/api/v1/health",
        "Whether the service answers",
        Access::Open,
    ),
    get("/livez", "Alive, for a supervisor", Access::Open),
    get(
        "/readyz",
        "Ready for traffic, for a load balancer",
        Access::Open,
    ),
    get(
        "/api/v1/info",
        "Version, durability and security",
        Access::Monitoring,
    ),
    get("/openapi.json", "This API as an OpenAPI document", READ),
    get("/docs", "The reference of this API, for a browser", READ),
];

const CONTACTS: &[Endpoint] = &[
    get(
        "/api/v1/contacts",
        "List contacts, or search them by how they begin",
        READ,
    ),
    post("/api/v1/contacts", "Create a contact", RUN),
    get("/api/v1/contacts/{id}", "Show a contact", READ),
    put("/api/v1/contacts/{id}", "Replace fields of a contact", RUN),
    patch("/api/v1/contacts/{id}", "Merge into a contact", RUN),
    delete("/api/v1/contacts/{id}", "Delete a contact", RUN),
    get(
        "/api/v1/contacts/lookup",
        "Find the contact of a phone or an e-mail",
        READ,
    ),
    post(
        "/api/v1/contacts/batch",
        "Create up to 10,000 contacts, each for itself",
        RUN,
    )
    .with_body(BATCH_BODY_BYTES_MAX),
    post(
        "/api/v1/contacts/import",
        "Take the contacts of a CSV or NDJSON file, as a run",
        RUN,
    )
    .with_body(IMPORT_BODY_BYTES_MAX),
    get(
        "/api/v1/contacts/imports/{id}/failures",
        "The rows of an import that failed, and why",
        READ,
    ),
    post(
        "/api/v1/contacts/export",
        "Write contacts into a CSV or NDJSON file, as a run",
        RUN,
    ),
    get(
        "/api/v1/contacts/exports/{id}",
        "The file that an export has written",
        READ,
    ),
];

const TASKS: &[Endpoint] = &[
    get("/api/v1/tasks", "List tasks", READ),
    post("/api/v1/tasks", "Define a task", ADMIN),
    get("/api/v1/tasks/{name}", "Show a task", READ),
    patch("/api/v1/tasks/{name}", "Change a task", ADMIN),
    delete("/api/v1/tasks/{name}", "Delete a task", ADMIN),
    post(
        "/api/v1/tasks/{name}/run",
        "Run a task now, with an input",
        RUN,
    ),
    post(
        "/api/v1/tasks/{name}/pause",
        "Stop its schedule and hold its queued runs",
        ADMIN,
    ),
    post("/api/v1/tasks/{name}/resume", "Go on from now", ADMIN),
    put("/api/v1/tasks/{name}/toggle", "Pause or resume", ADMIN),
    get("/api/v1/tasks/{name}/next", "When it fires next", READ),
];

const RUNS: &[Endpoint] = &[
    get("/api/v1/runs", "List runs, newest first", READ),
    post(
        "/api/v1/runs/batch",
        "Run a task once for each of up to 10,000 inputs",
        RUN,
    )
    .with_body(BATCH_BODY_BYTES_MAX),
    get("/api/v1/runs/{id}", "Show a run", READ),
    post(
        "/api/v1/runs/{id}/cancel",
        "Cancel a run that has not ended",
        RUN,
    ),
    post("/api/v1/runs/{id}/retry", "Run again what has ended", RUN),
    get(
        "/api/v1/runs/{id}/log",
        "What a run printed; follow=1 streams it",
        READ,
    ),
];

const TASK_LOGS: &[Endpoint] = &[
    get("/api/v1/task_logs", "Runs as task logs", READ),
    get(
        "/api/v1/task_logs/stats",
        "Totals, rates and percentiles of runs",
        Access::Monitoring,
    ),
    get("/api/v1/tasklogs", "The same as /api/v1/task_logs", READ),
    get(
        "/api/v1/tasklogs/stats",
        "The same as /api/v1/task_logs/stats",
        Access::Monitoring,
    ),
    get("/tasklogs", "The same as /api/v1/task_logs", READ),
    get(
        "/tasklogs/stats",
        "The same as /api/v1/task_logs/stats",
        Access::Monitoring,
    ),
];

const SCHEDULER: &[Endpoint] = &[
    get(
        "/api/v1/scheduler/status",
        "The scheduled tasks and their next times",
        READ,
    ),
    post(
        "/api/v1/scheduler/jobs/{name}/run",
        "The same as running the task",
        RUN,
    ),
    post(
        "/api/v1/scheduler/jobs/{name}/pause",
        "The same as pausing the task",
        ADMIN,
    ),
    post(
        "/api/v1/scheduler/jobs/{name}/resume",
        "The same as resuming the task",
        ADMIN,
    ),
];

const MONITORING: &[Endpoint] = &[
    get(
        "/api/v1/metrics",
        "Health and performance report; text by Accept",
        Access::Monitoring,
    ),
    get(
        "/api/v1/metrics/system",
        "Hardware, as this process may use it",
        Access::Monitoring,
    ),
    get(
        "/api/v1/metrics/stream",
        "The report each second, as events",
        Access::Monitoring,
    ),
    get("/metrics", "For Prometheus", Access::Monitoring),
    get(
        "/api/v1/performance/stats",
        "Request percentiles",
        Access::Monitoring,
    ),
    get(
        "/api/v1/performance/system",
        "The same as /api/v1/metrics/system",
        Access::Monitoring,
    ),
    get(
        "/api/v1/performance/health",
        "Verdict, issues and what to do",
        Access::Monitoring,
    ),
    post(
        "/api/v1/performance/cache/clear",
        "Empty the server's caches",
        ADMIN,
    ),
    get(
        "/api/v1/slo",
        "Objectives, budgets and burn",
        Access::Monitoring,
    ),
    get(
        "/api/v1/slow_log",
        "Slow requests, statements and runs",
        READ,
    ),
    get("/api/v1/logs/errors", "Recent errors", READ),
];

const KEYS: &[Endpoint] = &[
    get(
        "/api/v1/keys",
        "List API keys, without their secrets",
        ADMIN,
    ),
    post("/api/v1/keys", "Make an API key, shown this once", ADMIN),
    delete("/api/v1/keys/{id}", "Delete an API key", ADMIN),
    get(
        "/api/v1/audit_log",
        "Which write was made, by whom and when",
        ADMIN,
    ),
];

const fn group(noun: &'static str, endpoints: &'static [Endpoint]) -> Group {
    Group { noun, endpoints }
}

const fn get(path: &'static str, summary: &'static str, access: Access) -> Endpoint {
    endpoint("GET", path, summary, access)
}

const fn post(path: &'static str, summary: &'static str, access: Access) -> Endpoint {
    endpoint("POST", path, summary, access)
}

const fn put(path: &'static str, summary: &'static str, access: Access) -> Endpoint {
    endpoint("PUT", path, summary, access)
}

const fn patch(path: &'static str, summary: &'static str, access: Access) -> Endpoint {
    endpoint("PATCH", path, summary, access)
}

const fn delete(path: &'static str, summary: &'static str, access: Access) -> Endpoint {
    endpoint("DELETE", path, summary, access)
}

const fn endpoint(
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    access: Access,
) -> Endpoint {
    Endpoint {
        method,
        path,
        summary,
        access,
        body_bytes_max: BODY_BYTES_MAX,
    }
}

impl Endpoint {
    const fn with_body(self, body_bytes_max: u64) -> Self {
        Endpoint {
            body_bytes_max,
            ..self
        }
    }
}

/// Every endpoint.
pub fn all() -> impl Iterator<Item = &'static Endpoint> {
    GROUPS.iter().flat_map(|group| group.endpoints)
}

/// What the middleware has to know of a request's route. It is kept with the route's series, so
/// that a request looks both up at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    pub access: Access,
    pub body_bytes_max: u64,
}

impl Traits {
    /// Of a path that no route has, which is answered with 404: whoever may read may know.
    pub const UNMATCHED: Traits = Traits {
        access: READ,
        body_bytes_max: BODY_BYTES_MAX,
    };

    /// What is not in the table needs `admin`: a route that somebody forgot to list must not be
    /// open. A method that a listed path does not have is answered with 405, like a 404.
    pub fn of(method: &str, path: &str) -> Self {
        let method = if method == Method::HEAD.as_str() {
            Method::GET.as_str()
        } else {
            method
        };
        let found = all().find(|endpoint| endpoint.path == path && endpoint.method == method);
        match found {
            Some(endpoint) => Traits {
                access: endpoint.access,
                body_bytes_max: endpoint.body_bytes_max,
            },
            None if all().any(|endpoint| endpoint.path == path) => Traits::UNMATCHED,
            None => Traits {
                access: ADMIN,
                body_bytes_max: BODY_BYTES_MAX,
            },
        }
    }
}

/// One path with all that can be done to it, as people are shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSummary {
    /// Separated by spaces.
    pub methods: String,
    pub path: &'static str,
    pub summary: String,
}

/// The paths in the order of the table.
pub fn by_path() -> &'static [PathSummary] {
    static BY_PATH: LazyLock<Vec<PathSummary>> = LazyLock::new(|| {
        let mut paths: Vec<PathSummary> = Vec::new();
        for endpoint in all() {
            match paths.iter_mut().find(|known| known.path == endpoint.path) {
                Some(known) => known.add(endpoint),
                None => paths.push(PathSummary {
                    methods: endpoint.method.to_owned(),
                    path: endpoint.path,
                    summary: endpoint.summary.to_owned(),
                }),
            }
        }
        paths
    });
    &BY_PATH
}

impl PathSummary {
    fn add(&mut self, endpoint: &Endpoint) {
        // Writing into memory cannot fail.
        let _ = write!(self.methods, " {}", endpoint.method);
        let mut letters = endpoint.summary.chars();
        if let Some(first) = letters.next() {
            let _ = write!(
                self.summary,
                "; {}{}",
                first.to_lowercase(),
                letters.as_str()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_endpoint_is_listed_twice_and_each_is_explained() {
        let mut seen = std::collections::HashSet::new();
        for endpoint in all() {
            assert!(
                seen.insert((endpoint.method, endpoint.path)),
                "{endpoint:?}"
            );
            assert!(endpoint.path.starts_with('/'), "{endpoint:?}");
            assert!(
                endpoint.summary.starts_with(char::is_uppercase)
                    && !endpoint.summary.ends_with('.'),
                "{endpoint:?}"
            );
        }
        assert!(seen.len() > 30);
    }

    #[test]
    fn what_writes_is_never_monitoring_and_always_needs_more_than_read() {
        for endpoint in all().filter(|endpoint| endpoint.method != "GET") {
            assert!(
                matches!(
                    endpoint.access,
                    Access::Scope(Scope::Run | Scope::Admin | Scope::Debug)
                ),
                "{endpoint:?}"
            );
        }
    }

    #[test]
    fn what_is_not_listed_needs_the_most() {
        let of = |method, path| Traits::of(method, path).access;
        assert_eq!(of("GET", "/api/v1/forgotten"), ADMIN);
        assert_eq!(of("HEAD", "/livez"), Access::Open);
        assert_eq!(of("POST", "/livez"), READ, "a 405");
        assert_eq!(of("DELETE", "/api/v1/tasks/{name}"), ADMIN);
        assert_eq!(
            Traits::of("POST", "/api/v1/runs/batch").body_bytes_max,
            BATCH_BODY_BYTES_MAX
        );
    }

    #[test]
    fn the_methods_of_a_path_share_a_line() {
        let tasks = by_path()
            .iter()
            .find(|path| path.path == "/api/v1/tasks")
            .unwrap();
        assert_eq!(tasks.methods, "GET POST");
        assert_eq!(tasks.summary, "List tasks; define a task");
    }
}
