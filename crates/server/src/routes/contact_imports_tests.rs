use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use autom8_model::RunState;
use autom8_store::RunFilter;
use axum::body::Body;
use axum::http::{Request, header};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::routes::test_bench::{Answer, Bench, leaving_at};

async fn upload(bench: &Bench, query: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post(format!("/api/v1/contacts/import{query}"))
        .header(header::CONTENT_TYPE, "text/csv")
        .body(body.into())
        .unwrap();
    bench.send_request(request).await
}

/// The run of an import once it has ended well.
async fn imported(bench: &Bench, query: &str, body: impl Into<Body>) -> Value {
    let run = upload(bench, query, body).await.expect(202);
    let ended = bench.ended(run["id"].as_i64().unwrap()).await;
    assert_eq!(ended["state"], "completed", "{ended}");
    ended
}

fn files(bench: &Bench, folder: &str) -> Vec<String> {
    let folder = bench.folder.path().join("data").join(folder);
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

async fn contacts(bench: &Bench) -> u64 {
    bench.state().store.totals().contacts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_becomes_contacts_and_every_failed_row_is_told() {
    let bench = Bench::start().await;
    let file = "name,phone,email,tags\nAda,5550100,ada@example.org,vip;x\nGrace,12,,\n\
                Edsger,5550101,,\nAgain,555-0100,,\n";
    let run = imported(&bench, "", file).await;
    let id = run["id"].as_i64().unwrap();
    let result = &run["result"];
    let expected = json!({"rows": 4, "created": 2, "updated": 0, "skipped": 1, "failed": 1,
        "dry_run": false});
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&result[field], value, "{field} in {result}");
    }
    assert_eq!(result["failures"][0]["line"], 3);
    assert_eq!(result["failures"][0]["field"], "phone");
    assert_eq!(result["columns"][3]["field"], "tags");
    assert_eq!(contacts(&bench).await, 2);

    let failures = bench
        .get(&format!("/api/v1/contacts/imports/{id}/failures"))
        .await;
    assert_eq!(failures.status, 200);
    assert_eq!(
        failures.headers[header::CONTENT_DISPOSITION],
        format!("attachment; filename=\"import-{id}-failures.ndjson\"")
    );
    let line: Value = serde_json::from_str(failures.text()).unwrap();
    assert_eq!(line, result["failures"][0]);
    assert_eq!(
        files(&bench, "imports"),
        [format!("{id}.failed.ndjson")],
        "the upload is gone with its run"
    );
    let log = bench.get(&format!("/api/v1/runs/{id}/log")).await;
    assert!(
        log.text()
            .contains("2 new, 0 updated, 1 already there, 1 failed")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_the_import_then_does() {
    let bench = Bench::start().await;
    imported(&bench, "", "name,phone\nAda,5550100\n").await;
    let mut file = "name,phone,email\n".to_owned();
    for number in 0..1_000 {
        // Some are there, some come twice, some are wrong.
        writeln!(file, "P{number},{},", 5_550_000 + number % 700).unwrap();
        if number % 50 == 0 {
            writeln!(file, ",{number},").unwrap();
        }
    }
    for on_duplicate in ["skip", "update", "fail"] {
        let query = format!("?on_duplicate={on_duplicate}");
        let before = contacts(&bench).await;
        let dry = imported(&bench, &format!("{query}&dry_run=1"), file.clone()).await;
        assert_eq!(contacts(&bench).await, before);
        let wet = imported(&bench, &query, file.clone()).await;
        let (dry, wet) = (&dry["result"], &wet["result"]);
        for count in ["rows", "created", "updated", "skipped", "failed"] {
            assert_eq!(
                dry[count], wet[count],
                "{on_duplicate} {count}: {dry} {wet}"
            );
        }
        assert_eq!(
            (&dry["dry_run"], &dry["rows"]),
            (&json!(true), &json!(1_020))
        );
    }
    let left: Vec<String> = files(&bench, "imports")
        .into_iter()
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_an_import_is_refused_before_it_is_one() {
    let bench = Bench::start().await;
    for (query, body, told) in [
        (
            "",
            "name,Phnoe\nAda,5550100\n",
            "is it the one called `Phnoe`?",
        ),
        ("", "", "the file is empty"),
        ("?format=xml", "name,phone\n", "must be csv or ndjson"),
        (
            "?on_duplicate=replace",
            "name,phone\n",
            "must be skip, update or fail",
        ),
        ("?key=name", "name,phone\n", "must be phone or email"),
        ("?dryrun=1", "name,phone\n", "dry_run"),
    ] {
        let message = upload(&bench, query, body).await.expect_problem(400);
        assert!(message.contains(told), "{query} {body}: {message}");
    }
    let request = Request::post("/api/v1/contacts/import")
        .body(Body::from("name,phone\n"))
        .unwrap();
    let message = bench.send_request(request).await.expect_problem(415);
    assert!(message.contains("format=csv"), "{message}");
    assert!(files(&bench, "imports").is_empty());
    let runs = bench.get("/api/v1/runs").await.expect(200);
    assert_eq!(runs["runs"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let bench = Bench::start().await;
    let broken = futures_util::stream::iter([
        Ok(Bytes::from(vec![b'x'; 600_000])),
        Err(std::io::Error::other("the client went away")),
    ]);
    let message = upload(&bench, "?format=csv", Body::from_stream(broken))
        .await
        .expect_problem(408);
    assert!(message.contains("did not arrive whole"), "{message}");
    assert!(files(&bench, "imports").is_empty());
}

/// Between the request for its run and the answer nobody can tell whether there will be one.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_has_its_file_though_the_client_left_before_the_answer() {
    let bench = Bench::start().await;
    imported(&bench, "", "name,phone\nAda,5550100\n").await;
    bench
        .post("/api/v1/tasks/contacts-import/pause", "")
        .await
        .expect(200);
    let queued = RunFilter {
        states: vec![RunState::Queued],
        limit: 1_000,
        ..RunFilter::default()
    };
    let mut left_behind = 0;
    for waits in (1..=40).cycle().take(400) {
        let before = bench.state().store.totals().queued;
        let request = upload(&bench, "", "name,phone\nGrace,5550101\n");
        let is_answered = leaving_at(waits, request).await.is_some();
        bench.write_behind().await;
        let after = bench.state().store.totals().queued;
        left_behind += u64::from(after > before && !is_answered);
        if left_behind == 3 {
            break;
        }
    }
    assert!(left_behind > 0, "no client left at the right moment");
    let present = files(&bench, "imports");
    for run in bench.state().store.runs(queued).await.unwrap().runs {
        let input: Value = serde_json::from_slice(&run.input.unwrap()).unwrap();
        let file = input["file"].as_str().unwrap();
        assert!(present.iter().any(|present| present == file), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_for_nobody_else_to_read_and_wait_for_a_paused_task() {
    let bench = Bench::start().await;
    imported(&bench, "", "name,phone\nAda,5550100\n").await;
    bench
        .post("/api/v1/tasks/contacts-import/pause", "")
        .await
        .expect(200);
    let run = upload(&bench, "", "name,phone\nGrace,5550101\n")
        .await
        .expect(202);
    assert_eq!(run["state"], "queued");
    let name = run["input"]["file"].as_str().unwrap();
    let path: PathBuf = bench.folder.path().join("data/imports").join(name);
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    // A sweep leaves what a run still needs, however old it is, and takes what none does.
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
    let left = path.with_file_name("0123456789abcdef.csv");
    let partial = path.with_file_name(".partial-0123456789abcdef.csv");
    let failures = path.with_file_name("4711.failed.ndjson");
    for path in [&left, &partial, &failures] {
        std::fs::write(path, "x").unwrap();
    }
    for path in [&path, &left, &partial] {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(old).unwrap();
    }
    bench.create("sweep", r#""do":{"builtin":"cleanup"}"#).await;
    let swept = bench.post("/api/v1/tasks/sweep/run", "").await.expect(202);
    let swept = bench.ended(swept["id"].as_i64().unwrap()).await;
    assert_eq!(swept["result"]["contact_files_removed"], 3, "{swept}");
    assert_eq!(files(&bench, "imports"), [name]);
    bench
        .post("/api/v1/tasks/contacts-import/resume", "")
        .await
        .expect(200);
    bench.ended(run["id"].as_i64().unwrap()).await;
    assert_eq!(contacts(&bench).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_names_another_file_fails_for_good() {
    let bench = Bench::start().await;
    imported(&bench, "", "name,phone\nAda,5550100\n").await;
    let path = bench.folder.path().join("data/imports/link.csv");
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    for (file, told) in [
        ("../autom8.db", "must be the name of an upload"),
        ("/etc/passwd", "must be the name of an upload"),
        ("00.csv", "upload it again"),
    ] {
        let input = json!({"input": {"file": file, "format": "csv"}}).to_string();
        let run = bench
            .post("/api/v1/tasks/contacts-import/run", &input)
            .await
            .expect(202);
        let ended = bench.ended(run["id"].as_i64().unwrap()).await;
        assert_eq!(
            (&ended["state"], &ended["attempt"]),
            (&json!("failed"), &json!(1))
        );
        let error = ended["error"].as_str().unwrap();
        assert!(error.contains(told), "{error}");
    }
    bench
        .create(
            "linked",
            r#""do":{"builtin":"contacts_import"},"retry":{"max_attempts":1}"#,
        )
        .await;
    let input = r#"{"input": {"file": "link.csv", "format": "csv"}}"#;
    let run = bench
        .post("/api/v1/tasks/linked/run", input)
        .await
        .expect(202);
    let ended = bench.ended(run["id"].as_i64().unwrap()).await;
    assert!(
        ended["error"].as_str().unwrap().contains("cannot open"),
        "{ended}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_that_name_that_does_something_else_is_told() {
    let bench = Bench::start().await;
    bench
        .create("contacts-import", r#""do":{"builtin":"noop"}"#)
        .await;
    let message = upload(&bench, "", "name,phone\nAda,5550100\n")
        .await
        .expect_problem(409);
    assert!(message.contains("does something else here"), "{message}");
    assert!(files(&bench, "imports").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_imported_again_without_a_change() {
    let bench = Bench::start().await;
    let mut file = String::new();
    for number in 0..1_500 {
        let contact = json!({"name": format!("=P, \"{number}\""), "phone": format!("+4930{number:07}"),
            "tags": ["a;b", "c"], "attributes": {"n": number, "deep": {"x": [1]}}});
        writeln!(file, "{contact}").unwrap();
    }
    imported(&bench, "?format=ndjson", file).await;
    for format in ["csv", "ndjson"] {
        let run = bench
            .post(&format!("/api/v1/contacts/export?format={format}"), "")
            .await
            .expect(202);
        let id = run["id"].as_i64().unwrap();
        let ended = bench.ended(id).await;
        assert_eq!(ended["result"]["contacts"], 1_500, "{ended}");
        let location = ended["result"]["location"].as_str().unwrap();
        let exported = bench.get(location).await;
        assert_eq!(exported.status, 200);
        assert_eq!(exported.bytes.len() as u64, ended["result"]["bytes"]);
        let disposition = exported.headers[header::CONTENT_DISPOSITION]
            .to_str()
            .unwrap();
        assert!(
            disposition.contains(&format!("contacts-{id}.{format}")),
            "{disposition}"
        );
        let query = format!("?format={format}&on_duplicate=update");
        let again = imported(&bench, &query, exported.bytes.clone()).await;
        assert_eq!(again["result"]["skipped"], 1_500, "{again}");
    }
    let run = bench
        .post("/api/v1/contacts/export?tag=nobody", "")
        .await
        .expect(202);
    let ended = bench.ended(run["id"].as_i64().unwrap()).await;
    assert_eq!(ended["result"]["contacts"], 0);
    assert!(
        files(&bench, "exports")
            .iter()
            .all(|name| !name.starts_with('.'))
    );
    let message = bench
        .get("/api/v1/contacts/exports/1")
        .await
        .expect_problem(404);
    assert!(message.contains("a file of run 1"), "{message}");
}
