//! From the probes' readings to the JSON of `/api/v1/metrics/system`.

use std::borrow::Cow;

use autom8_api::telemetry::{
    CpuView, DiskTotals, DiskView, FsyncView, MemoryView, PressureView, ProcessView, Scope,
    SystemFigures,
};
use autom8_performance::probes::SystemReading;
use autom8_performance::probes::disk::DiskStats;
use autom8_performance::probes::filesystem::FilesystemReading;
use autom8_performance::probes::pressure::{PressureReading, PressureScope, StallLine};
use autom8_performance::probes::reading::{Reading, percent, round};

use super::gaps::Gaps;

const MEBIBYTE: f64 = 1_048_576.0;
const GIBIBYTE: f64 = 1_073_741_824.0;

/// Whose figures a sample has.
pub(super) fn scope(reading: &SystemReading) -> Scope {
    let is_limited = reading.grant.source != "cpus" || reading.cgroup.memory_limit_bytes.is_ok();
    if is_limited {
        Scope::Cgroup
    } else {
        Scope::Host
    }
}

/// The sections of a sample; `path` is the data directory as it was given.
pub(super) fn figures(
    reading: &SystemReading,
    fsync: FsyncView,
    path: &str,
    gaps: &mut Gaps,
) -> SystemFigures {
    SystemFigures {
        cpu: cpu(reading, gaps),
        process: process(reading, gaps),
        memory: memory(reading, gaps),
        disk: disk(reading, fsync, path, gaps),
    }
}

fn cpu(reading: &SystemReading, gaps: &mut Gaps) -> CpuView {
    let cpu = &reading.cpu;
    let mut of =
        |field: &str, reading: &Reading<f64>| gaps.settle(&format!("cpu.{field}"), reading.clone());
    let load = |nth: usize| {
        cpu.load
            .as_ref()
            .map(|load| load[nth])
            .map_err(Clone::clone)
    };
    CpuView {
        percent: of("percent", &cpu.percent),
        effective_count: of("effective_count", &reading.grant.effective_cpus),
        percent_of_quota: of("percent_of_quota", &reading.grant.percent),
        quota_source: Cow::Borrowed(reading.grant.source),
        user_percent: of("user_percent", &cpu.user_percent),
        system_percent: of("system_percent", &cpu.system_percent),
        iowait_percent: of("iowait_percent", &cpu.iowait_percent),
        steal_percent: of("steal_percent", &cpu.steal_percent),
        load_1m: of("load_1m", &load(0)),
        load_5m: of("load_5m", &load(1)),
        load_15m: of("load_15m", &load(2)),
        context_switches_per_s: of("context_switches_per_s", &cpu.context_switches_per_s),
        throttled_ms_per_s: of("throttled_ms_per_s", &reading.cgroup.throttled_ms_per_s),
        count: gaps.settle("cpu.count", cpu.count.clone()),
        per_core_percent: gaps.settle("cpu.per_core_percent", cpu.per_core_percent.clone()),
        pressure: pressure("cpu.pressure", &reading.cpu_pressure, gaps),
    }
}

fn process(reading: &SystemReading, gaps: &mut Gaps) -> ProcessView {
    let process = &reading.process;
    let mut number = |field: &str, reading: &Reading<u64>| {
        gaps.settle(&format!("process.{field}"), reading.clone())
    };
    let (rss_bytes, peak_rss_bytes) = (
        number("rss_bytes", &process.rss_bytes),
        number("peak_rss_bytes", &process.peak_rss_bytes),
    );
    let pss_bytes = number("pss_bytes", &process.pss_bytes);
    let virtual_bytes = number("virtual_bytes", &process.virtual_bytes);
    let swap_bytes = number("swap_bytes", &process.swap_bytes);
    let threads = number("threads", &process.threads);
    let open_fds = number("open_fds", &process.open_fds);
    let max_fds = number("max_fds", &process.max_fds);
    let mut rate = |field: &str, reading: &Reading<f64>| {
        gaps.settle(&format!("process.{field}"), reading.clone())
    };
    ProcessView {
        pid: process.pid,
        uptime_s: rate("uptime_s", &process.uptime_s),
        cpu_percent: rate("cpu_percent", &process.cpu_percent),
        rss_bytes,
        peak_rss_bytes,
        pss_bytes,
        virtual_bytes,
        swap_bytes,
        threads,
        open_fds,
        max_fds,
        run_queue_delay_ms_per_s: rate(
            "run_queue_delay_ms_per_s",
            &process.run_queue_delay_ms_per_s,
        ),
        context_switches_per_s: rate("context_switches_per_s", &process.context_switches_per_s),
        minor_faults_per_s: rate("minor_faults_per_s", &process.minor_faults_per_s),
        major_faults_per_s: rate("major_faults_per_s", &process.major_faults_per_s),
        read_bytes_per_s: rate("read_bytes_per_s", &process.read_bytes_per_s),
        write_bytes_per_s: rate("write_bytes_per_s", &process.write_bytes_per_s),
    }
}

