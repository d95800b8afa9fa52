//! `cleanup`: drops what retention no longer keeps.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use autom8_api::builtin::CleanupResult;
use autom8_engine::executors::Builtin;
use autom8_engine::{Ended, RunContext};
use autom8_store::{RetentionPolicy, Store};

use super::{BuiltinError, dated, lead, on_disk, shown};

/// Reports that are kept, about 50 KB each: a daily one for a quarter of a year. Backups have a
/// number of their own in their task.
const REPORTS_KEPT: usize = 100;

pub struct Cleanup {
    store: Arc<dyn Store>,
    policy: RetentionPolicy,
    reports: PathBuf,
}

impl Cleanup {
    pub fn new(store: Arc<dyn Store>, policy: RetentionPolicy, reports: PathBuf) -> Self {
        Cleanup {
            store,
            policy,
            reports,
        }
    }

    async fn clean_up(&self, context: &RunContext) -> Result<CleanupResult, BuiltinError> {
        let dropped = self.store.apply_retention(self.policy.clone()).await?;
        let reports = self.reports.clone();
        let reports_removed = on_disk(move || trim(&reports, REPORTS_KEPT)).await?;
        context.log.note(&format!(
            "{} runs in {} segments and {} fires dropped, {} freed; {reports_removed} reports removed",
            dropped.runs_dropped,
            dropped.segments_dropped,
            dropped.fires_dropped,
            shown::bytes(dropped.bytes_freed),
        ));
        Ok(CleanupResult {
            segments_dropped: dropped.segments_dropped,
            runs_dropped: dropped.runs_dropped,
            fires_dropped: dropped.fires_dropped,
            bytes_freed: dropped.bytes_freed,
            reports_removed,
        })
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

#[async_trait]
impl Builtin for Cleanup {
    fn name(&self) -> &'static str {
        "cleanup"
    }

    async fn run(&self, context: RunContext) -> Ended {
        lead(&context, self.clean_up(&context)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_goes_with_both_its_files() {
        let folder = tempfile::tempdir().unwrap();
        for day in 10..15 {
            for form in ["json", "html"] {
                let name = format!("2025-11-{day}T00-00-00Z-run{day}.{form}");
                std::fs::write(folder.path().join(name), "x").unwrap();
            }
        }
        assert_eq!(trim(folder.path(), 9).unwrap(), 0);
        assert_eq!(trim(folder.path(), 2).unwrap(), 3);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
        assert_eq!(trim(&folder.path().join("absent"), 2).unwrap(), 0);
    }
}
