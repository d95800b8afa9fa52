//! Which format an `Accept` header asks for (RFC 9110, section 12.5.1).

use axum::http::{HeaderMap, header};

/// What the figures can be had as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    Prometheus,
}

impl Format {
    /// Type, subtype, and the version of it that we write.
    fn media_type(self) -> (&'static str, &'static str, Option<&'static str>) {
        match self {
            Format::Json => ("application", "json", None),
            Format::OpenMetrics => ("application", "openmetrics-text", Some("1.0.0")),
            Format::Prometheus => ("text", "plain", Some("0.0.4")),
        }
    }
}

/// Ranges of one header that are looked at; browsers send eight.
const RANGES_MAX: usize = 32;

/// The format with the highest quality; of equals the first of `offers`, and the first also where
/// none is acceptable: whoever monitors gets figures, and not a 406.
pub(super) fn choose(headers: &HeaderMap, offers: &[Format]) -> Format {
    let mut accept = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    match (accept.next(), accept.next()) {
        (None, _) => first(offers),
        (Some(only), None) => choose_by(only, offers),
        (Some(one), Some(two)) => {
            let rest: String = accept.flat_map(|value| [",", value]).collect();
            choose_by(&format!("{one},{two}{rest}"), offers)
        }
    }
}

fn first(offers: &[Format]) -> Format {
    offers.first().copied().unwrap_or(Format::Json)
}

fn choose_by(accept: &str, offers: &[Format]) -> Format {
    let mut best = (0, first(offers));
    for offer in offers {
        let quality = quality_of(*offer, accept);
        if quality > best.0 {
            best = (quality, *offer);
        }
    }
    best.1
}

/// The quality, in thousandths, that the most specific range gives a format; of ranges that are
/// equally specific the highest.
fn quality_of(format: Format, accept: &str) -> u32 {
    let mut best = (0, 0);
    for range in accept.split(',').take(RANGES_MAX) {
        if let Some(found) = match_range(format, range)
            && (found.0 > best.0 || (found.0 == best.0 && found.1 > best.1))
        {
            best = found;
        }
    }
    best.1
}

/// Specificity and quality, if the range covers the format.
fn match_range(format: Format, range: &str) -> Option<(u32, u32)> {
    let (kind, subtype, version) = format.media_type();
    let mut parts = range.split(';').map(str::trim);
    let (asked_kind, asked_subtype) = parts.next()?.split_once('/')?;
    let (mut asked_version, mut quality) = (None, 1_000);
    for parameter in parts {
        let Some((name, value)) = parameter.split_once('=') else {
            continue;
        };
        let value = value.trim().trim_matches('"');
        match name.trim() {
            name if name.eq_ignore_ascii_case("q") => quality = thousandths(value),
            name if name.eq_ignore_ascii_case("version") => asked_version = Some(value),
            // A charset or an escaping scheme does not make another format.
            _ => {}
        }
    }
    let specificity = if asked_kind == "*" && asked_subtype == "*" {
        1
    } else if !asked_kind.eq_ignore_ascii_case(kind) {
        return None;
    } else if asked_subtype == "*" {
        2
    } else if !asked_subtype.eq_ignore_ascii_case(subtype) {
        return None;
    } else {
        match asked_version {
            None => 3,
            Some(asked) if Some(asked) == version => 4,
            Some(_) => return None,
        }
    };
    Some((specificity, quality))
}

/// `0.25` as 250; what is not a quality counts as none.
fn thousandths(text: &str) -> u32 {
    let quality: f64 = text.parse().unwrap_or(0.0);
    if (0.0..=1.0).contains(&quality) {
        (quality * 1_000.0).round() as u32
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const REPORT: &[Format] = &[Format::Json, Format::OpenMetrics, Format::Prometheus];
    const EXPOSITION: &[Format] = &[Format::Prometheus, Format::OpenMetrics];

    #[test]
    fn formats_by_header() {
        let of_prometheus_2 = "application/openmetrics-text;version=1.0.0;q=0.5,\
                               application/openmetrics-text;version=0.0.1;q=0.4,\
                               text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        let of_prometheus_3 = "application/openmetrics-text;version=1.0.0;\
                               escaping=allow-utf-8;q=0.6,application/openmetrics-text;\
                               version=0.0.1;q=0.5,text/plain;version=1.0.0;\
                               escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,\
                               */*;q=0.2";
        let of_a_browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        use Format::{Json, OpenMetrics, Prometheus};
        for (accept, report, exposition) in [
            ("*/*", Json, Prometheus),
            ("", Json, Prometheus),
            ("application/json", Json, Prometheus),
            ("application/*", Json, OpenMetrics),
            ("text/plain", Prometheus, Prometheus),
            ("text/*", Prometheus, Prometheus),
            ("TEXT/Plain; Version=0.0.4", Prometheus, Prometheus),
            ("text/plain;version=1.0.0", Json, Prometheus),
            ("text/plain;charset=utf-8", Prometheus, Prometheus),
            ("application/openmetrics-text", OpenMetrics, OpenMetrics),
            (
                "application/openmetrics-text; version=\"1.0.0\"",
                OpenMetrics,
                OpenMetrics,
            ),
            (
                "application/openmetrics-text; version=2.0.0",
                Json,
                Prometheus,
            ),
            (of_prometheus_2, OpenMetrics, OpenMetrics),
            (of_prometheus_3, OpenMetrics, OpenMetrics),
            (
                "text/plain;version=0.0.4;q=1,*/*;q=0.1",
                Prometheus,
                Prometheus,
            ),
            (of_a_browser, Json, Prometheus),
            (
                "text/plain;q=0.5, application/json;q=0.4",
                Prometheus,
                Prometheus,
            ),
            ("text/plain;q=0.4, application/json;q=0.5", Json, Prometheus),
            ("application/json;q=0, */*", OpenMetrics, Prometheus),
            ("application/json, text/plain", Json, Prometheus),
            ("image/png", Json, Prometheus),
            ("text/plain;q=2, application/json;q=0.1", Json, Prometheus),
            (",;=/,text/plain", Prometheus, Prometheus),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(choose(&headers, REPORT), report, "{accept:?}");
            assert_eq!(choose(&headers, EXPOSITION), exposition, "{accept:?}");
        }
        assert_eq!(choose(&HeaderMap::new(), REPORT), Json);
        let mut twice = HeaderMap::new();
        twice.append(header::ACCEPT, HeaderValue::from_static("text/plain;q=0.2"));
        twice.append(
            header::ACCEPT,
            HeaderValue::from_static("application/json;q=0.1"),
        );
        assert_eq!(choose(&twice, REPORT), Prometheus);
    }
}
