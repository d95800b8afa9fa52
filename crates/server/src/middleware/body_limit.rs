//! How large a request's body may be.

use autom8_api::problem::{Problem, ProblemCode};
use autom8_model::limits;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderMap, header};
use http_body_util::Limited;
use hyper::body::Body as _;

use super::lanes::{Arriving, Pass};
use crate::error::ApiProblem;

/// One task, one input, one of anything.
pub const BODY_BYTES_MAX: u64 = 1024 * 1024;
/// A batch of [`limits::BATCH_RUNS_MAX`] runs with inputs of about 1.6 KB each.
pub const BATCH_BODY_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// A file of contacts, which goes to the disk as it arrives: some 20 million rows.
pub const IMPORT_BODY_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

const _: () = {
    // A full input and its frame of JSON fit into an ordinary body.
    assert!(limits::INPUT_BYTES_MAX as u64 * 2 <= BODY_BYTES_MAX);
    assert!(limits::TASK_SPEC_BYTES_MAX as u64 * 2 <= BODY_BYTES_MAX);
};

/// Refuses a body that is announced as too large, before a byte of it is read.
pub(super) fn check_announced(headers: &HeaderMap, bytes_max: u64) -> Result<(), ApiProblem> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match announced {
        Some(bytes) if bytes > bytes_max => Err(too_large(bytes_max)),
        _ => Ok(()),
    }
}

/// The 413 of this server. Extractors that read a body answer with it when the limit ends it.
pub(crate) fn too_large(bytes_max: u64) -> ApiProblem {
    Problem::new(
        ProblemCode::TooLarge,
        format!(
            "the body is larger than {bytes_max} bytes, which is the most that this route takes: \
             send less at once"
        ),
    )
    .into()
}

/// Cuts a body off at the limit, however it was announced. The handler's read then fails with
/// [`http_body_util::LengthLimitError`].
pub(super) fn limited(mut request: Request, bytes_max: u64, pass: &Pass) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    // This limit replaces the one that axum's extractors bring.
    DefaultBodyLimit::disable().apply(&mut request);
    let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    request.map(|body| Body::new(Limited::new(Arriving::new(body, pass), bytes_max)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::Traits;
    use axum::http::HeaderValue;
    use http_body_util::BodyExt as _;

    #[test]
    fn an_announced_length_is_judged_by_the_route() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_LENGTH,
            HeaderValue::from(BODY_BYTES_MAX + 1),
        );
        let of = |path| Traits::of("POST", path).body_bytes_max;
        let refused = check_announced(&headers, of("/api/v1/tasks")).unwrap_err();
        assert_eq!(refused.problem.status(), 413);
        // It may be one task, one contact or a file: none of them has fewer runs.
        assert!(!refused.problem.message.contains("batch"), "{refused:?}");
        check_announced(&headers, of("/api/v1/runs/batch")).unwrap();
        check_announced(&HeaderMap::new(), 0).unwrap();
    }

    #[tokio::test]
    async fn a_body_without_a_length_is_cut_off_too() {
        let request = Request::new(Body::from_stream(futures_util::stream::iter([
            Ok::<_, std::io::Error>(vec![0; 600]),
            Ok(vec![0; 600]),
        ])));
        let pass = crate::middleware::lanes::Lanes::new(1, 1)
            .enter(false)
            .unwrap();
        let body = limited(request, 1_000, &pass).into_body();
        let error = body.collect().await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap();
        assert!(cause.is::<http_body_util::LengthLimitError>(), "{cause}");
    }
}
