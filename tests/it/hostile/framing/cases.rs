//! The bytes, what must become of them, and why.

use super::Case;
use super::Outcome::{self, Answered, Refused};

/// A request that must never be answered when it is hidden in another.
const HIDDEN: &str = "GET /api/v1/health?hidden HTTP/1.1\r\nhost: localhost\r\n\r\n";
const GET: &str = "GET /api/v1/health HTTP/1.1\r\nhost: localhost\r\n";
const POST: &str = "POST /api/v1/tasks/absent/run HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";

pub(super) fn all() -> Vec<Case> {
    [lengths(), chunks(), heads(), request_lines()]
        .into_iter()
        .flatten()
        .collect()
}

fn case(bytes: impl Into<Vec<u8>>, outcome: Outcome, why: &'static str) -> Case {
    Case {
        bytes: bytes.into(),
        outcome,
        why,
    }
}

/// A POST with these framing headers and this body. It is meant for a task that does not exist, so
/// that the refusal 404 shows that it was read as a request.
fn post(headers: &str, body: &str) -> String {
    format!("{POST}{headers}\r\n{body}")
}

fn lengths() -> Vec<Case> {
    let hidden = |headers: &str| post(headers, &format!("{{}}{HIDDEN}"));
    let mut cases = vec![
        case(
            post("content-length: 2\r\n", "{}"),
            Answered(1),
            "an ordinary request",
        ),
        case(
            hidden("content-length: 2\r\n"),
            Answered(2),
            "two requests in one write are two",
        ),
        case(
            post("content-length: 2\r\ncontent-length: 2\r\n", "{}"),
            Answered(1),
            "the same length twice leaves no doubt (RFC 9112, 6.3)",
        ),
        case(
            format!("{GET}content-length: {}\r\n\r\n{HIDDEN}", HIDDEN.len()),
            Answered(1),
            "a GET may have a body, which is no request",
        ),
    ];
    for headers in [
        "content-length: 2\r\ncontent-length: 3\r\n",
        "content-length: 0\r\ncontent-length: 2\r\n",
        "Content-Length: 2\r\nCONTENT-LENGTH: 50\r\n",
        "content-length: 2, 2\r\n",
        "content-length: 2,3\r\n",
        "content-length: +2\r\n",
        "content-length: -2\r\n",
        "content-length: -0\r\n",
        "content-length:  2 2\r\n",
        "content-length: 2 \t 0\r\n",
        "content-length: 0x2\r\n",
        "content-length: 2.0\r\n",
        "content-length: 2e0\r\n",
        "content-length: 2;\r\n",
        "content-length: \"2\"\r\n",
        "content-length: two\r\n",
        "content-length: \r\n",
        "content-length:\r\n",
        "content-length: \u{ff12}\r\n",
        "content-length: 18446744073709551616\r\n",
        "content-length: 18446744073709551615\r\n",
        "content-length: 99999999999999999999999999999999\r\n",
        "content-length: 2\x0b\r\n",
    ] {
        cases.push(case(
            hidden(headers),
            Refused,
            "a length that is no number, or two",
        ));
    }
    cases
}

