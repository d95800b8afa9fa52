use std::path::{Path, PathBuf};

use autom8_api::builtin::{ActivityReport, BackupResult, CleanupResult, ReportResult};
use serde::de::DeserializeOwned;

use crate::routes::test_bench::Bench;

/// Runs a built-in as a task, and reads its result.
async fn result_of<T: DeserializeOwned>(bench: &Bench, task: &str) -> T {
    let run = bench
        .post(&format!("/api/v1/tasks/{task}/run"), "")
        .await
        .expect(202);
    let ended = bench.ended(run["id"].as_i64().unwrap()).await;
    assert_eq!(ended["state"], "completed", "{ended}");
    serde_json::from_value(ended["result"].clone()).unwrap()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_are_made_and_the_oldest_go() {
    let bench = Bench::start().await;
    bench
        .create("save", r#""do":{"builtin":{"name":"backup","keep":2}}"#)
        .await;
    let folder = bench.folder.path().join("data/backups");
    let mut made = Vec::new();
    for expected in [1, 2, 2] {
        let backup: BackupResult = result_of(&bench, "save").await;
        assert_eq!(backup.kept, expected);
        assert_eq!(backup.tasks, 1);
        assert_eq!(backup.sha256.len(), 64, "{backup:?}");
        assert!(
            backup.bytes > 0 && Path::new(&backup.path).is_dir(),
            "{backup:?}"
        );
        made.push(PathBuf::from(backup.path));
    }
    assert_eq!(
        entries(&folder),
        made[1..],
        "whole backups only, and the newest of them"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_cannot_be_written_fails_and_leaves_the_good_ones() {
    let bench = Bench::start().await;
    bench
        .create(
            "save",
            r#""do":{"builtin":"backup"},"retry":{"max_attempts":1}"#,
        )
        .await;
    let folder = bench.folder.path().join("data/backups");
    std::fs::write(&folder, "in the way").unwrap();
    let run = bench.post("/api/v1/tasks/save/run", "").await.expect(202);
    let ended = bench.ended(run["id"].as_i64().unwrap()).await;
    assert_eq!(ended["state"], "failed");
    assert!(
        ended["error"].as_str().unwrap().contains("cannot create"),
        "{ended}"
    );
    assert!(folder.is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_written_for_programs_and_for_people() {
    let bench = Bench::start().await;
    bench
        .create(
            "work",
            r#""do":{"builtin":"noop"},"schedule":{"every":"1h"}"#,
        )
        .await;
    bench.create("sum-up", r#""do":{"builtin":"report"}"#).await;
    bench
        .post("/api/v1/runs/batch", r#"{"task":"work","inputs":[1,2,3]}"#)
        .await
        .expect(202);
    bench
        .until("/api/v1/task_logs/stats", |stats| stats["completed"] == 3)
        .await;
    bench
        .until("/api/v1/metrics/system", |system| {
            system["memory"].is_object()
        })
        .await;
    let result: ReportResult = result_of(&bench, "sum-up").await;
    let report: ActivityReport =
        serde_json::from_slice(&std::fs::read(&result.json).unwrap()).unwrap();
    assert_eq!(report.runs.counts.completed, 3);
    assert_eq!(report.latest.len(), 3);
    assert_eq!(report.upcoming[0].task.as_str(), "work");
    assert!(report.system.unwrap().memory.total_bytes.unwrap() > 0);
    let html = std::fs::read_to_string(&result.html).unwrap();
    assert!(html.contains("All 3 runs that ended succeeded."), "{html}");
    assert!(html.contains("Memory of this server"), "{html}");
    assert_eq!(entries(&bench.folder.path().join("data/reports")).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_counts_failures_by_task_and_the_last_to_fail_is_first() {
    let bench = Bench::start_with(|config| config.executors.process.enabled = true).await;
    for (name, code) in [("often", 3), ("lately", 4)] {
        let fields = format!(
            r#""do":{{"process":{{"argv":["sh","-c","exit {code}"]}}}},"retry":{{"max_attempts":1}}"#
        );
        bench.create(name, &fields).await;
    }
    for name in ["often", "lately", "often", "lately", "often", "lately"] {
        let path = format!("/api/v1/tasks/{name}/run");
        let run = bench.post(&path, "").await.expect(202);
        bench.ended(run["id"].as_i64().unwrap()).await;
    }
    let again = bench.post("/api/v1/tasks/often/run", "").await.expect(202);
    let again = bench.ended(again["id"].as_i64().unwrap()).await;
    bench.create("sum-up", r#""do":{"builtin":"report"}"#).await;
    let result: ReportResult = result_of(&bench, "sum-up").await;
    let report: ActivityReport =
        serde_json::from_slice(&std::fs::read(&result.json).unwrap()).unwrap();
    let counted: Vec<(&str, u64)> = report
        .failed_tasks
        .iter()
        .map(|failed| (failed.task.as_str(), failed.failures))
        .collect();
    assert_eq!(counted, [("often", 4), ("lately", 3)]);
    assert_eq!(again["id"], report.failed_tasks[0].latest.id.0);
    let html = std::fs::read_to_string(&result.html).unwrap();
    for shown in ["7 in all, the latest 7 in this report.", "exit code 4"] {
        assert!(html.contains(shown), "{shown} in {html}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cleanup_reports_what_it_dropped() {
    let bench = Bench::start().await;
    bench.create("tidy", r#""do":{"builtin":"cleanup"}"#).await;
    let cleanup: CleanupResult = result_of(&bench, "tidy").await;
    assert_eq!((cleanup.runs_dropped, cleanup.reports_removed), (0, 0));
}
