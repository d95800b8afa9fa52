//! Bodies that no route may take, with the place that the refusal must name.
//!
//! The place is the same for every route: what is wrong with a field's value is found where the
//! field is known, and where it is not, the field itself is what is wrong.

/// A body and the path of its fault. The fault may lie deeper.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct BadBody {
    pub(super) bytes: Vec<u8>,
    pub(super) path: String,
}

/// What is not JSON, or not an object.
const WRITTEN: &[(&[u8], &str)] = &[
    // Cut short.
    (b"{", "/"),
    (b"[", "/"),
    (b"\"", "/"),
    (b"{\"", "/"),
    (b"{\"name", "/"),
    (b"{\"name\"", "/name"),
    (b"{\"name\":", "/name"),
    (b"{\"name\":\"", "/name"),
    (b"{\"name\":\"\\", "/name"),
    (b"{\"name\":\"\\u", "/name"),
    (b"{\"name\":\"\\ud83d", "/name"),
    (b"{\"name\":[", "/name"),
    (b"{\"name\":{", "/name"),
    (b"{\"name\":{\"a\":1", "/name"),
    (b"{\"name\":-", "/name"),
    (b"{\"name\":1e", "/name"),
    (b"{\"name\":t", "/name"),
    // More than one value, or something around it.
    (b"{}{}", "/"),
    (b"{} {}", "/"),
    (b"{} x", "/"),
    (b"{}]", "/"),
    (b"{}}", "/"),
    (b"{}\0", "/"),
    (b"{};", "/"),
    (b"}{", "/"),
    (b")]}',\n{}", "/"),
    (b"for(;;);{}", "/"),
    (b"callback({})", "/"),
    (b"data: {}\n\n", "/"),
    (b"{}\n{}\n", "/"),
    (b"\x1e{}\n", "/"),
    // Commas, colons and quotes.
    (b"{,}", "/"),
    (b"{:1}", "/"),
    (b"{\"name\" 5}", "/name"),
    (b"{\"name\"=5}", "/name"),
    (b"{\"name\"::5}", "/name"),
    (b"{\"name\":,}", "/name"),
    (b"{\"name\":[,]}", "/name"),
    (b"{\"name\":[1,]}", "/name"),
    (b"{\"name\":[1 2]}", "/name"),
    (b"{\"name\":{\"a\" \"b\"}}", "/name"),
    (b"{\"name\":[}", "/name"),
    (b"{\"name\":[{]}", "/name"),
    (b"{'name':5}", "/"),
    (b"{name:5}", "/"),
    (b"{\"name\":'x'}", "/name"),
    (b"{\"name\":`x`}", "/name"),
    ("{\u{201c}name\u{201d}:5}".as_bytes(), "/"),
    (b"{5:5}", "/"),
    (b"{null:5}", "/"),
    (b"{[]:5}", "/"),
    (b"{{}:5}", "/"),
    // Other languages.
    (b"{\"name\":NaN}", "/name"),
    (b"{\"name\":Infinity}", "/name"),
    (b"{\"name\":-Infinity}", "/name"),
    (b"{\"name\":undefined}", "/name"),
    (b"{\"name\":None}", "/name"),
    (b"{\"name\":True}", "/name"),
    (b"{\"name\":nul}", "/name"),
    (b"{\"name\":nullx}", "/"),
    (b"{\"name\":01}", "/"),
    (b"{\"name\":+1}", "/name"),
    (b"{\"name\":.5}", "/name"),
    (b"{\"name\":5.}", "/name"),
    (b"{\"name\":5.e1}", "/name"),
    (b"{\"name\":1e}", "/name"),
    (b"{\"name\":1e+}", "/name"),
    (b"{\"name\":-}", "/name"),
    (b"{\"name\":--1}", "/name"),
    (b"{\"name\":0x10}", "/"),
    (b"{\"name\":1_000}", "/"),
    (b"{\"name\":1n}", "/"),
    (b"{\"name\":12:30}", "/"),
    (b"// a comment\n{}", "/"),
    (b"/* a comment */{}", "/"),
    (b"# a comment\n{}", "/"),
    (b"{/**/}", "/"),
    (b"{\"name\":/**/5}", "/name"),
    (b"name: value", "/"),
    (b"name=value", "/"),
    (b"name=value&phone=1", "/"),
    (b"<name>value</name>", "/"),
    (
        b"<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>",
        "/",
    ),
    (b"'; DROP TABLE tasks; --", "/"),
    (
        b"--boundary\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nx\r\n--boundary--",
        "/",
    ),
    // Escapes.
    (b"{\"name\":\"\\x41\"}", "/name"),
    (b"{\"name\":\"\\a\"}", "/name"),
    (b"{\"name\":\"\\0\"}", "/name"),
    (b"{\"name\":\"\\u12\"}", "/name"),
    (b"{\"name\":\"\\u12g4\"}", "/name"),
    (b"{\"name\":\"\\u{41}\"}", "/name"),
    (b"{\"name\":\"\\U00000041\"}", "/name"),
    (b"{\"name\":\"\\ud800\"}", "/name"),
    (b"{\"name\":\"\\ud800x\"}", "/name"),
    (b"{\"name\":\"\\ud800\\u0041\"}", "/name"),
    (b"{\"name\":\"\\ud800\\ud800\"}", "/name"),
    (b"{\"name\":\"\\udc00\\ud800\"}", "/name"),
    (b"{\"\\u0000\":5}", "/"),
    (b"{\"na\\u0000me\":5}", "/"),
    (b"{\"\\ud800\":5}", "/"),
    // Control characters and white space that is none.
    (b"{\"name\":\"a\0b\"}", "/name"),
    (b"{\"name\":\"a\nb\"}", "/name"),
    (b"{\"name\":\"a\tb\"}", "/name"),
    (b"{\"name\":\"a\x1fb\"}", "/name"),
    (b"{\"na\nme\":5}", "/"),
    (b"\0", "/"),
    (b"\0\0\0\0", "/"),
    (b"\x00{}", "/"),
    (b"\x0b{}", "/"),
    (b"\x0c{}", "/"),
    (b"\xc2\xa0{}", "/"),
    (b"\xe2\x80\xa8{}", "/"),
    (b"{\xc2\xa0}", "/"),
    (b" ", "/"),
    (b"\r\n\r\n", "/"),
    // Bytes that are no UTF-8, or another encoding.
    (b"\xff", "/"),
    (b"\xfe\xff\x00{\x00}", "/"),
    (b"\xff\xfe{\x00}\x00", "/"),
    (b"{\x00}\x00", "/"),
    (b"\x00\x00\x00{\x00\x00\x00}", "/"),
    (b"\xef\xbb\xbf{}", "/"),
    (b"\xef\xbb\xbf", "/"),
    (b"{\"name\":\"\xff\"}", "/name"),
    (b"{\"name\":\"\xe9\"}", "/name"),
    (b"{\"name\":\"\xc3\"}", "/name"),
    (b"{\"name\":\"\xc3(\"}", "/name"),
    (b"{\"name\":\"\xe2\x82\"}", "/name"),
    (b"{\"name\":\"\xc0\xaf\"}", "/name"),
    (b"{\"name\":\"\xc0\x80\"}", "/name"),
    (b"{\"name\":\"\xe0\x80\xaf\"}", "/name"),
    (b"{\"name\":\"\xf0\x80\x80\xaf\"}", "/name"),
    (b"{\"name\":\"\xed\xa0\x80\"}", "/name"),
    (b"{\"name\":\"\xed\xa0\xbd\xed\xb8\x80\"}", "/name"),
    (b"{\"name\":\"\xf4\x90\x80\x80\"}", "/name"),
    (b"{\"name\":\"\xf8\x88\x80\x80\x80\"}", "/name"),
    (b"{\"\xff\":5}", "/"),
    // Other formats by their first bytes.
    (
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00",
        "/",
    ),
    (b"\x28\xb5\x2f\xfd\x04\x00", "/"),
    (b"PK\x03\x04", "/"),
    (b"\x82\xa4name\xa5value", "/"),
    (b"\xa1\x64name\x65value", "/"),
    (b"\x80\x04\x95cos\nsystem\n", "/"),
    (b"rO0ABXNyABFqYXZh", "/"),
    // JSON, but no object.
    (b"null", "/"),
    (b"true", "/"),
    (b"false", "/"),
    (b"0", "/"),
    (b"-1", "/"),
    (b"1.5", "/"),
    (b"1e400", "/"),
    (b"\"\"", "/"),
    (b"\"{}\"", "/"),
    (b"\"{\\\"name\\\":5}\"", "/"),
    (b"[]", "/"),
    (b"[null]", "/"),
    (b"[[]]", "/"),
    (b"[1,2,3]", "/"),
    (b"[\"name\",\"value\"]", "/"),
    // Keys twice, also in disguise.
    (b"{\"name\":\"a\",\"name\":\"b\"}", "/name"),
    (b"{\"name\":null,\"name\":null}", "/name"),
    (b"{\"name\":\"a\",\"\\u006eame\":\"b\"}", "/name"),
    (b"{\"input\":1,\"input\":2}", "/input"),
    (b"{\"inputs\":[{\"a\":1,\"a\":2}]}", "/inputs"),
];

