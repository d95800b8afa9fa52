use autom8_tests::server::{autom8_command, free_port, run_to_end};
use autom8_tests::{Server, ServerOptions, wait};

use super::{json, succeed};

#[test]
fn status_says_that_the_server_is_healthy() {
    let server = Server::start(&ServerOptions::default());
    let told = succeed(&server, &["status"]);
    assert!(told.contains("healthy"), "{told}");
    let contacts = told.lines().find(|line| line.starts_with("contacts"));
    assert!(contacts.is_some_and(|line| line.ends_with(" 0")), "{told}");
    assert!(json(&server, &["status"]).to_string().contains("healthy"));
}

#[test]
fn a_server_that_is_not_there_is_code_four_and_the_way_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = autom8_command(folder.path());
    command.args([
        "status",
        "--server",
        &format!("http://127.0.0.1:{}", free_port()),
    ]);
    let ended = run_to_end(command, wait::PATIENT);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.stderr.contains("autom8 serve"), "{ended:?}");
}

#[test]
fn the_start_prints_where_everything_is() {
    let server = Server::start(&ServerOptions::default());
    let output = wait::until("the start's lines", wait::PROMPT, || {
        Some(server.output()).filter(|output| output.contains(&server.port().to_string()))
    });
    let port = server.port().to_string();
    for word in [port.as_str(), "autom8.db", "durable"] {
        assert!(output.contains(word), "{word} is missing in\n{output}");
    }
    let lines = output
        .lines()
        .filter(|line| !line.trim().is_empty())
        .count();
    assert!((4..=12).contains(&lines), "{lines} lines\n{output}");
}

#[test]
fn an_unknown_command_is_a_matter_of_usage() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = autom8_command(folder.path());
    command.arg("sevre");
    let ended = run_to_end(command, wait::PATIENT);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("serve"), "{ended:?}");
}
