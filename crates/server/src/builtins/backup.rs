//! `backup`: a verified copy of the store in a directory of its own, and the oldest ones removed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use autom8_api::builtin::BackupResult;
use autom8_engine::executors::Builtin;
use autom8_engine::{Ended, RunContext};
use autom8_model::task::BuiltinAction;
use autom8_model::{Action, Clock};
use autom8_store::Store;
use tokio::sync::Mutex;

use super::{BuiltinError, dated, lead, on_disk};
use crate::shown;

pub struct Backup {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    folder: PathBuf,
    /// One at a time: two would compete for the disk, and each would take the other's unfinished
    /// copy for a leftover.
    alone: Mutex<()>,
}

impl Backup {
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, folder: PathBuf) -> Self {
        Backup {
            store,
            clock,
            folder,
            alone: Mutex::const_new(()),
        }
    }

    async fn back_up(
        &self,
        keep: usize,
        context: &RunContext,
    ) -> Result<BackupResult, BuiltinError> {
        let _alone = self.alone.lock().await;
        let folder = self.folder.clone();
        on_disk(move || dated::prepare(&folder)).await?;
        let name = dated::name(self.clock.now(), context.run);
        let partial = dated::partial(&self.folder, &name);
        let copied = self.store.backup(&partial).await;
        let copied = match copied {
            Ok(report) => report,
            Err(error) => {
                // What is left of it would only take up room, perhaps the last of it.
                let _ = on_disk(move || dated::remove(&partial)).await;
                return Err(error.into());
            }
        };
        let path = self.folder.join(&name);
        let (folder, whole) = (self.folder.clone(), path.clone());
        let (kept, removed) = on_disk(move || {
            dated::publish(&partial, &whole)?;
            prune(&folder, keep)
        })
        .await?;
        context.log.note(&format!(
            "{} tasks and {} runs copied to {} and verified, {}; {kept} backups kept, {} removed",
            copied.tasks,
            copied.runs,
            path.display(),
            shown::bytes(copied.bytes),
            removed.len(),
        ));
        Ok(BackupResult {
            path: path.display().to_string(),
            bytes: copied.bytes,
            sha256: copied.sha256,
            tasks: copied.tasks,
            runs: copied.runs,
            kept,
            removed,
        })
    }
}

/// Keeps the newest. Called only once a new backup is verified and in its place, and `keep` is at
/// least 1, so that a good one is always left.
fn prune(folder: &Path, keep: usize) -> Result<(usize, Vec<String>), BuiltinError> {
    let mut backups: Vec<String> = dated::newest_first(folder)?.into_iter().flatten().collect();
    let removed = backups.split_off(keep.max(1).min(backups.len()));
    for name in &removed {
        dated::remove(&folder.join(name))?;
    }
    Ok((backups.len(), removed))
}

#[async_trait]
impl Builtin for Backup {
    fn name(&self) -> &'static str {
        "backup"
    }

    async fn run(&self, context: RunContext) -> Ended {
        let keep = match &context.task.spec.action {
            Action::Builtin(BuiltinAction::Backup { keep }) => *keep as usize,
            _ => return Ended::failed_for_good("the task is no backup"),
        };
        lead(&context, self.back_up(keep, &context)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_newest_are_kept_and_never_none() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            "2025-11-22T00-00-00Z-run1",
            "2025-11-23T00-00-00Z-run2",
            "2025-11-24T00-00-00Z-run3",
        ];
        for name in names {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("autom8.db"), "x").unwrap();
        }
        fs::write(folder.path().join("README"), "by hand").unwrap();
        assert_eq!(prune(folder.path(), 5).unwrap(), (3, vec![]));
        assert_eq!(
            prune(folder.path(), 2).unwrap(),
            (2, vec![names[0].to_owned()])
        );
        assert_eq!(prune(folder.path(), 0).unwrap().0, 1);
        assert!(folder.path().join(names[2]).join("autom8.db").exists());
        assert!(folder.path().join("README").exists());
    }
}
