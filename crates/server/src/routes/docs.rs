//! `GET /docs`: the reference of this API, for people. One page that loads nothing from anywhere.

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::unchanging::Unchanging;
use crate::error::ApiProblem;
use crate::extract::Query;
use crate::openapi::page;
use crate::state::AppState;

pub fn routes() -> Router<AppState> {
    Router::new().route("/docs", get(docs))
}

struct Docs {
    page: Unchanging,
    policy: HeaderValue,
}

async fn docs(_: Query<()>, headers: HeaderMap) -> Result<Response, ApiProblem> {
    static DOCS: LazyLock<Result<Docs, String>> = LazyLock::new(|| {
        let html = page::html().map_err(|error| error.to_string())?;
        Ok(Docs {
            page: Unchanging::new("text/html; charset=utf-8", html),
            policy: HeaderValue::from_str(&policy()).map_err(|error| error.to_string())?,
        })
    });
    let docs = match &*DOCS {
        Ok(docs) => docs,
        Err(error) => return Err(ApiProblem::internal(format!("the reference: {error}"))),
    };
    let mut answer = docs.page.answer(&headers);
    let own = answer.headers_mut();
    own.insert(header::CONTENT_SECURITY_POLICY, docs.policy.clone());
    own.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    own.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    Ok(answer)
}

/// The page's own script, known by its hash, and its style sheet: nothing else may run or load.
fn policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(page::SCRIPT.as_bytes()));
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::test_bench::Bench;

    #[tokio::test]
    async fn the_page_shows_every_endpoint_and_nothing_from_elsewhere() {
        let bench = Bench::start().await;
        let answer = bench.get("/docs").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let html = answer.text();
        for endpoint in crate::endpoints::all() {
            let shown = format!("<code class=\"path\">{}</code>", endpoint.path);
            assert!(html.contains(&shown), "{endpoint:?}");
        }
        for foreign in ["src=", "<link", "@import", "url(", "<iframe"] {
            assert!(!html.contains(foreign), "{foreign}");
        }
        // Every link leads somewhere on the page.
        let markup = html.split("<script>").next().unwrap();
        for link in markup.split("href=\"#").skip(1) {
            let name = link.split('"').next().unwrap();
            assert!(html.contains(&format!("id=\"{name}\"")), "#{name}");
        }
        let policy = answer.headers[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(!policy.contains("script-src 'unsafe"), "{policy}");
        let script = html.split("<script>").nth(1).unwrap();
        assert!(
            script.starts_with(page::SCRIPT),
            "the script is the one of the policy"
        );
    }

    #[tokio::test]
    async fn the_document_is_served_once_to_those_who_keep_it() {
        let bench = Bench::start().await;
        let answer = bench.get("/openapi.json").await;
        let document = answer.expect(200);
        assert_eq!(document["openapi"], "3.1.0");
        let known = axum::http::Request::get("/openapi.json")
            .header(header::IF_NONE_MATCH, &answer.headers[header::ETAG])
            .body(axum::body::Body::empty())
            .unwrap();
        let again = bench.send_request(known).await;
        assert_eq!(again.status, 304);
        assert!(again.bytes.is_empty());
    }
}
