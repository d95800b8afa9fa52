//! Healthy, warning or unhealthy: pure, so that every case is a row of a table in the test below.
//!
//! An issue names the figure and its limit, its recommendation the fix. A figure that is unknown
//! raises no issue: `unavailable[]` tells of it.

use std::borrow::Cow;

use autom8_api::telemetry::{HealthStatus, Issue, Recommendation, SloState, SloView};
use autom8_model::limits::WRITER_INBOX_COMMANDS_MAX;
use autom8_performance::probes::reading::round;

/// The figures that health is judged by.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct VitalSigns {
    /// Mean of the latest full minute.
    pub(crate) cpu_minute_percent_of_quota: Option<f64>,
    pub(crate) memory_percent: Option<f64>,
    pub(crate) disk_percent: Option<f64>,
    pub(crate) inodes_free_percent: Option<f64>,
    pub(crate) fds_percent: Option<f64>,
    pub(crate) fsync_p99_ms: Option<f64>,
    pub(crate) scheduler_lag_p99_ms: Option<f64>,
    pub(crate) writes_waiting: Option<f64>,
}

/// A judgement with what it rests on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) status: HealthStatus,
    pub(crate) issues: Vec<Issue>,
    pub(crate) recommendations: Vec<Recommendation>,
}

/// One figure, its two limits and its fix. The figure is bad from a limit on.
struct Check {
    code: &'static str,
    /// Where the figure stands in the report.
    field: &'static str,
    figure: fn(&VitalSigns) -> Option<f64>,
    warning: f64,
    unhealthy: f64,
    what: &'static str,
    unit: &'static str,
    fix: &'static str,
}

const CHECKS: [Check; 8] = [
    Check {
        code: "cpu_high",
        field: "system.cpu.percent_of_quota",
        figure: |signs| signs.cpu_minute_percent_of_quota,
        warning: 60.0,
        // A full CPU is slow and not broken: the objectives tell what it does to answers.
        unhealthy: f64::INFINITY,
        what: "the latest minute used %f of the CPU granted",
        unit: " %",
        fix: "`system.process.cpu_percent` tells whether it is this server: then spread schedules that \
              fire at the same time, run fewer tasks at once or grant more CPU; else find what \
              else runs on the machine",
    },
    Check {
        code: "memory_high",
        field: "system.memory.percent",
        figure: |signs| signs.memory_percent,
        warning: 90.0,
        unhealthy: 97.0,
        what: "memory is %f full",
        unit: " %",
        fix: "compare `system.process.rss_bytes` with `system.memory.used_bytes`: lower the number \
              of process runs at once, stop what else uses memory, or raise the limit",
    },
    Check {
        code: "disk_full",
        field: "system.disk.percent",
        figure: |signs| signs.disk_percent,
        warning: 90.0,
        unhealthy: 97.0,
        what: "the disk of the data directory is %f full",
        unit: " %",
        fix: "run the `cleanup` built-in with a shorter retention, move old backups away, or \
              enlarge the disk; writes are refused with 507 once it is full",
    },
    Check {
        code: "inodes_short",
        field: "system.disk.inodes_free_percent",
        // Judged as the used share, so that all checks look upwards.
        figure: |signs| signs.inodes_free_percent.map(|free| 100.0 - free),
        warning: 90.0,
        unhealthy: 97.0,
        what: "%f of the inodes of the data directory's disk are used",
        unit: " %",
        fix: "delete small files on that disk, or move the data directory to another one",
    },
    Check {
        code: "descriptors_short",
        field: "system.process.open_fds",
        figure: |signs| signs.fds_percent,
        warning: 80.0,
        unhealthy: 95.0,
        what: "%f of the file descriptors allowed are open",
        unit: " %",
        fix: "raise the limit (`LimitNOFILE=` of systemd, `ulimit -n`), or find the client that \
              keeps connections open",
    },
    Check {
        code: "commit_slow",
        field: "system.disk.fsync.p99_ms",
        figure: |signs| signs.fsync_p99_ms,
        warning: 30.0,
        unhealthy: 1_000.0,
        what: "the 99th percentile of commits is %f",
        unit: " ms",
        fix: "put the data directory on a disk with fast syncs (a local SSD), away from other \
              writers; `system.disk.pressure` shows who waits",
    },
    Check {
        code: "scheduler_late",
        field: "system.runtime.scheduler_lag_ms.p99",
        figure: |signs| signs.scheduler_lag_p99_ms,
        warning: 100.0,
        unhealthy: 1_000.0,
        what: "the 99th percentile of the wait for a worker thread is %f",
        unit: " ms",
        fix: "see `cpu_high`; with an idle CPU, look for the task that blocks a worker thread",
    },
    Check {
        code: "writes_waiting",
        field: "database.pool.waiters",
        figure: |signs| signs.writes_waiting,
        warning: WRITER_INBOX_COMMANDS_MAX as f64 / 4.0,
        unhealthy: WRITER_INBOX_COMMANDS_MAX as f64 * 0.9,
        what: "%f writes wait for the database",
        unit: "",
        fix: "send runs in batches (`POST /api/v1/runs/batch`), slow the clients down, or use a \
              disk with faster syncs; beyond the limit writes are refused with 503",
    },
];

