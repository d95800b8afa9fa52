use autom8_tests::server::{autom8_command, run_to_end, serve_command};
use autom8_tests::steps::script_task;
use autom8_tests::{Client, Server, ServerOptions, wait};

use super::{autom8, succeed};

#[test]
fn a_backup_of_a_busy_server_restores_to_the_same_history() {
    let server = Server::start(&ServerOptions::allowing_processes());
    let client = server.client();
    client.create_task(&script_task("hello", "echo kept"));
    let id = client.run_task("hello");
    let run = client.ended_run(id);
    let copy = server.folder().join("copy");
    succeed(&server, &["backup", "create", copy.to_str().unwrap()]);
    succeed(&server, &["backup", "verify", copy.to_str().unwrap()]);

    let restored = server.folder().join("restored");
    let mut command = autom8_command(server.folder());
    command
        .args(["backup", "restore"])
        .arg(&copy)
        .arg("--data")
        .arg(&restored);
    let ended = run_to_end(command, wait::PATIENT);
    assert_eq!(ended.code, 0, "{ended:?}");

    let port = autom8_tests::server::free_port();
    let options = ServerOptions::allowing_processes();
    let mut child = serve_command(server.folder(), &restored, port, &options)
        .spawn()
        .unwrap();
    let second = Client::to_port(port);
    wait::until("the restored server", wait::PATIENT, || {
        second
            .send("GET", "/readyz", &[], None)
            .ok()
            .filter(|answer| answer.status == 200)
    });
    let again = second.get(&format!("/api/v1/runs/{id}")).expect(200);
    let log = second.get(&format!("/api/v1/runs/{id}/log")).text();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(again, run);
    assert!(log.contains("kept"), "{log}");
}

#[test]
fn a_damaged_backup_does_not_verify_and_a_restore_never_overwrites() {
    let server = Server::start(&ServerOptions::default());
    let copy = server.folder().join("copy");
    let path = copy.to_str().unwrap();
    succeed(&server, &["backup", "create", path]);
    let data = server.data().to_str().unwrap();
    let ended = autom8(&server, &["backup", "restore", path, "--data", data]);
    assert_ne!(ended.code, 0, "{ended:?}");
    let database = std::fs::read_dir(&copy)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "db"))
        .expect("a database in the backup");
    let mut bytes = std::fs::read(&database).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&database, bytes).unwrap();
    let ended = autom8(&server, &["backup", "verify", path]);
    assert_eq!(ended.code, 1, "{ended:?}");
}

#[test]
fn a_backup_is_restored_and_never_opened_itself() {
    let server = Server::start(&ServerOptions::default());
    let copy = server.folder().join("copy");
    let path = copy.to_str().unwrap();
    succeed(&server, &["backup", "create", path]);
    let names = || {
        let entries = std::fs::read_dir(&copy).unwrap().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let fix = format!("autom8 backup restore {path} --data NEW");
    for line in [
        &["keys", "ls", "--data", path][..],
        &["keys", "add", "ops", "--scope", "admin", "--data", path],
        &["serve", "--data", path, "--port", "0"],
    ] {
        let mut command = autom8_command(server.folder());
        command.args(line);
        let ended = run_to_end(command, wait::PATIENT);
        assert_eq!(ended.code, 1, "{line:?}: {ended:?}");
        assert!(ended.stderr.contains(&fix), "{line:?}: {ended:?}");
    }
    assert_eq!(names(), before);
    succeed(&server, &["backup", "verify", path]);
}
