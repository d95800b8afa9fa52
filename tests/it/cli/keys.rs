use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use autom8_tests::server::{Ended, autom8_command, run_to_end};
use autom8_tests::steps::noop_task;
use autom8_tests::{Server, ServerOptions, wait};
use serde_json::Value;

use super::{autom8, fail, succeed};

/// Runs a command in a folder, with variables and nothing more.
#[track_caller]
fn in_folder(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = autom8_command(folder);
    command.args(arguments).envs(variables.iter().copied());
    run_to_end(command, wait::PATIENT)
}

/// Makes a key without a server.
#[track_caller]
fn made_offline(data: &Path, name: &str, scope: &str) -> String {
    let data = data.to_str().unwrap();
    let folder = Path::new(data).parent().unwrap();
    let line = ["keys", "add", name, "--scope", scope, "--data", data];
    let ended = in_folder(folder, &[&line[..], &["--quiet"]].concat(), &[]);
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (0, ""),
        "{name}: {ended:?}"
    );
    let key = ended.stdout.trim().to_owned();
    assert!(
        key.starts_with("a8_") && key.len() == 52,
        "{name}: a key is all that is printed"
    );
    key
}

/// A server that has one key, with admin.
fn server_with_key() -> (Server, String) {
    let mut server = Server::start(&ServerOptions::default());
    server.stop(wait::PATIENT);
    let key = made_offline(server.data(), "ops", "admin");
    server.start_again();
    (server, key)
}

/// Runs a client command that shows this key.
#[track_caller]
fn with_key(server: &Server, key: &str, arguments: &[&str]) -> Ended {
    let url = server.url();
    let variables = [("AUTOM8_SERVER_URL", &*url), ("AUTOM8_API_KEY", key)];
    in_folder(server.folder(), arguments, &variables)
}

fn private_file(path: PathBuf, text: &str, mode: u32) -> PathBuf {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn a_key_made_without_a_server_closes_and_opens_the_next_start() {
    let (server, key) = server_with_key();
    fail(
        &server,
        &["tasks", "ls"],
        7,
        &["needs an API key", "--key-file", "AUTOM8_API_KEY"],
    );
    let ended = with_key(&server, &key, &["tasks", "ls", "--json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let output = wait::until("the start's lines", wait::PROMPT, || {
        Some(server.output()).filter(|output| output.contains("Next"))
    });
    assert!(output.contains("1 key: calls need one"), "{output}");
    let listed = with_key(&server, &key, &["keys", "ls"]);
    assert!(
        listed.stdout.contains("ops") && !listed.stdout.contains(&key),
        "{listed:?}"
    );
    let audit = with_key(&server, &key, &["audit", "ls", "--json"]);
    let audit: Value = serde_json::from_str(&audit.stdout).unwrap();
    let entry = &audit["audit_log"][0];
    assert_eq!(
        (&entry["action"], &entry["principal"], &entry["key_id"]),
        (&"key.create".into(), &"local".into(), &Value::Null)
    );
}

#[test]
fn the_first_key_needs_admin_and_nothing_is_left_behind_where_none_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data_shown = data.to_str().unwrap();
    for (line, code) in [
        (&["keys", "ls"][..], 6),
        (&["keys", "rm", "x", "--yes"], 6),
        (&["keys", "add", "crm", "--scope", "run"], 6),
    ] {
        let ended = in_folder(
            folder.path(),
            &[line, &["--data", data_shown]].concat(),
            &[],
        );
        assert_eq!(ended.code, code, "{line:?}: {ended:?}");
        assert!(
            ended.stderr.contains("keys add NAME --scope admin"),
            "{line:?}: {ended:?}"
        );
        assert!(!data.exists(), "{line:?} made a data directory");
    }
    let expiring = ["keys", "add", "ops", "--scope", "admin", "--expires", "90d"];
    let line = [&expiring[..], &["--data", data_shown]].concat();
    let ended = in_folder(folder.path(), &line, &[]);
    let fix = format!("Fix: autom8 keys add ops --scope admin --data {data_shown}");
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains(&fix), "{ended:?}");
    made_offline(&data, "ops", "admin");
    for (line, code, word) in [
        (&["keys", "add", "ops"][..], 1, "exists already"),
        (&["keys", "add", " x"], 2, "/name: must be a text"),
        (&["keys", "add", "x", "--scope", "all"], 2, "not a scope"),
        (
            &["keys", "add", "x", "--limit", "many"],
            2,
            "600 per minute",
        ),
        (&["keys", "add", "x", "--expires", "soon"], 2, "90d"),
        (&["keys", "rm", "opss", "--yes"], 6, "did you mean `ops`"),
        (&["keys", "rm", "ops"], 2, "--yes"),
    ] {
        let ended = in_folder(
            folder.path(),
            &[line, &["--data", data_shown]].concat(),
            &[],
        );
        assert_eq!(ended.code, code, "{line:?}: {ended:?}");
        assert!(ended.stderr.contains(word), "{line:?}: {ended:?}");
    }
}

