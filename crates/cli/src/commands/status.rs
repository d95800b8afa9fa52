//! `autom8 status`: is it well, and what is it doing?

use autom8_api::telemetry::{HealthStatus, Report, SloState};

use crate::failure::{Exit, Failure};
use crate::output::{Output, printable};
use crate::server_arguments::ServerArguments;
use crate::show;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exits with 1 if the server is unhealthy. With --json it prints \
GET /api/v1/metrics."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    server: ServerArguments,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let client = arguments.server.client()?;
    let output = arguments.server.output();
    let report = client.read::<Report>(&["metrics"]).await?;
    output.answer(&report, |report| people(output, client.server(), report))?;
    match report.value.status {
        HealthStatus::Unhealthy => Ok(Exit::Failed),
        HealthStatus::Healthy | HealthStatus::Warning => Ok(Exit::Ok),
    }
}

fn people(output: Output, server: &str, report: &Report) -> String {
    let tasks = &report.tasks.executions;
    let mut text = output.pairs([
        ("status", Some(word(report.status).to_owned())),
        (
            "server",
            Some(format!("{server}, autom8 {}", report.version)),
        ),
        ("up for", Some(show::millis(report.uptime_s * 1_000.0))),
        (
            "runs",
            Some(format!(
                "{} completed, {} failed, {} cancelled, {} running, {} waiting",
                tasks.completed,
                tasks.failed,
                tasks.cancelled,
                tasks.running,
                report.tasks.queue_depth
            )),
        ),
        // A rate of nothing would read like a failure.
        (
            "success",
            (tasks.completed + tasks.failed > 0).then(|| format!("{} %", tasks.success_rate)),
        ),
        (
            "contacts",
            report.database.contacts.map(|number| number.to_string()),
        ),
        (
            "requests",
            Some(format!(
                "{} answered, {:.1}/s, {} in flight",
                report.http.requests_total, report.http.rate_per_s, report.http.in_flight
            )),
        ),
        ("objectives", objectives(report)),
    ]);
    for issue in &report.issues {
        text.push_str(&format!(
            "{}: {}\n",
            word(issue.severity),
            printable(&issue.message)
        ));
        let advice = report
            .recommendations
            .iter()
            .filter(|advice| advice.code == issue.code);
        for advice in advice {
            text.push_str(&format!("  Fix: {}\n", printable(&advice.message)));
        }
    }
    text
}

fn word(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Healthy => "healthy",
        HealthStatus::Warning => "warning",
        HealthStatus::Unhealthy => "unhealthy",
    }
}

fn objectives(report: &Report) -> Option<String> {
    let of = |state: SloState| report.slo.iter().filter(|slo| slo.state == state).count();
    let parts = [
        (of(SloState::Met), "met"),
        (of(SloState::AtRisk), "at risk"),
        (of(SloState::Breached), "breached"),
        (of(SloState::InsufficientData), "without enough data yet"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, state)| format!("{number} {state}"))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}