fn memory(reading: &SystemReading, gaps: &mut Gaps) -> MemoryView {
    let (memory, cgroup) = (&reading.memory, &reading.cgroup);
    let used = memory
        .total_bytes
        .clone()
        .and_then(|total| Ok(total.saturating_sub(memory.available_bytes.clone()?)));
    let share = used
        .clone()
        .and_then(|used| Ok(percent(used as f64, memory.total_bytes.clone()? as f64)));
    let megabytes = |bytes: &Reading<u64>| {
        bytes
            .as_ref()
            .map(|bytes| round(*bytes as f64 / MEBIBYTE, 2))
            .map_err(Clone::clone)
    };
    let total_mb = gaps.settle("memory.total_mb", megabytes(&memory.total_bytes));
    let available_mb = gaps.settle("memory.available_mb", megabytes(&memory.available_bytes));
    let used_mb = gaps.settle("memory.used_mb", megabytes(&used));
    let percent = gaps.settle("memory.percent", share);
    let mut number = |field: &str, reading: &Reading<u64>| {
        gaps.settle(&format!("memory.{field}"), reading.clone())
    };
    MemoryView {
        total_mb,
        available_mb,
        used_mb,
        percent,
        total_bytes: number("total_bytes", &memory.total_bytes),
        available_bytes: number("available_bytes", &memory.available_bytes),
        used_bytes: number("used_bytes", &used),
        host_total_bytes: number("host_total_bytes", &memory.host_total_bytes),
        limit_bytes: number("limit_bytes", &cgroup.memory_limit_bytes),
        working_set_bytes: number("working_set_bytes", &cgroup.working_set_bytes),
        swap_total_bytes: number("swap_total_bytes", &memory.swap_total_bytes),
        swap_used_bytes: number("swap_used_bytes", &memory.swap_used_bytes),
        oom_kills: number("oom_kills", &cgroup.oom_kills),
        limit_source: gaps
            .settle("memory.limit_source", cgroup.memory_limit_source.clone())
            .map(Cow::Borrowed),
        pressure: pressure("memory.pressure", &reading.memory_pressure, gaps),
    }
}

