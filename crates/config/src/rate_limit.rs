//! So many requests in so much time.

use std::fmt;
use std::time::Duration;

/// Written `5000 per minute` or `5000/minute`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// At least 1.
    pub requests: u32,
    pub period: Duration,
}

/// Beyond it a limit limits nothing, and a typing slip is likelier than a wish.
const REQUESTS_MAX: u32 = 1_000_000_000;
const PERIODS: [(&str, u64); 4] = [
    ("second", 1),
    ("minute", 60),
    ("hour", 3_600),
    ("day", 86_400),
];

impl RateLimit {
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused = || {
            format!(
                "`{text}` is not a rate: write e.g. \"5000 per minute\" (per second, minute, hour or \
                 day)"
            )
        };
        let (requests, period) = text
            .split_once(" per ")
            .or_else(|| text.split_once('/'))
            .ok_or_else(refused)?;
        let requests = requests.trim().replace(['_', ','], "");
        let requests: u32 = requests.parse().map_err(|_| refused())?;
        if !(1..=REQUESTS_MAX).contains(&requests) {
            return Err(format!(
                "`{text}`: use 1 to {REQUESTS_MAX} requests; no limit at all is \
                 security.rate_limit_enabled = false"
            ));
        }
        let period = period.trim().to_lowercase();
        let period = period.strip_suffix('s').unwrap_or(&period);
        let (_, seconds) = PERIODS
            .into_iter()
            .find(|(name, _)| *name == period)
            .ok_or_else(refused)?;
        Ok(RateLimit {
            requests,
            period: Duration::from_secs(seconds),
        })
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match PERIODS
            .iter()
            .find(|(_, seconds)| *seconds == self.period.as_secs())
        {
            Some((name, _)) => write!(f, "{} per {name}", self.requests),
            None => write!(f, "{} per {:?}", self.requests, self.period),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, shown) in [
            ("5000 per minute", "5000 per minute"),
            ("5,000 per Minute", "5000 per minute"),
            ("10/second", "10 per second"),
            ("1 per hours", "1 per hour"),
            ("7 / day", "7 per day"),
        ] {
            assert_eq!(
                RateLimit::parse(text).map(|r| r.to_string()),
                Ok(shown.to_owned())
            );
        }
        for text in [
            "",
            "5000",
            "0 per minute",
            "many per minute",
            "5 per fortnight",
            "-1/minute",
        ] {
            assert!(RateLimit::parse(text).is_err(), "{text}");
        }
    }
}
