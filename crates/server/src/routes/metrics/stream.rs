//! `GET /api/v1/metrics/stream`: the report as server-sent events, one for each sample.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use autom8_api::problem::{Problem, ProblemCode};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use tokio::sync::watch;

use super::no_sample;
use crate::error::ApiProblem;
use crate::state::AppState;

/// Streams at once. Each copies a few KB a second; a dashboard has one a window.
const STREAMS_MAX: usize = 64;

static STREAMS: AtomicUsize = AtomicUsize::new(0);

/// A place among the streams, until it is dropped.
#[derive(Debug)]
struct Place(&'static AtomicUsize);

impl Place {
    fn take(taken: &'static AtomicUsize) -> Option<Self> {
        let before = taken.fetch_add(1, Relaxed);
        let place = Place(taken);
        // Too many: `place` is given back as it is dropped.
        (before < STREAMS_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

pub(super) async fn stream(State(state): State<AppState>) -> Result<Response, ApiProblem> {
    let place = Place::take(&STREAMS).ok_or_else(|| {
        let message = format!(
            "{STREAMS_MAX} streams of metrics are open; close one, or poll /api/v1/metrics"
        );
        ApiProblem::from(Problem::new(ProblemCode::Overloaded, message))
    })?;
    let samples = state.telemetry.samples().ok_or_else(no_sample)?;
    let stopping = state.lifecycle.stopping().clone();
    let follow = Follow {
        state,
        samples,
        sent: 0,
        _place: place,
    };
    let events = unfold(follow, move |mut follow| {
        let stopping = stopping.clone();
        async move {
            let event = tokio::select! {
                event = follow.next() => event?,
                () = stopping.cancelled() => return None,
            };
            Some((Ok::<_, Infallible>(event), follow))
        }
    });
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Body::from_stream(events)).into_response())
}

/// One reader. It is sent the latest sample: whoever reads slowly misses samples, and nothing
/// piles up.
struct Follow {
    state: AppState,
    samples: watch::Receiver<u64>,
    sent: u64,
    _place: Place,
}

impl Follow {
    /// The next sample that was not sent; none when there will be no more.
    async fn next(&mut self) -> Option<bytes::Bytes> {
        loop {
            self.samples.borrow_and_update();
            if let Some(sample) = self.state.telemetry.published()
                && sample.sequence > self.sent
            {
                self.sent = sample.sequence;
                return Some(Arc::as_ref(&sample).event.clone());
            }
            self.samples.changed().await.ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        static TAKEN: AtomicUsize = AtomicUsize::new(0);
        let places: Vec<Place> = (0..STREAMS_MAX)
            .filter_map(|_| Place::take(&TAKEN))
            .collect();
        assert_eq!(places.len(), STREAMS_MAX);
        assert!(Place::take(&TAKEN).is_none());
        assert_eq!(TAKEN.load(Relaxed), STREAMS_MAX);
        drop(places);
        assert!(Place::take(&TAKEN).is_some());
    }
}