fn chunks() -> Vec<Case> {
    let chunked = |body: &str| post("transfer-encoding: chunked\r\n", body);
    let whole = "2\r\n{}\r\n0\r\n\r\n";
    let mut cases = vec![
        case(chunked(whole), Answered(1), "an ordinary chunked request"),
        case(
            post("Transfer-Encoding: CHUNKED\r\n", whole),
            Answered(1),
            "names of codings have no case",
        ),
        case(
            chunked("2;a=b;c=\"d\"\r\n{}\r\n0;e\r\n\r\n"),
            Answered(1),
            "extensions of chunks are ignored",
        ),
        case(
            chunked("0002\r\n{}\r\n000\r\n\r\n"),
            Answered(1),
            "a size may have leading zeros",
        ),
        case(
            chunked("2\r\n{}\r\n0\r\nX-Trailer: a\r\n\r\n"),
            Answered(1),
            "trailers end the body",
        ),
        case(
            chunked(&format!("2\r\n{{}}\r\n0\r\n\r\n{HIDDEN}")),
            Answered(2),
            "two requests in one write are two",
        ),
        case(
            post(
                &format!(
                    "content-length: {}\r\ntransfer-encoding: chunked\r\n",
                    2 + HIDDEN.len()
                ),
                &format!("{whole}{HIDDEN}"),
            ),
            Answered(1),
            "with both a length and chunks the connection closes (RFC 9112, 6.1)",
        ),
        case(
            post(
                "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
                &format!("{whole}{HIDDEN}"),
            ),
            Answered(1),
            "the same in the other order",
        ),
        case(
            post(
                "transfer-encoding: chunked\r\ncontent-length: 0\r\n",
                &format!("{whole}{HIDDEN}"),
            ),
            Answered(1),
            "the same with nothing announced",
        ),
    ];
    for headers in [
        "transfer-encoding: identity\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunkedx\r\n",
        "transfer-encoding: x\r\n",
        "transfer-encoding:\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: identity, chunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: chunked,\r\n",
        "transfer-encoding: ,chunked\r\n",
        "transfer-encoding: \"chunked\"\r\n",
        "transfer-encoding: chunked;q=1\r\n",
        "transfer-encoding: chunk\u{e9}d\r\n",
        "transfer-encoding: \x0bchunked\r\n",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "content-length: 2\r\ntransfer-encoding: identity\r\n",
        "content-length: 2\r\ntransfer-encoding: xchunked\r\n",
        "transfer-encoding : chunked\r\n",
        "transfer-encoding\t: chunked\r\n",
        "transfer-encoding:\r\n chunked\r\n",
        "transfer-encoding\r\n: chunked\r\n",
        "x: y\r\n transfer-encoding: chunked\r\n",
        "x: y\rtransfer-encoding: chunked\r\n",
        " transfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\0\r\n",
    ] {
        cases.push(case(
            post(headers, &format!("{whole}{HIDDEN}")),
            Refused,
            "a coding that is not exactly chunked, or not exactly a header",
        ));
    }
    for body in [
        "g\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "+2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        " 2\r\n{}\r\n0\r\n\r\n",
        "2 2\r\n{}\r\n0\r\n\r\n",
        "2_\r\n{}\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        ";a=b\r\n{}\r\n0\r\n\r\n",
        "2\n{}\n0\n\n",
        "2\r{}\r0\r\r",
        "2\r\n{}0\r\n\r\n",
        "2\r\n{}\n0\r\n\r\n",
        "2\r\n{}X\r\n0\r\n\r\n",
        "1\r\n{}\r\n0\r\n\r\n",
        "2;a\nb\r\n{}\r\n0\r\n\r\n",
        "10000000000000002\r\n{}\r\n0\r\n\r\n",
        "ffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\r\n0\r\nx\r\n\r\n",
        "2\r\n{}\r\n0\r\n: x\r\n\r\n",
        "2\r\n{}\r\n0\r\nx y: z\r\n\r\n",
    ] {
        cases.push(case(
            format!("{}{HIDDEN}", chunked(body)),
            Refused,
            "a chunk whose end two readers could see in two places",
        ));
    }
    cases.push(case(
        chunked(&format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(64 * 1024))),
        Refused,
        "extensions without end",
    ));
    cases.push(case(
        chunked(&format!(
            "2\r\n{{}}\r\n0\r\n{}\r\n",
            "X-T: y\r\n".repeat(200)
        )),
        Refused,
        "trailers without end",
    ));
    cases.push(case(
        format!(
            "POST /api/v1/tasks/absent/run HTTP/1.0\r\nhost: localhost\r\n\
             transfer-encoding: chunked\r\n\r\n{whole}{HIDDEN}"
        ),
        Refused,
        "HTTP/1.0 has no chunks",
    ));
    cases
}

