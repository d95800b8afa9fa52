//! `GET /`: for a program the list of endpoints, for a browser a page that says how things stand.

mod status_page;

use askama::Template as _;
use autom8_api::info::{EndpointSummary, Index};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use crate::endpoints;
use crate::error::ApiProblem;
use crate::state::AppState;

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
    let stand = status_page::look(&state).await?;
    let page = status_page::page(&state, &stand, &headers).render();
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
        endpoints: endpoints::by_path()
            .iter()
            .map(|found| EndpointSummary {
                methods: found.methods.split(' ').map(str::to_owned).collect(),
                path: found.path.to_owned(),
                summary: found.summary.clone(),
            })
            .collect(),
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
}
