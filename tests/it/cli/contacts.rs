use std::process::Stdio;

use autom8_tests::server::{Ended, autom8_command, run_to_end};
use autom8_tests::{Server, ServerOptions, wait};
use serde_json::{Value, json};

use super::{autom8, fail, json as read_json, succeed};

const ADA: &[&str] = &[
    "contacts",
    "add",
    "--name",
    "Ada Lovelace",
    "--phone",
    "+44 20 7946 0958",
    "--email",
    "ada@example.org",
    "--tag",
    "vip",
    "--tag",
    "london",
    "--attribute",
    "floor=3",
    "--attribute",
    "note=a=b",
];

#[test]
fn a_contact_is_added_found_changed_and_removed() {
    let server = Server::start(&ServerOptions::default());
    let empty = autom8(&server, &["contacts", "ls"]);
    assert!(empty.stderr.contains("contacts add"), "{empty:?}");

    let added = succeed(&server, ADA);
    assert!(added.contains("contacts show 1"), "{added}");
    for whom in [
        "1",
        "ADA@example.org",
        "+442079460958",
        "+44 (20) 7946-0958",
    ] {
        let contact = read_json(&server, &["contacts", "show", whom]);
        assert_eq!(contact["id"], 1, "{whom}: {contact}");
    }
    let shown = succeed(&server, &["contacts", "show", "1"]);
    for word in ["Ada Lovelace", "ada@example.org", "vip, london", "a=b"] {
        assert!(shown.contains(word), "{word} is missing: {shown}");
    }

    let edit = ["contacts", "edit", "ada@example.org", "--email", ""];
    let edit = [
        &edit[..],
        &["--attribute", "floor=", "--attribute", "n=1.5"],
    ]
    .concat();
    succeed(&server, &edit);
    let contact = read_json(&server, &["contacts", "show", "1"]);
    assert_eq!(
        (&contact["email"], &contact["attributes"], &contact["tags"]),
        (
            &Value::Null,
            &json!({"note": "a=b", "n": 1.5}),
            &json!(["vip", "london"])
        )
    );
    assert_eq!(contact["phone"], "+44 20 7946 0958");

    fail(&server, &["contacts", "rm", "1"], 2, &["rm 1 --yes"]);
    succeed(&server, &["contacts", "rm", "1", "--yes"]);
    fail(&server, &["contacts", "show", "1"], 6, &["contacts search"]);
}

#[test]
fn json_is_what_the_server_answers_word_for_word() {
    let server = Server::start(&ServerOptions::default());
    let added = succeed(&server, &[ADA, &["--json"]].concat());
    let answered = |path: &str| server.client().get(path).body;
    assert_eq!(added.trim().as_bytes(), answered("/api/v1/contacts/1"));
    for (arguments, path) in [
        (&["ls"][..], "/api/v1/contacts"),
        (
            &["ls", "--tag", "vip"],
            "/api/v1/contacts?tag=vip&limit=100",
        ),
        (&["search", "ada"], "/api/v1/contacts?q=ada&limit=100"),
        (&["show", "1"], "/api/v1/contacts/1"),
        (&["show", "ada@example.org"], "/api/v1/contacts/1"),
    ] {
        let line = [&["contacts"], arguments, &["--json"]].concat();
        let printed = succeed(&server, &line);
        let printed = String::from_utf8_lossy(printed.trim_end().as_bytes());
        assert_eq!(
            printed,
            String::from_utf8_lossy(&answered(path)),
            "{arguments:?}"
        );
    }
}