/// Fields that nobody has: beside a known one, far from all, or known to another program.
const UNKNOWN_FIELDS: &[&str] = &[
    "nmae",
    "Name",
    "NAME",
    "name ",
    " name",
    "name.first",
    "name[]",
    "na me",
    "n\u{430}me",
    "name\u{200b}",
    "\u{202e}eman",
    "\u{feff}name",
    "n\u{e1}me",
    "shedule",
    "scedule",
    "pripority",
    "enable",
    "Enabled",
    "inptu",
    "inputs[]",
    "taks",
    "tag",
    "e-mail",
    "fone",
    "atributes",
    "zzzzzzzz",
    "__proto__",
    "constructor",
    "prototype",
    "toString",
    "hasOwnProperty",
    "__class__",
    "__init__",
    "$where",
    "$ne",
    "$ref",
    "@type",
    "#text",
    "..",
    "../../etc/passwd",
    "is_admin",
    "role",
    "password",
    "0",
    "-1",
    "null",
    "true",
    "{}",
    "a`, expected `b",
    "<script>alert(1)</script>",
    "'; DROP TABLE tasks; --",
    "${jndi:ldap://a.example/}",
    "{{7*7}}",
    "%s%s%s%n",
    "\u{1f4a9}",
];

/// Every field of every body that the API takes, but `input` and `inputs`, which hold anything.
const FIELDS: &[&str] = &[
    "name",
    "do",
    "schedule",
    "retry",
    "timeout",
    "queue",
    "priority",
    "overlap",
    "catch_up",
    "on_crash",
    "enabled",
    "task",
    "return_ids",
    "phone",
    "email",
    "tags",
    "attributes",
    "scopes",
    "rate_limit",
];

