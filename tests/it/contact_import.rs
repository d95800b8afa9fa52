//! Imports of contacts from outside: over `kill -9` every row is in once, every failure is told
//! once, and the figures are those of an import that nothing disturbed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use autom8_tests::random::{Random, fresh_seed};
use autom8_tests::server::{Ended, autom8_command, run_to_end};
use autom8_tests::{Server, ServerOptions, wait};
use serde_json::Value;

const ROWS: usize = 50_000;
const KILLS: u64 = 5;
/// An unoptimised server on a machine that does much else.
const LIMIT: Duration = Duration::from_secs(240);
/// What an import may add to the memory of an idle server, in KiB: reading, writing and the
/// database's own caches, but no part of the file.
const GROWTH_KIB_MAX: u64 = 96 * 1024;

/// A file and what has to come of it.
struct File {
    text: String,
    /// Phones to names.
    contacts: BTreeMap<String, String>,
    /// Lines of failed rows, in order.
    failed: Vec<u64>,
    skipped: usize,
}

fn file(random: &mut Random) -> File {
    let mut file = File {
        text: "name,phone,email,tags,city\r\n".to_owned(),
        contacts: BTreeMap::new(),
        failed: Vec::new(),
        skipped: 0,
    };
    for row in 0..ROWS {
        let line = row as u64 + 2;
        let phone = format!("+4930{row:08}");
        let name = format!("Person \"{row}\"");
        match random.below(100) {
            0 => {
                writeln!(file.text, "Nobody,{row},,,\r").unwrap();
                // Of seven digits and more, a number is one.
                if row < 1_000_000 {
                    file.failed.push(line);
                }
            }
            1 if !file.contacts.is_empty() => {
                let known = file.contacts.keys().next_back().unwrap();
                writeln!(file.text, "Again,{known},,,\r").unwrap();
                file.skipped += 1;
            }
            _ => {
                let quoted = name.replace('"', "\"\"");
                writeln!(
                    file.text,
                    "\"{quoted}\",{phone},p{row}@example.org,vip;t{},Berlin\r",
                    row % 9
                )
                .unwrap();
                file.contacts.insert(phone, name);
            }
        }
    }
    file
}

fn memory_kib(server: &Server, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process_id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let number = line.split_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}

