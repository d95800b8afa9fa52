//! `GET /`: for a program the list of endpoints, for a browser a page that says how things stand.

use askama::Template;
use autom8_api::info::{EndpointSummary, Index};
use autom8_model::{Run, RunState, Timestamp};
use autom8_store::RunFilter;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use crate::error::ApiProblem;
use crate::lifecycle::Stage;
use crate::router::ENDPOINTS;
use crate::state::AppState;

/// Runs on the page: what fits a screen.
const RUNS_SHOWN: usize = 10;

/// The page has one style sheet, inside of it, and no script: nothing else may run or load.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

pub fn routes() -> Router<AppState> {
    Router::new().route("/", get(root))
}

async fn root(State(state): State<AppState>, headers: HeaderMap) -> Result<Response, ApiProblem> {
    if !prefers_html(&headers) {
        return Ok(([(header::VARY, "accept")], Json(index())).into_response());
    }
    let filter = RunFilter {
        limit: RUNS_SHOWN,
        ..RunFilter::default()
    };
    let runs = state.store.runs(filter).await?.runs;
    let page = page(&state, &runs).render();
    let html = page.map_err(|error| ApiProblem::internal(format!("the status page: {error}")))?;
    let headers = [
        (header::VARY, "accept"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    Ok((headers, Html(html)).into_response())
}

/// Browsers name `text/html` first; programs name JSON, everything, or nothing.
fn prefers_html(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    let position = |kind| accept.and_then(|accept| accept.find(kind));
    match (position("text/html"), position("application/json")) {
        (Some(html), Some(json)) => html < json,
        (html, _) => html.is_some(),
    }
}

fn index() -> Index {
    Index {
        service: "Autom8".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        endpoints: ENDPOINTS
            .iter()
            .map(|(methods, path, summary)| EndpointSummary {
                methods: methods.split(' ').map(str::to_owned).collect(),
                path: (*path).to_owned(),
                summary: (*summary).to_owned(),
            })
            .collect(),
    }
}

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage<'a> {
    version: &'static str,
    environment: &'a str,
    state: &'static str,
    uptime: String,
    now: String,
    durability: &'static str,
    tasks: String,
    queued: String,
    running: String,
    completed: String,
    failed: String,
    next_fire: Option<String>,
    runs: Vec<RunRow<'a>>,
    endpoints: &'static [(&'static str, &'static str, &'static str)],
}

struct RunRow<'a> {
    id: i64,
    task: &'a str,
    state: &'static str,
    /// Beside the word, so that the state is never told by colour alone.
    sign: &'static str,
    trigger: &'static str,
    at: String,
    duration: String,
    error: Option<&'a str>,
}

fn page<'a>(state: &'a AppState, runs: &'a [Run]) -> StatusPage<'a> {
    let totals = state.store.totals();
    let sum = totals.sum();
    StatusPage {
        version: env!("CARGO_PKG_VERSION"),
        environment: &state.config.server.environment,
        state: match state.lifecycle.stage() {
            Stage::Starting => "starting",
            Stage::Ready => "healthy",
            Stage::Draining => "stopping",
        },
        uptime: rough_duration(state.uptime_seconds()),
        now: shown_time(state.clock.now()),
        durability: state.store.describe().durability,
        tasks: grouped(totals.tasks),
        queued: grouped(totals.queued),
        running: grouped(totals.running),
        completed: grouped(sum.completed),
        failed: grouped(sum.failed + sum.interrupted),
        next_fire: state.engine.status().next_fire_at.map(shown_time),
        runs: runs.iter().map(row).collect(),
        endpoints: ENDPOINTS,
    }
}

fn row(run: &Run) -> RunRow<'_> {
    let duration = match (run.started_at, run.finished_at) {
        (Some(started), Some(finished)) => format!("{:.1} ms", finished.millis_since(started)),
        _ => "–".to_owned(),
    };
    let at = run.started_at.or(run.run_at).unwrap_or(run.queued_at);
    RunRow {
        id: run.id.0,
        task: run.task.as_str(),
        state: run.state.as_str(),
        sign: match run.state {
            RunState::Queued => "○",
            RunState::Running => "▶",
            RunState::Completed => "✓",
            RunState::Failed => "✗",
            RunState::Cancelled => "⊘",
            RunState::Interrupted => "!",
        },
        trigger: run.trigger.as_str(),
        at: shown_time(at),
        duration,
        error: run.error.as_deref().and_then(|error| error.lines().next()),
    }
}

/// To the second, in UTC, e.g. `2026-12-24 18:00:00`.
fn shown_time(at: Timestamp) -> String {
    let text = Timestamp::from_seconds(at.as_seconds()).to_string();
    text.trim_end_matches('Z').replace('T', " ")
}

/// E.g. `10,482`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The two largest units, e.g. `3 d 4 h`.
fn rough_duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_the_page_and_a_program_the_list() {
        for (accept, html) in [
            (None, false),
            (Some("*/*"), false),
            (Some("application/json"), false),
            (Some("application/json, text/html"), false),
            (
                Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
                true,
            ),
            (Some("text/html, application/json"), true),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(prefers_html(&headers), html, "{accept:?}");
        }
    }

    fn sample<'a>(runs: Vec<RunRow<'a>>) -> StatusPage<'a> {
        StatusPage {
            version: "1.2.3",
            environment: "staging",
            state: "healthy",
            uptime: rough_duration(90_061),
            now: shown_time(Timestamp::from_seconds(1_764_000_000)),
            durability: "full",
            tasks: grouped(3),
            queued: grouped(12),
            running: grouped(1),
            completed: grouped(10_482),
            failed: grouped(7),
            next_fire: Some(shown_time(Timestamp::from_seconds(1_764_000_060))),
            runs,
            endpoints: ENDPOINTS,
        }
    }

    #[test]
    fn the_page_shows_runs_and_lets_no_text_of_theirs_become_markup() {
        let row = |state, sign, error| RunRow {
            id: 42,
            task: "nightly-sync",
            state,
            sign,
            trigger: "schedule",
            at: shown_time(Timestamp::from_seconds(1_764_000_000)),
            duration: "12.3 ms".to_owned(),
            error,
        };
        let html = sample(vec![
            row("completed", "✓", None),
            row(
                "failed",
                "✗",
                Some("exit code 1: <script>alert(1)</script>"),
            ),
        ])
        .render()
        .unwrap();
        for shown in [
            "nightly-sync",
            "✗",
            "12.3 ms",
            "1 d 1 h",
            "10,482",
            "2025-11-24 16:00:00",
            "/api/v1/health",
        ] {
            assert!(html.contains(shown), "{shown}");
        }
        assert!(!html.contains("<script"), "{html}");
    }

    #[test]
    fn an_empty_page_says_how_to_begin() {
        let html = sample(Vec::new()).render().unwrap();
        assert!(html.contains("autom8 tasks add"), "{html}");
    }

    #[test]
    fn large_numbers_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345_678, "12,345,678"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn durations_are_told_in_two_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min 1 s"),
            (3_720, "1 h 2 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(rough_duration(seconds), text);
        }
    }
}