/// Judges the figures and the objectives.
pub(crate) fn judge(signs: &VitalSigns, slos: &[SloView]) -> Verdict {
    let mut verdict = Verdict {
        status: HealthStatus::Healthy,
        issues: Vec::new(),
        recommendations: Vec::new(),
    };
    for check in &CHECKS {
        let Some(value) = (check.figure)(signs) else {
            continue;
        };
        let (severity, limit) = if value >= check.unhealthy {
            (HealthStatus::Unhealthy, check.unhealthy)
        } else if value >= check.warning {
            (HealthStatus::Warning, check.warning)
        } else {
            continue;
        };
        let unit = check.unit;
        let what = check.what.replace("%f", &format!("{}{unit}", plain(value)));
        verdict.raise(
            Issue {
                code: Cow::Borrowed(check.code),
                severity,
                field: check.field.to_owned(),
                value: round(value, 2),
                limit,
                message: format!("{what}; the limit is {}{unit}", plain(limit)),
            },
            check.fix,
        );
    }
    for slo in slos.iter().filter(|slo| slo.state == SloState::Breached) {
        let sli = slo.sli_percent.unwrap_or(0.0);
        // An objective of speed is a warning: answers still come. Failing answers are not.
        let is_outage = slo.id == "api-availability";
        let severity = if is_outage {
            HealthStatus::Unhealthy
        } else {
            HealthStatus::Warning
        };
        let (description, objective) = (&slo.description, plain(slo.objective_percent));
        verdict.raise(
            Issue {
                code: Cow::Owned(format!("slo_{}", slo.id.replace('-', "_"))),
                severity,
                field: format!("slo[{}].sli_percent", slo.id),
                value: sli,
                limit: slo.objective_percent,
                message: format!(
                    "{description}: {} %; the objective is {objective} %",
                    plain(sli)
                ),
            },
            remedy(&slo.id),
        );
    }
    verdict
}

impl Verdict {
    fn raise(&mut self, issue: Issue, fix: &str) {
        self.status = self.status.max(issue.severity);
        let code = issue.code.clone();
        self.recommendations.push(Recommendation {
            code,
            message: fix.to_owned(),
        });
        self.issues.push(issue);
    }
}

fn remedy(slo: &str) -> &'static str {
    match slo {
        "api-latency" => "`http.routes` names the slow routes and `/api/v1/slow_log` the requests",
        "db-latency" => {
            "`database.statements` names the slow statements; `system.disk.fsync` tells whether \
             the disk is the reason"
        }
        "api-availability" => {
            "`/api/v1/logs/errors` has the latest failures with their request ids"
        }
        "task-start" => {
            "raise the number of runs that execute at once, or spread the schedules; \
             `tasks.queue_depth` shows what waits"
        }
        _ => "see `cpu_high`: spread schedules, lower concurrency, or grant more CPU",
    }
}

