//! Writes metric families as Prometheus text 0.0.4 and as OpenMetrics 1.0, both in one pass.
//!
//! The two differ in their headers only: OpenMetrics names a counter without `_total`, tells the
//! unit, and ends with `# EOF`. `prometheus-client` writes OpenMetrics alone and wants to own the
//! counters; ours live in the recorders and are read, not kept twice.

use std::fmt::Write;

use autom8_performance::histogram::Histogram;

/// A metric, declared once with unit and help.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    /// Ends in the unit, and never in `_total`.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// `seconds`, `bytes`, `ratio`, or empty.
    pub(super) unit: &'static str,
    pub(super) help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// Names and values of labels.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

/// Both texts in the making.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    prometheus: String,
    open_metrics: String,
    /// Samples of the family that is being written; the same in both.
    samples: String,
}

impl Exposition {
    /// Writes a family with the samples that `write` gives it; a family without samples is left
    /// out.
    pub(super) fn family(&mut self, family: Family, write: impl FnOnce(&mut Samples<'_>)) {
        self.samples.clear();
        write(&mut Samples {
            family,
            text: &mut self.samples,
        });
        if self.samples.is_empty() {
            return;
        }
        let Family {
            name,
            kind,
            unit,
            help,
        } = family;
        let (suffix, kind_name) = (
            if kind == Kind::Counter { "_total" } else { "" },
            kind.name(),
        );
        // Writing into a String cannot fail.
        let _ = writeln!(self.prometheus, "# HELP {name}{suffix} {help}");
        let _ = writeln!(self.prometheus, "# TYPE {name}{suffix} {kind_name}");
        let _ = writeln!(self.open_metrics, "# TYPE {name} {kind_name}");
        if !unit.is_empty() {
            let _ = writeln!(self.open_metrics, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.open_metrics, "# HELP {name} {help}");
        self.prometheus.push_str(&self.samples);
        self.open_metrics.push_str(&self.samples);
    }

    /// The texts: Prometheus, OpenMetrics.
    pub(super) fn finish(mut self) -> (String, String) {
        self.open_metrics.push_str("# EOF\n");
        (self.prometheus, self.open_metrics)
    }
}

/// Takes the samples of one family.
pub(super) struct Samples<'a> {
    family: Family,
    text: &'a mut String,
}

impl Samples<'_> {
    /// A counter's or gauge's value.
    pub(super) fn value(&mut self, labels: Labels<'_>, value: f64) {
        let suffix = if self.family.kind == Kind::Counter {
            "_total"
        } else {
            ""
        };
        self.line(suffix, labels, None, value);
    }

    pub(super) fn count(&mut self, labels: Labels<'_>, value: u64) {
        self.value(labels, value as f64);
    }

    /// A value that may be unknown; then there is no sample.
    pub(super) fn known(&mut self, labels: Labels<'_>, value: Option<f64>) {
        if let Some(value) = value {
            self.value(labels, value);
        }
    }

    /// A histogram with cumulative buckets at `bounds` (ascending, seconds). `exact` is a bound
    /// with the exact number of durations beyond it; the others are within 1.1 % of the bound.
    pub(super) fn histogram(
        &mut self,
        labels: Labels<'_>,
        histogram: &Histogram,
        bounds: &[f64],
        exact: Option<(f64, u64)>,
    ) {
        let count = histogram.count();
        let mut below = 0;
        for &bound in bounds {
            let told = match exact {
                Some((exact_bound, over)) if exact_bound == bound => count.saturating_sub(over),
                _ => histogram.cumulative_count(bound),
            };
            // Counters are read one after another; buckets must not fall.
            below = told.clamp(below, count);
            self.line("_bucket", labels, Some(bound), below as f64);
        }
        self.line("_bucket", labels, Some(f64::INFINITY), count as f64);
        self.line("_count", labels, None, count as f64);
        self.line("_sum", labels, None, histogram.sum_micros() as f64 / 1e6);
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<f64>, value: f64) {
        self.text.push_str(self.family.name);
        self.text.push_str(suffix);
        let mut separator = '{';
        for (name, value) in labels {
            let _ = write!(self.text, "{separator}{name}=\"");
            escape(value, self.text);
            self.text.push('"');
            separator = ',';
        }
        if let Some(bound) = bound {
            let _ = write!(self.text, "{separator}le=\"");
            number(bound, self.text);
            self.text.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        self.text.push(' ');
        if value.fract() == 0.0 && value.abs() < 1e15 {
            let _ = write!(self.text, "{value:.0}");
        } else {
            number(value, self.text);
        }
        self.text.push('\n');
    }
}

/// Canonical numbers: `1.0`, `0.15`, `+Inf`, so that a bound is the same text in both formats.
fn number(value: f64, text: &mut String) {
    let _ = match value {
        _ if value == f64::INFINITY => write!(text, "+Inf"),
        _ if value == f64::NEG_INFINITY => write!(text, "-Inf"),
        _ if value.is_nan() => write!(text, "NaN"),
        _ => write!(text, "{value:?}"),
    };
}

fn escape(value: &str, text: &mut String) {
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTS: Family = Family {
        name: "requests",
        kind: Kind::Counter,
        unit: "",
        help: "Requests.",
    };
    const LATENCY: Family = Family {
        name: "latency_seconds",
        kind: Kind::Histogram,
        unit: "seconds",
        help: "Latency.",
    };

    #[test]
    fn both_formats_are_written_with_their_own_headers() {
        let mut exposition = Exposition::default();
        exposition.family(REQUESTS, |samples| {
            samples.count(&[("route", "/a\"b\\c\nd"), ("method", "GET")], 7);
        });
        exposition.family(LATENCY, |_| {});
        let (prometheus, open_metrics) = exposition.finish();
        let sample = "requests_total{route=\"/a\\\"b\\\\c\\nd\",method=\"GET\"} 7\n";
        assert_eq!(
            prometheus,
            format!("# HELP requests_total Requests.\n# TYPE requests_total counter\n{sample}")
        );
        assert_eq!(
            open_metrics,
            format!("# TYPE requests counter\n# HELP requests Requests.\n{sample}# EOF\n")
        );
    }

    #[test]
    fn a_histogram_has_rising_buckets_and_the_exact_count_at_the_threshold() {
        let mut histogram = Histogram::new();
        for micros in [1_000, 149_990, 150_000, 150_001, 152_000, 3_000_000] {
            histogram.record(micros);
        }
        let mut exposition = Exposition::default();
        exposition.family(LATENCY, |samples| {
            samples.histogram(&[], &histogram, &[0.01, 0.15, 1.0], Some((0.15, 3)));
        });
        let (prometheus, _) = exposition.finish();
        let lines: Vec<&str> = prometheus.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "latency_seconds_bucket{le=\"0.01\"} 1",
                "latency_seconds_bucket{le=\"0.15\"} 3",
                "latency_seconds_bucket{le=\"1.0\"} 5",
                "latency_seconds_bucket{le=\"+Inf\"} 6",
                "latency_seconds_count 6",
                "latency_seconds_sum 3.602991",
            ]
        );
    }
}
