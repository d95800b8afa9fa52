//! One route a file: what it takes, its handler, its errors and its tests. Each file exports
//! `routes() -> Router<AppState>`, which [`crate::router`] merges.

pub mod audit_log;
pub mod contact_exports;
pub mod contact_imports;
pub mod contacts;
pub mod docs;
pub mod error_log;
pub mod health;
pub mod info;
pub mod keys;
pub mod metrics;
pub mod openapi;
pub mod performance;
pub mod root;
pub mod run_log;
pub mod runs;
pub mod scheduler;
pub mod slo;
pub mod slow_log;
pub mod task_logs;
pub mod tasks;
mod unchanging;

#[cfg(test)]
pub(crate) mod test_bench;
