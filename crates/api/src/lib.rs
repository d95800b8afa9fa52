//! The HTTP contract as types: what the server writes and every client reads.
//!
//! A request body is one of the model's own types or a small struct of [`task`], [`run`] and
//! [`batch`]; an answer is a view of the noun it speaks of. What goes wrong is a [`problem`], and
//! the pages of lists share [`page`]. The contract is frozen: fields are added, never renamed, so
//! a view that is read ignores fields it does not know.

pub mod audit;
pub mod backup;
pub mod batch;
pub mod builtin;
#[cfg(feature = "client")]
pub mod client;
pub mod contact;
pub mod contact_file;
pub mod info;
pub mod key;
pub mod page;
pub mod problem;
pub mod run;
pub mod scheduler;
#[cfg(feature = "schema")]
mod schema;
pub mod task;
pub mod task_log;
pub mod telemetry;

pub use audit::AuditLog;
/// The nouns that views are made of, for those who see the API only.
pub use autom8_model as model;
pub use batch::BatchAccepted;
pub use contact::{ContactBatchResults, ContactList};
pub use key::{KeyCreated, KeyList, KeyRequest, KeyView};
pub use page::PageMeta;
pub use problem::{Problem, ProblemCode};
pub use run::{RunList, RunView};
pub use scheduler::SchedulerStatus;
pub use task::{TaskList, TaskView};
pub use task_log::{TaskLogList, TaskLogStats};
