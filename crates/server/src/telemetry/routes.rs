//! What each request leaves behind: its duration by route, its status, and that it is here.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use autom8_performance::recorder::{Recorder, RecorderSeries};
use axum::http::Method;

use crate::endpoints::Traits;

/// One route, by its method and template (`GET /api/v1/runs/{id}`), never by the raw path.
#[derive(Debug)]
pub struct RouteSeries {
    series: Arc<RecorderSeries>,
    statuses: Arc<Statuses>,
    traits: Traits,
}

impl RouteSeries {
    /// Counts one answer. No lock and no allocation.
    #[inline]
    pub fn record(&self, duration_micros: u64, status: u16) {
        self.series.record(duration_micros, status >= 500);
        self.statuses.count(status);
    }

    pub fn key(&self) -> &str {
        self.series.key()
    }

    /// What the table of endpoints says of the route.
    pub fn traits(&self) -> &Traits {
        &self.traits
    }
}

/// Answers by status code, since the start.
#[derive(Debug)]
pub struct Statuses([AtomicU64; STATUSES]);

const STATUS_FIRST: u16 = 100;
const STATUSES: usize = 500;

impl Default for Statuses {
    fn default() -> Self {
        Statuses([const { AtomicU64::new(0) }; STATUSES])
    }
}

impl Statuses {
    #[inline]
    fn count(&self, status: u16) {
        if let Some(counter) = self.0.get(usize::from(status.wrapping_sub(STATUS_FIRST))) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// The codes that were answered at least once, ascending.
    pub fn counts(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        (STATUS_FIRST..)
            .zip(&self.0)
            .map(|(status, counter)| (status, counter.load(Relaxed)))
            .filter(|(_, count)| *count > 0)
    }
}

/// The routes of each template: a handful of methods, so a list is the fastest map.
type ByTemplate = HashMap<Box<str>, Vec<(Method, Arc<RouteSeries>)>>;

/// All routes; finding one costs a hash of its template.
#[derive(Debug)]
pub(crate) struct RouteBook {
    pub(crate) recorder: Recorder,
    pub(crate) statuses: Arc<Statuses>,
    by_template: ArcSwap<ByTemplate>,
}

/// The template under which unknown paths are counted: a scanner must not fill the series.
const UNMATCHED: &str = "__unmatched__";

impl RouteBook {
    pub(crate) fn new(recorder: Recorder) -> Self {
        RouteBook {
            recorder,
            statuses: Arc::default(),
            by_template: ArcSwap::default(),
        }
    }

    pub(crate) fn series(&self, method_route: &str) -> Arc<RouteSeries> {
        let (method, template) = method_route.split_once(' ').unwrap_or(("", method_route));
        Arc::new(RouteSeries {
            series: self.recorder.series(method_route),
            statuses: Arc::clone(&self.statuses),
            traits: traits(method, template),
        })
    }

    /// A monitoring request costs a copy of memory; counting it would flatter the latency SLO.
    pub(crate) fn is_monitoring(method: &str, template: &str) -> bool {
        traits(method, template).access.is_monitoring()
    }

    pub(crate) fn find(&self, method: &Method, template: Option<&str>) -> Arc<RouteSeries> {
        let template = template.unwrap_or(UNMATCHED);
        if let Some(found) = lookup(&self.by_template.load(), method, template) {
            return found;
        }
        let known = KNOWN_METHODS.contains(method);
        let method_name = if known { method.as_str() } else { "OTHER" };
        let made = self.series(&format!("{method_name} {template}"));
        if known {
            self.by_template.rcu(|book| {
                let mut book = HashMap::clone(book);
                let methods = book.entry(template.into()).or_default();
                if !methods.iter().any(|(known, _)| known == method) {
                    methods.push((method.clone(), Arc::clone(&made)));
                }
                book
            });
        }
        made
    }
}

fn traits(method: &str, template: &str) -> Traits {
    match template {
        UNMATCHED => Traits::UNMATCHED,
        template => Traits::of(method, template),
    }
}

/// Methods are free text on the wire: only these get a series of their own.
const KNOWN_METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

fn lookup(book: &ByTemplate, method: &Method, template: &str) -> Option<Arc<RouteSeries>> {
    let methods = book.get(template)?;
    methods
        .iter()
        .find(|(known, _)| known == method)
        .map(|(_, series)| Arc::clone(series))
}

/// Requests that are being answered.
#[derive(Debug, Default)]
pub struct InFlightGauge(AtomicI64);

impl InFlightGauge {
    /// Counts one request until the guard is dropped, however its answer ends.
    pub fn enter(self: &Arc<Self>) -> InFlight {
        self.0.fetch_add(1, Relaxed);
        InFlight(Arc::clone(self))
    }

    pub fn count(&self) -> u64 {
        u64::try_from(self.0.load(Relaxed)).unwrap_or(0)
    }
}

/// One request that is being answered.
#[derive(Debug)]
pub struct InFlight(Arc<InFlightGauge>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autom8_performance::recorder::ROUTE_THRESHOLD;

    fn book() -> RouteBook {
        RouteBook::new(Recorder::new(ROUTE_THRESHOLD, 0))
    }

    #[test]
    fn a_route_is_counted_by_its_template_and_status() {
        let book = book();
        book.find(&Method::GET, Some("/api/v1/runs/{id}"))
            .record(1_000, 200);
        book.find(&Method::GET, Some("/api/v1/runs/{id}"))
            .record(1_000, 404);
        book.find(&Method::GET, Some("/api/v1/runs/{id}"))
            .record(1_000, 500);
        let totals = book.recorder.series("GET /api/v1/runs/{id}").totals();
        assert_eq!((totals.count, totals.errors), (3, 1));
        assert_eq!(
            book.statuses.counts().collect::<Vec<_>>(),
            [(200, 1), (404, 1), (500, 1)]
        );
    }

    #[test]
    fn invented_methods_and_paths_share_one_series() {
        let book = book();
        for i in 0..1_000 {
            let method = Method::from_bytes(format!("M{i}").as_bytes()).unwrap();
            book.find(&method, None).record(1, 404);
        }
        assert_eq!(book.recorder.all().len(), 1);
        assert_eq!(
            book.recorder.series("OTHER __unmatched__").totals().count,
            1_000
        );
    }

    #[test]
    fn monitoring_routes_are_told_apart() {
        let book = book();
        for (template, monitoring) in [
            (Some("/metrics"), true),
            (Some("/api/v1/tasks"), false),
            (None, false),
        ] {
            let series = book.find(&Method::GET, template);
            assert_eq!(series.traits().access.is_monitoring(), monitoring);
        }
    }

    #[test]
    fn the_gauge_falls_when_the_guard_is_dropped() {
        let gauge = Arc::new(InFlightGauge::default());
        let first = gauge.enter();
        let second = gauge.enter();
        assert_eq!(gauge.count(), 2);
        drop((first, second));
        assert_eq!(gauge.count(), 0);
    }
}
