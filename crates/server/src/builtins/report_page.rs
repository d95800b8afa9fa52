//! The report as one HTML file: its style and its chart are inside of it, and nothing is loaded.

use askama::Template;
use autom8_api::builtin::{ActivityReport, ReportedRun, UpcomingRun};
use autom8_api::task_log::{ExecutionCounts, Percentiles, TypeStats};
use autom8_api::telemetry::SystemFigures;
use autom8_model::Timestamp;
use autom8_model::schedule::Zone;

use crate::shown;

/// Writes the page with its times in a zone. A name that no zone has shows them in UTC.
pub(super) fn render(report: &ActivityReport, zone: &str) -> Result<String, askama::Error> {
    let zone = Zone::named(zone).or_else(|_| Zone::named("UTC")).ok();
    page(report, &zone).render()
}

#[derive(Template)]
#[template(path = "report.html")]
struct ReportPage<'a> {
    report: &'a ActivityReport,
    zone: &'a str,
    generated: String,
    verdict: String,
    success: String,
    chart: Chart<'a>,
    by_type: Vec<TypeRow<'a>>,
    latencies: Vec<(&'static str, [String; 3])>,
    window_minutes: u64,
    slowest: Vec<RunRow<'a>>,
    failed: Vec<FailedRow<'a>>,
    /// What the rows of failures cover.
    failed_cover: String,
    upcoming: Vec<(String, &'a UpcomingRun)>,
    system: Vec<(&'static str, String)>,
}

struct TypeRow<'a> {
    stats: &'a TypeStats,
    success: String,
    /// Shares of what ended, in percent of the bar.
    completed: f64,
    failed: f64,
}

struct RunRow<'a> {
    run: &'a ReportedRun,
    /// Beside the word, so that the state is never told by colour alone.
    sign: &'static str,
    duration: String,
    finished: String,
}

/// The failures of one task.
struct FailedRow<'a> {
    failures: u64,
    latest: RunRow<'a>,
}

/// One bar for each run, as high as the logarithm of its duration: runs of a millisecond and of
/// an hour stand side by side, and a change by a factor is a change in height.
struct Chart<'a> {
    width: usize,
    bars: Vec<Bar<'a>>,
    /// The durations of the lowest and the highest bar.
    shortest: String,
    longest: String,
}

struct Bar<'a> {
    run: &'a ReportedRun,
    x: usize,
    y: f64,
    height: f64,
    duration: String,
}

/// Rows of failures; the JSON beside the page has all.
const FAILED_TASKS_SHOWN: usize = 10;

const BAR_PITCH: usize = 8;
/// Fewer bars leave room at the right rather than become walls.
const BARS_SHOWN_MIN: usize = 60;
const CHART_HEIGHT: f64 = 96.0;
const BAR_HEIGHT_MIN: f64 = 4.0;

fn page<'a>(report: &'a ActivityReport, zone: &'a Option<Zone>) -> ReportPage<'a> {
    let zone = zone.as_ref();
    let row = |run: &'a ReportedRun| RunRow {
        run,
        sign: shown::sign(run.state),
        duration: run
            .duration_ms
            .map_or_else(|| "–".to_owned(), shown::millis),
        finished: run
            .finished_at
            .map_or_else(|| "–".to_owned(), |at| shown_time(at, zone)),
    };
    let window = report.runs.window;
    ReportPage {
        report,
        zone: zone.map_or("UTC", Zone::name),
        generated: shown_time(report.generated_at, zone),
        verdict: verdict(report),
        success: success(&report.runs.counts),
        chart: chart(&report.latest),
        by_type: report.runs.by_type.iter().filter_map(type_row).collect(),
        latencies: window
            .iter()
            .flat_map(|window| {
                [
                    ("Wait", window.wait),
                    ("Run", window.run),
                    ("In all", window.total),
                ]
            })
            .map(|(name, percentiles)| (name, shown_percentiles(percentiles)))
            .collect(),
        window_minutes: window.map_or(0, |window| window.seconds / 60),
        slowest: report.slowest.iter().map(row).collect(),
        failed: report
            .failed_tasks
            .iter()
            .take(FAILED_TASKS_SHOWN)
            .map(|failed| FailedRow {
                failures: failed.failures,
                latest: row(&failed.latest),
            })
            .collect(),
        failed_cover: failed_cover(report),
        upcoming: report
            .upcoming
            .iter()
            .map(|next| (shown_time(next.at, zone), next))
            .collect(),
        system: report.system.as_ref().map(system_rows).unwrap_or_default(),
    }
}

