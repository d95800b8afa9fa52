//! `GET /openapi.json`: the document of this API, for programs.

use std::sync::LazyLock;

use axum::Router;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;

use super::unchanging::Unchanging;
use crate::error::ApiProblem;
use crate::extract::Query;
use crate::openapi;
use crate::state::AppState;

pub fn routes() -> Router<AppState> {
    Router::new().route("/openapi.json", get(document))
}

async fn document(_: Query<()>, headers: HeaderMap) -> Result<Response, ApiProblem> {
    static DOCUMENT: LazyLock<Result<Unchanging, String>> = LazyLock::new(|| {
        let text = openapi::json().map_err(|error| error.to_string())?;
        Ok(Unchanging::new("application/json", text))
    });
    match &*DOCUMENT {
        Ok(document) => Ok(document.answer(&headers)),
        Err(error) => Err(ApiProblem::internal(format!(
            "the OpenAPI document: {error}"
        ))),
    }
}
