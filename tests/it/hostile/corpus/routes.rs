//! The routes that are attacked: those that the server itself lists, so that a new one is attacked
//! from its first day.

use autom8_tests::Client;

/// One method of one route.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) method: String,
    pub(super) template: String,
    /// What is known of it, so that more can be demanded.
    pub(super) takes: Takes,
}

/// What a route does with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Reads it as JSON and must name what is wrong.
    Json,
    /// Answers each item of it by itself.
    Items,
    /// Reads it as a file of rows, and refuses it as JSON.
    File,
    /// Takes no body, and does what it does at each call that is in good form.
    Nothing,
    /// Has none, or nobody has said; it is attacked at a name that does not exist.
    Unsaid,
    /// Changes nothing that could be counted, whatever is sent with it.
    Harmless,
}

/// Routes with a name in their path that read a body.
const READERS: &[(&str, &str)] = &[
    ("PATCH", "/api/v1/tasks/{name}"),
    ("POST", "/api/v1/tasks/{name}/run"),
    ("PUT", "/api/v1/tasks/{name}/toggle"),
    ("POST", "/api/v1/scheduler/jobs/{name}/run"),
    ("PUT", "/api/v1/contacts/{id}"),
    ("PATCH", "/api/v1/contacts/{id}"),
];

/// Routes that answer items: a bad one never loses the others.
const ITEMS: &[(&str, &str)] = &[("POST", "/api/v1/contacts/batch")];

/// Routes that take files; each row of a file has its own fate, told by the run that reads it.
const FILES: &[(&str, &str)] = &[("POST", "/api/v1/contacts/import")];

/// Routes that do something each time they are called, and take all they need from the query.
const CALLS: &[(&str, &str)] = &[("POST", "/api/v1/contacts/export")];

/// Writes without a name in their path that read no body.
const HARMLESS: &[(&str, &str)] = &[("POST", "/api/v1/performance/cache/clear")];

/// Monitoring is asked by machines that add parameters of their own; it ignores them.
const IGNORES_ITS_QUERY: &[&str] = &[
    "/",
    "/livez",
    "/readyz",
    "/metrics",
    "/api/v1/health",
    "/api/v1/info",
    "/api/v1/metrics",
    "/api/v1/metrics/system",
    "/api/v1/metrics/stream",
    "/api/v1/performance/stats",
    "/api/v1/performance/system",
    "/api/v1/performance/health",
    "/api/v1/slo",
];

/// Names that exist, one for each kind of thing that a path may name.
#[derive(Clone, Debug, Default)]
pub(super) struct Present {
    pub(super) run: String,
    pub(super) contact: Option<String>,
}

impl Target {
    fn of(method: &str, template: &str) -> Target {
        let is = |known: &[(&str, &str)]| known.contains(&(method, template));
        let writes = matches!(method, "POST" | "PUT" | "PATCH");
        let takes = if is(ITEMS) {
            Takes::Items
        } else if is(FILES) {
            Takes::File
        } else if is(CALLS) {
            Takes::Nothing
        } else if is(HARMLESS) {
            Takes::Harmless
        } else if is(READERS) || (writes && !template.contains('{')) {
            Takes::Json
        } else {
            Takes::Unsaid
        };
        Target {
            method: method.to_owned(),
            template: template.to_owned(),
            takes,
        }
    }

    pub(super) fn is_read(&self) -> bool {
        self.method == "GET"
    }

    pub(super) fn has_parameter(&self) -> bool {
        self.template.contains('{')
    }

    pub(super) fn ignores_its_query(&self) -> bool {
        IGNORES_ITS_QUERY.contains(&self.template.as_str())
    }

    /// The path with every name replaced.
    pub(super) fn path_with(&self, segment: &str) -> String {
        let mut parts: Vec<&str> = Vec::new();
        for part in self.template.split('/') {
            parts.push(if part.starts_with('{') { segment } else { part });
        }
        parts.join("/")
    }

    /// A path that names something, so that only the body or the query can be at fault.
    pub(super) fn present_path(&self, present: &Present) -> String {
        let segment = if self.template.contains("/runs/") {
            present.run.as_str()
        } else if self.template.contains("/contacts/") {
            present.contact.as_deref().unwrap_or("1")
        } else {
            "present"
        };
        self.path_with(segment)
    }

    /// A well-formed path that names nothing.
    pub(super) fn absent_path(&self) -> String {
        let is_number = ["/runs/", "/contacts/", "/keys/"]
            .iter()
            .any(|noun| self.template.contains(noun));
        self.path_with(if is_number { "999999999" } else { "absent" })
    }

    /// Where bodies go: to something that exists if the body must be what is refused, and else to
    /// nothing, so that nothing can happen.
    pub(super) fn body_path(&self, present: &Present) -> String {
        match self.takes {
            Takes::Json | Takes::Items | Takes::File => self.present_path(present),
            Takes::Nothing | Takes::Unsaid | Takes::Harmless => self.absent_path(),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.template)
    }
}

/// What `GET /` lists.
#[track_caller]
pub(super) fn listed(client: &Client) -> Vec<Target> {
    let index = client.get("/").expect(200);
    let endpoints = index["endpoints"].as_array().expect("endpoints");
    let targets: Vec<Target> = endpoints
        .iter()
        .flat_map(|endpoint| {
            let path = endpoint["path"].as_str().expect("a path");
            let methods = endpoint["methods"].as_array().expect("methods");
            methods
                .iter()
                .map(move |method| Target::of(method.as_str().expect("a method"), path))
        })
        .collect();
    assert!(targets.len() > 30, "the list is cut: {targets:?}");
    targets
}

/// Which of these routes the server has.
pub(super) fn has(targets: &[Target], method: &str, template: &str) -> bool {
    targets
        .iter()
        .any(|target| target.method == method && target.template == template)
}
