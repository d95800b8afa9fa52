//! `noop`: does nothing, durably. What its runs cost is what the engine costs.

use async_trait::async_trait;
use autom8_store::Lease;

use super::Builtin;
use crate::executor::{Ended, RunContext};

#[derive(Debug)]
pub struct Noop;

#[async_trait]
impl Builtin for Noop {
    fn name(&self) -> &'static str {
        "noop"
    }

    async fn run(&self, _context: RunContext) -> Ended {
        Ended::Completed { result: None }
    }

    fn run_instant(&self, _lease: &Lease) -> Option<Ended> {
        Some(Ended::Completed { result: None })
    }
}
