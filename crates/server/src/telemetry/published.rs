//! The finished bodies: written once a second, sent by reference.

use autom8_api::task_log::RunWindow;
use autom8_api::telemetry::HealthStatus;
use autom8_model::Monotonic;
use bytes::Bytes;
use serde::Serialize;

use super::collect::Figures;
use super::{families, report, verdict};

/// Everything that a monitoring request may ask for, as of one sample.
#[derive(Debug)]
pub struct Published {
    /// Rises by one a sample, from 1.
    pub sequence: u64,
    pub sampled_at: Monotonic,
    /// `/api/v1/metrics`.
    pub report: Bytes,
    /// `/api/v1/metrics/system` and `/api/v1/performance/system`.
    pub system: Bytes,
    /// `/api/v1/performance/stats`.
    pub stats: Bytes,
    /// `/api/v1/performance/health`.
    pub health: Bytes,
    /// `/api/v1/slo`.
    pub slo: Bytes,
    /// `/metrics`, text 0.0.4.
    pub prometheus: Bytes,
    /// `/metrics`, OpenMetrics 1.0.
    pub open_metrics: Bytes,
    /// One server-sent event with the report.
    pub event: Bytes,
    /// The verdict's word.
    pub status: HealthStatus,
    /// Runs that ended in the last five minutes.
    pub run_window: Option<RunWindow>,
}

impl Published {
    pub(super) fn write(
        sequence: u64,
        sampled_at: Monotonic,
        figures: &Figures,
    ) -> Result<Self, serde_json::Error> {
        let verdict = verdict::judge(&figures.signs, &figures.slos);
        let report = json(&report::report(figures, &verdict))?;
        let (prometheus, open_metrics) = families::write(figures);
        // The report has no line break, so it is one `data` line.
        let mut event = format!("id: {sequence}\nevent: metrics\ndata: ").into_bytes();
        event.extend_from_slice(&report);
        event.extend_from_slice(b"\n\n");
        Ok(Published {
            sequence,
            sampled_at,
            report,
            system: json(&report::system(figures))?,
            stats: json(&report::stats(figures))?,
            health: json(&report::health(figures, &verdict))?,
            slo: json(&report::slo(figures))?,
            prometheus: Bytes::from(prometheus),
            open_metrics: Bytes::from(open_metrics),
            event: Bytes::from(event),
            status: verdict.status,
            run_window: figures.run_window,
        })
    }
}

fn json(view: &impl Serialize) -> Result<Bytes, serde_json::Error> {
    serde_json::to_vec(view).map(Bytes::from)
}
