//! What makes a request one request, for us and for a proxy in front of us.
//!
//! Two programs that read the same bytes as different requests are how one client's bytes end up
//! in another's request. hyper refuses most of it (lengths that differ or are no number, chunks
//! under HTTP/1.0, spaces before a colon) and closes after a request with both a length and
//! chunks. What it leaves open is refused here, and the connection with it.

use autom8_api::problem::Problem;
use axum::http::{HeaderMap, Request, Version, header};

/// Judges the head of a request.
///
/// # Errors
/// 400, after which the connection must close: where the next request would begin is anyone's
/// guess.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Problem> {
    check_host(request.version(), request.headers())?;
    check_transfer_encoding(request.headers())
}

/// Exactly one `Host`, as RFC 9112 (section 3.2) demands of HTTP/1.1; HTTP/1.0 may leave it out.
fn check_host(version: Version, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => Err(Problem::invalid_at(
            "Host",
            "is missing: HTTP/1.1 needs one",
        )),
        (_, Some(_)) => Err(Problem::invalid_at("Host", "is given more than once")),
        _ => Ok(()),
    }
}

/// `chunked` and nothing else: hyper takes off the chunks and would hand over whatever else it
/// says is around the body.
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Problem::invalid_at(
            "Transfer-Encoding",
            "must be `chunked`, once and alone",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(version: Version, headers: &[(&str, &str)]) -> Option<String> {
        let mut request = Request::builder().version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap()).err().map(|problem| {
            assert_eq!(problem.status(), 400);
            problem.errors[0].path.clone()
        })
    }

    #[test]
    fn a_request_has_one_host_and_plain_chunks() {
        let host = ("host", "localhost");
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        for (version, headers, refused) in [
            (new, &[host][..], None),
            (old, &[], None),
            (new, &[], Some("Host")),
            (new, &[host, host], Some("Host")),
            (old, &[host, ("host", "other")], Some("Host")),
            (new, &[host, ("transfer-encoding", "Chunked")], None),
            (
                new,
                &[host, ("transfer-encoding", "gzip, chunked")],
                Some("Transfer-Encoding"),
            ),
            (
                new,
                &[
                    host,
                    ("transfer-encoding", "identity"),
                    ("transfer-encoding", "chunked"),
                ],
                Some("Transfer-Encoding"),
            ),
            (
                new,
                &[host, ("transfer-encoding", "chunked,")],
                Some("Transfer-Encoding"),
            ),
        ] {
            assert_eq!(refusal(version, headers).as_deref(), refused, "{headers:?}");
        }
    }
}
