//! A query string, read as strictly as a body: an unknown parameter is a slip, and a filter that
//! is silently dropped shows the wrong rows.

use std::fmt::Display;
use std::str::FromStr;

use autom8_api::problem::Problem;
use autom8_model::{Invalid, limits};
use axum::extract::{FromRequestParts, Query as Pairs};
use axum::http::request::Parts;

use super::json::unknown_field;
use super::scan::shown_key;
use crate::error::ApiProblem;

/// Faults that one refusal tells: a person reads no more, and a thousand slips of a program are not
/// worth a hundred kilobytes.
pub(super) const FAULTS_MAX: usize = 10;

/// What one route takes from its query.
pub trait FromQuery: Sized {
    /// Takes every parameter that is known. Faults are gathered by `parameters`, so that all are
    /// told at once; what is returned is not used if there is one.
    fn take(parameters: &mut Parameters) -> Self;
}

/// Extracts the query of a route.
#[derive(Clone, Debug)]
pub struct Query<T>(pub T);

impl<T: FromQuery, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiProblem> {
        let pairs = Pairs::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|error| Problem::invalid_at("?", format!("is not a query: {error}")))?;
        let mut parameters = Parameters::new(pairs.0);
        let value = T::take(&mut parameters);
        parameters.finish()?;
        Ok(Query(value))
    }
}

/// For routes that take nothing from the query.
impl FromQuery for () {
    fn take(_: &mut Parameters) -> Self {}
}

/// The parameters of a query that are not taken yet, and what was wrong with those that were.
#[derive(Debug)]
pub struct Parameters {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    faults: Vec<Invalid>,
}

