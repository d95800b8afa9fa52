//! What a handler answers when it cannot do what was asked.

use autom8_api::problem::{CONTENT_TYPE, Problem, ProblemCode};
use autom8_model::Invalid;
use autom8_store::StoreError;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Seconds after which a refused request is worth another try: overload here passes in less.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// A problem on its way out. The middleware adds the request id and logs the cause.
#[derive(Clone, Debug)]
pub struct ApiProblem {
    pub problem: Problem,
    /// What the log and the recent errors should say and the client should not.
    pub cause: Option<String>,
}

impl ApiProblem {
    /// A 500: a defect of ours. `cause` is for the log.
    pub fn internal(cause: impl Into<String>) -> Self {
        ApiProblem {
            problem: Problem::internal(),
            cause: Some(cause.into()),
        }
    }

    /// The answer with its request id.
    pub(crate) fn render(&self, request_id: Option<&str>) -> Response {
        let mut problem = self.problem.clone();
        if let Some(request_id) = request_id {
            problem = problem.with_request_id(request_id);
        }
        // A problem is strings and numbers: writing it into memory cannot fail.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() =
            StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if matches!(
            problem.code,
            ProblemCode::Overloaded | ProblemCode::Unavailable
        ) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}

impl From<Problem> for ApiProblem {
    fn from(problem: Problem) -> Self {
        ApiProblem {
            problem,
            cause: None,
        }
    }
}

impl From<StoreError> for ApiProblem {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::NotFound { .. } => Problem::new(ProblemCode::NotFound, text).into(),
            StoreError::Conflict { .. } => Problem::conflict(text).into(),
            StoreError::Duplicate { field, .. } => {
                let mut problem = Problem::conflict(text.clone());
                problem.errors = vec![Invalid::new(format!("/{field}"), text)];
                problem.into()
            }
            StoreError::Invalid(invalid) => Problem::invalid(vec![invalid]).into(),
            StoreError::Overloaded { .. } => Problem::new(ProblemCode::Overloaded, text).into(),
            // The path of the data directory is the operator's business, not the client's.
            StoreError::DiskFull { .. } => ApiProblem {
                problem: Problem::new(
                    ProblemCode::DiskFull,
                    "the server's disk is full and nothing was written; \
                     writes work again as soon as there is room",
                ),
                cause: Some(text),
            },
            StoreError::Unavailable { .. } => ApiProblem {
                problem: Problem::new(
                    ProblemCode::Unavailable,
                    "the store is not available; try again in a moment",
                ),
                cause: Some(text),
            },
            StoreError::Corrupt { .. } | StoreError::Backend { .. } => ApiProblem::internal(text),
        }
    }
}

impl IntoResponse for ApiProblem {
    fn into_response(self) -> Response {
        // Complete without the middleware, too; that renders it again, with the request id.
        let mut response = self.render(None);
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_store_error_has_its_status_and_keeps_inside_matters_inside() {
        let path = std::path::PathBuf::from("/var/lib/secret-place");
        for (error, status, retry) in [
            (
                StoreError::NotFound {
                    what: "task `x`".into(),
                },
                404,
                false,
            ),
            (
                StoreError::Conflict {
                    why: "the name is taken".into(),
                },
                409,
                false,
            ),
            (
                StoreError::Duplicate {
                    field: "phone",
                    existing: autom8_model::ContactId(7),
                },
                409,
                false,
            ),
            (
                StoreError::Invalid(Invalid::new("/attributes", "are too many")),
                400,
                false,
            ),
            (StoreError::Overloaded { what: "writes" }, 503, true),
            (StoreError::DiskFull { path }, 507, false),
            (
                StoreError::Unavailable {
                    why: "closing".into(),
                },
                503,
                true,
            ),
            (
                StoreError::Corrupt {
                    table: "runs".into(),
                    row: 7,
                    what: "state 99".into(),
                },
                500,
                false,
            ),
            (
                StoreError::Backend {
                    statement: "run_get",
                    message: "disk I/O error".into(),
                },
                500,
                false,
            ),
        ] {
            let name = format!("{error:?}");
            let problem = ApiProblem::from(error);
            let response = problem.clone().into_response();
            assert_eq!(response.status().as_u16(), status, "{name}");
            assert_eq!(
                response.headers().contains_key(header::RETRY_AFTER),
                retry,
                "{name}"
            );
            assert_eq!(response.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
            let public = serde_json::to_string(&problem.problem).unwrap();
            for inside in ["secret-place", "state 99", "disk I/O error"] {
                assert!(!public.contains(inside), "{public}");
            }
            assert_eq!(
                problem.cause.is_some(),
                status >= 500 && name.find("Overloaded").is_none()
            );
        }
    }
}
