//! What a contact, task, schedule, fire, run and lease *are*: pure, no async, no I/O.
//!
//! In reading order: [`task`] says what to do and [`schedule`] when; a due schedule or a person
//! makes a [`run`]; [`ready`] orders the runs that wait; a claim hands out a [`lease`] written as
//! a receipt; [`transition`] decides what an ended attempt makes of its run, with [`retry`] for
//! the delay. A [`contact`] is what automations act on; an [`api_key`] says who may call, and [`audit`]
//! keeps who wrote. [`limits`] names every bound, [`clock`] is the only reader of time and [`random`] of entropy.

pub mod api_key;
pub mod audit;
pub mod clock;
pub mod contact;
pub mod contact_import;
pub mod cron;
pub mod human_duration;
pub mod id;
pub mod invalid;
pub mod lease;
pub mod limits;
pub mod random;
pub mod ready;
pub mod retry;
pub mod run;
pub mod schedule;
#[cfg(feature = "schema")]
mod schema;
pub mod task;
pub mod transition;

pub use api_key::{ApiKey, Scope, Scopes};
pub use audit::{AuditAction, AuditEntry, Author};
pub use clock::{Clock, ManualClock, Monotonic, SystemClock, Timestamp};
pub use contact::{Contact, ContactDraft, ContactPatch};
pub use human_duration::HumanDuration;
pub use id::{AuditId, BootId, ContactId, Epoch, KeyId, RunId, TaskId, TaskName, WorkerName};
pub use invalid::Invalid;
pub use random::Random;
pub use run::{Inputs, Run, RunState, Trigger};
pub use schedule::Schedule;
pub use task::{Action, Task, TaskSpec, TaskType};
