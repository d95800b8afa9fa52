//! What a result keeps of an answer.

use autom8_model::limits;
use reqwest::StatusCode;
use reqwest::header::{self, HeaderMap, HeaderName};
use serde_json::Value;
use serde_json::value::RawValue;

/// Bytes of an answer's body that the result keeps, so that status, headers and the escapes of
/// JSON fit into the limit as well.
pub(super) const BODY_BYTES_MAX: usize = limits::RESULT_BYTES_MAX / 2;
/// Headers of an answer that are worth keeping and are no secrets.
const HEADERS_KEPT: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::DATE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::LOCATION,
    header::RETRY_AFTER,
];

/// `{"status","headers","body"}`; a body of JSON is kept as JSON, any other as text. One that is
/// too long is cut, and `"truncated": true` says so.
pub(super) fn result_json(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    whole: bool,
) -> Vec<u8> {
    let kept: serde_json::Map<String, Value> = HEADERS_KEPT
        .iter()
        .filter_map(|name| Some((name.to_string(), headers.get(name)?.to_str().ok()?.into())))
        .collect();
    let whole = whole && body.len() <= BODY_BYTES_MAX;
    let status = status.as_u16();
    let headers = Value::Object(kept);
    let truncated = if whole { "" } else { r#","truncated":true"# };
    let body = match own_json(body) {
        _ if body.is_empty() => "null".to_owned(),
        Some(json) if whole => json.to_owned(),
        _ => {
            let head = &body[..body.len().min(BODY_BYTES_MAX)];
            Value::String(String::from_utf8_lossy(head).into_owned()).to_string()
        }
    };
    format!(r#"{{"status":{status},"headers":{headers},"body":{body}{truncated}}}"#).into_bytes()
}

/// A body of JSON as it came: read and written anew, it would lose the order of its keys and the
/// digits of its numbers. `None` of what is no JSON, and of what would spoil the document around it
/// for many a reader.
fn own_json(body: &[u8]) -> Option<&str> {
    let json = serde_json::from_slice::<&RawValue>(body).ok()?.get();
    is_for_any_reader(json).then_some(json)
}

/// Whether JSON is nested no deeper than the API itself accepts, and its strings are Unicode: the
/// grammar alone allows half of a pair, as `"\ud800"`.
fn is_for_any_reader(json: &str) -> bool {
    let mut depth = 0_usize;
    let mut rest = json;
    while let Some(at) = rest.find(['[', '{', ']', '}', '"']) {
        let (token, after) = rest.split_at(at + 1);
        rest = after;
        match token.as_bytes().last() {
            Some(b'[' | b'{') => depth += 1,
            Some(b']' | b'}') => depth -= 1,
            _ => {
                let (string, after) = split_string(after);
                let is_unicode =
                    || serde_json::from_str::<String>(&format!("\"{string}\"")).is_ok();
                if string.contains("\\u") && !is_unicode() {
                    return false;
                }
                rest = after;
            }
        }
        if depth > limits::JSON_DEPTH_MAX {
            return false;
        }
    }
    true
}

/// Splits after the end of the string that `text` begins in, into what it holds and what follows.
fn split_string(text: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = text.find(|character| {
        let ends = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        ends
    });
    match end {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of a 200 with this body, without what is the same of each.
    fn kept(body: &[u8]) -> String {
        let result = result_json(StatusCode::OK, &HeaderMap::new(), body, true);
        let result = String::from_utf8(result).unwrap();
        serde_json::from_str::<&RawValue>(&result).unwrap();
        let body = result.strip_prefix(r#"{"status":200,"headers":{},"body":"#);
        body.unwrap().strip_suffix('}').unwrap().to_owned()
    }

    fn nested(depth: usize) -> String {
        "[".repeat(depth) + &"]".repeat(depth)
    }

    #[test]
    fn json_is_kept_as_it_came() {
        for json in [
            r#"{"z":1,"a":{"y":2,"b":3}}"#,
            r#"{"a":1,"a":2}"#,
            "[1.0,1e400,-0,12345678901234567890123,0.10]",
            "{ \"spaced\" :\n[ 1 ] }",
            r#""\u00e9 \/ \ud83d\ude00 [{\" \\""#,
            "\"{[\"",
            "null",
            &nested(limits::JSON_DEPTH_MAX),
        ] {
            assert_eq!(kept(json.as_bytes()), json);
            assert_eq!(kept(format!(" {json}\r\n").as_bytes()), json);
        }
        assert_eq!(kept(b""), "null");
    }

    #[test]
    fn what_is_no_json_for_everyone_is_kept_as_text() {
        let deep = nested(limits::JSON_DEPTH_MAX + 1);
        for text in [
            "plain",
            "{\"a\":1",
            "{} {}",
            "NaN",
            "01",
            r#"["\ud800"]"#,
            r#"{"\udc00":1}"#,
            &deep,
        ] {
            assert_eq!(kept(text.as_bytes()), Value::from(text).to_string());
        }
        assert_eq!(kept(b"\"\xff\""), "\"\\\"\u{fffd}\\\"\"");
    }

    #[test]
    fn a_body_beyond_its_limit_is_cut_and_is_text() {
        let json = format!("[{}1]", "1,".repeat(BODY_BYTES_MAX / 2));
        let result = result_json(StatusCode::OK, &HeaderMap::new(), json.as_bytes(), true);
        let result: Value = serde_json::from_slice(&result).unwrap();
        assert_eq!(result["truncated"], true);
        assert_eq!(result["body"], json[..BODY_BYTES_MAX]);
    }
}
