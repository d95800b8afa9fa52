//! A JSON body as a type.

use autom8_api::problem::{Problem, ProblemCode};
use autom8_config::suggest;
use autom8_model::{Invalid, limits};
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use super::scan::{self, Fault, Scanner, shown_key};
use crate::error::ApiProblem;
use crate::middleware::body_limit;

/// The body as `T`.
#[derive(Clone, Debug)]
pub struct JsonBody<T>(pub T);

/// The body as `T`, or its default if there is none: `curl -X POST` sends neither body nor type.
#[derive(Clone, Debug)]
pub struct OptionalJsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiProblem;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiProblem> {
        let body = read_json(request, body_limit::BODY_BYTES_MAX).await?;
        Ok(JsonBody(parse(&body)?))
    }
}

impl<T: DeserializeOwned + Default, S: Sync> FromRequest<S> for OptionalJsonBody<T> {
    type Rejection = ApiProblem;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiProblem> {
        let (parts, body) = request.into_parts();
        let body = read(body, body_limit::BODY_BYTES_MAX).await?;
        if body.is_empty() {
            return Ok(OptionalJsonBody(T::default()));
        }
        check_content_type(&parts.headers)?;
        Ok(OptionalJsonBody(parse(&body)?))
    }
}

/// The bytes of a body that says it is JSON. `bytes_max` is what the middleware allows this route.
///
/// # Errors
/// 400 without a body, 413, 415.
pub async fn read_json(request: Request, bytes_max: u64) -> Result<Bytes, ApiProblem> {
    let (parts, body) = request.into_parts();
    let body = read(body, bytes_max).await?;
    if body.is_empty() {
        return Err(Problem::invalid_at("/", "is empty: send a JSON object").into());
    }
    check_content_type(&parts.headers)?;
    Ok(body)
}

/// The bytes of a body, up to what the middleware allows its route.
///
/// # Errors
/// 413; 408 when it does not arrive whole.
pub(crate) async fn read(body: Body, bytes_max: u64) -> Result<Bytes, ApiProblem> {
    match body.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if is_length_limit(&error) => Err(body_limit::too_large(bytes_max)),
        Err(error) => Err(Problem::new(
            ProblemCode::Timeout,
            format!("the body did not arrive whole: {error}"),
        )
        .into()),
    }
}

pub(crate) fn is_length_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .any(|error| error.is::<LengthLimitError>())
}

/// `application/json` and its relatives, such as `application/merge-patch+json`. Another type is
/// refused even if the bytes would do: a form of another site can only send other types.
fn check_content_type(headers: &HeaderMap) -> Result<(), ApiProblem> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = given
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    let subtype = media_type.to_ascii_lowercase();
    let is_json = subtype
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"));
    if is_json {
        return check_encodings(headers, given.unwrap_or_default());
    }
    let found = match given {
        Some(_) => format!(
            "the body is announced as `{}`",
            shown_key(media_type).replace("~1", "/")
        ),
        None => "the body has no Content-Type".to_owned(),
    };
    Err(Problem::new(
        ProblemCode::UnsupportedMediaType,
        format!("{found}: send `Content-Type: application/json` (curl: --json instead of -d)"),
    )
    .into())
}

/// JSON is UTF-8 and arrives here as it is: bytes that mean something else are refused by what they
/// say of themselves, and not by what they look like.
pub(super) fn check_encodings(headers: &HeaderMap, content_type: &str) -> Result<(), ApiProblem> {
    let charset = content_type
        .split(';')
        .skip(1)
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .map(|(_, value)| value.trim().trim_matches('"'));
    let is_utf8 = |charset: &str| {
        ["utf-8", "utf8", "us-ascii"]
            .iter()
            .any(|known| charset.eq_ignore_ascii_case(known))
    };
    let packed = headers
        .get(header::CONTENT_ENCODING)
        .filter(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let refused = match (charset, packed) {
        (Some(charset), _) if !is_utf8(charset) => format!(
            "the body is announced as `{}`: JSON is UTF-8",
            shown_key(charset).replace("~1", "/")
        ),
        (_, Some(coding)) => format!(
            "the body is announced as packed by `{}`: send it as it is",
            shown_key(&String::from_utf8_lossy(coding.as_bytes()))
        ),
        _ => return Ok(()),
    };
    Err(Problem::new(ProblemCode::UnsupportedMediaType, refused).into())
}

/// Reads checked JSON as a type.
///
/// # Errors
/// What is wrong, with the path of the field and the fix.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    scan::check(text)?;
    parse_checked(text)
}

