//! Requests, statements, runs and objectives.
//!
//! The histograms have bounds at 0.03 and 0.15 s beside the advised ones, with exact counts, since
//! those are the objectives.

use autom8_api::telemetry::{CacheView, SloState};
use autom8_model::RunState;

use super::super::collect::Figures;
use super::super::exposition::Exposition;
use super::super::statements::StatementBook;
use super::{counter, gauge, histogram, single};

const HTTP_BOUNDS_SECONDS: [f64; 16] = [
    0.005, 0.01, 0.025, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
const DB_BOUNDS_SECONDS: [f64; 11] = [
    0.001, 0.005, 0.01, 0.03, 0.05, 0.1, 0.15, 0.5, 1.0, 5.0, 10.0,
];
/// Up to the minute that a histogram tells apart.
const RUN_BOUNDS_SECONDS: [f64; 12] = [
    0.001, 0.005, 0.01, 0.03, 0.1, 0.15, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0,
];

const API_LIMIT_SECONDS: f64 = 0.15;
const DB_LIMIT_SECONDS: f64 = 0.03;
const START_LIMIT_SECONDS: f64 = 1.0;

pub(super) fn write(figures: &Figures, exposition: &mut Exposition) {
    http(figures, exposition);
    rate_limit(figures, exposition);
    cache(figures, exposition);
    database(figures, exposition);
    tasks(figures, exposition);
    objectives(figures, exposition);
}

fn http(figures: &Figures, exposition: &mut Exposition) {
    let asked = || {
        figures
            .routes
            .iter()
            .filter(|route| route.series.totals.count > 0)
    };
    let family = histogram(
        "http_server_request_duration_seconds",
        "Duration of requests by route; exact at 0.15 s.",
    );
    exposition.family(family, |samples| {
        for route in asked() {
            let labels = [
                ("http_request_method", &*route.method),
                ("http_route", &*route.template),
            ];
            let over = route.series.totals.over_threshold;
            let exact = Some((API_LIMIT_SECONDS, over));
            samples.histogram(&labels, &route.series.lifetime, &HTTP_BOUNDS_SECONDS, exact);
        }
    });
    let family = counter(
        "autom8_http_request_errors",
        "",
        "Answers of 500 and above by route.",
    );
    exposition.family(family, |samples| {
        for route in asked() {
            let labels = [
                ("http_request_method", &*route.method),
                ("http_route", &*route.template),
            ];
            samples.count(&labels, route.series.totals.errors);
        }
    });
    let family = counter("autom8_http_responses", "", "Answers by status code.");
    exposition.family(family, |samples| {
        for (status, count) in &figures.by_status {
            samples.count(
                &[("http_response_status_code", &status.to_string())],
                *count,
            );
        }
    });
    let family = counter(
        "autom8_http_authentication_failures",
        "",
        "Requests that were not believed, by reason: no key, none that is one, unknown, expired.",
    );
    exposition.family(family, |samples| {
        for (reason, count) in figures.authentication_failures {
            samples.count(&[("reason", reason)], count);
        }
    });
    let family = gauge(
        "http_server_active_requests",
        "",
        "Requests being answered.",
    );
    single(exposition, family, Some(figures.in_flight as f64));
}

fn rate_limit(figures: &Figures, exposition: &mut Exposition) {
    let Some(rate_limit) = &figures.rate_limit else {
        return;
    };
    let family = counter(
        "autom8_rate_limit_requests",
        "",
        "Requests that took from their client's limit, by whether it had any left.",
    );
    exposition.family(family, |samples| {
        samples.count(&[("decision", "allowed")], rate_limit.allowed_total);
        samples.count(&[("decision", "limited")], rate_limit.limited_total);
    });
    let family = counter(
        "autom8_rate_limit_evicted",
        "",
        "Clients forgotten before their limit was full again, for want of memory.",
    );
    exposition.family(family, |samples| {
        samples.count(&[], rate_limit.evicted_total);
    });
    let family = gauge(
        "autom8_rate_limit_clients",
        "",
        "Clients whose use of the limit is kept.",
    );
    single(exposition, family, Some(rate_limit.clients as f64));
    let family = gauge(
        "autom8_rate_limit_memory_bytes",
        "bytes",
        "What the rate limiter holds.",
    );
    single(exposition, family, Some(rate_limit.memory_bytes as f64));
}

fn cache(figures: &Figures, exposition: &mut Exposition) {
    let family = counter(
        "autom8_cache_requests",
        "",
        "Look-ups in a cache by layer and result: a hit, or a miss, which reads the store unless \
         another miss does.",
    );
    exposition.family(family, |samples| {
        for layer in &figures.cache {
            for (result, count) in [("hit", layer.hits), ("miss", layer.misses)] {
                samples.count(&[("cache", &layer.name), ("result", result)], count);
            }
        }
    });
    type Figure = fn(&CacheView) -> u64;
    let families: [(_, Figure); 4] = [
        (
            counter(
                "autom8_cache_coalesced",
                "",
                "Misses that waited for another one's load.",
            ),
            |layer| layer.coalesced,
        ),
        (
            counter(
                "autom8_cache_evictions",
                "",
                "Entries that left a cache for want of room.",
            ),
            |layer| layer.evictions,
        ),
        (
            gauge("autom8_cache_entries", "", "Entries that a cache holds."),
            |layer| layer.size,
        ),
        (
            gauge(
                "autom8_cache_bytes",
                "bytes",
                "What the entries of a cache take.",
            ),
            |layer| layer.bytes,
        ),
    ];
    for (family, figure) in families {
        exposition.family(family, |samples| {
            for layer in &figures.cache {
                samples.count(&[("cache", &layer.name)], figure(layer));
            }
        });
    }
}

fn database(figures: &Figures, exposition: &mut Exposition) {
    let used = || {
        figures
            .statements
            .iter()
            .filter(|(_, series)| series.totals.count > 0)
    };
    let family = histogram(
        "db_client_operation_duration_seconds",
        "Duration of statements, a write to its durable commit; exact at 0.03 s.",
    );
    exposition.family(family, |samples| {
        for (statement, series) in used() {
            let labels = [
                ("db_system_name", "sqlite"),
                ("db_operation_name", statement.name()),
            ];
            // What is not to be quick has no threshold, and so no exact count at one.
            let exact = StatementBook::is_to_be_quick(*statement)
                .then_some((DB_LIMIT_SECONDS, series.totals.over_threshold));
            samples.histogram(&labels, &series.lifetime, &DB_BOUNDS_SECONDS, exact);
        }
    });
    let family = counter("autom8_db_operation_errors", "", "Statements that failed.");
    exposition.family(family, |samples| {
        for (statement, series) in used() {
            samples.count(
                &[("db_operation_name", statement.name())],
                series.totals.errors,
            );
        }
    });
    let family = histogram(
        "autom8_claim_wait_seconds",
        "From asking for work to a claim, or to giving up; long at rest.",
    );
    exposition.family(family, |samples| {
        let lifetime = &figures.claims.lifetime;
        samples.histogram(&[], lifetime, &RUN_BOUNDS_SECONDS, None);
    });
    let family = gauge(
        "db_client_connection_pending_requests",
        "",
        "Writes that waited as the latest commit group started.",
    );
    single(exposition, family, Some(figures.writes_waiting as f64));
    let family = histogram(
        "autom8_fsync_duration_seconds",
        "Duration of commits of the store, their sync included.",
    );
    exposition.family(family, |samples| {
        let exact = Some((DB_LIMIT_SECONDS, figures.commit.totals.over_threshold));
        samples.histogram(&[], &figures.commit.lifetime, &DB_BOUNDS_SECONDS, exact);
    });
    single(
        exposition,
        gauge("autom8_contact_count", "", "Contacts."),
        Some(figures.totals.contacts as f64),
    );
    let family = counter("autom8_store_rows", "", "Rows committed.");
    exposition.family(family, |samples| samples.count(&[], figures.rows_total));
}

fn tasks(figures: &Figures, exposition: &mut Exposition) {
    let totals = &figures.totals;
    let family = counter(
        "autom8_task_runs",
        "",
        "Runs that ended, over the store's lifetime.",
    );
    exposition.family(family, |samples| {
        for (task_type, counts) in &totals.by_type {
            for (state, count) in [
                (RunState::Completed, counts.completed),
                (RunState::Failed, counts.failed),
                (RunState::Interrupted, counts.interrupted),
                (RunState::Cancelled, counts.cancelled),
            ] {
                let labels = [("task_type", task_type.as_str()), ("state", state.as_str())];
                samples.count(&labels, count);
            }
        }
    });
    let family = gauge("autom8_task_running", "", "Runs that are running.");
    single(exposition, family, Some(totals.running as f64));
    let family = gauge(
        "autom8_task_queue_depth",
        "",
        "Runs that wait, backing off included.",
    );
    single(exposition, family, Some(totals.queued as f64));
    single(
        exposition,
        gauge("autom8_task_count", "", "Tasks defined."),
        Some(totals.tasks as f64),
    );
    let family = counter(
        "autom8_task_stale_finishes",
        "",
        "Outcomes refused as stale.",
    );
    exposition.family(family, |samples| samples.count(&[], totals.stale_finishes));

    let family = histogram(
        "autom8_task_wait_seconds",
        "From due to start, of first attempts; exact at 1 s.",
    );
    exposition.family(family, |samples| {
        for run in &figures.runs {
            let labels = [("task_type", run.task_type.as_str())];
            let exact = Some((START_LIMIT_SECONDS, run.wait.totals.over_threshold));
            samples.histogram(&labels, &run.wait.lifetime, &RUN_BOUNDS_SECONDS, exact);
        }
    });
    let family = histogram("autom8_task_run_seconds", "Duration of attempts.");
    exposition.family(family, |samples| {
        for run in &figures.runs {
            let labels = [("task_type", run.task_type.as_str())];
            samples.histogram(&labels, &run.run.lifetime, &RUN_BOUNDS_SECONDS, None);
        }
    });
    let family = histogram("autom8_task_total_seconds", "From due to the outcome.");
    exposition.family(family, |samples| {
        for run in &figures.runs {
            let labels = [("task_type", run.task_type.as_str())];
            samples.histogram(&labels, &run.total.lifetime, &RUN_BOUNDS_SECONDS, None);
        }
    });
}

fn objectives(figures: &Figures, exposition: &mut Exposition) {
    let family = gauge(
        "autom8_slo_objective_ratio",
        "ratio",
        "Share of events that must be good.",
    );
    exposition.family(family, |samples| {
        for slo in &figures.slos {
            samples.value(&[("slo", &slo.id)], slo.objective_percent / 100.0);
        }
    });
    let family = counter("autom8_slo_events", "", "Events judged by the objective.");
    exposition.family(family, |samples| {
        for slo in &figures.slos {
            samples.count(&[("slo", &slo.id)], slo.since_start.total);
        }
    });
    let family = counter(
        "autom8_slo_bad_events",
        "",
        "Events that were not good, exactly.",
    );
    exposition.family(family, |samples| {
        for slo in &figures.slos {
            samples.count(&[("slo", &slo.id)], slo.since_start.bad);
        }
    });
    let family = gauge(
        "autom8_slo_breached",
        "",
        "1 while the objective is breached over an hour.",
    );
    exposition.family(family, |samples| {
        for slo in &figures.slos {
            let is_breached = slo.state == SloState::Breached;
            samples.count(&[("slo", &slo.id)], u64::from(is_breached));
        }
    });
}