#[test]
fn a_printed_command_names_the_place_that_was_used() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("my data");
    made_offline(&data, "ops", "admin");
    let data = data.to_str().unwrap();
    let flag = format!("--data '{data}'");
    for (line, command) in [
        (&["keys", "rm", "ops"][..], "keys rm ops --yes"),
        (
            &["keys", "rm", "ops", "--yes"],
            "keys add NAME --scope admin",
        ),
        (&["keys", "rm", "zzzzzz", "--yes"], "keys ls"),
        (&["keys", "add", "ops"], "keys rm ops"),
    ] {
        let ended = in_folder(folder.path(), &[line, &["--data", data]].concat(), &[]);
        let told = format!("autom8 {command} {flag}");
        assert!(
            ended.code != 0 && ended.stderr.contains(&told),
            "{line:?}: {told} is missing: {ended:?}"
        );
    }
    let server = Server::start(&ServerOptions::default());
    let url = server.url();
    let listed = in_folder(folder.path(), &["keys", "ls", "--server", &url], &[]);
    let told = format!("keys add NAME --scope admin --server {url}");
    assert!(listed.stderr.contains(&told), "{listed:?}");
}

#[test]
fn a_server_and_a_directory_are_not_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    made_offline(&data, "ops", "admin");
    let data = data.to_str().unwrap();
    let url = "http://127.0.0.1:1";
    for line in [
        &["keys", "ls", "--data", data, "--server", url][..],
        &["keys", "--server", url, "ls", "--data", data],
        &["keys", "ls", "--config", "autom8.toml", "--server", url],
    ] {
        let ended = in_folder(folder.path(), line, &[]);
        assert_eq!(ended.code, 2, "{line:?}: {ended:?}");
        assert!(ended.stderr.contains("name one of them"), "{ended:?}");
    }
    let line = ["keys", "ls", "--data", data];
    let ended = in_folder(folder.path(), &line, &[("AUTOM8_SERVER_URL", url)]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.contains("ops"), "{ended:?}");
}

#[test]
fn the_last_key_with_admin_stays_unless_it_is_forced_and_then_the_server_is_open_again() {
    let (mut server, key) = server_with_key();
    let online = with_key(&server, &key, &["keys", "rm", "ops", "--yes"]);
    assert_eq!(online.code, 1, "{online:?}");
    assert!(
        online.stderr.contains("last key")
            && online
                .stderr
                .contains("autom8 keys rm ops --force --data DIR"),
        "{online:?}"
    );
    let forced = with_key(&server, &key, &["keys", "rm", "ops", "--force"]);
    assert_eq!(forced.code, 2, "{forced:?}");
    assert!(
        forced.stderr.contains("no effect at a server"),
        "{forced:?}"
    );
    server.stop(wait::PATIENT);
    let data = server.data().to_str().unwrap().to_owned();
    let rm = ["keys", "rm", "ops", "--yes", "--data", &data];
    let refused = in_folder(server.folder(), &rm, &[]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("--force"), "{refused:?}");
    let forced = in_folder(server.folder(), &[&rm[..], &["--force"]].concat(), &[]);
    assert_eq!(forced.code, 0, "{forced:?}");
    server.start_again();
    succeed(&server, &["tasks", "ls"]);
}

