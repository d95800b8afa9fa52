//! `cleanup`: drops what is no longer kept at once, or at an hour that somebody chose.

use async_trait::async_trait;
use autom8_api::builtin::CleanupResult;
use autom8_engine::executors::Builtin;
use autom8_engine::{Ended, RunContext};

use super::{BuiltinError, lead};
use crate::pruner::Pruner;
use crate::shown;

pub struct Cleanup {
    pruner: Pruner,
}

impl Cleanup {
    pub(crate) fn new(pruner: Pruner) -> Self {
        Cleanup { pruner }
    }

    async fn clean_up(&self, context: &RunContext) -> Result<CleanupResult, BuiltinError> {
        let dropped = self.pruner.prune().await?;
        context.log.note(&format!(
            "{} runs in {} segments and {} fires dropped, {} freed; {} reports and {} files of contacts removed",
            dropped.runs_dropped,
            dropped.segments_dropped,
            dropped.fires_dropped,
            shown::bytes(dropped.bytes_freed),
            dropped.reports_removed,
            dropped.contact_files_removed,
        ));
        Ok(dropped)
    }
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
