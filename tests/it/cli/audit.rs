use autom8_tests::steps::noop_task;
use autom8_tests::{Server, ServerOptions};

use super::{autom8, json, succeed};

#[test]
fn writes_are_listed_newest_first_with_their_author() {
    let server = Server::start(&ServerOptions::default());
    let nothing = autom8(&server, &["audit", "ls"]);
    assert!(
        nothing.stderr.contains("Nothing was written"),
        "{nothing:?}"
    );
    server.client().create_task(&noop_task("nightly"));
    let ada = ["contacts", "add", "--name", "Ada", "--phone", "0301234567"];
    succeed(&server, &ada);
    let log = json(&server, &["audit", "ls"]);
    let told: Vec<_> = log["audit_log"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["action"].as_str(), entry["target"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Some("contact.create"), Some("1")),
            (Some("task.create"), Some("nightly"))
        ]
    );
    let first = autom8(&server, &["audit", "ls", "--limit", "1"]);
    assert!(
        first.stdout.contains("contact.create") && !first.stdout.contains("task.create"),
        "{first:?}"
    );
    for word in ["open", "127.0.0.1"] {
        assert!(first.stdout.contains(word), "{word}: {first:?}");
    }
    let cursor = first.stderr.split_once("--cursor ").unwrap().1.trim();
    let second = succeed(
        &server,
        &["audit", "ls", "--limit", "1", "--cursor", cursor],
    );
    assert!(second.contains("task.create"), "{second}");
}