/// Values that are wrong wherever they stand.
const NEVER_VALUES: &[&str] = &[
    "1.5",
    "[[]]",
    "\"a\\u0000b\"",
    "\"\\udc00\"",
    "{\"a\":1,\"a\":2}",
    "tru",
    "[1,{\"b\":\"\\ud800\"}]",
];

pub(super) fn bad_bodies() -> Vec<BadBody> {
    let mut bodies: Vec<BadBody> = WRITTEN
        .iter()
        .map(|(bytes, path)| bad(*bytes, path))
        .collect();
    for name in UNKNOWN_FIELDS {
        let key = serde_json::Value::from(*name);
        bodies.push(bad(format!("{{{key}:1}}"), &pointer(name)));
    }
    for field in FIELDS {
        for value in NEVER_VALUES {
            bodies.push(bad(format!("{{\"{field}\":{value}}}"), &pointer(field)));
        }
    }
    bodies.extend(made_large());
    bodies
}

/// What is wrong by its size.
fn made_large() -> Vec<BadBody> {
    let nested =
        |open: &str, close: &str, depth| format!("{}{}", open.repeat(depth), close.repeat(depth));
    let in_name = |value: String| bad(format!("{{\"name\":{value}}}"), "/name");
    vec![
        bad("[".repeat(100_000), "/"),
        bad("{\"a\":".repeat(50_000), "/a"),
        bad(nested("[", "]", 65), "/"),
        in_name(nested("[", "]", 64)),
        in_name(nested("[", "]", 30_000)),
        in_name(format!("{}1{}", "{\"a\":".repeat(64), "}".repeat(64))),
        in_name("9".repeat(50_000)),
        in_name(format!("-{}", "9".repeat(400))),
        in_name(format!("0.{}", "1".repeat(50_000))),
        in_name(format!("1e{}", "9".repeat(1_000))),
        in_name("1e-999999999".to_owned()),
        in_name("18446744073709551616".to_owned()),
        in_name(format!("\"{}", "x".repeat(100_000))),
        in_name(format!("[{}1]", "1,".repeat(20_000))),
        bad(format!("{{\"{}\":1}}", "k".repeat(50_000)), "/"),
        bad(
            format!(
                "{{{}\"name\":tru}}",
                (0..5_000)
                    .map(|n| format!("\"k{n}\":1,"))
                    .collect::<String>()
            ),
            "/",
        ),
        bad(" ".repeat(100_000), "/"),
        bad(vec![0; 50_000], "/"),
        bad(vec![0xff; 50_000], "/"),
    ]
}

