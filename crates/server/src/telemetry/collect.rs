//! Gathers what one second knows: the probes, the recorders, the store's counters.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use autom8_api::task_log::RunWindow;
use autom8_api::telemetry::{
    CacheView, FsyncView, RateLimitView, RuntimeView, Scope, SloView, SystemFigures, Unavailable,
};
use autom8_model::{Monotonic, TaskType, Timestamp};
use autom8_performance::cache::CacheStatistics;
use autom8_performance::probes::reading::{Interval, percent, round};
use autom8_performance::probes::{Probes, SystemReading};
use autom8_performance::recorder::Window;
use autom8_performance::slo::timeslices::Timeslices;
use autom8_performance::slo::{
    API_AVAILABILITY, API_LATENCY, CPU, DB_LATENCY, TASK_START, Threshold,
};
use autom8_store::{Statement, Store, Totals};

use super::gaps::Gaps;
use super::objectives::{self, Bad, Evidence};
use super::routes::RouteBook;
use super::runtime::RuntimeProbe;
use super::series::{SeriesFigures, SeriesReader, rounded};
use super::verdict::VitalSigns;
use super::{AuthenticationFailure, StatementBook, Telemetry, system};

/// Commits below this say nothing about the disk.
const COMMITS_MIN: u64 = 20;

