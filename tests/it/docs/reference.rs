//! What the references say of settings, commands, routes and metrics is what the program says.
//!
//! The sections between `<!-- begin: NAME -->` and `<!-- end: NAME -->` are written by these tests
//! when `AUTOM8_DOCS_WRITE=1` is set, and compared otherwise.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use autom8_tests::binary::repository_root;
use autom8_tests::server::{autom8_command, run_to_end};
use autom8_tests::steps::noop_task;
use autom8_tests::{Server, ServerOptions, wait};

use super::document;

const WRITE: &str = "AUTOM8_DOCS_WRITE";

/// Compares a section of a document with what it should be, or writes it.
#[track_caller]
fn section(path: &str, name: &str, wanted: &str) {
    let text = document(path);
    let (begin, end) = (
        format!("<!-- begin: {name} -->\n"),
        format!("<!-- end: {name} -->"),
    );
    let found = text
        .split_once(&begin)
        .and_then(|(head, rest)| Some((head, rest.split_once(&end)?)));
    let Some((head, (found, tail))) = found else {
        panic!("{path} has no section between {begin} and {end}");
    };
    if std::env::var_os(WRITE).is_some() {
        let whole = format!("{head}{begin}{wanted}{end}{tail}");
        std::fs::write(repository_root().join(path), whole).unwrap();
        return;
    }
    assert!(
        found == wanted,
        "{path} is out of date: run `{WRITE}=1 cargo nextest run -p autom8-tests docs::reference`; \
         its section {name} should be\n{wanted}"
    );
}

/// What a command without a server prints.
#[track_caller]
fn printed(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = autom8_command(folder.path());
    // Without a terminal, help is laid out for this width.
    command.args(arguments).env("COLUMNS", "100");
    let ended = run_to_end(command, wait::PATIENT);
    assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
    ended.stdout
}

#[test]
fn every_setting_is_listed_with_its_names_and_its_default() {
    let mut wanted = String::new();
    let mut section_before = String::new();
    for entry in printed(&["config", "explain"]).split("\n\n") {
        let lines: Vec<&str> = entry.lines().map(str::trim).collect();
        let [key, help, facts @ ..] = lines.as_slice() else {
            continue;
        };
        let facts: BTreeMap<&str, &str> = facts
            .iter()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, value)| (name, value.trim()))
            .collect();
        let (group, _) = key.rsplit_once('.').unwrap();
        if group != section_before {
            let _ = write!(
                wanted,
                "\n### `[{group}]`\n\n| Setting | Default | Environment | Flag | What it does |\n\
                 |---|---|---|---|---|\n"
            );
            group.clone_into(&mut section_before);
        }
        let environment: Vec<String> = facts["environment"]
            .split(", ")
            .map(|name| format!("`{name}`"))
            .collect();
        let flag = facts.get("flag").map_or_else(String::new, |flag| {
            format!("`{}`", flag.replace('|', "\\|"))
        });
        let _ = writeln!(
            wanted,
            "| `{key}` | `{}` | {} | {flag} | {help} |",
            facts["default"],
            environment.join(", ")
        );
    }
    assert!(wanted.matches("\n| `").count() > 15, "{wanted}");
    section(
        "docs/reference/configuration.md",
        "settings",
        &format!("{wanted}\n"),
    );
}

#[test]
fn every_command_is_shown_with_its_help() {
    let mut wanted = String::new();
    let mut waiting = vec![Vec::<String>::new()];
    while let Some(command) = waiting.pop() {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = printed(&arguments);
        let mut children: Vec<Vec<String>> = subcommands(&help)
            .map(|name| {
                let mut child = command.clone();
                child.push(name.to_owned());
                child
            })
            .collect();
        children.reverse();
        waiting.extend(children);
        let name = [&["autom8".to_owned()], command.as_slice()].concat();
        let trimmed: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
        let _ = write!(
            wanted,
            "\n## `{}`\n\n```text\n{}\n```\n",
            name.join(" "),
            trimmed.join("\n")
        );
    }
    assert!(wanted.contains("## `autom8 tasks add`"), "{wanted}");
    section("docs/reference/cli.md", "commands", &format!("{wanted}\n"));
}