/// The same for text that [`scan`] has judged already.
pub(crate) fn parse_checked<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    // Serde would also take a struct's fields in their order, from an array.
    check_object("/", text)?;
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| Problem::invalid(vec![invalid(&error)]))
}

/// Refuses any value but an object at `path`.
pub(crate) fn check_object(path: &str, value: &[u8]) -> Result<(), Problem> {
    let mut scanner = Scanner::new(value)?;
    scanner.skip_space();
    match scanner.peek() {
        Some(b'{') => Ok(()),
        _ => Err(Fault {
            path: path.to_owned(),
            ..scanner.wrong_type("an object")
        }
        .into()),
    }
}

/// What serde complains about, said to the person who wrote the field.
fn invalid(error: &serde_path_to_error::Error<serde_json::Error>) -> Invalid {
    let mut path: Vec<String> = error
        .path()
        .iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(shown_key(key)),
            Segment::Enum { variant } => Some(shown_key(variant)),
            Segment::Unknown => None,
        })
        .collect();
    let text = error.inner().to_string();
    // The place in the text is told by the path.
    let place = format!(
        " at line {} column {}",
        error.inner().line(),
        error.inner().column()
    );
    let text = text.strip_suffix(&place).unwrap_or(&text);
    let message = if let Some((name, known)) = unknown_name(text, "unknown field") {
        if path.last().is_none_or(|last| *last != shown_key(name)) {
            path.push(shown_key(name));
        }
        unknown_field(name, &known)
    } else if let Some((name, known)) = unknown_name(text, "unknown variant") {
        let shown = shown_key(name);
        // A kind that is a key (`{"fax":{}}`) is no part of the path to it.
        if path.last() == Some(&shown) {
            path.pop();
        }
        format!("`{shown}` is not known{}", advice(name, &known))
    } else if let Some(name) = text
        .strip_prefix("missing field `")
        .and_then(|t| t.strip_suffix('`'))
    {
        path.push(name.to_owned());
        "is missing".to_owned()
    } else if let Some(kinds) = text.strip_prefix("invalid type: ") {
        match kinds.split_once(", expected ") {
            Some((found, wanted)) => format!("must be {wanted}, not {found}"),
            None => text.to_owned(),
        }
    } else {
        text.to_owned()
    };
    Invalid::new(format!("/{}", path.join("/")), message)
}

/// Takes serde's sentence apart: "unknown field `nmae`, expected one of `name`, `do`". Serde
/// hands the names over in no other way.
fn unknown_name<'a>(text: &'a str, what: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let rest = text.strip_prefix(what)?.strip_prefix(" `")?;
    // The name is the client's and may hold a backquote: the last "`, " is serde's own.
    let (name, expected) = rest
        .rsplit_once("`, expected ")
        .or_else(|| rest.rsplit_once("`, there are no "))?;
    let known = expected.split('`').skip(1).step_by(2).collect();
    Some((name, known))
}

/// The complaint about a field that nobody knows.
pub(crate) fn unknown_field(name: &str, known: &[&str]) -> String {
    format!("is not a field{}", advice(name, known))
}

fn advice(name: &str, known: &[&str]) -> String {
    match suggest::nearest(name, known.iter().copied()) {
        Some(meant) => format!("; did you mean `{meant}`?"),
        None if known.is_empty() => "; no field is expected here".to_owned(),
        None if known.len() == 1 => format!("; use {}", known[0]),
        None => format!("; use one of {}", known.join(", ")),
    }
}

