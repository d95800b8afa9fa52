//! `GET /api/v1/metrics/system`: the hardware, as this process may use it.

use std::borrow::Cow;

use autom8_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::Unavailable;

/// The format of [`SystemReport`]; it rises when a key changes its meaning.
pub const SYSTEM_SCHEMA: &str = "autom8.system/1";

#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SystemReport {
    pub schema: Cow<'static, str>,
    pub timestamp: Timestamp,
    /// Age of the figures as this text was written; the header `X-Sample-Age-Ms` tells the age as
    /// it was sent.
    pub age_ms: u64,
    /// Time between the two samples that rates and shares are of.
    pub interval_ms: Option<f64>,
    pub scope: Scope,
    #[serde(flatten)]
    pub figures: SystemFigures,
    pub runtime: RuntimeView,
    /// Null unless the build's allocator keeps count.
    pub allocator: Option<AllocatorView>,
    /// Processes that run tasks for this server.
    pub workers: Vec<u32>,
    pub unavailable: Vec<Unavailable>,
}

/// Whose figures they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = MeasuredScope))]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The whole machine: nothing limits this process.
    Host,
    /// A control group limits CPU or memory.
    Cgroup,
}

/// The four sections that the report shows too.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SystemFigures {
    pub cpu: CpuView,
    pub process: ProcessView,
    pub memory: MemoryView,
    pub disk: DiskView,
}

/// Percentages are of all CPUs together unless the key says otherwise.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CpuView {
    pub percent: Option<f64>,
    pub count: Option<u64>,
    /// CPUs' worth of time that this process may use: affinity and quota considered.
    pub effective_count: Option<f64>,
    pub per_core_percent: Option<Vec<f64>>,
    /// Used share of what is granted: the group's use of its quota, or, without a quota, the busy
    /// share of the CPUs that this process may run on.
    pub percent_of_quota: Option<f64>,
    /// `cgroup2:cpu.max`, `cgroup1:cpu.cfs_quota_us`, or `cpus` where there is no quota.
    pub quota_source: Cow<'static, str>,
    pub user_percent: Option<f64>,
    pub system_percent: Option<f64>,
    pub iowait_percent: Option<f64>,
    pub steal_percent: Option<f64>,
    pub load_1m: Option<f64>,
    pub load_5m: Option<f64>,
    pub load_15m: Option<f64>,
    pub context_switches_per_s: Option<f64>,
    pub throttled_ms_per_s: Option<f64>,
    pub pressure: Option<PressureView>,
}

/// `cpu_percent` is of one CPU: 100 is one CPU kept busy.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ProcessView {
    pub pid: u32,
    pub uptime_s: Option<f64>,
    pub cpu_percent: Option<f64>,
    pub rss_bytes: Option<u64>,
    pub peak_rss_bytes: Option<u64>,
    /// Shared pages divided among those who share them; measured once a minute.
    pub pss_bytes: Option<u64>,
    pub virtual_bytes: Option<u64>,
    pub swap_bytes: Option<u64>,
    pub threads: Option<u64>,
    pub open_fds: Option<u64>,
    pub max_fds: Option<u64>,
    /// Time the threads were ready and waited for a CPU.
    pub run_queue_delay_ms_per_s: Option<f64>,
    pub context_switches_per_s: Option<f64>,
    pub minor_faults_per_s: Option<f64>,
    pub major_faults_per_s: Option<f64>,
    pub read_bytes_per_s: Option<f64>,
    pub write_bytes_per_s: Option<f64>,
}

