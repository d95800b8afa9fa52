//! The machine, this process and its runtime. A figure that is unknown has no sample.

use autom8_api::telemetry::PressureView;
use autom8_performance::probes::reading::Reading;

use super::super::collect::Figures;
use super::super::exposition::{Exposition, Family, Samples};
use super::{counter, gauge, single, whole};

pub(super) fn write(figures: &Figures, exposition: &mut Exposition) {
    cpu(figures, exposition);
    process(figures, exposition);
    memory(figures, exposition);
    disk(figures, exposition);
    runtime(figures, exposition);
}

fn known<T: Clone>(reading: &Reading<T>) -> Option<T> {
    reading.clone().ok()
}

/// A share as a ratio, 1 being all.
fn ratio(percent: Option<f64>) -> Option<f64> {
    percent.map(|percent| percent / 100.0)
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