/// The first sentence: how it stands.
fn verdict(report: &ActivityReport) -> String {
    let counts = &report.runs.counts;
    let ended = counts.completed + counts.failed;
    match (ended, counts.failed) {
        (0, _) => "No run has ended yet.".to_owned(),
        (_, 0) => format!("All {ended} runs that ended succeeded."),
        (_, failed) => format!(
            "{failed} of {ended} runs that ended failed; {}\u{a0}% succeeded.",
            counts.success_rate
        ),
    }
}

/// How many failures there were in all, and how many of them are counted by task.
fn failed_cover(report: &ActivityReport) -> String {
    let listed: u64 = report.failed_tasks.iter().map(|task| task.failures).sum();
    let in_all = report.runs.counts.failed;
    let more = report.failed_tasks.len().saturating_sub(FAILED_TASKS_SHOWN);
    let more = match more {
        0 => String::new(),
        1 => "; 1 more task failed".to_owned(),
        more => format!("; {more} more tasks failed"),
    };
    format!("{in_all} in all, the latest {listed} in this report{more}.")
}

/// Nothing to rate is no rate of 0 %.
fn success(counts: &ExecutionCounts) -> String {
    match counts.completed + counts.failed {
        0 => "–".to_owned(),
        _ => format!("{} %", counts.success_rate),
    }
}

fn type_row(stats: &TypeStats) -> Option<TypeRow<'_>> {
    let counts = &stats.counts;
    let ended = counts.completed + counts.failed + counts.cancelled;
    if counts.total_executions == 0 {
        return None;
    }
    let share = |part: u64| (part as f64 / ended.max(1) as f64 * 1_000.0).round() / 10.0;
    Some(TypeRow {
        stats,
        success: success(counts),
        completed: share(counts.completed),
        failed: share(counts.failed),
    })
}

fn shown_percentiles(percentiles: Percentiles) -> [String; 3] {
    [percentiles.p50_ms, percentiles.p95_ms, percentiles.p99_ms].map(shown::millis)
}