impl Parameters {
    fn new(pairs: Vec<(String, String)>) -> Self {
        Parameters {
            pairs,
            known: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Whether a parameter is there and not taken yet.
    pub fn is_given(&self, name: &str) -> bool {
        self.pairs.iter().any(|(key, _)| key == name)
    }

    /// Takes a parameter, if it is there and well formed.
    pub fn one<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        let text = self.text(name)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(name, error);
                None
            }
        }
    }

    /// Takes a list that is separated by commas; empty if it is not there.
    pub fn list<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Vec<T> {
        let Some(text) = self.text(name) else {
            return Vec::new();
        };
        let mut values = Vec::new();
        for part in text.split(',') {
            match part.trim().parse() {
                Ok(value) => values.push(value),
                Err(error) => self.fault(name, error),
            }
        }
        values
    }

    /// Takes a number within bounds.
    pub fn number(&mut self, name: &'static str, default: usize, max: usize) -> usize {
        let Some(text) = self.text(name) else {
            return default;
        };
        match text.parse() {
            Ok(number) if (1..=max).contains(&number) => number,
            _ => {
                let shown = shown_key(&text);
                self.fault(name, format!("is `{shown}`: use a number from 1 to {max}"));
                default
            }
        }
    }

    /// Takes a number that may be 0, if it is there.
    pub fn number_from_zero(&mut self, name: &'static str, max: usize) -> Option<usize> {
        let text = self.text(name)?;
        let number = text.parse().ok().filter(|number| *number <= max);
        if number.is_none() {
            let shown = shown_key(&text);
            self.fault(name, format!("is `{shown}`: use a number from 0 to {max}"));
        }
        number
    }

    /// Takes the `limit` of a page.
    pub fn page_limit(&mut self) -> usize {
        self.number("limit", limits::PAGE_DEFAULT, limits::PAGE_MAX)
    }

    /// Takes the `cursor` of a page. Cursors are the server's own: one that does not parse was
    /// made up.
    pub fn cursor<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text("cursor")?;
        let cursor = parse(&text);
        if cursor.is_none() {
            self.fault(
                "cursor",
                "is not a cursor of this list: use `meta.next_cursor` of a page",
            );
        }
        cursor
    }

    /// Takes a cursor that is the number of a row; rows count from 1.
    pub fn cursor_id(&mut self) -> Option<i64> {
        self.cursor(|text| text.parse().ok().filter(|id| *id > 0))
    }

    /// Takes a switch: `1`, `true` or the bare name for yes.
    pub fn flag(&mut self, name: &'static str) -> bool {
        match self.text(name).as_deref() {
            None | Some("0" | "false") => false,
            Some("" | "1" | "true") => true,
            Some(_) => {
                self.fault(name, "must be 1 or 0");
                false
            }
        }
    }

    fn text(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let place = self.pairs.iter().position(|(key, _)| key == name)?;
        let (_, text) = self.pairs.remove(place);
        if self.pairs.iter().any(|(key, _)| key == name) {
            self.pairs.retain(|(key, _)| key != name);
            self.fault(name, "is given more than once");
            return None;
        }
        if text.contains('\0') {
            self.fault(name, "holds a NUL character");
            return None;
        }
        Some(text)
    }

    /// Complains about a parameter: of one that was taken, what only the whole query tells.
    pub fn fault(&mut self, name: &str, message: impl ToString) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Invalid::new(format!("?{name}"), message));
        }
    }

    fn finish(mut self) -> Result<(), ApiProblem> {
        let mut unknown = std::mem::take(&mut self.pairs);
        unknown.dedup_by(|(name, _), (last, _)| name == last);
        for (name, _) in unknown.into_iter().take(FAULTS_MAX) {
            let message = unknown_field(&name, &self.known).replace("field", "parameter");
            self.fault(&shown_key(&name), message);
        }
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(Problem::invalid(self.faults).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autom8_model::{RunState, Timestamp};
    use axum::http::Request;

    #[derive(Debug)]
    struct Sample {
        states: Vec<RunState>,
        since: Option<Timestamp>,
        limit: usize,
        follow: bool,
        cursor: Option<i64>,
    }

    impl FromQuery for Sample {
        fn take(parameters: &mut Parameters) -> Self {
            Sample {
                states: parameters.list("state"),
                since: parameters.one("since"),
                limit: parameters.page_limit(),
                follow: parameters.flag("follow"),
                cursor: parameters.cursor(|text| text.parse().ok()),
            }
        }
    }

    async fn read(query: &str) -> Result<Sample, ApiProblem> {
        let (mut parts, ()) = Request::get(format!("/x?{query}"))
            .body(())
            .unwrap()
            .into_parts();
        Query::from_request_parts(&mut parts, &())
            .await
            .map(|Query(sample)| sample)
    }

    #[tokio::test]
    async fn parameters_are_decoded_and_defaults_fill_the_rest() {
        let sample = read(
            "state=failed,%20queued&since=2026-01-01T00%3A00%3A00%2B02%3A00&follow=1&cursor=7",
        )
        .await
        .unwrap();
        assert_eq!(sample.states, [RunState::Failed, RunState::Queued]);
        assert_eq!(sample.since, Some("2025-12-31T22:00:00Z".parse().unwrap()));
        assert_eq!(
            (sample.limit, sample.follow, sample.cursor),
            (50, true, Some(7))
        );
        assert!(!read("").await.unwrap().follow);
    }

    #[tokio::test]
    async fn each_bad_parameter_is_400_and_named() {
        for (query, path, message) in [
            (
                "limt=5",
                "?limt",
                "is not a parameter; did you mean `limit`?",
            ),
            ("state=done", "?state", "`done` is not a state"),
            ("state=failed,", "?state", "is not a state"),
            ("since=yesterday", "?since", "RFC 3339"),
            ("limit=0", "?limit", "from 1 to 1000"),
            ("limit=1001", "?limit", "from 1 to 1000"),
            ("limit=-1", "?limit", "from 1 to 1000"),
            ("limit=99999999999999999999999", "?limit", "from 1 to 1000"),
            ("limit=", "?limit", "from 1 to 1000"),
            ("limit=5&limit=6", "?limit", "more than once"),
            ("follow=maybe", "?follow", "must be 1 or 0"),
            ("cursor=abc", "?cursor", "meta.next_cursor"),
            ("state=%00", "?state", "NUL"),
            ("=1", "?", "is not a parameter"),
        ] {
            let problem = read(query).await.expect_err(query).problem;
            assert_eq!(problem.status(), 400, "{query}");
            assert_eq!(problem.errors[0].path, path, "{problem:?}");
            assert!(problem.errors[0].message.contains(message), "{problem:?}");
        }
        let problem = read("limt=5&state=done").await.unwrap_err().problem;
        assert_eq!(problem.errors.len(), 2, "all faults at once: {problem:?}");
    }

    #[tokio::test]
    async fn a_thousand_slips_are_not_a_thousand_complaints() {
        let unknown: String = (0..1_000).map(|n| format!("k{n}=1&")).collect();
        let wrong = "state=".to_owned() + &"asleep,".repeat(1_000);
        for (query, complaints) in [
            (unknown, FAULTS_MAX),
            (wrong, FAULTS_MAX),
            ("x=1&".repeat(1_000), 1),
        ] {
            let problem = read(&query).await.unwrap_err().problem;
            assert_eq!(problem.errors.len(), complaints, "{problem:?}");
        }
    }
}
