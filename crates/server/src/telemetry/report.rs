//! The JSON bodies, written from one second's figures. Pure.

use std::borrow::Cow;

use autom8_api::task_log::ExecutionCounts;
use autom8_api::telemetry::{
    DatabaseView, HealthVerdict, HttpView, PerformanceStats, PoolView, REPORT_SCHEMA, Report,
    RouteView, SYSTEM_SCHEMA, SloList, StatementView, SystemReport, TasksView, Unavailable,
};
use autom8_performance::probes::reading::{percent, round};
use autom8_performance::recorder::window::Slice;
use autom8_store::Totals;

use super::collect::{Figures, RouteFigures};
use super::gaps::Gaps;
use super::series::rounded;
use super::verdict::Verdict;

const NO_REQUESTS: &str = "null where the window has no requests";
const TOO_FEW_EVENTS: &str =
    "null where the window has too few events: one bad one would be many times the budget";

pub(super) fn system(figures: &Figures) -> SystemReport {
    let mut unavailable = figures.system_gaps.clone();
    unavailable.extend(figures.runtime_gaps.iter().cloned());
    unavailable.push(Unavailable {
        field: "allocator".to_owned(),
        reason: "the allocator of this build keeps no count".to_owned(),
    });
    if figures.interval_ms.is_none() {
        let reason = "needs two samples".to_owned();
        unavailable.push(Unavailable {
            field: "interval_ms".to_owned(),
            reason,
        });
    }
    SystemReport {
        schema: Cow::Borrowed(SYSTEM_SCHEMA),
        timestamp: figures.timestamp,
        age_ms: 0,
        interval_ms: figures.interval_ms,
        scope: figures.scope,
        figures: figures.system.clone(),
        runtime: figures.runtime.clone(),
        allocator: None,
        workers: Vec::new(),
        unavailable,
    }
}

pub(super) fn report(figures: &Figures, verdict: &Verdict) -> Report {
    let mut gaps = Gaps::default();
    gaps.adopt("system", &figures.system_gaps);
    note_slo_gaps(figures, &mut gaps);
    Report {
        schema: Cow::Borrowed(REPORT_SCHEMA),
        status: verdict.status,
        timestamp: figures.timestamp,
        age_ms: 0,
        version: Cow::Borrowed(env!("CARGO_PKG_VERSION")),
        uptime_s: figures.uptime_s,
        slo: figures.slos.clone(),
        system: figures.system.clone(),
        http: http(figures, &mut gaps),
        tasks: tasks(figures, &mut gaps),
        database: database(figures, &mut gaps),
        rate_limit: {
            if figures.rate_limit.is_none() {
                gaps.note("rate_limit", "security.rate_limit_enabled is false");
            }
            figures.rate_limit.clone()
        },
        cache: figures.cache.clone(),
        issues: verdict.issues.clone(),
        recommendations: verdict.recommendations.clone(),
        unavailable: gaps.into_list(),
    }
}

pub(super) fn slo(figures: &Figures) -> SloList {
    let mut gaps = Gaps::default();
    note_slo_gaps(figures, &mut gaps);
    SloList {
        slo: figures.slos.clone(),
        unavailable: gaps.into_list(),
    }
}

pub(super) fn health(figures: &Figures, verdict: &Verdict) -> HealthVerdict {
    HealthVerdict {
        status: verdict.status,
        timestamp: figures.timestamp,
        issues: verdict.issues.clone(),
        recommendations: verdict.recommendations.clone(),
    }
}

pub(super) fn stats(figures: &Figures) -> PerformanceStats {
    let mut gaps = Gaps::default();
    let mut all = Slice::default();
    let mut requests_total = 0;
    for route in figures.routes.iter().filter(|route| !route.is_monitoring) {
        all.merge_series(&route.series.recent);
        requests_total += route.series.totals.count;
    }
    let summary = all.summary();
    if summary.count == 0 {
        for field in ["mean_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms"] {
            gaps.note(field, "no requests in the window");
        }
    }
    let hits: u64 = figures.cache.iter().map(|layer| layer.hits).sum();
    let misses: u64 = figures.cache.iter().map(|layer| layer.misses).sum();
    let cache_hit_ratio_percent =
        (hits + misses > 0).then(|| percent(hits as f64, (hits + misses) as f64));
    if cache_hit_ratio_percent.is_none() {
        gaps.note(
            "cache_hit_ratio_percent",
            "nothing that is kept has been asked for",
        );
    }
    let routes = routes(figures, "routes[]", &mut gaps);
    PerformanceStats {
        timestamp: figures.timestamp,
        window: Cow::Borrowed("5m"),
        covered_s: round(figures.uptime_s.min(300.0), 3),
        requests_total,
        in_flight: figures.in_flight,
        count: summary.count,
        errors: summary.errors,
        over_slo: summary.over_threshold,
        rate_per_s: round(summary.rate_per_s, 3),
        mean_ms: rounded(summary.mean_ms),
        p50_ms: rounded(summary.p50_ms),
        p90_ms: rounded(all.histogram.quantile_ms(0.90)),
        p95_ms: rounded(summary.p95_ms),
        p99_ms: rounded(summary.p99_ms),
        max_ms: rounded(summary.max_ms),
        routes,
        cache_hit_ratio_percent,
        cache: figures.cache.clone(),
        unavailable: gaps.into_list(),
    }
}