/// `_mb` is 2^20 bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MemoryView {
    pub total_mb: Option<f64>,
    pub available_mb: Option<f64>,
    pub used_mb: Option<f64>,
    /// Used share of `total`.
    pub percent: Option<f64>,
    /// The machine's memory or the group's limit, whichever is less.
    pub total_bytes: Option<u64>,
    /// What this process can still get.
    pub available_bytes: Option<u64>,
    pub used_bytes: Option<u64>,
    pub host_total_bytes: Option<u64>,
    pub limit_bytes: Option<u64>,
    pub limit_source: Option<Cow<'static, str>>,
    pub working_set_bytes: Option<u64>,
    pub swap_total_bytes: Option<u64>,
    pub swap_used_bytes: Option<u64>,
    pub oom_kills: Option<u64>,
    pub pressure: Option<PressureView>,
}

/// The file system of the data directory and the device below it. `_gb` is 2^30 bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DiskView {
    /// The data directory, as it was given.
    pub path: String,
    pub filesystem: Option<String>,
    pub device: Option<String>,
    pub total_gb: Option<f64>,
    pub used_gb: Option<f64>,
    /// What this process may still write.
    pub free_gb: Option<f64>,
    /// Used share of what this process may use in all.
    pub percent: Option<f64>,
    pub total_bytes: Option<u64>,
    pub used_bytes: Option<u64>,
    /// Free blocks, those reserved for the administrator included.
    pub free_bytes: Option<u64>,
    pub available_bytes: Option<u64>,
    pub inodes_free_percent: Option<f64>,
    /// Means over the interval, by the kernel's clock of whole milliseconds.
    pub read_latency_ms: Option<f64>,
    pub write_latency_ms: Option<f64>,
    pub flush_latency_ms: Option<f64>,
    pub read_iops: Option<f64>,
    pub write_iops: Option<f64>,
    pub read_bytes_per_s: Option<f64>,
    pub write_bytes_per_s: Option<f64>,
    /// Share of the interval in which the device had something to do.
    pub busy_percent: Option<f64>,
    /// Requests at the device on average.
    pub queue_depth: Option<f64>,
    /// What the device has done since the machine started.
    pub totals: Option<DiskTotals>,
    /// The store's own commits, sync included: the write latency that users feel.
    pub fsync: FsyncView,
    pub pressure: Option<PressureView>,
}

/// Cumulative, as `/proc/diskstats` tells them; times wrap at 2^32 ms.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DiskTotals {
    pub reads: u64,
    pub read_bytes: u64,
    pub read_time_ms: u64,
    pub writes: u64,
    pub write_bytes: u64,
    pub write_time_ms: u64,
    /// Kernels before 5.5 do not count flushes.
    pub flushes: Option<u64>,
    pub flush_time_ms: Option<u64>,
    pub busy_time_ms: u64,
}

/// Commits of the last five minutes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FsyncView {
    pub window: Cow<'static, str>,
    pub count: u64,
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub max_ms: Option<f64>,
}

/// How long work waited for a resource: `some` task waited, or all of them (`full`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PressureView {
    pub scope: Scope,
    pub some_avg10_percent: f64,
    pub some_avg60_percent: f64,
    pub some_avg300_percent: f64,
    pub some_ms_per_s: Option<f64>,
    pub some_total_s: f64,
    pub full_avg10_percent: Option<f64>,
    pub full_avg60_percent: Option<f64>,
    pub full_avg300_percent: Option<f64>,
    pub full_ms_per_s: Option<f64>,
    pub full_total_s: Option<f64>,
}

/// The threads that answer requests and drive runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RuntimeView {
    pub workers: Option<u64>,
    /// Busy share of each worker thread.
    pub busy_percent: Option<Vec<f64>>,
    pub alive_tasks: Option<u64>,
    pub global_queue_depth: Option<u64>,
    /// From a task's readiness to its first instruction, over the last five minutes.
    pub scheduler_lag_ms: Option<LagView>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LagView {
    pub p50: f64,
    pub p99: f64,
}

/// The memory that the allocator has handed out, and what it holds for that.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AllocatorView {
    pub allocated_bytes: u64,
    pub resident_bytes: u64,
    /// Share of `resident_bytes` that is not handed out.
    pub fragmentation_percent: f64,
}