fn heads() -> Vec<Case> {
    let get = |headers: &str| format!("{GET}{headers}\r\n");
    let mut cases = vec![
        case(get(""), Answered(1), "an ordinary request"),
        case(get("x:\r\n"), Answered(1), "a header may be empty"),
        case(
            get("x: \t a \t \r\n"),
            Answered(1),
            "space around a value is none of it",
        ),
        case(
            format!("\r\n\r\n{}", get("")),
            Answered(1),
            "empty lines before a request are skipped (RFC 9112, 2.2)",
        ),
        case(
            "GET /api/v1/health HTTP/1.1\nhost: localhost\n\n",
            Answered(1),
            "a line may end with LF alone (RFC 9112, 2.2), as nginx and haproxy read it, too",
        ),
        case(
            get("connection: close\r\n") + HIDDEN,
            Answered(1),
            "after the last request nothing is one",
        ),
        case(
            format!("GET /api/v1/health HTTP/1.0\r\n\r\n{HIDDEN}"),
            Answered(1),
            "HTTP/1.0 closes, and needs no Host",
        ),
        case(
            get("expect: 100-continue\r\n"),
            Answered(1),
            "there is no body to wait for",
        ),
        case(
            get(&"x: y\r\n".repeat(90)),
            Answered(1),
            "many headers, below the bound",
        ),
        case(
            get(
                "upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABk\r\n",
            ),
            Answered(1),
            "an upgrade may be ignored",
        ),
        case(
            get("") + HIDDEN,
            Answered(2),
            "two requests in one write are two",
        ),
        case(
            get("") + "garbage\r\n\r\n",
            Answered(1),
            "what follows a request and is none is refused",
        ),
        case(
            get("") + "\0\0\0\0" + HIDDEN,
            Answered(1),
            "what follows a request and is none is refused",
        ),
        case(
            get("") + "GET /api/v1/health HTTP/1.1\r\nx y: z\r\n\r\n" + HIDDEN,
            Answered(1),
            "a bad request in a row ends the row",
        ),
    ];
    for headers in [
        "x : y\r\n",
        "x\t: y\r\n",
        " x: y\r\n",
        "x y: z\r\n",
        "x: y\r\n z\r\n",
        "x: y\r\n\tz\r\n",
        "x\r\n",
        ": y\r\n",
        "x\0: y\r\n",
        "x: \0\r\n",
        "x: a\rb\r\n",
        "x: a\r\r\n",
        "x: \x01\r\n",
        "x: \x7f\r\n",
        "x(: y\r\n",
        "x,: y\r\n",
        "x@: y\r\n",
        "\u{e9}: y\r\n",
        "host: localhost\r\n",
        "host: evil.example\r\n",
        "Host:localhost\r\n",
    ] {
        cases.push(case(
            get(headers) + HIDDEN,
            Refused,
            "a header that two readers could read in two ways",
        ));
    }
    for (headers, why) in [
        ("x: y\r\n".repeat(101), "more than 100 headers"),
        ("x: y\r\n".repeat(3_000), "3,000 headers"),
        ("a:\r\n".repeat(20_000), "80 KB of nothing"),
        (
            format!("x: {}\r\n", "y".repeat(33 * 1024)),
            "one header of 33 KiB",
        ),
        (
            format!("x: {}\r\n", "y".repeat(1_000_000)),
            "one header of 1 MB",
        ),
        (
            format!("{}: y\r\n", "x".repeat(40 * 1024)),
            "one name of 40 KiB",
        ),
        (
            format!("cookie: {}\r\n", "a=b; ".repeat(10_000)),
            "10,000 cookies",
        ),
        (
            (0..95)
                .map(|n| format!("x-{n}: {}\r\n", "y".repeat(400)))
                .collect(),
            "38 KiB in 95 headers",
        ),
    ] {
        cases.push(case(get(&headers) + HIDDEN, Refused, why));
    }
    cases.push(case(
        format!("{GET}x: {}", "y".repeat(100_000)),
        Refused,
        "a header line without an end",
    ));
    cases
}

