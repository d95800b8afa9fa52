//! The tasks that have a schedule, in the words of the founding guide.

use autom8_api::SchedulerStatus;
use axum::http::StatusCode;

use super::tasks;
use crate::openapi::operation::{Operation, get};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/api/v1/scheduler/status", "getSchedulerStatus")
            .answers::<SchedulerStatus>(StatusCode::OK, "The scheduled tasks as jobs."),
        tasks::run("/api/v1/scheduler/jobs/{name}/run", "runJob").describe(""),
        tasks::switch("/api/v1/scheduler/jobs/{name}/pause", "pauseJob"),
        tasks::switch("/api/v1/scheduler/jobs/{name}/resume", "resumeJob"),
    ]
}
