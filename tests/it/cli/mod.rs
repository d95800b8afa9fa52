//! The command line, command by command: what it prints, and its exit code.

mod audit;
mod backup;
mod completion;
mod config;
mod contacts;
mod keys;
mod runs;
mod status;
mod tasks;

use autom8_tests::Server;
use autom8_tests::server::{Ended, autom8_command, run_to_end};
use autom8_tests::wait;
use serde_json::Value;

/// Runs a client command against a server.
#[track_caller]
fn autom8(server: &Server, arguments: &[&str]) -> Ended {
    let mut command = autom8_command(server.folder());
    command
        .args(arguments)
        .env("AUTOM8_SERVER_URL", server.url());
    run_to_end(command, wait::PATIENT)
}

/// The same, for a command that must succeed.
#[track_caller]
fn succeed(server: &Server, arguments: &[&str]) -> String {
    let ended = autom8(server, arguments);
    assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
    ended.stdout
}

/// The same with `--json`, read.
#[track_caller]
fn json(server: &Server, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let text = succeed(server, &arguments);
    match serde_json::from_str(&text) {
        Ok(value) => value,
        Err(error) => panic!("{arguments:?} printed no JSON ({error}): {text}"),
    }
}

/// A command that must fail with this code and say these words.
#[track_caller]
fn fail(server: &Server, arguments: &[&str], code: i32, words: &[&str]) {
    let ended = autom8(server, arguments);
    assert_eq!(ended.code, code, "{arguments:?}: {ended:?}");
    for word in words {
        assert!(
            ended.stderr.contains(word),
            "{arguments:?}: {word:?} is missing: {ended:?}"
        );
    }
}