fn request_lines() -> Vec<Case> {
    let mut cases = vec![case(
        "GET http://localhost/api/v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n",
        Answered(1),
        "a server takes the absolute form (RFC 9112, 3.2.2)",
    )];
    for line in [
        "GET",
        "GET /",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/\tHTTP/1.1",
        " GET / HTTP/1.1",
        "GET / / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET /\r HTTP/1.1",
        "GET HTTP/1.1",
        "/ GET HTTP/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/3",
        "GET / HTTP/0.9",
        "GET / HTTP/9.9",
        "GET / HTTP/1.10",
        "GET / HTTP/01.1",
        "GET / HTTP/1,1",
        "GET / HTTP 1.1",
        "GET / http/1.1",
        "GET / HTTPS/1.1",
        "GET / ICY/1.1",
        "GET / RTSP/1.0",
        "G\0T / HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET: / HTTP/1.1",
        "\u{ff27}ET / HTTP/1.1",
        "\u{feff}GET / HTTP/1.1",
        "HELO a.example",
        "EHLO a.example",
        "*1\r\n$4\r\nPING",
        "SSH-2.0-x",
        "PRI * HTTP/2.0",
        "CONNECT localhost:80 HTTP/1.1",
        "CONNECT / HTTP/1.1",
        "CONNECT a.example:443 HTTP/1.1",
        "GET http://evil.example/api/v1/health HTTP/1.1",
        "GET http://user@evil.example/api/v1/health HTTP/1.1",
        "GET http://localhost@evil.example/api/v1/health HTTP/1.1",
        "GET http:/// HTTP/1.1",
        "GET evil.example:80 HTTP/1.1",
        "GET api/v1/health HTTP/1.1",
        "GET ? HTTP/1.1",
        "GET * HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "FOO / HTTP/1.1",
        "get / HTTP/1.1",
        "TRACE / HTTP/1.1",
        "TRACK / HTTP/1.1",
    ] {
        cases.push(case(
            format!("{line}\r\nhost: localhost\r\n\r\n"),
            Refused,
            "no request line, or none that this server serves",
        ));
    }
    for (line, why) in [
        (
            format!("GET /{} HTTP/1.1", "a".repeat(70_000)),
            "a target of 70 KB",
        ),
        (
            format!("{} / HTTP/1.1", "G".repeat(70_000)),
            "a method of 70 KB",
        ),
        (
            format!("GET /?{} HTTP/1.1", "a=b&".repeat(20_000)),
            "a query of 80 KB",
        ),
    ] {
        cases.push(case(
            format!("{line}\r\nhost: localhost\r\n\r\n{HIDDEN}"),
            Refused,
            why,
        ));
    }
    for (bytes, why) in [
        (
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
            "a TLS hello",
        ),
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
            "HTTP/2",
        ),
        (b"\x00\x00\x00\x00\r\n\r\n", "zeros"),
        (b"\xff\xfe\xfd\r\n\r\n", "no letters"),
        (b"{\"jsonrpc\":\"2.0\"}\r\n\r\n", "JSON"),
        (b"\x03\x00\x00\x2f\x2a\xe0\r\n\r\n", "a remote desktop"),
        (b"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 without a Host"),
        (b"GET / HTTP/1.1\r\nhost:\r\n\r\n", "an empty Host"),
        (
            b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
            "a Host with a space",
        ),
        (
            b"GET / HTTP/1.1\r\nhost: localhost, localhost\r\n\r\n",
            "two Hosts in a line",
        ),
    ] {
        cases.push(case(bytes, Refused, why));
    }
    cases
}
