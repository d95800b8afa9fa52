//! An answer of a write, made once: it is sent, and kept for the request that comes again under
//! the same `Idempotency-Key`.

use autom8_store::StoredAnswer;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;

use crate::error::ApiProblem;

#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    location: Option<String>,
    /// JSON, or why there is none.
    body: Result<Bytes, String>,
}

impl Answer {
    pub fn json(status: StatusCode, value: &impl Serialize) -> Self {
        Answer {
            status,
            location: None,
            body: serde_json::to_vec(value)
                .map(Bytes::from)
                .map_err(|error| format!("an answer is no JSON: {error}")),
        }
    }

    pub fn ok(value: &impl Serialize) -> Self {
        Self::json(StatusCode::OK, value)
    }

    /// 201, with where the new thing is.
    pub fn created(location: String, value: &impl Serialize) -> Self {
        Answer {
            location: Some(location),
            ..Self::json(StatusCode::CREATED, value)
        }
    }

    /// 202, with where the progress is seen.
    pub fn accepted(location: String, value: &impl Serialize) -> Self {
        Answer {
            location: Some(location),
            ..Self::json(StatusCode::ACCEPTED, value)
        }
    }

    /// A 500: a defect of ours.
    pub fn broken(why: &str) -> Self {
        Answer {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            location: None,
            body: Err(why.to_owned()),
        }
    }

    /// For the store.
    pub(crate) fn into_stored(self) -> StoredAnswer {
        StoredAnswer {
            status: self.status.as_u16(),
            location: self.location,
            body: self.body.map(Vec::from).unwrap_or_default(),
        }
    }

    /// One that was kept.
    pub(crate) fn from_stored(stored: StoredAnswer) -> Self {
        Answer {
            status: StatusCode::from_u16(stored.status).unwrap_or(StatusCode::OK),
            location: stored.location,
            body: Ok(stored.body.into()),
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let body = match self.body {
            Ok(body) => body,
            Err(error) => {
                return ApiProblem::internal(error).into_response();
            }
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if let Some(location) = self.location
            && let Ok(location) = HeaderValue::try_from(location)
        {
            headers.insert(header::LOCATION, location);
        }
        response
    }
}