#[test]
fn pages_follow_each_other_and_a_search_finds_beginnings() {
    let server = Server::start(&ServerOptions::default());
    for (name, phone) in [
        ("Cy", "0301234561"),
        ("Bo", "0301234562"),
        ("Al", "0401234563"),
    ] {
        succeed(
            &server,
            &["contacts", "add", "--name", name, "--phone", phone],
        );
    }
    let ls = |arguments: &[&str]| autom8(&server, &[&["contacts", "ls"], arguments].concat());
    let names = |ended: &Ended| -> Vec<String> {
        let rows = ended.stdout.lines().filter(|line| !line.starts_with("ID"));
        rows.filter_map(|row| row.split_whitespace().nth(1).map(str::to_owned))
            .collect()
    };
    let first = ls(&["--sort", "name", "--limit", "2"]);
    assert_eq!(names(&first), ["Al", "Bo"]);
    assert!(first.stderr.contains("2 of 3"), "{first:?}");
    let cursor = first.stderr.split_once("--cursor ").unwrap().1;
    let cursor = cursor.split([',', '\n']).next().unwrap();
    let second = ls(&["--sort", "name", "--limit", "2", "--cursor", cursor]);
    assert_eq!(names(&second), ["Cy"]);
    let all = ls(&["--sort", "-name", "--limit", "1", "--all"]);
    assert_eq!(names(&all), ["Cy", "Bo", "Al"]);

    let search = |text: &str| autom8(&server, &["contacts", "search", text]);
    assert_eq!(names(&search("c")), ["Cy"]);
    assert_eq!(names(&search("030")), ["Cy", "Bo"]);
    let nobody = search("nobody");
    assert_eq!(nobody.code, 0, "{nobody:?}");
    assert!(nobody.stderr.contains("No contact begins"), "{nobody:?}");
    fail(&server, &["contacts", "ls", "--sort", "shoe"], 2, &["sort"]);
}

#[test]
fn a_contact_is_read_as_json_and_what_is_refused_is_named() {
    let server = Server::start(&ServerOptions::default());
    let add = |text: &str| {
        let input = server.folder().join("contact.json");
        std::fs::write(&input, text).unwrap();
        let mut command = autom8_command(server.folder());
        command
            .args(["contacts", "add", "--json-file", "-", "--server"])
            .arg(server.url())
            .stdin(Stdio::from(std::fs::File::open(input).unwrap()));
        run_to_end(command, wait::PATIENT)
    };
    let good = r#"{"name": "Bo", "phone": "0301234567", "attributes": {"n": 1.50}}"#;
    assert_eq!(add(good).code, 0);
    let contact = server.client().get("/api/v1/contacts/1");
    assert!(String::from_utf8_lossy(&contact.body).contains("1.50"));
    for (text, code, word) in [
        (good, 1, "contact 1 has this phone already"),
        ("{name}", 2, "standard input is not JSON"),
        (r#"{"name": "Bo", "phone": "x"}"#, 2, "/phone"),
        (r#"{"name": "Bo", "fone": "0301"}"#, 2, "did you mean"),
    ] {
        let ended = add(text);
        assert_eq!(ended.code, code, "{text}: {ended:?}");
        assert!(ended.stderr.contains(word), "{text}: {ended:?}");
    }
    fail(
        &server,
        &["contacts", "add", "--name", "X"],
        2,
        &["--phone"],
    );
    fail(
        &server,
        &["contacts", "edit", "1"],
        2,
        &["what is to change"],
    );
    fail(
        &server,
        &["contacts", "show", "ada"],
        2,
        &["contacts search"],
    );
    let gone = ["contacts", "rm", "7", "--yes"];
    fail(&server, &gone, 6, &["contact 7 does not exist"]);
}

#[test]
fn an_import_that_waits_for_a_paused_task_says_so() {
    let server = Server::start(&ServerOptions::default());
    let file = server.folder().join("people.csv");
    std::fs::write(&file, "name,phone\nAda,+493012345678\n").unwrap();
    let file = file.to_str().unwrap();
    succeed(&server, &["contacts", "import", file]);
    succeed(&server, &["tasks", "pause", "contacts-import"]);
    let told = server.folder().join("told");
    let mut waiting = autom8_command(server.folder())
        .args(["contacts", "import", file, "--server", &server.url()])
        .stderr(std::fs::File::create(&told).unwrap())
        .spawn()
        .unwrap();
    wait::until("the reason for the wait", wait::PATIENT, || {
        let text = std::fs::read_to_string(&told).unwrap();
        text.contains("autom8 tasks resume contacts-import")
            .then_some(())
    });
    succeed(&server, &["tasks", "resume", "contacts-import"]);
    assert!(waiting.wait().unwrap().success());
}