#[test]
fn the_server_that_holds_the_directory_is_asked_and_no_other() {
    let server = Server::start(&ServerOptions::default());
    let other = Server::start(&ServerOptions::default());
    let data = server.data().to_str().unwrap();
    let add = ["keys", "add", "ops", "--scope", "admin", "--data", data];
    let wrong = autom8(&other, &add);
    assert_eq!((wrong.code, wrong.stdout.as_str()), (1, ""), "{wrong:?}");
    assert!(
        wrong.stderr.contains("in use by autom8 with process id")
            && wrong.stderr.contains("is another server"),
        "{wrong:?}"
    );
    // Its figures, by which it is known, are there with the first sample.
    wait::until("the first sample", wait::PATIENT, || {
        let system = server.client().get("/api/v1/metrics/system");
        (system.status == 200).then_some(())
    });
    let made = autom8(&server, &add);
    assert_eq!(made.code, 0, "{made:?}");
    let key = made.stdout.trim();
    let audit = with_key(&server, key, &["audit", "ls", "--json"]);
    let audit: Value = serde_json::from_str(&audit.stdout).unwrap();
    assert_eq!(audit["audit_log"][0]["principal"], "open", "{audit}");
    fail(&server, &add, 7, &["stop the server"]);
    succeed(&other, &["tasks", "ls"]);
}

#[test]
fn a_key_is_found_in_its_places_and_the_nearest_one_wins() {
    let (server, key) = server_with_key();
    let other = tempfile::tempdir().unwrap();
    let unknown = made_offline(&other.path().join("data"), "ops", "admin");
    let (good, bad) = (
        private_file(server.folder().join("good"), &key, 0o600),
        private_file(server.folder().join("bad"), &unknown, 0o600),
    );
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    let url = server.url();
    let lines = format!("# mine\nhttp://elsewhere {unknown}\n{url}/ {key}\n");
    private_file(
        server.folder().join(".config/autom8/credentials"),
        &lines,
        0o600,
    );
    let ask = |arguments: &[&str], variables: &[(&str, &str)]| {
        let line = [&["tasks", "ls", "--server", &url], arguments].concat();
        in_folder(server.folder(), &line, variables)
    };
    for (arguments, variables) in [
        (&[][..], &[][..]),
        (&[], &[("AUTOM8_API_KEY", ""), ("AUTOM8_API_KEY_FILE", "")]),
        (
            &[],
            &[("AUTOM8_API_KEY", &*key), ("AUTOM8_API_KEY_FILE", bad)],
        ),
        (&[], &[("AUTOM8_API_KEY_FILE", good)]),
        (&["--key-file", good], &[("AUTOM8_API_KEY", &*unknown)]),
    ] {
        let ended = ask(arguments, variables);
        assert_eq!(ended.code, 0, "{arguments:?} {variables:?}: {ended:?}");
    }
    for (arguments, variables, place) in [
        (
            &["--key-file", bad][..],
            &[("AUTOM8_API_KEY", &*key)][..],
            bad,
        ),
        (&[], &[("AUTOM8_API_KEY", &*unknown)], "AUTOM8_API_KEY"),
        (&[], &[("AUTOM8_API_KEY_FILE", bad)], "AUTOM8_API_KEY_FILE"),
    ] {
        let ended = ask(arguments, variables);
        assert_eq!(ended.code, 7, "{arguments:?} {variables:?}: {ended:?}");
        assert!(
            ended.stderr.contains(&format!("from {place}"))
                && ended.stderr.contains(&unknown[..9])
                && !ended.stderr.contains(&unknown),
            "{ended:?}"
        );
    }
    let no_key = ask(&[], &[("AUTOM8_API_KEY", "hunter2")]);
    assert_eq!(no_key.code, 2, "{no_key:?}");
    assert!(!no_key.stderr.contains("hunter2"), "{no_key:?}");
}

#[test]
fn credentials_that_others_may_read_are_refused_with_the_fix() {
    let (server, key) = server_with_key();
    let url = server.url();
    let file = private_file(
        server.folder().join(".config/autom8/credentials"),
        &format!("{url} {key}\n"),
        0o644,
    );
    let refused = format!("chmod 600 {}", file.display());
    fail(&server, &["tasks", "ls"], 2, &[&refused]);
    let key_file = private_file(server.folder().join("key"), &key, 0o640);
    let key_file = key_file.to_str().unwrap();
    fail(
        &server,
        &["tasks", "ls", "--key-file", key_file],
        2,
        &["chmod 600", "mode 640"],
    );
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    succeed(&server, &["tasks", "ls"]);
}