fn note_slo_gaps(figures: &Figures, gaps: &mut Gaps) {
    let is_null = |of: fn(&autom8_api::telemetry::SloView) -> bool| figures.slos.iter().any(of);
    if is_null(|slo| slo.p95_ms.is_none()) {
        for field in ["p95_ms", "p99_ms"] {
            gaps.note(
                &format!("slo[].{field}"),
                "null without events in the window, and for objectives that are not of latency",
            );
        }
    }
    if is_null(|slo| slo.sli_percent.is_none()) {
        gaps.note("slo[].sli_percent", "null without events in the window");
    }
    if is_null(|slo| slo.budget_remaining_percent.is_none()) {
        gaps.note("slo[].budget_remaining_percent", TOO_FEW_EVENTS);
    }
    if is_null(|slo| slo.burn.values().any(Option::is_none)) {
        gaps.note("slo[].burn", TOO_FEW_EVENTS);
    }
}

fn http(figures: &Figures, gaps: &mut Gaps) -> HttpView {
    let mut all = Slice::default();
    let mut requests_total = 0;
    for route in &figures.routes {
        all.merge_series(&route.series.recent);
        requests_total += route.series.totals.count;
    }
    let summary = all.summary();
    HttpView {
        requests_total,
        in_flight: figures.in_flight,
        rate_per_s: round(summary.rate_per_s, 3),
        errors_per_s: round(summary.errors_per_s, 3),
        authentication_failures_total: figures
            .authentication_failures
            .iter()
            .map(|(_, count)| count)
            .sum(),
        by_status: figures.by_status.clone(),
        routes: routes(figures, "http.routes[]", gaps),
    }
}

/// Routes that were asked for at least once.
fn routes(figures: &Figures, place: &str, gaps: &mut Gaps) -> Vec<RouteView> {
    let asked = figures
        .routes
        .iter()
        .filter(|route| route.series.totals.count > 0);
    let views: Vec<RouteView> = asked
        .map(
            |RouteFigures {
                 method,
                 template,
                 series,
                 ..
             }| RouteView {
                method: method.clone(),
                route: template.clone(),
                latency: series.latency(),
            },
        )
        .collect();
    if views.iter().any(|view| view.latency.p50_ms.is_none()) {
        note_percentiles(place, NO_REQUESTS, gaps);
    }
    views
}

fn note_percentiles(place: &str, reason: &str, gaps: &mut Gaps) {
    for field in ["p50_ms", "p95_ms", "p99_ms", "max_ms"] {
        gaps.note(&format!("{place}.{field}"), reason);
    }
}

fn executions(totals: &Totals) -> ExecutionCounts {
    let sum = totals.sum();
    let failed = sum.failed + sum.interrupted;
    ExecutionCounts::new(sum.completed, failed, sum.cancelled, sum.running)
}

fn tasks(figures: &Figures, gaps: &mut Gaps) -> TasksView {
    if figures.run_window.is_none() {
        gaps.note("tasks.window", "no run ended in the last five minutes");
    }
    TasksView {
        count: figures.totals.tasks,
        executions: executions(&figures.totals),
        recent_count: figures.run_window.map_or(0, |window| window.count),
        queue_depth: figures.totals.queued,
        stale_finishes: figures.totals.stale_finishes,
        window: figures.run_window,
    }
}

fn database(figures: &Figures, gaps: &mut Gaps) -> DatabaseView {
    for field in ["size", "in_use"] {
        gaps.note(
            &format!("database.pool.{field}"),
            "writes share one connection and reads have one for each thread",
        );
    }
    let used = figures
        .statements
        .iter()
        .filter(|(_, series)| series.totals.count > 0);
    let statements: Vec<StatementView> = used
        .map(|(statement, series)| StatementView {
            id: Cow::Borrowed(statement.name()),
            write: statement.is_write(),
            latency: series.latency(),
        })
        .collect();
    if statements
        .iter()
        .any(|statement| statement.latency.p50_ms.is_none())
    {
        note_percentiles(
            "database.statements[]",
            "null where the window has no calls",
            gaps,
        );
    }
    if figures.claims.recent.histogram.is_empty() {
        note_percentiles("database.long_poll", "no claim ended in the window", gaps);
    }
    DatabaseView {
        contacts: Some(figures.totals.contacts),
        task_logs: executions(&figures.totals).total_executions,
        rows_written_total: figures.rows_total,
        statements,
        long_poll: figures.claims.latency(),
        pool: PoolView {
            size: None,
            in_use: None,
            waiters: figures.writes_waiting,
        },
    }
}
