//! How long a server asks its callers to stay away.

use std::time::Duration;

use autom8_model::limits;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// Reads `Retry-After`: seconds, or a date. A date counts from the answer's own `Date`, so that a
/// clock that differs between the two machines does not bend it.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let parser = DateTimeParser::new();
            let until = parser.parse_timestamp(value).ok()?;
            let sent = parser
                .parse_timestamp(headers.get(DATE)?.to_str().ok()?)
                .ok()?;
            Duration::from_secs(u64::try_from(until.as_second() - sent.as_second()).unwrap_or(0))
        }
    };
    Some(wait.min(limits::BACKOFF_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&'static str, &'static str)]) -> Option<u64> {
        let headers: HeaderMap = pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        retry_after(&headers).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_read_and_nonsense_is_ignored() {
        let date = ("date", "Tue, 24 Nov 2026 08:00:00 GMT");
        assert_eq!(read(&[("retry-after", "120")]), Some(120));
        assert_eq!(
            read(&[("retry-after", "Tue, 24 Nov 2026 08:01:30 GMT"), date]),
            Some(90)
        );
        assert_eq!(
            read(&[("retry-after", "Tue, 24 Nov 2026 07:00:00 GMT"), date]),
            Some(0)
        );
        assert_eq!(
            read(&[("retry-after", "Tue, 24 Nov 2026 08:01:30 GMT")]),
            None
        );
        assert_eq!(read(&[("retry-after", "soon"), date]), None);
        assert_eq!(read(&[]), None);
        assert_eq!(
            read(&[("retry-after", "99999999999")]),
            Some(limits::BACKOFF_MAX.as_secs())
        );
    }
}