fn disk(reading: &SystemReading, fsync: FsyncView, path: &str, gaps: &mut Gaps) -> DiskView {
    let (disk, room) = (&reading.disk, &reading.filesystem);
    let of_room =
        |part: fn(&FilesystemReading) -> u64| room.as_ref().map(part).map_err(Clone::clone);
    let gigabytes = |bytes: Reading<u64>| bytes.map(|bytes| round(bytes as f64 / GIBIBYTE, 3));
    let (total, used) = (
        of_room(|room| room.total_bytes),
        of_room(|room| room.used_bytes),
    );
    let (free, available) = (
        of_room(|room| room.free_bytes),
        of_room(|room| room.available_bytes),
    );
    let inodes = room.clone().and_then(|room| room.inodes_free_percent);
    let mut of =
        |field: &str, reading: Reading<f64>| gaps.settle(&format!("disk.{field}"), reading);
    let total_gb = of("total_gb", gigabytes(total.clone()));
    let used_gb = of("used_gb", gigabytes(used.clone()));
    let free_gb = of("free_gb", gigabytes(available.clone()));
    let percent = of("percent", room.clone().map(|room| room.percent));
    let inodes_free_percent = of("inodes_free_percent", inodes);
    let read_latency_ms = of("read_latency_ms", disk.read_latency_ms.clone());
    let write_latency_ms = of("write_latency_ms", disk.write_latency_ms.clone());
    let flush_latency_ms = of("flush_latency_ms", disk.flush_latency_ms.clone());
    let read_iops = of("read_iops", disk.read_iops.clone());
    let write_iops = of("write_iops", disk.write_iops.clone());
    let read_bytes_per_s = of("read_bytes_per_s", disk.read_bytes_per_s.clone());
    let write_bytes_per_s = of("write_bytes_per_s", disk.write_bytes_per_s.clone());
    let busy_percent = of("busy_percent", disk.busy_percent.clone());
    let queue_depth = of("queue_depth", disk.queue_depth.clone());
    if fsync.count == 0 {
        for figure in ["p50_ms", "p95_ms", "p99_ms", "max_ms"] {
            gaps.note(&format!("disk.fsync.{figure}"), "no commit in the window");
        }
    }
    let totals = gaps
        .settle("disk.totals", disk.totals.clone())
        .map(disk_totals);
    if totals
        .as_ref()
        .is_some_and(|totals| totals.flushes.is_none())
    {
        for figure in ["flushes", "flush_time_ms"] {
            gaps.note(
                &format!("disk.totals.{figure}"),
                "this kernel does not count flushes",
            );
        }
    }
    DiskView {
        path: path.to_owned(),
        filesystem: gaps.settle("disk.filesystem", reading.filesystem_type.clone()),
        device: gaps.settle("disk.device", disk.device.clone()),
        total_gb,
        used_gb,
        free_gb,
        percent,
        total_bytes: gaps.settle("disk.total_bytes", total),
        used_bytes: gaps.settle("disk.used_bytes", used),
        free_bytes: gaps.settle("disk.free_bytes", free),
        available_bytes: gaps.settle("disk.available_bytes", available),
        inodes_free_percent,
        read_latency_ms,
        write_latency_ms,
        flush_latency_ms,
        read_iops,
        write_iops,
        read_bytes_per_s,
        write_bytes_per_s,
        busy_percent,
        queue_depth,
        totals,
        fsync,
        pressure: pressure("disk.pressure", &reading.io_pressure, gaps),
    }
}

fn disk_totals(totals: DiskStats) -> DiskTotals {
    DiskTotals {
        reads: totals.reads,
        read_bytes: totals.read_bytes,
        read_time_ms: totals.read_time_ms,
        writes: totals.writes,
        write_bytes: totals.write_bytes,
        write_time_ms: totals.write_time_ms,
        flushes: totals.flushes.map(|(count, _)| count),
        flush_time_ms: totals.flushes.map(|(_, time_ms)| time_ms),
        busy_time_ms: totals.busy_time_ms,
    }
}

fn pressure(
    section: &str,
    reading: &Reading<PressureReading>,
    gaps: &mut Gaps,
) -> Option<PressureView> {
    let reading = gaps.settle(section, reading.clone())?;
    let full = reading.full;
    let of_full = |part: fn(&StallLine) -> f64| full.as_ref().map(part).map_err(Clone::clone);
    let mut of =
        |field: &str, reading: Reading<f64>| gaps.settle(&format!("{section}.{field}"), reading);
    Some(PressureView {
        scope: match reading.scope {
            PressureScope::Host => Scope::Host,
            PressureScope::Cgroup => Scope::Cgroup,
        },
        some_avg10_percent: reading.some.avg10,
        some_avg60_percent: reading.some.avg60,
        some_avg300_percent: reading.some.avg300,
        some_ms_per_s: of("some_ms_per_s", reading.some_ms_per_s),
        some_total_s: reading.some.total_s(),
        full_avg10_percent: of("full_avg10_percent", of_full(|line| line.avg10)),
        full_avg60_percent: of("full_avg60_percent", of_full(|line| line.avg60)),
        full_avg300_percent: of("full_avg300_percent", of_full(|line| line.avg300)),
        full_ms_per_s: of("full_ms_per_s", reading.full_ms_per_s),
        full_total_s: of("full_total_s", of_full(StallLine::total_s)),
    })
}
