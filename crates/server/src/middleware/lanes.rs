//! Load shedding: a bounded number of requests at once, and a lane of its own for monitoring, so
//! that an overloaded server can still say that it is.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use autom8_api::problem::{Problem, ProblemCode};
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

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
    /// Signed: what leaves in another order than it came is below zero for a moment.
    in_flight: AtomicIsize,
    in_flight_max: usize,
}

impl Lanes {
    pub fn new(ordinary_max: usize, monitoring_max: usize) -> Arc<Self> {
        let lane = |in_flight_max| Lane {
            in_flight: AtomicIsize::new(0),
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
        if lane.in_flight.fetch_add(1, Relaxed) >= lane.in_flight_max as isize {
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

/// A request's body on its way in. While it keeps its handler waiting, the request has no place in
/// its lane: it costs a connection then and no work, and a thousand bodies that trickle would
/// otherwise leave no place for anybody else. A lane may be overfull by those that arrive at once.
#[derive(Debug)]
pub(super) struct Arriving {
    body: Body,
    lanes: Arc<Lanes>,
    monitoring: bool,
    is_awaited: bool,
}

impl Arriving {
    pub(super) fn new(body: Body, pass: &Pass) -> Self {
        Arriving {
            body,
            lanes: Arc::clone(&pass.lanes),
            monitoring: pass.monitoring,
            is_awaited: false,
        }
    }

    fn set_awaited(&mut self, is_awaited: bool) {
        if self.is_awaited != is_awaited {
            self.is_awaited = is_awaited;
            let change = if is_awaited { -1 } else { 1 };
            let lane = self.lanes.lane(self.monitoring);
            lane.in_flight.fetch_add(change, Relaxed);
        }
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        // The pass gives back what it took.
        self.set_awaited(false);
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.set_awaited(polled.is_pending());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use tokio_stream::wrappers::ReceiverStream;

    #[tokio::test]
    async fn a_body_that_keeps_its_handler_waiting_holds_no_place() {
        let lanes = Lanes::new(1, 1);
        let arriving = |pass: &Pass| {
            let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, axum::Error>>(1);
            let body = Body::from_stream(ReceiverStream::new(receiver));
            (sender, Arriving::new(body, pass))
        };
        let pass = lanes.enter(false).unwrap();
        let (sender, mut body) = arriving(&pass);
        assert!(lanes.enter(false).is_err(), "a handler is at work");

        let waiting = std::future::poll_fn(|context| {
            Poll::Ready(Pin::new(&mut body).poll_frame(context).is_pending())
        });
        assert!(waiting.await);
        drop(lanes.enter(false).unwrap());
        sender.send(Ok(Bytes::from_static(b"{}"))).await.unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "{}");
        assert!(lanes.enter(false).is_err(), "the handler goes on");

        let again = std::future::poll_fn(|context| {
            Poll::Ready(Pin::new(&mut body).poll_frame(context).is_pending())
        });
        assert!(again.await);
        // In either order nothing is left behind.
        drop(pass);
        drop(body);
        assert_eq!(lanes.ordinary.in_flight.load(Relaxed), 0);
    }

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