/// At most two decimals, and none without need.
fn plain(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use HealthStatus::{Healthy, Unhealthy, Warning};

    #[test]
    fn each_figure_has_its_two_limits() {
        let signs = VitalSigns::default;
        let half = WRITER_INBOX_COMMANDS_MAX as f64 / 2.0;
        let cases: Vec<(VitalSigns, HealthStatus, &str)> = vec![
            (signs(), Healthy, ""),
            (
                VitalSigns {
                    cpu_minute_percent_of_quota: Some(59.99),
                    ..signs()
                },
                Healthy,
                "",
            ),
            (
                VitalSigns {
                    cpu_minute_percent_of_quota: Some(60.0),
                    ..signs()
                },
                Warning,
                "cpu_high",
            ),
            (
                VitalSigns {
                    cpu_minute_percent_of_quota: Some(100.0),
                    ..signs()
                },
                Warning,
                "cpu_high",
            ),
            (
                VitalSigns {
                    memory_percent: Some(89.9),
                    ..signs()
                },
                Healthy,
                "",
            ),
            (
                VitalSigns {
                    memory_percent: Some(96.9),
                    ..signs()
                },
                Warning,
                "memory_high",
            ),
            (
                VitalSigns {
                    memory_percent: Some(97.0),
                    ..signs()
                },
                Unhealthy,
                "memory_high",
            ),
            (
                VitalSigns {
                    disk_percent: Some(90.0),
                    ..signs()
                },
                Warning,
                "disk_full",
            ),
            (
                VitalSigns {
                    disk_percent: Some(99.0),
                    ..signs()
                },
                Unhealthy,
                "disk_full",
            ),
            (
                VitalSigns {
                    inodes_free_percent: Some(10.1),
                    ..signs()
                },
                Healthy,
                "",
            ),
            (
                VitalSigns {
                    inodes_free_percent: Some(5.0),
                    ..signs()
                },
                Warning,
                "inodes_short",
            ),
            (
                VitalSigns {
                    inodes_free_percent: Some(1.0),
                    ..signs()
                },
                Unhealthy,
                "inodes_short",
            ),
            (
                VitalSigns {
                    fds_percent: Some(80.0),
                    ..signs()
                },
                Warning,
                "descriptors_short",
            ),
            (
                VitalSigns {
                    fsync_p99_ms: Some(29.9),
                    ..signs()
                },
                Healthy,
                "",
            ),
            (
                VitalSigns {
                    fsync_p99_ms: Some(30.0),
                    ..signs()
                },
                Warning,
                "commit_slow",
            ),
            (
                VitalSigns {
                    scheduler_lag_p99_ms: Some(2_000.0),
                    ..signs()
                },
                Unhealthy,
                "scheduler_late",
            ),
            (
                VitalSigns {
                    writes_waiting: Some(half),
                    ..signs()
                },
                Warning,
                "writes_waiting",
            ),
        ];
        for (signs, status, code) in cases {
            let verdict = judge(&signs, &[]);
            assert_eq!(verdict.status, status, "{signs:?}");
            let codes: Vec<&str> = verdict
                .issues
                .iter()
                .map(|issue| issue.code.as_ref())
                .collect();
            assert_eq!(codes, if code.is_empty() { vec![] } else { vec![code] });
            assert_eq!(verdict.recommendations.len(), verdict.issues.len());
        }
    }

    #[test]
    fn an_issue_names_figure_and_limit_and_its_recommendation_the_fix() {
        let signs = VitalSigns {
            disk_percent: Some(93.456),
            ..VitalSigns::default()
        };
        let verdict = judge(&signs, &[]);
        let message = &verdict.issues[0].message;
        assert_eq!(
            message,
            "the disk of the data directory is 93.46 % full; the limit is 90 %"
        );
        assert_eq!(verdict.recommendations[0].code, "disk_full");
        assert!(verdict.recommendations[0].message.contains("cleanup"));
    }

    #[test]
    fn the_worst_issue_decides_and_a_breached_objective_counts() {
        let slo = |id: &'static str, state| SloView {
            id: id.into(),
            state,
            sli_percent: Some(90.0),
            objective_percent: 95.0,
            ..super::super::objectives::view_for_tests()
        };
        let signs = VitalSigns::default();
        for (slos, status) in [
            (vec![slo("api-latency", SloState::Met)], Healthy),
            (vec![slo("api-latency", SloState::AtRisk)], Healthy),
            (
                vec![slo("api-latency", SloState::InsufficientData)],
                Healthy,
            ),
            (vec![slo("api-latency", SloState::Breached)], Warning),
            (vec![slo("api-availability", SloState::Breached)], Unhealthy),
            (
                vec![
                    slo("db-latency", SloState::Breached),
                    slo("api-availability", SloState::Breached),
                ],
                Unhealthy,
            ),
        ] {
            let verdict = judge(&signs, &slos);
            assert_eq!(verdict.status, status, "{slos:?}");
        }
        let verdict = judge(&signs, &[slo("db-latency", SloState::Breached)]);
        assert_eq!(verdict.issues[0].code, "slo_db_latency");
        assert!(
            verdict.issues[0]
                .message
                .ends_with("90 %; the objective is 95 %")
        );
    }
}
