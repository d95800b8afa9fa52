//! `GET /api/v1/metrics` and the shorter answers that show parts of it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use autom8_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::{SystemFigures, Unavailable};
use crate::task_log::{ExecutionCounts, RunWindow};

/// The format of [`Report`]; it rises when a key changes its meaning.
pub const REPORT_SCHEMA: &str = "autom8.report/1";

/// The health and performance report.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Report {
    pub schema: Cow<'static, str>,
    pub status: HealthStatus,
    pub timestamp: Timestamp,
    /// Age of the figures as this text was written; the header `X-Sample-Age-Ms` tells the age as
    /// it was sent.
    pub age_ms: u64,
    pub version: Cow<'static, str>,
    pub uptime_s: f64,
    pub slo: Vec<SloView>,
    pub system: SystemFigures,
    pub http: HttpView,
    pub tasks: TasksView,
    pub database: DatabaseView,
    pub rate_limit: Option<RateLimitView>,
    pub cache: Vec<CacheView>,
    pub issues: Vec<Issue>,
    pub recommendations: Vec<Recommendation>,
    pub unavailable: Vec<Unavailable>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    Healthy,
    Warning,
    Unhealthy,
}

/// A figure beyond its limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Issue {
    pub code: Cow<'static, str>,
    pub severity: HealthStatus,
    /// Where the figure stands in the report.
    pub field: String,
    pub value: f64,
    pub limit: f64,
    pub message: String,
}

/// What to do about an issue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Recommendation {
    /// The code of the issue it mends.
    pub code: Cow<'static, str>,
    pub message: String,
}

/// `GET /api/v1/performance/health`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HealthVerdict {
    pub status: HealthStatus,
    pub timestamp: Timestamp,
    pub issues: Vec<Issue>,
    pub recommendations: Vec<Recommendation>,
}

/// `GET /api/v1/slo`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SloList {
    pub slo: Vec<SloView>,
    pub unavailable: Vec<Unavailable>,
}

/// An objective, and how it stands over the last hour.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SloView {
    pub id: Cow<'static, str>,
    pub description: Cow<'static, str>,
    pub objective_percent: f64,
    /// The threshold of a latency objective: an event is good up to and including it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_ms: Option<f64>,
    /// The limit of a utilisation objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_percent: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_percent: Option<f64>,
    pub state: SloState,
    /// The window of all figures but `burn` and `since_start`.
    pub window: Cow<'static, str>,
    /// Seconds of the window that have been covered since the start.
    pub covered_s: f64,
    pub total: u64,
    pub bad: u64,
    /// Good share of all events; null before the first.
    pub sli_percent: Option<f64>,
    /// Of a latency objective with events.
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// Bad events that the objective allows among `total`.
    pub budget_total: f64,
    /// What is left of them; below zero when overspent, null with too few events to tell.
    pub budget_remaining_percent: Option<f64>,
    /// Budget spent by window, as a multiple of what would spend all of it in the window; null
    /// where the window has too few events to tell.
    pub burn: BTreeMap<Cow<'static, str>, Option<f64>>,
    pub since_start: SloCounts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SloState {
    Met,
    /// More bad events than allowed, but so few events that it may be chance.
    AtRisk,
    Breached,
    /// Too few events to say anything; only an outage is told from twenty events on.
    InsufficientData,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SloCounts {
    pub total: u64,
    pub bad: u64,
}

/// Percentiles, maximum and rates are of the last five minutes, totals since the start.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HttpView {
    pub requests_total: u64,
    pub in_flight: u64,
    pub rate_per_s: f64,
    pub errors_per_s: f64,
    /// Requests that were not believed: without a key that was needed, or with a wrong one.
    #[serde(default)]
    pub authentication_failures_total: u64,
    #[cfg_attr(feature = "schema", schema(value_type = BTreeMap<String, u64>))]
    pub by_status: BTreeMap<u16, u64>,
    pub routes: Vec<RouteView>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RouteView {
    pub method: String,
    pub route: String,
    #[serde(flatten)]
    pub latency: LatencyView,
}

/// How long something took. `count` and the `_total`s are since the start, the rest is of the
/// last five minutes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LatencyView {
    pub count: u64,
    /// Exactly those above the threshold of the objective.
    pub over_slo_total: u64,
    pub errors_total: u64,
    pub rate_per_s: f64,
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub max_ms: Option<f64>,
}

/// Lifetime counts by the rules of `/api/v1/task_logs/stats`; `window` is of the last five
/// minutes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TasksView {
    /// Tasks that are defined.
    pub count: u64,
    #[serde(flatten)]
    pub executions: ExecutionCounts,
    /// Runs that ended within the window.
    pub recent_count: u64,
    pub queue_depth: u64,
    /// Finishes refused because their claim was no longer the live one.
    pub stale_finishes: u64,
    /// Null until a run has ended within it.
    pub window: Option<RunWindow>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DatabaseView {
    pub contacts: Option<u64>,
    /// Runs that have started, the same as `tasks.total_executions`.
    pub task_logs: u64,
    /// Rows committed since the start.
    pub rows_written_total: u64,
    pub statements: Vec<StatementView>,
    /// How long workers asked for work until they had some or gave up: long at rest, and never
    /// slow, so nothing is over an objective here.
    pub long_poll: LatencyView,
    pub pool: PoolView,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct StatementView {
    pub id: Cow<'static, str>,
    /// A write is timed to its durable commit, a read to its last row.
    pub write: bool,
    #[serde(flatten)]
    pub latency: LatencyView,
}

/// Who waits for the database.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PoolView {
    pub size: Option<u64>,
    pub in_use: Option<u64>,
    /// Writes that waited as the latest commit group started.
    pub waiters: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RateLimitView {
    /// The limit of a client whose key has none of its own, e.g. `5000 per minute`.
    pub policy: String,
    /// Requests since the start; monitoring is exempt and not counted.
    pub allowed_total: u64,
    pub limited_total: u64,
    /// Clients forgotten before their limit was full again, for want of memory.
    #[serde(default)]
    pub evicted_total: u64,
    /// Clients whose use is kept.
    #[serde(default)]
    pub clients: u64,
    #[serde(default)]
    pub memory_bytes: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CacheView {
    pub name: String,
    /// Since the start, like the other counts; answers that no longer held are misses.
    pub hits: u64,
    pub misses: u64,
    /// Misses that waited for another one's load instead of reading again.
    #[serde(default)]
    pub coalesced: u64,
    /// Entries that left for want of room.
    #[serde(default)]
    pub evictions: u64,
    /// Entries held.
    pub size: u64,
    #[serde(default)]
    pub bytes: u64,
}

/// `GET /api/v1/performance/stats`: requests of the last five minutes, monitoring left out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PerformanceStats {
    pub timestamp: Timestamp,
    pub window: Cow<'static, str>,
    pub covered_s: f64,
    pub requests_total: u64,
    pub in_flight: u64,
    /// Of the window.
    pub count: u64,
    pub errors: u64,
    pub over_slo: u64,
    pub rate_per_s: f64,
    pub mean_ms: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p90_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub max_ms: Option<f64>,
    pub routes: Vec<RouteView>,
    /// Of all layers, since the start.
    pub cache_hit_ratio_percent: Option<f64>,
    pub cache: Vec<CacheView>,
    pub unavailable: Vec<Unavailable>,
}

/// `POST /api/v1/performance/cache/clear`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CacheCleared {
    /// Names of the layers that were emptied.
    pub cleared: Vec<String>,
}
