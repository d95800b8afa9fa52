//! Load shedding: a bounded number of requests at once, and a lane of its own for monitoring, so
//! that an overloaded server can still say that it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use autom8_api::problem::{Problem, ProblemCode};

use crate::error::ApiProblem;

/// Requests in handlers at once. A waiting write holds about 2 KiB and its place in the writer's
/// inbox; at 20k commits a second a full lane is 50 ms of work, and more would only be latency.
pub const ORDINARY_IN_FLIGHT_MAX: usize = 1_024;
/// Monitoring answers are copies of memory and never wait, so a few are plenty.
pub const MONITORING_IN_FLIGHT_MAX: usize = 64;

/// The lanes of one server.
#[derive(Debug)]
pub struct Lanes {
    ordinary: Lane,
    monitoring: Lane,
}

#[derive(Debug)]
struct Lane {
    in_flight: AtomicUsize,
    in_flight_max: usize,
}

impl Lanes {
    pub fn new(ordinary_max: usize, monitoring_max: usize) -> Arc<Self> {
        let lane = |in_flight_max| Lane {
            in_flight: AtomicUsize::new(0),
            in_flight_max,
        };
        Arc::new(Lanes {
            ordinary: lane(ordinary_max),
            monitoring: lane(monitoring_max),
        })
    }

    fn lane(&self, monitoring: bool) -> &Lane {
        if monitoring {
            &self.monitoring
        } else {
            &self.ordinary
        }
    }

    /// Takes a place until the [`Pass`] is dropped: when the answer's head is ready. The body of
    /// a stream holds none, or readers that follow logs would crowd out everything else; their
    /// number is bounded with the connections'.
    pub(super) fn enter(self: &Arc<Self>, monitoring: bool) -> Result<Pass, ApiProblem> {
        let lane = self.lane(monitoring);
        if lane.in_flight.fetch_add(1, Relaxed) >= lane.in_flight_max {
            lane.in_flight.fetch_sub(1, Relaxed);
            return Err(Problem::new(
                ProblemCode::Overloaded,
                "too many requests are in flight; try again after the seconds in Retry-After",
            )
            .into());
        }
        Ok(Pass {
            lanes: Arc::clone(self),
            monitoring,
        })
    }
}

/// A place in a lane.
#[derive(Debug)]
pub(super) struct Pass {
    lanes: Arc<Lanes>,
    monitoring: bool,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.lanes
            .lane(self.monitoring)
            .in_flight
            .fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_lane_refuses_and_leaves_the_other_alone() {
        let lanes = Lanes::new(2, 1);
        let held = [lanes.enter(false).unwrap(), lanes.enter(false).unwrap()];
        let refused = lanes.enter(false).unwrap_err();
        assert_eq!(refused.problem.status(), 503);
        let monitoring = lanes.enter(true).unwrap();
        assert!(lanes.enter(true).is_err());
        drop((held, monitoring));
        // The refused ones have taken no place.
        let _again = [lanes.enter(false).unwrap(), lanes.enter(false).unwrap()];
        lanes.enter(true).unwrap();
    }
}
