//! Every metric of `/metrics`, declared once with its unit and help.
//!
//! Names are those of OpenTelemetry's semantic conventions 1.44 as Prometheus spells them; what
//! has no name there begins with `autom8_`. [`work`] has what the server does, [`machine`] what it
//! does it with.

mod machine;
mod work;

use super::collect::Figures;
use super::exposition::{Exposition, Family, Kind};

/// Writes everything: Prometheus text, OpenMetrics text.
pub(super) fn write(figures: &Figures) -> (String, String) {
    let mut exposition = Exposition::default();
    about(figures, &mut exposition);
    work::write(figures, &mut exposition);
    machine::write(figures, &mut exposition);
    exposition.finish()
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