/// Announcements under which not even a good body is read: the type, and a header beside it.
pub(super) const WRONG_ANNOUNCEMENTS: &[&str] = &[
    "",
    "content-type:\r\n",
    "content-type: json\r\n",
    "content-type: text/plain\r\n",
    "content-type: text/json\r\n",
    "content-type: text/html\r\n",
    "content-type: */*\r\n",
    "content-type: application/*\r\n",
    "content-type: application/xml\r\n",
    "content-type: application/jsonp\r\n",
    "content-type: application/javascript\r\n",
    "content-type: application /json\r\n",
    "content-type: application/json, text/plain\r\n",
    "content-type: application/octet-stream\r\n",
    "content-type: application/msgpack\r\n",
    "content-type: application/x-www-form-urlencoded\r\n",
    "content-type: application/x-www-form-urlencoded; x=application/json\r\n",
    "content-type: multipart/form-data; boundary=x\r\n",
    "content-type: multipart/form-data\r\n",
    "content-type: application/json; charset=utf-16\r\n",
    "content-type: application/json; charset=UTF-32LE\r\n",
    "content-type: application/json; charset=\"iso-8859-1\"\r\n",
    "content-type: application/json; charset=utf-7\r\n",
    "content-type: application/json; charset=\r\n",
    "content-type: application/json\r\ncontent-encoding: gzip\r\n",
    "content-type: application/json\r\ncontent-encoding: br\r\n",
    "content-type: application/json\r\ncontent-encoding: identity, gzip\r\n",
    "content-type: application/json\r\ncontent-encoding: zstd\r\n",
];

fn bad(bytes: impl Into<Vec<u8>>, path: &str) -> BadBody {
    BadBody {
        bytes: bytes.into(),
        path: path.to_owned(),
    }
}

/// The place of a field; one that is shown in another way than it is written is only "somewhere".
fn pointer(field: &str) -> String {
    let plain = |c: char| c.is_ascii_graphic() && c != '~' && c != '/';
    if field.chars().all(plain) {
        format!("/{field}")
    } else {
        "/".to_owned()
    }
}
