//! Every metric of `/metrics`, declared once with its unit and help.
//!
//! Names are those of OpenTelemetry's semantic conventions 1.44 as Prometheus spells them; what
//! has no name there begins with `autom8_`. The histograms have bounds at 0.03 and 0.15 s beside
//! the advised ones, with exact counts, since those are the objectives.

use super::collect::Figures;
use super::exposition::{Exposition, Family, Kind, Samples};
use autom8_api::telemetry::{PressureView, SloState};
use autom8_model::RunState;
use autom8_performance::probes::reading::Reading;

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

/// Writes everything: Prometheus text, OpenMetrics text.
pub(super) fn write(figures: &Figures) -> (String, String) {
    let mut exposition = Exposition::default();
    about(figures, &mut exposition);
    http(figures, &mut exposition);
    database(figures, &mut exposition);
    tasks(figures, &mut exposition);
    objectives(figures, &mut exposition);
    cpu(figures, &mut exposition);
    process(figures, &mut exposition);
    memory(figures, &mut exposition);
    disk(figures, &mut exposition);
    runtime(figures, &mut exposition);
    exposition.finish()
}

fn gauge(name: &'static str, unit: &'static str, help: &'static str) -> Family {
    Family {
        name,
        kind: Kind::Gauge,
        unit,
        help,
    }
}

fn counter(name: &'static str, unit: &'static str, help: &'static str) -> Family {
    Family {
        name,
        kind: Kind::Counter,
        unit,
        help,
    }
}

fn histogram(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        kind: Kind::Histogram,
        unit: "seconds",
        help,
    }
}

/// A gauge without labels, left out while it is unknown.
fn single(exposition: &mut Exposition, family: Family, value: Option<f64>) {
    exposition.family(family, |samples| samples.known(&[], value));
}

fn whole(value: Option<u64>) -> Option<f64> {
    value.map(|value| value as f64)
}

fn known<T: Clone>(reading: &Reading<T>) -> Option<T> {
    reading.clone().ok()
}

/// A share as a ratio, 1 being all.
fn ratio(percent: Option<f64>) -> Option<f64> {
    percent.map(|percent| percent / 100.0)
}

