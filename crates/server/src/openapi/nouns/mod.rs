//! What each endpoint takes and may answer, a file for each noun of [`crate::endpoints`].

mod contact_files;
mod contacts;
mod keys;
mod monitoring;
mod runs;
mod scheduler;
mod service;
mod task_logs;
mod tasks;

use super::operation::Operation;

/// Every operation, in no particular order.
pub(super) fn operations() -> Vec<Operation> {
    [
        service::operations(),
        contacts::operations(),
        contact_files::operations(),
        tasks::operations(),
        runs::operations(),
        task_logs::operations(),
        scheduler::operations(),
        monitoring::operations(),
        keys::operations(),
    ]
    .concat()
}