/// The names below `Commands:` in a help text.
fn subcommands(help: &str) -> impl Iterator<Item = &str> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
}

#[test]
fn every_route_is_listed_as_the_server_lists_it() {
    let server = Server::start(&ServerOptions::default());
    let root = server.client().get("/").expect(200);
    let mut wanted = "\n| Methods | Path | What |\n|---|---|---|\n".to_owned();
    for endpoint in root["endpoints"].as_array().unwrap() {
        let methods: Vec<&str> = endpoint["methods"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|method| method.as_str())
            .collect();
        let (path, what) = (&endpoint["path"], &endpoint["summary"]);
        let _ = writeln!(
            wanted,
            "| {} | `{}` | {} |",
            methods.join(", "),
            path.as_str().unwrap(),
            what.as_str().unwrap()
        );
    }
    assert!(wanted.lines().count() > 30, "{wanted}");
    section("docs/reference/http.md", "routes", &format!("{wanted}\n"));
}

/// One row of the table of metrics.
#[derive(Debug, PartialEq, Eq)]
struct Metric {
    kind: String,
    unit: String,
    help: String,
}

/// Marks a metric that not every machine has.
const NOT_EVERYWHERE: &str = " †";

#[test]
fn every_metric_is_listed_with_its_kind_its_unit_and_its_meaning() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&noop_task("n"));
    client.ended_run(client.run_task("n"));
    let accept = [("accept", "application/openmetrics-text")];
    let text = wait::until("a sample that knows all of that", wait::PATIENT, || {
        let text = client.send("GET", "/metrics", &accept, None).ok()?.text();
        // What is a rate needs two samples.
        let whole = [
            "route=\"/api/v1/tasks\"",
            "autom8_task_run_seconds_bucket",
            "cpu_mode=\"user\"",
        ]
        .iter()
        .all(|part| text.contains(part));
        whole.then_some(text)
    });
    let served = families(&text);
    assert!(served.len() > 40, "{text}");
    let listed = rows(&document("docs/reference/metrics.md"));
    let mut faults = String::new();
    for (name, metric) in &served {
        if listed.get(name).map(|(listed, _)| listed) != Some(metric) {
            let Metric { kind, unit, help } = metric;
            let _ = writeln!(faults, "| `{name}` | {kind} | {unit} | {help} |");
        }
    }
    assert!(
        faults.is_empty(),
        "docs/reference/metrics.md needs\n{faults}"
    );
    for (name, (_, everywhere)) in &listed {
        assert!(
            served.contains_key(name) || !everywhere,
            "docs/reference/metrics.md lists {name}, which is not served; mark it with{NOT_EVERYWHERE} \
             if it depends on the machine"
        );
    }
}

/// The families of an OpenMetrics text.
fn families(text: &str) -> BTreeMap<String, Metric> {
    let mut found: BTreeMap<String, Metric> = BTreeMap::new();
    for line in text.lines() {
        let Some(line) = line.strip_prefix("# ") else {
            continue;
        };
        let mut words = line.splitn(3, ' ');
        let (Some(what), Some(name), Some(said)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let metric = found.entry(name.to_owned()).or_insert_with(|| Metric {
            kind: String::new(),
            unit: String::new(),
            help: String::new(),
        });
        match what {
            "TYPE" => said.clone_into(&mut metric.kind),
            "UNIT" => said.clone_into(&mut metric.unit),
            "HELP" => said.clone_into(&mut metric.help),
            _ => {}
        }
    }
    found
}

/// The rows of the document's tables, and whether every machine has the metric.
fn rows(text: &str) -> BTreeMap<String, (Metric, bool)> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_end_matches('|').split('|').collect();
            let [name, kind, unit, help] = cells.as_slice() else {
                panic!("a row has four cells: {line}");
            };
            let everywhere = !name.contains(NOT_EVERYWHERE);
            let name = name.replace(NOT_EVERYWHERE, "").replace('`', "");
            let metric = Metric {
                kind: kind.trim().to_owned(),
                unit: unit.trim().to_owned(),
                help: help.trim().to_owned(),
            };
            (name.trim().to_owned(), (metric, everywhere))
        })
        .collect()
}