fn chart(latest: &[ReportedRun]) -> Chart<'_> {
    // Below a tenth of a millisecond differences are noise.
    let duration = |run: &ReportedRun| run.duration_ms.unwrap_or(0.0).max(0.1);
    let shortest = latest.iter().map(duration).fold(f64::INFINITY, f64::min);
    let longest = latest.iter().map(duration).fold(0.0, f64::max);
    let span = (longest / shortest).ln();
    let bars = latest.iter().enumerate().map(|(index, run)| {
        let share = if span > 0.0 {
            (duration(run) / shortest).ln() / span
        } else {
            0.5
        };
        let height = BAR_HEIGHT_MIN + share * (CHART_HEIGHT - BAR_HEIGHT_MIN);
        Bar {
            run,
            x: index * BAR_PITCH,
            y: tenth(CHART_HEIGHT - height),
            height: tenth(height),
            duration: run
                .duration_ms
                .map_or_else(|| "not started".to_owned(), shown::millis),
        }
    });
    Chart {
        width: latest.len().max(BARS_SHOWN_MIN) * BAR_PITCH,
        bars: bars.collect(),
        shortest: shown::millis(if shortest.is_finite() { shortest } else { 0.0 }),
        longest: shown::millis(longest),
    }
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn system_rows(system: &SystemFigures) -> Vec<(&'static str, String)> {
    let percent = |value: Option<f64>| value.map(|value| format!("{value:.1} %"));
    let of = |used: Option<u64>, total: Option<u64>| {
        Some(format!(
            "{} of {}",
            shown::bytes(used?),
            shown::bytes(total?)
        ))
    };
    let rows = [
        ("CPU of the machine", percent(system.cpu.percent)),
        ("CPU of this server", percent(system.process.cpu_percent)),
        (
            "Memory of this server",
            system.process.rss_bytes.map(shown::bytes),
        ),
        (
            "Memory in use",
            of(system.memory.used_bytes, system.memory.total_bytes),
        ),
        (
            "Disk in use",
            of(system.disk.used_bytes, system.disk.total_bytes),
        ),
        (
            "Disk writes take",
            system.disk.write_latency_ms.map(shown::millis),
        ),
        (
            "Open files",
            system.process.open_fds.map(|files| files.to_string()),
        ),
    ];
    rows.into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

fn shown_time(at: Timestamp, zone: Option<&Zone>) -> String {
    let at = Timestamp::from_seconds(at.as_seconds());
    match zone {
        Some(zone) => at
            .to_jiff()
            .to_zoned(zone.rules().clone())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string(),
        None => at.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autom8_api::builtin::{ACTIVITY_SCHEMA, FailedTask, ReportedStore};
    use autom8_api::task_log::{RunWindow, TaskLogStats};
    use autom8_model::{RunId, RunState, TaskType};

    pub(crate) fn sample(runs: usize) -> ActivityReport {
        let at = |seconds: i64| Timestamp::from_seconds(1_764_000_000 + seconds);
        let run = |index: usize| {
            let state = match index % 11 {
                3 => RunState::Failed,
                7 => RunState::Cancelled,
                _ => RunState::Completed,
            };
            ReportedRun {
                id: RunId(1_000 + index as i64),
                task: if index.is_multiple_of(2) {
                    "nightly-sync"
                } else {
                    "crm.import"
                }
                .parse()
                .unwrap(),
                task_type: if index.is_multiple_of(2) {
                    TaskType::Http
                } else {
                    TaskType::Process
                },
                state,
                finished_at: Some(at(index as i64 * 60)),
                duration_ms: Some(((index * 7_919) % 1_000) as f64 * 1.7 + 0.4),
                error: (state == RunState::Failed)
                    .then(|| "exit code 1: <script>alert(1)</script> & more".to_owned()),
            }
        };
        let latest: Vec<ReportedRun> = (0..runs).map(run).collect();
        let percentiles = |p50_ms| Percentiles {
            p50_ms,
            p95_ms: p50_ms * 3.0,
            p99_ms: p50_ms * 90.0,
        };
        ActivityReport {
            schema: ACTIVITY_SCHEMA.to_owned(),
            generated_at: at(7_200),
            version: "1.2.3".to_owned(),
            environment: "staging".to_owned(),
            store: ReportedStore {
                kind: "sqlite".to_owned(),
                library_version: "3.51.3".to_owned(),
                durability: "full".to_owned(),
                schema_version: 1,
            },
            tasks: 7,
            queued: 12,
            runs: TaskLogStats {
                counts: ExecutionCounts::new(10_482, 31, 4, 2),
                by_type: vec![
                    TypeStats {
                        task_type: TaskType::Http,
                        counts: ExecutionCounts::new(9_000, 20, 4, 1),
                    },
                    TypeStats {
                        task_type: TaskType::Process,
                        counts: ExecutionCounts::new(1_482, 11, 0, 1),
                    },
                    TypeStats {
                        task_type: TaskType::Builtin,
                        counts: ExecutionCounts::default(),
                    },
                ],
                window: Some(RunWindow {
                    seconds: 300,
                    count: 150,
                    failed: 2,
                    wait: percentiles(0.8),
                    run: percentiles(12.5),
                    total: percentiles(14.0),
                }),
                anomalies: Vec::new(),
            },
            examined: runs as u64,
            slowest: latest.iter().take(10).cloned().collect(),
            failed: latest
                .iter()
                .filter(|run| run.error.is_some())
                .take(10)
                .cloned()
                .collect(),
            failed_tasks: latest
                .iter()
                .find(|run| run.error.is_some())
                .map(|run| FailedTask {
                    task: run.task.clone(),
                    failures: 29,
                    latest: run.clone(),
                })
                .into_iter()
                .collect(),
            latest,
            upcoming: vec![UpcomingRun {
                at: at(86_400),
                task: "nightly-sync".parse().unwrap(),
                trigger: "every day at 02:00 (Europe/Berlin)".to_owned(),
            }],
            system: None,
        }
    }

    #[test]
    fn the_page_is_complete_in_itself_and_no_text_becomes_markup() {
        let html = render(&sample(120), "Europe/Berlin").unwrap();
        for shown in [
            "31 of 10513 runs that ended failed; 99.71\u{a0}% succeeded.",
            "nightly-sync",
            "2025-11-24 19:00:00",
            "Europe/Berlin",
            "12.5 ms",
            "exit code 1: &#60;script&#62;",
            "31 in all, the latest 29 in this report.",
        ] {
            assert!(html.contains(shown), "{shown} is missing");
        }
        assert_eq!(html.matches("<rect").count(), 120);
        for foreign in ["<script", "http://", "https://", "@import", "url(", "src="] {
            assert!(!html.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn an_empty_server_has_a_page_too() {
        let mut empty = sample(0);
        empty.runs.counts = ExecutionCounts::default();
        empty.runs.by_type.clear();
        empty.runs.window = None;
        empty.upcoming.clear();
        let html = render(&empty, "Mars/Olympus").unwrap();
        assert!(
            html.contains("No run has ended yet.") && html.contains("UTC"),
            "{html}"
        );
        assert!(!html.contains("<svg") && !html.contains("NaN") && !html.contains("inf"));
    }

    #[test]
    fn equal_durations_are_bars_of_equal_height() {
        let mut report = sample(3);
        for run in &mut report.latest {
            run.duration_ms = Some(5.0);
        }
        let chart = chart(&report.latest);
        assert!(
            chart
                .bars
                .iter()
                .all(|bar| bar.height == chart.bars[0].height && bar.height.is_finite())
        );
    }
}
