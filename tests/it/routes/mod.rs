//! One file for each file of routes in the server, by the same name.

mod contacts;
mod health;
mod metrics;
mod performance;
mod runs;
mod scheduler;
mod task_logs;
mod tasks;
