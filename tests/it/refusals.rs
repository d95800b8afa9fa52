//! What `serve` refuses to start with, each time with the fix.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use autom8_tests::namespace::{self, Private};
use autom8_tests::server::{Ended, free_port, run_to_end, serve_command};
use autom8_tests::steps::noop_task;
use autom8_tests::{Server, ServerOptions, binary};

/// A refusal is a matter of milliseconds.
const LIMIT: Duration = Duration::from_secs(20);

fn serve(folder: &Path, data: &Path, options: &ServerOptions) -> Ended {
    run_to_end(serve_command(folder, data, free_port(), options), LIMIT)
}

/// The refusal's text, after its exit code was checked.
#[track_caller]
fn refused(ended: &Ended) -> &str {
    assert!(
        ended.code == 1 || ended.code == 2,
        "not a refusal: {ended:?}"
    );
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    &ended.stderr
}

#[track_caller]
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(
            text.to_lowercase().contains(&word.to_lowercase()),
            "{word:?} is missing in: {text}"
        );
    }
}

#[test]
fn a_second_server_on_the_same_data_directory() {
    let server = Server::start(&ServerOptions::default());
    let ended = serve(server.folder(), server.data(), &ServerOptions::default());
    let text = refused(&ended);
    says(text, &["--data"]);
    says(text, &[&server.process_id().to_string()]);
    assert_eq!(
        server.client().get("/api/v1/health").status,
        200,
        "the first goes on"
    );
}

#[test]
fn a_data_file_of_a_newer_version() {
    let mut server = Server::start(&ServerOptions::default());
    server.client().create_task(&noop_task("n"));
    server.stop(LIMIT);
    let file = find_database(server.data());
    let before = std::fs::read(&file).unwrap();
    pretend_newer(&file);
    let ended = serve(server.folder(), server.data(), &ServerOptions::default());
    says(refused(&ended), &["newer", "autom8"]);
    // Refused before anything was touched: taking the version back is enough.
    std::fs::write(&file, before).unwrap();
    server.start_again();
    server.client().get("/api/v1/tasks/n").expect(200);
}

fn find_database(data: &Path) -> std::path::PathBuf {
    let found = std::fs::read_dir(data)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "db"));
    found.expect("a .db file in the data directory")
}

/// Raises the schema's number as a newer version would.
fn pretend_newer(file: &Path) {
    let connection = rusqlite::Connection::open(file).unwrap();
    let version: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert!(version > 0, "the schema has no number");
    connection
        .pragma_update(None, "user_version", version + 1_000)
        .unwrap();
    connection.close().unwrap();
}

#[test]
fn a_port_that_somebody_has() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
    let port = taken.local_addr().unwrap().port();
    let data = folder.path().join("data");
    let command = serve_command(folder.path(), &data, port, &ServerOptions::default());
    let ended = run_to_end(command, LIMIT);
    let text = refused(&ended);
    says(text, &[&port.to_string(), "--port"]);
    // Its owner is this very test.
    says(text, &[&std::process::id().to_string()]);
}

#[test]
fn a_setting_that_does_not_exist() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("autom8.toml"),
        "[server]\n\nlissten = \"127.0.0.1\"\n",
    )
    .unwrap();
    let ended = serve(
        folder.path(),
        &folder.path().join("data"),
        &ServerOptions::default(),
    );
    assert_eq!(ended.code, 2, "{ended:?}");
    says(refused(&ended), &["lissten", "listen", "autom8.toml", "3"]);
}

#[test]
fn a_flag_that_does_not_exist() {
    let folder = tempfile::tempdir().unwrap();
    let options = ServerOptions {
        arguments: vec!["--allow-proces".to_owned()],
        ..ServerOptions::default()
    };
    let ended = serve(folder.path(), &folder.path().join("data"), &options);
    assert_eq!(ended.code, 2, "{ended:?}");
    says(&ended.stderr, &["--allow-process"]);
}

#[test]
fn an_address_beyond_this_machine_without_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let options = ServerOptions {
        arguments: vec!["--listen".to_owned(), "0.0.0.0".to_owned()],
        ..ServerOptions::default()
    };
    let ended = serve(folder.path(), &folder.path().join("data"), &options);
    says(refused(&ended), &["key"]);
}

#[test]
fn a_disk_that_is_full_at_the_start() {
    // Small from the first, and filled up by somebody else.
    for (size, fill) in [
        ("64k", "true"),
        ("64m", "dd if=/dev/zero of=data/fill bs=64k || true"),
    ] {
        let ended = serve_on_tmpfs(&format!("size={size}"), fill);
        says(refused(&ended), &["free", "needed", "--data"]);
    }
}

#[test]
fn a_directory_that_is_read_only() {
    let ended = serve_on_tmpfs("size=64m", "mount -o remount,ro data");
    says(refused(&ended), &["read-only", "--data"]);
}

#[test]
fn a_place_where_no_directory_can_be() {
    let folder = tempfile::tempdir().unwrap();
    for place in ["/proc/x", "/dev/null"] {
        let ended = serve(folder.path(), Path::new(place), &ServerOptions::default());
        says(refused(&ended), &[place, "Fix:", "--data"]);
    }
}

/// Serves on a data directory that is a small file system of its own, after `prepare`.
#[track_caller]
fn serve_on_tmpfs(options: &str, prepare: &str) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "mkdir data; mount -t tmpfs -o {options} tmpfs data; {prepare}; \
         exec env -i HOME=. PATH=\"$PATH\" '{}' serve --data data --port {}",
        binary::autom8().display(),
        free_port()
    );
    let command: Command = match namespace::script(Private::Mounts, &script, folder.path()) {
        Ok(command) => command,
        Err(why) => panic!("{why}"),
    };
    run_to_end(command, LIMIT)
}
