//! Built-ins: what the server itself can do, dispatched by name.

use std::sync::Arc;

use async_trait::async_trait;
use autom8_model::{Action, TaskType};
use autom8_store::Lease;

use super::Noop;
use crate::executor::{Ended, Executor, RunContext};

/// One built-in, e.g. `backup`. Its options are in `context.task.spec.action`; stopping is as for
/// an [`Executor`].
#[async_trait]
pub trait Builtin: Send + Sync + 'static {
    /// As in [`autom8_model::task::BuiltinAction::name`].
    fn name(&self) -> &'static str;

    async fn run(&self, context: RunContext) -> Ended;

    /// As [`Executor::execute_instant`].
    fn run_instant(&self, _lease: &Lease) -> Option<Ended> {
        None
    }
}

/// Runs `builtin` tasks. `noop` is always there.
pub struct BuiltinExecutor {
    /// A handful: comparing their names costs less than hashing one.
    builtins: Vec<Arc<dyn Builtin>>,
}

impl BuiltinExecutor {
    pub fn new(builtins: impl IntoIterator<Item = Arc<dyn Builtin>>) -> Self {
        let noop: Arc<dyn Builtin> = Arc::new(Noop);
        BuiltinExecutor {
            builtins: std::iter::once(noop).chain(builtins).collect(),
        }
    }

    fn named(&self, action: &Action) -> Option<&Arc<dyn Builtin>> {
        let Action::Builtin(action) = action else {
            return None;
        };
        self.builtins
            .iter()
            .find(|builtin| builtin.name() == action.name())
    }
}

#[async_trait]
impl Executor for BuiltinExecutor {
    fn task_type(&self) -> TaskType {
        TaskType::Builtin
    }

    async fn execute(&self, context: RunContext) -> Ended {
        match self.named(&context.task.spec.action) {
            Some(builtin) => builtin.run(context).await,
            None => Ended::failed_for_good("this server does not have that built-in"),
        }
    }

    fn execute_instant(&self, lease: &Lease) -> Option<Ended> {
        self.named(&lease.task.spec.action)?.run_instant(lease)
    }
}