/// What one second knows. Everything published is written from it.
pub(super) struct Figures {
    pub(super) timestamp: Timestamp,
    pub(super) uptime_s: f64,
    pub(super) interval_ms: Option<f64>,
    pub(super) scope: Scope,
    pub(super) reading: SystemReading,
    pub(super) system: SystemFigures,
    pub(super) system_gaps: Vec<Unavailable>,
    pub(super) runtime: RuntimeView,
    pub(super) runtime_gaps: Vec<Unavailable>,
    pub(super) routes: Vec<RouteFigures>,
    pub(super) by_status: BTreeMap<u16, u64>,
    pub(super) in_flight: u64,
    /// By reason.
    pub(super) authentication_failures: [(&'static str, u64); AuthenticationFailure::ALL.len()],
    pub(super) statements: Vec<(Statement, SeriesFigures)>,
    pub(super) claims: SeriesFigures,
    pub(super) commit: SeriesFigures,
    pub(super) rows_total: u64,
    pub(super) writes_waiting: u64,
    pub(super) runs: Vec<RunFigures>,
    pub(super) run_window: Option<RunWindow>,
    pub(super) totals: Totals,
    pub(super) slos: Vec<SloView>,
    /// None where the rate limit is off.
    pub(super) rate_limit: Option<RateLimitView>,
    pub(super) cache: Vec<CacheView>,
    pub(super) signs: VitalSigns,
}

pub(super) struct RouteFigures {
    pub(super) method: String,
    pub(super) template: String,
    pub(super) is_monitoring: bool,
    pub(super) series: SeriesFigures,
}

pub(super) struct RunFigures {
    pub(super) task_type: TaskType,
    pub(super) wait: SeriesFigures,
    pub(super) run: SeriesFigures,
    pub(super) total: SeriesFigures,
}

/// What the collector keeps from second to second.
pub(super) struct Collector {
    telemetry: Arc<Telemetry>,
    store: Arc<dyn Store>,
    data_directory: String,
    probes: Probes,
    runtime: RuntimeProbe,
    cpu_minutes: Timeslices,
    routes: SeriesReader,
    statements: SeriesReader,
    commits: SeriesReader,
    waits: SeriesReader,
    runs: SeriesReader,
    totals: SeriesReader,
}

impl Collector {
    /// Call it on the server's runtime, which is then watched too.
    pub(super) fn new(
        telemetry: Arc<Telemetry>,
        store: Arc<dyn Store>,
        data_directory: &Path,
    ) -> Self {
        let cpu_limit_percent = match CPU.threshold {
            Threshold::UtilisationPercent { limit, .. } => limit,
            Threshold::LatencyMs { .. } | Threshold::Failure => 100.0,
        };
        Collector {
            runtime: RuntimeProbe::here(Arc::clone(&telemetry.clock)),
            probes: Probes::open(data_directory),
            data_directory: data_directory.display().to_string(),
            cpu_minutes: Timeslices::new(cpu_limit_percent),
            routes: SeriesReader::default(),
            statements: SeriesReader::default(),
            commits: SeriesReader::default(),
            waits: SeriesReader::default(),
            runs: SeriesReader::default(),
            totals: SeriesReader::default(),
            telemetry,
            store,
        }
    }

    pub(super) fn collect(&mut self, now: Monotonic) -> Figures {
        let telemetry = Arc::clone(&self.telemetry);
        let now_micros = now.as_micros();
        telemetry.routes.recorder.rotate(now_micros);
        telemetry.statements.rotate(now_micros);
        telemetry.runs.rotate(now_micros);

        let reading = self.probes.sample(now_micros);
        self.cpu_minutes
            .note(now_micros, reading.grant.percent.clone().ok());
        let commit = self
            .commits
            .read(telemetry.statements.commit_series(), now_micros);
        let (mut system_gaps, mut runtime_gaps) = (Gaps::default(), Gaps::default());
        let fsync = fsync(&commit);
        let system = system::figures(&reading, fsync, &self.data_directory, &mut system_gaps);
        let runtime = self.runtime.sample(now, &mut runtime_gaps);
        let routes = self.routes(&telemetry, now_micros);
        let statements: Vec<_> = telemetry
            .statements
            .series()
            .map(|(statement, series)| (statement, self.statements.read(series, now_micros)))
            .collect();
        let claims = self
            .statements
            .read(telemetry.statements.claims(), now_micros);
        let runs: Vec<_> = telemetry
            .runs
            .by_type()
            .iter()
            .map(|series| RunFigures {
                task_type: series.task_type,
                wait: self.waits.read(&series.wait, now_micros),
                run: self.runs.read(&series.run, now_micros),
                total: self.totals.read(&series.total, now_micros),
            })
            .collect();
        let uptime_s = round(now.since(telemetry.started).as_secs_f64(), 3);
        let slos = self.slos(&routes, &statements, &runs, now_micros, uptime_s);
        let writes_waiting = telemetry.statements.waiting_commands();
        Figures {
            signs: self.signs(&system, &runtime, writes_waiting),
            timestamp: telemetry.clock.now(),
            uptime_s,
            interval_ms: reading.interval.clone().ok().map(Interval::millis),
            scope: system::scope(&reading),
            system_gaps: system_gaps.into_list(),
            runtime_gaps: runtime_gaps.into_list(),
            by_status: telemetry.routes.statuses.counts().collect(),
            in_flight: telemetry.in_flight.count(),
            authentication_failures: telemetry.authentication.counts(),
            rows_total: telemetry.statements.rows_total(),
            run_window: telemetry.runs.window(Window::FiveMinutes, now_micros),
            totals: self.store.totals(),
            rate_limit: rate_limit(&telemetry, now),
            cache: cache(&telemetry),
            reading,
            system,
            runtime,
            routes,
            statements,
            claims,
            commit,
            writes_waiting,
            runs,
            slos,
        }
    }

    fn routes(&mut self, telemetry: &Telemetry, now_micros: u64) -> Vec<RouteFigures> {
        let series = telemetry.routes.recorder.all();
        let figures = series.iter().map(|series| {
            let key = series.key();
            let (method, template) = key.split_once(' ').unwrap_or(("", key));
            RouteFigures {
                method: method.to_owned(),
                template: template.to_owned(),
                is_monitoring: RouteBook::is_monitoring(method, template),
                series: self.routes.read(series, now_micros),
            }
        });
        figures.collect()
    }

    fn slos(
        &self,
        routes: &[RouteFigures],
        statements: &[(Statement, SeriesFigures)],
        runs: &[RunFigures],
        now_micros: u64,
        uptime_s: f64,
    ) -> Vec<SloView> {
        let requests = || {
            routes
                .iter()
                .filter(|route| !route.is_monitoring)
                .map(|route| &route.series)
        };
        let quick = statements
            .iter()
            .filter(|(statement, _)| StatementBook::is_to_be_quick(*statement))
            .map(|(_, series)| series);
        let waits = runs.iter().map(|run| &run.wait);
        [
            (API_LATENCY, Evidence::of(requests(), Bad::Slow)),
            (DB_LATENCY, Evidence::of(quick, Bad::Slow)),
            (API_AVAILABILITY, Evidence::of(requests(), Bad::Failed)),
            (CPU, Evidence::of_minutes(&self.cpu_minutes, now_micros)),
            (TASK_START, Evidence::of(waits, Bad::Slow)),
        ]
        .iter()
        .map(|(objective, evidence)| objectives::view(objective, evidence, uptime_s))
        .collect()
    }

    fn signs(
        &self,
        system: &SystemFigures,
        runtime: &RuntimeView,
        writes_waiting: u64,
    ) -> VitalSigns {
        let fds = system.process.open_fds.zip(system.process.max_fds);
        let fsync = &system.disk.fsync;
        VitalSigns {
            cpu_minute_percent_of_quota: self.cpu_minutes.latest_mean_percent(),
            memory_percent: system.memory.percent,
            disk_percent: system.disk.percent,
            inodes_free_percent: system.disk.inodes_free_percent,
            fds_percent: fds.map(|(open, max)| percent(open as f64, max as f64)),
            fsync_p99_ms: fsync.p99_ms.filter(|_| fsync.count >= COMMITS_MIN),
            scheduler_lag_p99_ms: runtime.scheduler_lag_ms.as_ref().map(|lag| lag.p99),
            writes_waiting: Some(writes_waiting as f64),
        }
    }
}

fn cache(telemetry: &Telemetry) -> Vec<CacheView> {
    let layers = telemetry.contacts.get().map(|cache| cache.statistics());
    let view = |(name, statistics): (&str, CacheStatistics)| CacheView {
        name: name.to_owned(),
        hits: statistics.hits,
        misses: statistics.misses,
        coalesced: statistics.coalesced,
        evictions: statistics.evictions,
        size: statistics.entries as u64,
        bytes: statistics.weight,
    };
    layers.into_iter().flatten().map(view).collect()
}

/// The limiter's figures; on the way it forgets who is idle.
fn rate_limit(telemetry: &Telemetry, now: Monotonic) -> Option<RateLimitView> {
    let limits = telemetry.limits.get()?;
    limits.sweep(now);
    let statistics = limits.statistics();
    Some(RateLimitView {
        policy: limits.shown(),
        allowed_total: statistics.allowed_total,
        limited_total: statistics.limited_total,
        evicted_total: statistics.evicted_live_total,
        clients: statistics.clients as u64,
        memory_bytes: statistics.memory_bytes as u64,
    })
}

fn fsync(commit: &SeriesFigures) -> FsyncView {
    let recent = commit.recent.summary();
    FsyncView {
        window: "5m".into(),
        count: recent.count,
        p50_ms: rounded(recent.p50_ms),
        p95_ms: rounded(recent.p95_ms),
        p99_ms: rounded(recent.p99_ms),
        max_ms: rounded(recent.max_ms),
    }
}
