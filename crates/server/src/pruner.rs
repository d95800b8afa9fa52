//! Drops what is no longer kept: by itself once an hour, and when the built-in `cleanup` asks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use autom8_api::builtin::CleanupResult;
use autom8_config::Config;
use autom8_engine::timer;
use autom8_model::Clock;
use autom8_store::{RetentionPolicy, Store};
use tokio_util::sync::CancellationToken;

use crate::builtins::contact_folders::ContactFolders;
use crate::builtins::{BuiltinError, REPORTS_FOLDER, dated, on_disk};
use crate::telemetry::{ErrorNote, Telemetry};
use crate::wiring;

/// Reports that are kept, about 50 KB each: a daily one for a quarter of a year. Backups have a
/// number of their own in their task.
const REPORTS_KEPT: usize = 100;

/// How often to prune without being asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// From the start to the first time, and from a failure to the next try.
    pub(crate) soon: Duration,
    pub(crate) every: Duration,
}

impl Pace {
    /// A start has other things to do first; later, an hour adds a seven-hundredth to the thirty
    /// days that are kept.
    pub(crate) const USUAL: Pace = Pace {
        soon: Duration::from_secs(60),
        every: Duration::from_secs(3_600),
    };
}

/// Knows what is kept, and drops the rest.
pub(crate) struct Pruner {
    store: Arc<dyn Store>,
    policy: RetentionPolicy,
    reports: PathBuf,
    contact_files: ContactFolders,
    clock: Arc<dyn Clock>,
}

impl Pruner {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, config: &Config) -> Self {
        Pruner {
            store,
            policy: wiring::retention(config),
            reports: config.storage.directory.join(REPORTS_FOLDER),
            contact_files: ContactFolders::below(&config.storage.directory),
            clock,
        }
    }

    /// Drops history and reports. The store goes one segment at a time, so that other writes get
    /// their turn in between, and one pruning waits for another.
    pub(crate) async fn prune(&self) -> Result<CleanupResult, BuiltinError> {
        let dropped = self.store.apply_retention(self.policy.clone()).await?;
        let answers_forgotten = self.store.forget_answers().await?;
        let reports = self.reports.clone();
        let reports_removed = on_disk(move || trim(&reports, REPORTS_KEPT)).await?;
        // After the runs, so that the files of those that left leave with them.
        let swept = self.contact_files.sweep(&self.store, &self.clock).await?;
        Ok(CleanupResult {
            segments_dropped: dropped.segments_dropped,
            runs_dropped: dropped.runs_dropped,
            fires_dropped: dropped.fires_dropped,
            audit_entries_dropped: dropped.audit_entries_dropped,
            answers_forgotten,
            bytes_freed: dropped.bytes_freed,
            reports_removed,
            contact_files_removed: swept.total(),
        })
    }

    /// Prunes at its pace until `stopping` fires. What fails is noted and tried again.
    pub(crate) async fn keep_pruning(
        self,
        pace: Pace,
        telemetry: Arc<Telemetry>,
        stopping: CancellationToken,
    ) {
        let pruning = async {
            let mut wait = pace.soon;
            loop {
                timer::sleep(wait).await;
                wait = match self.prune().await {
                    Ok(dropped) => {
                        tell(&dropped);
                        pace.every
                    }
                    Err(error) => {
                        let message = error.to_string();
                        tracing::error!(error = message, "the history was not pruned");
                        telemetry.note_error(ErrorNote {
                            source: "retention",
                            message: &message,
                            request_id: None,
                        });
                        pace.soon
                    }
                };
            }
        };
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = pruning => {}
        }
    }
}

fn tell(dropped: &CleanupResult) {
    let rows = dropped.segments_dropped
        + dropped.fires_dropped
        + dropped.audit_entries_dropped
        + dropped.answers_forgotten;
    if rows > 0 || dropped.reports_removed + dropped.contact_files_removed > 0 {
        tracing::info!(
            runs = dropped.runs_dropped,
            segments = dropped.segments_dropped,
            fires = dropped.fires_dropped,
            audit_entries = dropped.audit_entries_dropped,
            answers = dropped.answers_forgotten,
            bytes = dropped.bytes_freed,
            reports = dropped.reports_removed,
            contact_files = dropped.contact_files_removed,
            "dropped what retention no longer keeps"
        );
    }
}

/// Removes all reports but the newest, and says how many.
fn trim(reports: &Path, keep: usize) -> Result<usize, BuiltinError> {
    let groups = dated::newest_first(reports)?;
    let old = groups.get(keep..).unwrap_or_default();
    for name in old.iter().flatten() {
        dated::remove(&reports.join(name))?;
    }
    Ok(old.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::test_bench::Bench;

    fn put_reports(folder: &Path, count: usize) {
        std::fs::create_dir_all(folder).unwrap();
        for run in 0..count {
            for form in ["json", "html"] {
                let name = format!(
                    "2025-11-10T{:02}-{:02}-00Z-run{run}.{form}",
                    run / 60,
                    run % 60
                );
                std::fs::write(folder.join(name), "x").unwrap();
            }
        }
    }

    #[test]
    fn a_report_goes_with_both_its_files() {
        let folder = tempfile::tempdir().unwrap();
        put_reports(folder.path(), 5);
        assert_eq!(trim(folder.path(), 9).unwrap(), 0);
        assert_eq!(trim(folder.path(), 2).unwrap(), 3);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
        assert_eq!(trim(&folder.path().join("absent"), 2).unwrap(), 0);
    }

    const QUICK: Pace = Pace {
        soon: Duration::from_millis(5),
        every: Duration::from_millis(5),
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_old_goes_by_itself_and_trouble_is_noted_until_the_stop() {
        let bench = Bench::start().await;
        bench.create("a", r#""do":{"builtin":"noop"}"#).await;
        let run = bench.post("/api/v1/tasks/a/run", "").await.expect(202);
        let run = run["id"].as_i64().unwrap();
        bench.ended(run).await;
        let state = bench.state();
        let pruner = Pruner {
            policy: RetentionPolicy {
                age_max: Duration::from_millis(100),
                runs_max: u64::MAX,
                bytes_max: u64::MAX,
                audit_age_max: Duration::from_secs(90 * 86_400),
            },
            ..Pruner::new(
                Arc::clone(&state.store),
                Arc::clone(&state.clock),
                &state.config,
            )
        };
        let reports = pruner.reports.clone();
        put_reports(&reports, REPORTS_KEPT + 3);
        let stop = CancellationToken::new();
        let telemetry = Arc::clone(&state.telemetry);
        let pruning = tokio::spawn(pruner.keep_pruning(QUICK, telemetry, stop.clone()));

        let path = "/api/v1/runs";
        bench
            .until(path, |runs| runs["runs"].as_array().unwrap().is_empty())
            .await;
        bench
            .until("/api/v1/task_logs/stats", |_| {
                std::fs::read_dir(&reports).unwrap().count() == 2 * REPORTS_KEPT
            })
            .await;
        let totals = bench.get("/api/v1/task_logs/stats").await.expect(200);
        assert_eq!(
            totals["completed"], 1,
            "lifetime figures are never lowered: {totals}"
        );

        state.store.close().await;
        bench
            .until("/api/v1/logs/errors", |errors| {
                let noted = errors["errors"].as_array().unwrap().iter();
                noted.filter(|error| error["source"] == "retention").count() >= 2
            })
            .await;
        stop.cancel();
        pruning.await.unwrap();
    }
}