fn about(figures: &Figures, exposition: &mut Exposition) {
    let family = gauge(
        "autom8_build_info",
        "",
        "Always 1; the label tells the version.",
    );
    exposition.family(family, |samples| {
        samples.value(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    });
    let family = gauge(
        "process_uptime_seconds",
        "seconds",
        "Time since the server started.",
    );
    single(exposition, family, Some(figures.uptime_s));
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
    let family = gauge(
        "http_server_active_requests",
        "",
        "Requests being answered.",
    );
    single(exposition, family, Some(figures.in_flight as f64));
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
            let exact = Some((DB_LIMIT_SECONDS, series.totals.over_threshold));
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

fn cpu(figures: &Figures, exposition: &mut Exposition) {
    let cpu = &figures.system.cpu;
    let family = gauge(
        "system_cpu_utilization_ratio",
        "ratio",
        "Busy share of all CPUs by mode.",
    );
    exposition.family(family, |samples| {
        for (mode, percent) in [
            ("user", cpu.user_percent),
            ("system", cpu.system_percent),
            ("iowait", cpu.iowait_percent),
            ("steal", cpu.steal_percent),
        ] {
            samples.known(&[("cpu_mode", mode)], ratio(percent));
        }
    });
    let family = gauge("system_cpu_logical_count", "", "CPUs of the machine.");
    single(exposition, family, whole(cpu.count));
    let family = gauge(
        "autom8_cpu_quota_utilization_ratio",
        "ratio",
        "Used share of the CPU granted.",
    );
    single(exposition, family, ratio(cpu.percent_of_quota));
    let family = gauge(
        "autom8_cpu_effective_count",
        "",
        "CPUs' worth of time granted.",
    );
    single(exposition, family, cpu.effective_count);
    let family = gauge(
        "container_cpu_usage",
        "",
        "CPUs' worth of time used by the control group.",
    );
    single(exposition, family, known(&figures.reading.cgroup.used_cpus));
    let family = gauge("autom8_system_load_1m", "", "Load average of a minute.");
    single(exposition, family, cpu.load_1m);
    pressure(
        exposition,
        counter(
            "autom8_system_pressure_cpu_seconds",
            "seconds",
            "Time in which some or all work waited for a CPU.",
        ),
        cpu.pressure.as_ref(),
    );
}

fn pressure(exposition: &mut Exposition, family: Family, view: Option<&PressureView>) {
    let Some(view) = view else { return };
    exposition.family(family, |samples| {
        samples.value(&[("stalled", "some")], view.some_total_s);
        samples.known(&[("stalled", "full")], view.full_total_s);
    });
}

fn process(figures: &Figures, exposition: &mut Exposition) {
    let (process, reading) = (&figures.system.process, &figures.reading.process);
    let family = gauge(
        "process_cpu_utilization_ratio",
        "ratio",
        "CPU time used; 1 is one CPU kept busy.",
    );
    single(exposition, family, ratio(process.cpu_percent));
    let family = counter(
        "process_cpu_time_seconds",
        "seconds",
        "CPU time used by mode.",
    );
    exposition.family(family, |samples| {
        samples.known(&[("cpu_mode", "user")], known(&reading.cpu_user_total_s));
        samples.known(
            &[("cpu_mode", "system")],
            known(&reading.cpu_system_total_s),
        );
    });
    for (name, help, value) in [
        (
            "process_memory_usage_bytes",
            "Resident set.",
            process.rss_bytes,
        ),
        (
            "process_memory_virtual_bytes",
            "Address space.",
            process.virtual_bytes,
        ),
        (
            "autom8_process_memory_peak_bytes",
            "Largest resident set so far.",
            process.peak_rss_bytes,
        ),
        (
            "autom8_process_memory_pss_bytes",
            "Proportional set, each minute.",
            process.pss_bytes,
        ),
    ] {
        single(exposition, gauge(name, "bytes", help), whole(value));
    }
    for (name, help, value) in [
        ("process_thread_count", "Threads.", process.threads),
        (
            "process_unix_file_descriptor_count",
            "Open file descriptors.",
            process.open_fds,
        ),
        (
            "autom8_process_file_descriptor_limit",
            "File descriptors allowed.",
            process.max_fds,
        ),
    ] {
        single(exposition, gauge(name, "", help), whole(value));
    }
    let family = counter(
        "process_context_switches",
        "",
        "Times a thread was given a CPU.",
    );
    exposition.family(family, |samples| {
        samples.known(&[], whole(known(&reading.context_switches_total)));
    });
    let family = counter("process_paging_faults", "", "Page faults.");
    exposition.family(family, |samples| {
        let kinds = [
            ("minor", &reading.minor_faults_total),
            ("major", &reading.major_faults_total),
        ];
        for (kind, total) in kinds {
            samples.known(&[("system_paging_fault_type", kind)], whole(known(total)));
        }
    });
}

fn memory(figures: &Figures, exposition: &mut Exposition) {
    let memory = &figures.system.memory;
    let family = gauge(
        "system_memory_usage_bytes",
        "bytes",
        "Memory of the machine or its limit by state.",
    );
    exposition.family(family, |samples| {
        samples.known(&[("system_memory_state", "used")], whole(memory.used_bytes));
        samples.known(
            &[("system_memory_state", "free")],
            whole(memory.available_bytes),
        );
    });
    for (name, help, value) in [
        (
            "system_memory_linux_available_bytes",
            "Memory that this process can still get.",
            memory.available_bytes,
        ),
        (
            "autom8_memory_limit_bytes",
            "Limit of the control group.",
            memory.limit_bytes,
        ),
        (
            "container_memory_working_set_bytes",
            "Memory of the control group less inactive file pages.",
            memory.working_set_bytes,
        ),
        (
            "autom8_swap_used_bytes",
            "Swap used on the machine.",
            memory.swap_used_bytes,
        ),
    ] {
        single(exposition, gauge(name, "bytes", help), whole(value));
    }
    let family = counter(
        "autom8_memory_oom_kills",
        "",
        "Processes killed for lack of memory.",
    );
    exposition.family(family, |samples| {
        samples.known(&[], whole(memory.oom_kills))
    });
    pressure(
        exposition,
        counter(
            "autom8_system_pressure_memory_seconds",
            "seconds",
            "Time in which some or all work waited for memory.",
        ),
        memory.pressure.as_ref(),
    );
}

fn disk(figures: &Figures, exposition: &mut Exposition) {
    let disk = &figures.system.disk;
    let family = gauge(
        "system_filesystem_usage_bytes",
        "bytes",
        "Room on the data directory's file system by state.",
    );
    exposition.family(family, |samples| {
        let reserved = disk
            .free_bytes
            .zip(disk.available_bytes)
            .map(|(free, open)| free.saturating_sub(open));
        for (state, bytes) in [
            ("used", disk.used_bytes),
            ("free", disk.available_bytes),
            ("reserved", reserved),
        ] {
            samples.known(&[("system_filesystem_state", state)], whole(bytes));
        }
    });
    if let (Some(device), Some(totals)) = (&disk.device, &disk.totals) {
        let directions = |samples: &mut Samples<'_>, values: [(&str, Option<f64>); 3]| {
            for (direction, value) in values {
                let labels = [
                    ("system_device", &**device),
                    ("disk_io_direction", direction),
                ];
                samples.known(&labels, value);
            }
        };
        let seconds = |ms: u64| Some(ms as f64 / 1_000.0);
        let family = counter("system_disk_io_bytes", "bytes", "Bytes moved by direction.");
        exposition.family(family, |samples| {
            let read = ("read", Some(totals.read_bytes as f64));
            directions(
                samples,
                [
                    read,
                    ("write", Some(totals.write_bytes as f64)),
                    ("flush", None),
                ],
            );
        });
        let family = counter("system_disk_operations", "", "Operations by direction.");
        exposition.family(family, |samples| {
            let flushes = ("flush", whole(totals.flushes));
            let (reads, writes) = (Some(totals.reads as f64), Some(totals.writes as f64));
            directions(samples, [("read", reads), ("write", writes), flushes]);
        });
        let family = counter(
            "system_disk_operation_time_seconds",
            "seconds",
            "Time of operations by direction, added up.",
        );
        exposition.family(family, |samples| {
            let flush = ("flush", totals.flush_time_ms.and_then(seconds));
            let (read, write) = (seconds(totals.read_time_ms), seconds(totals.write_time_ms));
            directions(samples, [("read", read), ("write", write), flush]);
        });
        let family = counter(
            "system_disk_io_time_seconds",
            "seconds",
            "Time in which the device had something to do.",
        );
        exposition.family(family, |samples| {
            samples.known(&[("system_device", device)], seconds(totals.busy_time_ms));
        });
    }
    pressure(
        exposition,
        counter(
            "autom8_system_pressure_io_seconds",
            "seconds",
            "Time in which some or all work waited for a device.",
        ),
        disk.pressure.as_ref(),
    );
}

fn runtime(figures: &Figures, exposition: &mut Exposition) {
    let runtime = &figures.runtime;
    for (name, help, value) in [
        ("autom8_runtime_workers", "Worker threads.", runtime.workers),
        (
            "autom8_runtime_alive_tasks",
            "Tasks that have not ended.",
            runtime.alive_tasks,
        ),
        (
            "autom8_runtime_global_queue_depth",
            "Tasks that no worker has taken yet.",
            runtime.global_queue_depth,
        ),
    ] {
        single(exposition, gauge(name, "", help), whole(value));
    }
    let family = gauge(
        "autom8_runtime_busy_ratio",
        "ratio",
        "Busy share of a worker thread.",
    );
    exposition.family(family, |samples| {
        for (worker, percent) in runtime.busy_percent.iter().flatten().enumerate() {
            samples.value(&[("worker", &worker.to_string())], percent / 100.0);
        }
    });
}
