//! An answer that stays the same while the program runs: made once, and told apart by its hash, so
//! that a client which has it is sent nothing.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// A body with its name for `If-None-Match`.
#[derive(Debug)]
pub(super) struct Unchanging {
    content_type: HeaderValue,
    body: Bytes,
    tag: HeaderValue,
}

impl Unchanging {
    pub(super) fn new(content_type: &'static str, body: String) -> Self {
        let hash = Sha256::digest(body.as_bytes());
        let hex: String = hash
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Unchanging {
            content_type: HeaderValue::from_static(content_type),
            body: Bytes::from(body),
            // Hexadecimal digits between quotes are always a value.
            tag: HeaderValue::from_str(&format!("\"{hex}\""))
                .unwrap_or(HeaderValue::from_static("\"\"")),
        }
    }

    /// The body, or 304 for those who have it.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        let own: [(HeaderName, HeaderValue); 2] = [
            (header::ETAG, self.tag.clone()),
            // The next version of the program may say something else.
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        if self.is_known(headers) {
            return (StatusCode::NOT_MODIFIED, own).into_response();
        }
        let content_type = (header::CONTENT_TYPE, self.content_type.clone());
        (own, [content_type], self.body.clone()).into_response()
    }

    fn is_known(&self, headers: &HeaderMap) -> bool {
        let own = self.tag.to_str().unwrap_or_default();
        headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|tags| tags.to_str().ok())
            .flat_map(|tags| tags.split(','))
            .map(|tag| tag.trim())
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_it_is_sent_nothing() {
        let page = Unchanging::new("text/html", "hello".to_owned());
        let answered = |known: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(known) = known {
                headers.insert(header::IF_NONE_MATCH, known.parse().unwrap());
            }
            page.answer(&headers)
        };
        let whole = answered(None);
        assert_eq!(whole.status(), 200);
        let tag = whole.headers()[header::ETAG].to_str().unwrap().to_owned();
        assert_eq!(tag, "\"2cf24dba5fb0a30e\"");
        for known in [&tag, "*", &format!("\"other\", W/{tag}")] {
            let answer = answered(Some(known));
            assert_eq!(answer.status(), 304, "{known}");
            assert_eq!(answer.headers()[header::ETAG], tag);
            assert!(!answer.headers().contains_key(header::CONTENT_TYPE));
        }
        assert_eq!(answered(Some("\"other\"")).status(), 200);
    }
}
