use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Stdio};

use autom8_tests::server::autom8_command;
use autom8_tests::steps::{noop_task, script_task, with};
use autom8_tests::{Server, ServerOptions};
use serde_json::json;

use super::{fail, json as as_json, succeed};

#[test]
fn runs_are_listed_shown_and_their_logs_printed() {
    let server = Server::start(&ServerOptions::allowing_processes());
    let client = server.client();
    client.create_task(&script_task("hello", "echo from the child"));
    let id = client.run_task("hello");
    client.ended_run(id);
    let id = id.to_string();
    assert!(succeed(&server, &["runs", "ls"]).contains("hello"));
    assert_eq!(
        as_json(&server, &["runs", "ls"])["runs"][0]["task"],
        "hello"
    );
    assert_eq!(
        as_json(&server, &["runs", "show", &id])["state"],
        "completed"
    );
    assert!(succeed(&server, &["runs", "logs", &id]).contains("from the child"));
    // Following a run that has ended prints all of it and ends.
    assert!(succeed(&server, &["runs", "logs", "-f", &id]).contains("from the child"));
    fail(&server, &["runs", "show", "999999"], 6, &["999999"]);
}

#[test]
fn runs_are_cancelled_and_retried() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&with(noop_task("n"), json!({"enabled": false})));
    let id = client.run_task("n").to_string();
    succeed(&server, &["runs", "cancel", &id]);
    assert_eq!(
        as_json(&server, &["runs", "show", &id])["state"],
        "cancelled"
    );
    fail(&server, &["runs", "cancel", &id], 1, &[&id]);
    succeed(&server, &["runs", "retry", &id]);
    assert_eq!(
        as_json(&server, &["runs", "ls"])["runs"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn an_attempt_that_was_never_made_has_no_output_to_print() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    client.create_task(&noop_task("n"));
    let id = client.run_task("n");
    client.ended_run(id);
    let logs = ["runs", "logs", &id.to_string(), "--attempt"];
    succeed(&server, &[&logs[..], &["1"]].concat());
    fail(&server, &[&logs[..], &["9"]].concat(), 6, &["no attempt 9"]);
}

/// A command at work, whose first words have been read.
struct AtWork {
    child: Child,
    /// What it goes on to say where it said its first words.
    more: BufReader<Box<dyn Read>>,
}

impl AtWork {
    fn start(server: &Server, arguments: &[&str], first_words_are_data: bool) -> AtWork {
        let mut command = autom8_command(server.folder());
        command
            .args(arguments)
            .env("AUTOM8_SERVER_URL", server.url());
        let mut child = match first_words_are_data {
            true => command.stdout(Stdio::piped()).spawn().unwrap(),
            false => command.stderr(Stdio::piped()).spawn().unwrap(),
        };
        let said: Box<dyn Read> = match (child.stdout.take(), child.stderr.take()) {
            (Some(stdout), _) => Box::new(stdout),
            (_, Some(stderr)) => Box::new(stderr),
            (None, None) => panic!("nothing to read from"),
        };
        let mut started = AtWork {
            child,
            more: BufReader::new(said),
        };
        started.next_line();
        started
    }

    #[track_caller]
    fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.more.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "it says nothing more");
        line
    }

    fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.more.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

#[test]
fn a_wait_and_a_follower_outlast_a_crash_of_the_server() {
    let mut server = Server::start(&ServerOptions::allowing_processes());
    // Only the attempt after the crash ends.
    let script = "echo attempt $AUTOM8_ATTEMPT; [ $AUTOM8_ATTEMPT -gt 1 ] || exec sleep 600";
    server.client().create_task(&script_task("job", script));
    let mut waiting = AtWork::start(&server, &["tasks", "run", "job", "--wait"], false);
    let following = AtWork::start(&server, &["runs", "logs", "-f", "1"], true);
    server.kill();
    // Back only once it was missed.
    while !waiting.next_line().contains("trying again for 60 s") {}
    server.start_again_on_its_port();
    let (code, said) = waiting.end();
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = following.end();
    assert_eq!((code, said.as_str()), (Some(0), "attempt 2\n"));
    let shown = succeed(&server, &["runs", "show", "1"]);
    assert!(
        shown.contains("attempt   2 of 3") && shown.contains("earlier   attempt 1"),
        "{shown}"
    );
}