#[test]
fn a_key_is_kept_when_the_server_knows_it() {
    let (server, key) = server_with_key();
    let save = |text: &str| {
        let input = private_file(server.folder().join("input"), text, 0o600);
        let mut command = autom8_command(server.folder());
        command.args(["keys", "save", "--server", &server.url()]);
        command.stdin(Stdio::from(std::fs::File::open(input).unwrap()));
        run_to_end(command, wait::PATIENT)
    };
    let other = tempfile::tempdir().unwrap();
    let unknown = made_offline(&other.path().join("data"), "ops", "admin");
    assert_eq!(save(&unknown).code, 7);
    assert_eq!(save("a8_short").code, 2);
    let credentials = server.folder().join(".config/autom8/credentials");
    assert!(!credentials.exists());
    let kept = save(&format!("{key}\n"));
    assert_eq!(kept.code, 0, "{kept:?}");
    assert!(!kept.stderr.contains(&key), "{kept:?}");
    let mode = credentials.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // With it, a key for another program is made and kept in its place.
    succeed(
        &server,
        &["keys", "add", "second", "--scope", "admin", "--save"],
    );
    let otherwise = server.url().replace("127.0.0.1", "localhost");
    for line in [["tasks", "ls"], ["keys", "ls"]] {
        let line = [&line[..], &["--server", &otherwise]].concat();
        let fix = format!("a key is kept for {}", server.url());
        fail(&server, &line, 7, &[&fix]);
    }
    let text = std::fs::read_to_string(&credentials).unwrap();
    assert!(
        !text.contains(&key) && text.matches(&server.url()).count() == 1,
        "{text}"
    );
    succeed(&server, &["keys", "rm", "ops", "--yes"]);
    assert_eq!(with_key(&server, &key, &["tasks", "ls"]).code, 7);
    succeed(&server, &["tasks", "ls"]);
}

#[test]
fn a_scope_that_is_missing_is_named_and_a_limit_is_waited_out() {
    let (server, admin) = server_with_key();
    let make = |line: &[&str]| {
        let line = [&["keys", "add"], line, &["--quiet"]].concat();
        let made = with_key(&server, &admin, &line);
        assert_eq!(made.code, 0, "{made:?}");
        made.stdout.trim().to_owned()
    };
    let reader = make(&["reader", "--expires", "90d"]);
    let refused = with_key(&server, &reader, &["tasks", "run", "x"]);
    assert_eq!(refused.code, 7, "{refused:?}");
    assert!(
        refused.stderr.contains("this needs `run`")
            && refused.stderr.contains("keys add NAME --scope run"),
        "{refused:?}"
    );
    let file = private_file(
        server.folder().join("task.json"),
        &noop_task("nightly").to_string(),
        0o600,
    );
    let add = ["tasks", "add", "--file", file.to_str().unwrap()];
    assert_eq!(with_key(&server, &admin, &add).code, 0);
    let slow = make(&["slow", "--scope", "run", "--limit", "2 per second"]);
    for number in 1..=4 {
        let phone = format!("+4930000000{number}");
        let line = ["contacts", "add", "--name", "A", "--phone", &phone];
        assert_eq!(with_key(&server, &admin, &line).code, 0);
    }
    // Five requests at once, of which two are let through.
    let all = with_key(&server, &slow, &["contacts", "ls", "--all", "--limit", "1"]);
    assert_eq!(all.code, 0, "{all:?}");
    assert_eq!(all.stdout.matches("+4930000000").count(), 4, "{all:?}");
    assert!(all.stderr.contains("trying again in"), "{all:?}");
}

#[test]
fn a_key_is_not_sent_in_the_clear_to_the_world() {
    let folder = tempfile::tempdir().unwrap();
    let key = made_offline(&folder.path().join("data"), "ops", "admin");
    let line = ["tasks", "ls", "--server", "http://autom8.example.org"];
    let refused = in_folder(folder.path(), &line, &[("AUTOM8_API_KEY", &key)]);
    assert_eq!(refused.code, 7, "{refused:?}");
    assert!(
        refused.stderr.contains("https://") && refused.stderr.contains("--insecure-http"),
        "{refused:?}"
    );
    let password = ["tasks", "ls", "--server", "http://ada:secret@127.0.0.1:1"];
    let refused = in_folder(folder.path(), &password, &[]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(!refused.stderr.contains("secret"), "{refused:?}");
}