#[test]
fn an_import_that_is_killed_again_and_again_takes_every_row_once() {
    let seed = fresh_seed();
    eprintln!("seed {seed}");
    let mut random = Random::new(seed);
    let file = file(&mut random);
    let mut server = Server::start(&ServerOptions::default());
    let idle_kib = memory_kib(&server, "VmRSS");
    let run = server
        .client()
        .send(
            "POST",
            "/api/v1/contacts/import",
            &[("content-type", "text/csv")],
            Some(file.text.as_bytes()),
        )
        .unwrap()
        .expect(202);
    let id = run["id"].as_i64().unwrap();
    let path = format!("/api/v1/runs/{id}");
    let mut kills = 0;
    let mut peak_kib = 0;
    let mut before = 0;
    let mut seen_progress = false;
    for kill in 0..KILLS {
        // Each time somewhere in the next part of the file.
        let client = server.client();
        let goal = (kill + 1) * file.text.len() as u64 / (KILLS + 1);
        wait::until("the import to go on", LIMIT, || {
            let run = client.get(&path).expect(200);
            let done = run["progress"]["done"].as_u64();
            if let Some(done) = done {
                assert_eq!(run["progress"]["total"], file.text.len() as u64);
                assert_eq!(run["progress"]["unit"], "bytes");
                assert!(done >= before, "{done} after {before}");
                before = done;
                seen_progress = true;
            }
            let ended = !matches!(run["state"].as_str(), Some("running" | "queued"));
            (ended || done.is_some_and(|done| done >= goal)).then_some(())
        });
        wait::pause_for(Duration::from_micros(random.below(60_000)));
        peak_kib = peak_kib.max(memory_kib(&server, "VmHWM"));
        server.kill();
        kills += 1;
        // What is not committed is not progress.
        before = 0;
        server.start_again();
    }
    let client = server.client();
    let ended = wait::until("the end of the import", LIMIT, || {
        let run = client.get(&path).expect(200);
        (run["state"] == "completed" || run["state"] == "failed").then_some(run)
    });
    peak_kib = peak_kib.max(memory_kib(&server, "VmHWM"));
    assert_eq!(ended["state"], "completed", "{ended}");
    assert!(seen_progress, "no progress was ever told");
    let result = &ended["result"];
    let counts = |field: &str| result[field].as_u64().unwrap() as usize;
    assert_eq!(counts("rows"), ROWS, "{result}");
    assert_eq!(counts("created"), file.contacts.len(), "{result}");
    assert_eq!(counts("skipped"), file.skipped, "{result}");
    assert_eq!(counts("failed"), file.failed.len(), "{result}");
    assert_eq!(result["failures"].as_array().unwrap().len(), 100);

    let told = client.get(&format!("/api/v1/contacts/imports/{id}/failures"));
    let told = told.text();
    let lines: Vec<u64> = told
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["line"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(
        lines, file.failed,
        "each failure once, in the order of the file"
    );

    let export = client.post_empty("/api/v1/contacts/export?format=ndjson");
    let export = export.expect(202)["id"].as_i64().unwrap();
    wait::until("the export", LIMIT, || {
        let run = client.get(&format!("/api/v1/runs/{export}")).expect(200);
        (run["state"] == "completed").then_some(())
    });
    let exported = client.get(&format!("/api/v1/contacts/exports/{export}"));
    let exported = exported.text();
    let mut there = BTreeMap::new();
    for line in exported.lines() {
        let contact: Value = serde_json::from_str(line).unwrap();
        let phone = contact["phone"].as_str().unwrap().to_owned();
        let name = contact["name"].as_str().unwrap().to_owned();
        assert_eq!(contact["attributes"]["city"], "Berlin");
        assert_eq!(
            there.insert(phone.clone(), name),
            None,
            "{phone} is there twice"
        );
    }
    assert_eq!(there, file.contacts);
    let left: Vec<_> = std::fs::read_dir(server.data().join("imports"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        left,
        [format!("{id}.failed.ndjson")],
        "the upload went with its run"
    );
    eprintln!(
        "{ROWS} rows over {kills} kills, {} attempts; {idle_kib} KiB idle, {peak_kib} KiB at most",
        ended["attempt"]
    );
    assert!(
        peak_kib < idle_kib + GROWTH_KIB_MAX,
        "{idle_kib} KiB idle, {peak_kib} KiB at most"
    );
}

#[track_caller]
fn autom8(server: &Server, arguments: &[&str]) -> Ended {
    let mut command = autom8_command(server.folder());
    command
        .args(arguments)
        .env("AUTOM8_SERVER_URL", server.url());
    run_to_end(command, wait::PATIENT)
}

#[test]
fn the_command_line_imports_tells_what_failed_and_exports() {
    let server = Server::start(&ServerOptions::default());
    let people = server.folder().join("people.csv");
    std::fs::write(
        &people,
        "name,phone,emial\nAda,+44 20 7946 0018,x\nNobody,12,\nGrace,+1 212 555 0100,\n",
    )
    .unwrap();
    let people = people.to_str().unwrap();
    let dry = autom8(&server, &["contacts", "import", people, "--dry-run"]);
    assert_eq!(dry.code, 1, "{dry:?}");
    assert!(dry.stdout.contains("2 new · 1 failed"), "{dry:?}");
    assert!(dry.stdout.contains("nothing was written"), "{dry:?}");
    assert!(dry.stderr.contains("is it `email`?"), "{dry:?}");
    assert_eq!(
        server.client().get("/api/v1/contacts").expect(200)["meta"]["total"],
        0
    );

    let errors = server.folder().join("wrong.ndjson");
    let errors_path = errors.to_str().unwrap();
    let wet = autom8(
        &server,
        &["contacts", "import", people, "--errors", errors_path],
    );
    assert_eq!(wet.code, 1, "{wet:?}");
    assert!(
        wet.stdout
            .contains(&format!("2 new · 1 failed → {errors_path}")),
        "{wet:?}"
    );
    let failure = std::fs::read_to_string(&errors).unwrap();
    let failure: Value = serde_json::from_str(&failure).unwrap();
    assert_eq!(
        (&failure["line"], &failure["field"]),
        (&3.into(), &"phone".into())
    );

    let exported = server.folder().join("out.ndjson");
    let exported = exported.to_str().unwrap();
    let export = autom8(&server, &["contacts", "export", exported]);
    assert_eq!(export.code, 0, "{export:?}");
    let again = autom8(
        &server,
        &["contacts", "import", exported, "--on-duplicate", "update"],
    );
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stdout.starts_with("2 already there"), "{again:?}");
    let stdout = autom8(&server, &["contacts", "export", "--q", "gra"]);
    assert!(
        stdout.stdout.contains("Grace,+1 212 555 0100"),
        "{stdout:?}"
    );
    assert_eq!(stdout.stdout.lines().count(), 2, "{stdout:?}");

    let unnamed = autom8(&server, &["contacts", "import", "-"]);
    assert_eq!(unnamed.code, 2, "{unnamed:?}");
    assert!(unnamed.stderr.contains("--format csv"), "{unnamed:?}");
    let gone = autom8(&server, &["contacts", "import", "nowhere.csv"]);
    assert_eq!(gone.code, 2, "{gone:?}");
}