/// The complaint about an input beyond its limit.
pub(crate) fn input_too_long(bytes: usize) -> String {
    format!(
        "is {bytes} bytes of JSON, the limit for one input is {}",
        limits::INPUT_BYTES_MAX
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use autom8_api::run::RunRequest;
    use autom8_model::TaskSpec;
    use axum::http::HeaderValue;

    fn refused<T: DeserializeOwned + std::fmt::Debug>(text: &str) -> (u16, String, String) {
        let problem = parse::<T>(text.as_bytes()).expect_err(text);
        let first = problem
            .errors
            .first()
            .unwrap_or_else(|| panic!("{problem:?}"))
            .clone();
        (problem.status(), first.path, first.message)
    }

    #[test]
    fn each_bad_task_is_answered_with_400_and_the_field_it_is_about() {
        let deep = format!(
            r#"{{"name":"a","do":{{"http":{{"url":"http://a/","body":{}1{}}}}}}}"#,
            "[".repeat(70),
            "]".repeat(70)
        );
        for (text, path, message) in [
            ("{", "/", "expected"),
            ("null", "/", "must be an object, not null"),
            ("[]", "/", "must be an object, not an array"),
            (r#""x""#, "/", "must be an object, not a string"),
            ("{}", "/name", "is missing"),
            (r#"{"name":"a"}"#, "/do", "is missing"),
            (
                r#"{"nmae":"a","do":{"builtin":"noop"}}"#,
                "/nmae",
                "did you mean `name`?",
            ),
            (
                r#"{"name":"a","do":{"builtin":"noop"},"shedule":{}}"#,
                "/shedule",
                "did you mean `schedule`?",
            ),
            (
                r#"{"name":"a","do":{"builtin":"noop"},"zzzzzz":1}"#,
                "/zzzzzz",
                "use one of name, do",
            ),
            (
                r#"{"name":"a","do":{"builtin":"noop"},"a`, expected `b":1}"#,
                "/a`, expected `b",
                "is not a field",
            ),
            (
                r#"{"name":5,"do":{"builtin":"noop"}}"#,
                "/name",
                "must be a string, not integer `5`",
            ),
            (
                r#"{"name":"Not A Slug","do":{"builtin":"noop"}}"#,
                "/name",
                "not-a-slug",
            ),
            (r#"{"name":"a","do":{}}"#, "/do", "expected value"),
            (
                r#"{"name":"a","do":{"htpp":{}}}"#,
                "/do",
                "did you mean `http`?",
            ),
            (
                r#"{"name":"a","do":{"http":{"url":"http://a/","methd":"GET"}}}"#,
                "/do/http/methd",
                "did you mean `method`?",
            ),
            (
                r#"{"name":"a","do":{"http":{}}}"#,
                "/do/http/url",
                "is missing",
            ),
            (
                r#"{"name":"a","do":{"http":{"url":"http://a/","headers":{"X":1}}}}"#,
                "/do/http/headers/X",
                "must be a string, not integer `1`",
            ),
            (
                r#"{"name":"a","do":{"process":{"argv":["a",2]}}}"#,
                "/do/process/argv/1",
                "must be a string",
            ),
            (
                r#"{"name":"a","do":{"builtin":"bakup"}}"#,
                "/do/builtin",
                "backup",
            ),
            (
                r#"{"name":"a","do":{"builtin":"noop"},"retry":{"max_attempts":-1}}"#,
                "/retry/max_attempts",
                "u16",
            ),
            (
                r#"{"name":"a","do":{"builtin":"noop"},"retry":{"max_attempts":1e400}}"#,
                "/retry/max_attempts",
                "number out of range",
            ),
            (
                r#"{"name":"a","do":{"builtin":"noop"},"timeout":5}"#,
                "/timeout",
                "a duration as text",
            ),
            (
                r#"{"name":"a","do":{"builtin":"noop"},"timeout":"5"}"#,
                "/timeout",
                "needs a unit",
            ),
            (
                r#"{"name":"a","do":{"builtin":"noop"},"schedule":{"cron":"61 * * * *"}}"#,
                "/schedule",
                "61",
            ),
            (
                r#"{"name":"a","do":{"builtin":"noop"},"schedule":{"every":"2s","evry":1}}"#,
                "/schedule/evry",
                "did you mean `every`?",
            ),
            (
                r#"{"name":"a","do":{"builtin":"noop"},"overlap":"skpi"}"#,
                "/overlap",
                "did you mean `skip`?",
            ),
            (
                r#"{"name":"a","do":{"builtin":"noop"},"enabled":"yes"}"#,
                "/enabled",
                "must be a boolean",
            ),
            (
                r#"{"name":"a","name":"b","do":{"builtin":"noop"}}"#,
                "/name",
                "more than once",
            ),
            (
                r#"{"name":"a\u0000","do":{"builtin":"noop"}}"#,
                "/name",
                "NUL",
            ),
            (
                r#"{"name":"\ud800","do":{"builtin":"noop"}}"#,
                "/name",
                "surrogate",
            ),
            (
                r#"{"name":"a","do":{"http":{"url":"http://a/","body":{"x":{"y":"\u0000"}}}}}"#,
                "/do/http/body/x/y",
                "NUL",
            ),
            (
                r#"{"name":"a","do":{"builtin":"noop"}} {}"#,
                "/",
                "expected the end",
            ),
            (&deep, "/do/http/body", "deeper than 64"),
        ] {
            let (status, found_path, found) = refused::<TaskSpec>(text);
            assert_eq!(status, 400, "{text}");
            assert!(
                found_path.starts_with(path),
                "{text}: {found_path} ({found})"
            );
            assert!(found.contains(message), "{text}: {found}");
        }
    }

    #[test]
    fn raw_values_survive_the_path_tracking() {
        let spec: TaskSpec = parse(
            br#"{"name":"a","do":{"http":{"url":"http://a/","body":{"n": 1.50, "big":123456789012345678901}}}}"#,
        )
        .unwrap();
        let json = serde_json::to_string(&spec).unwrap();
        assert!(
            json.contains(r#""body":{"n": 1.50, "big":123456789012345678901}"#),
            "{json}"
        );
        let run: RunRequest = parse(br#"{"input": [1.0 ,2]}"#).unwrap();
        assert_eq!(run.input.unwrap().get(), "[1.0 ,2]");
        let (_, path, message) = refused::<RunRequest>(r#"{"inptu":1}"#);
        assert_eq!(
            (path.as_str(), message.as_str()),
            ("/inptu", "is not a field; did you mean `input`?")
        );
    }

    fn request(content_type: Option<&str>, body: &'static str) -> Request {
        let mut request = Request::builder();
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        request.body(Body::from(body)).unwrap()
    }

    #[tokio::test]
    async fn only_what_is_announced_as_json_is_read() {
        for accepted in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/merge-patch+json",
        ] {
            JsonBody::<RunRequest>::from_request(request(Some(accepted), "{}"), &())
                .await
                .unwrap();
        }
        for refused in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("json"),
        ] {
            let error = JsonBody::<RunRequest>::from_request(request(refused, "{}"), &())
                .await
                .unwrap_err();
            assert_eq!(error.problem.status(), 415);
            assert!(
                error.problem.message.contains("--json"),
                "{}",
                error.problem.message
            );
        }
    }

    #[tokio::test]
    async fn a_body_in_another_encoding_is_refused_by_its_announcement() {
        for (content_type, coding, refused) in [
            ("application/json; charset=UTF-8", "identity", None),
            ("application/json;charset=\"utf-8\"; q=1", "Identity", None),
            (
                "application/json; charset=utf-16",
                "identity",
                Some("`utf-16`: JSON is UTF-8"),
            ),
            (
                "application/json; q=1; Charset = \"latin1\"",
                "identity",
                Some("`latin1`"),
            ),
            ("application/json", "gzip", Some("packed by `gzip`")),
            ("application/json", "", Some("packed by ``")),
        ] {
            let mut request = request(Some(content_type), "{}");
            request
                .headers_mut()
                .insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
            let read = JsonBody::<RunRequest>::from_request(request, &()).await;
            let found = read.err().map(|error| {
                assert_eq!(error.problem.status(), 415, "{content_type}");
                error.problem.message
            });
            match refused {
                None => assert_eq!(found, None, "{content_type}"),
                Some(said) => assert!(found.unwrap().contains(said), "{content_type} {coding:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_missing_body_is_an_error_only_where_one_is_needed() {
        let form = Some("application/x-www-form-urlencoded");
        let error = JsonBody::<RunRequest>::from_request(request(form, ""), &())
            .await
            .unwrap_err();
        assert_eq!(error.problem.status(), 400);
        let OptionalJsonBody(run) =
            OptionalJsonBody::<RunRequest>::from_request(request(form, ""), &())
                .await
                .unwrap();
        assert!(run.input.is_none());
        let error = OptionalJsonBody::<RunRequest>::from_request(request(form, "a=b"), &())
            .await
            .unwrap_err();
        assert_eq!(error.problem.status(), 415);
    }

    #[tokio::test]
    async fn a_body_beyond_its_limit_is_413() {
        let limited = http_body_util::Limited::new(Body::from(vec![b' '; 2_000]), 1_000);
        let request = Request::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::new(limited))
            .unwrap();
        let error = JsonBody::<RunRequest>::from_request(request, &())
            .await
            .unwrap_err();
        assert_eq!(error.problem.status(), 413);
    }
}
