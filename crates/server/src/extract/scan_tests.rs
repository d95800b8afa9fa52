use super::*;
use proptest::prelude::*;

fn fault(text: &[u8]) -> Fault {
    check(text).expect_err(&String::from_utf8_lossy(text))
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    for (text, path, message) in [
        (
            &br#""#[..],
            "/",
            "expected a value, but the body ends at byte 0",
        ),
        (br#"{"a":"#, "/a", "the body ends"),
        (br#"{"a":1"#, "/", "expected `,` or `}`, but the body ends"),
        (br#"{"a" 1}"#, "/a", "expected `:` at byte 5"),
        (
            br#"{a:1}"#,
            "/",
            "expected a key in double quotes at byte 1, found 'a'",
        ),
        (br#"{"a":1,}"#, "/", "expected a key in double quotes"),
        (br#"[1,]"#, "/1", "expected a value"),
        (br#"[1 2]"#, "/", "expected `,` or `]`"),
        (br#"{"a":[1,{"b":tru}]}"#, "/a/1/b", "expected a value"),
        (br#"{} {}"#, "/", "expected the end of the body at byte 3"),
        (br#"{"a":01}"#, "/", "expected `,` or `}`"),
        (br#"{"a":1.}"#, "/a", "a digit after the decimal point"),
        (br#"{"a":-}"#, "/a", "expected a digit"),
        (br#"{"a":1e+}"#, "/a", "a digit of the exponent"),
        (br#"{"a":.5}"#, "/a", "expected a value"),
        (br#"{"a":NaN}"#, "/a", "expected a value"),
        (br#"{"a":"x}"#, "/a", "the closing `\"`"),
        (br#"{"a":"\x"}"#, "/a", "after `\\`"),
        (br#"{"a":"\u12g4"}"#, "/a", "four hexadecimal digits"),
        (br#"{"a":"\"#, "/a", "after `\\`"),
        (b"{\"a\":\"line\nbreak\"}", "/a", "control character 0x0a"),
        (b"{\"a\":\"\0\"}", "/a", "control character 0x00"),
        (b"\xef\xbb\xbf{}", "/", "expected a value at byte 0"),
        (b"{\"a\":\"\xff\"}", "/a", "is not UTF-8 at byte 6"),
        (
            b"{\"a\":[1,{\"b\":\"\xc3(\"",
            "/a/1/b",
            "is not UTF-8 at byte 14",
        ),
        (b"{\"a\":1,\"a\":\"\xff", "/a", "is not UTF-8 at byte 12"),
        (b"\xed\xa0\x80", "/", "is not UTF-8 at byte 0"),
        ("{\"a\": é}".as_bytes(), "/a", "found 'é'"),
    ] {
        let fault = fault(text);
        assert_eq!(fault.kind, FaultKind::Syntax, "{fault:?}");
        assert_eq!(fault.path, path, "{fault:?}");
        assert!(fault.message.contains(message), "{fault:?} lacks {message}");
    }
}

#[test]
fn what_is_no_json_is_no_value_of_the_wrong_type() {
    let object = |text: &'static str| {
        let mut scanner = Scanner::new(text.as_bytes()).unwrap();
        let fault = scanner.object(|scanner, _| scanner.boolean().map(drop));
        fault.expect_err(text)
    };
    for (text, path, message) in [
        ("undefined", "/", "expected an object at byte 0, found 'u'"),
        ("nope", "/", "expected a value at byte 0, found 'n'"),
        ("foo", "/", "expected a value at byte 0, found 'f'"),
        ("-x", "/", "expected a digit at byte 1, found 'x'"),
        (
            "[1,2",
            "/",
            "expected `,` or `]`, but the body ends at byte 4",
        ),
        (
            "null and void",
            "/",
            "expected the end of the body at byte 5",
        ),
        (r#"{"a":nope}"#, "/a", "expected a value at byte 5"),
        (
            r#"{"a":[1,{"b":tru}]}"#,
            "/a/1/b",
            "expected a value at byte 13",
        ),
    ] {
        let fault = object(text);
        assert_eq!(fault.kind, FaultKind::Syntax, "{fault:?}");
        assert_eq!(fault.path, path, "{fault:?}");
        assert!(fault.message.contains(message), "{fault:?} lacks {message}");
    }
    for (text, path, message) in [
        ("null", "/", "must be an object, not null"),
        ("[1,2]", "/", "must be an object, not an array"),
        (r#"["\u0000"]"#, "/", "must be an object, not an array"),
        (r#"{"a":-1}"#, "/a", "must be true or false, not a number"),
    ] {
        let fault = object(text);
        assert!(
            fault.message.contains(message) && fault.path == path,
            "{fault:?}"
        );
    }
}

#[test]
fn json_that_later_layers_stumble_over_is_refused_with_its_place() {
    let many: String = (0..20).map(|n| format!(r#""k{n}":1,"#)).collect();
    let many = format!(r#"{{"a":{{{many}"k7":2}}}}"#);
    for (text, path, message) in [
        (r#"{"a":"x\u0000y"}"#, "/a", "NUL"),
        (r#"{"\u0000":1}"#, "/", "NUL"),
        (r#"{"a":["\ud800"]}"#, "/a/0", "half of a surrogate pair"),
        (r#"{"a":"\udc00\ud800"}"#, "/a", "\\udc00"),
        (r#"{"a":"\ud800\u0041"}"#, "/a", "\\ud800"),
        (r#"{"a":"\ud83dx"}"#, "/a", "\\ud83d"),
        (r#"{"a":1,"b":2,"a":3}"#, "/a", "more than once"),
        (
            r#"{"b":{"x/~":1,"x\u002f~":2}}"#,
            "/b/x~1~0",
            "more than once",
        ),
        (many.as_str(), "/a/k7", "more than once"),
    ] {
        let fault = fault(text.as_bytes());
        assert_eq!(fault.kind, FaultKind::Refused, "{fault:?}");
        assert_eq!(fault.path, path, "{fault:?}");
        assert!(fault.message.contains(message), "{fault:?}");
    }
}

#[test]
fn depth_is_accepted_up_to_its_limit_and_not_beyond() {
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    check(nested(limits::JSON_DEPTH_MAX).as_bytes()).unwrap();
    let fault = fault(nested(limits::JSON_DEPTH_MAX + 1).as_bytes());
    assert!(fault.message.contains("deeper than 64"), "{fault:?}");
    // A million brackets must not cost a stack.
    assert_eq!(
        check("[".repeat(1_000_000).as_bytes()).unwrap_err().kind,
        FaultKind::Refused
    );
}

#[test]
fn a_long_or_odd_key_is_cut_in_the_path() {
    let text = format!(r#"{{"{}":tru}}"#, "k\\n".repeat(500));
    let path = fault(text.as_bytes()).path;
    assert!(
        path.chars().count() <= KEY_CHARS_SHOWN_MAX + 2 && !path.contains('\n'),
        "{path}"
    );
}

#[test]
fn a_hundred_thousand_keys_are_judged_in_one_sort() {
    let keys: String = (0..100_000).map(|n| format!(r#""{n}":0,"#)).collect();
    let text = format!(r#"{{{keys}"end":0}}"#);
    check(text.as_bytes()).unwrap();
}

/// JSON text as people and programs write it: any nesting, any white space, escapes.
pub(crate) fn any_json() -> impl Strategy<Value = String> {
    let space = "[ \t\r\n]{0,2}";
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
        "[a-z\u{e9}\u{1f600}\"\\\\/\u{1}\n]{0,8}"
            .prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#""\ud83d\ude00\u00e9\/\b""#.to_owned()),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        let member = (space, inner.clone(), space);
        let members = prop::collection::vec(member, 0..6);
        prop_oneof![
            members.clone().prop_map(|items| {
                let items: Vec<String> = items
                    .into_iter()
                    .map(|(a, item, b)| format!("{a}{item}{b}"))
                    .collect();
                format!("[{}]", items.join(","))
            }),
            members.prop_map(|items| {
                let items: Vec<String> = items
                    .into_iter()
                    .enumerate()
                    .map(|(n, (a, item, b))| format!("{a}\"k\\u0041{n}\"{b}:{a}{item}{b}"))
                    .collect();
                format!("{{{}}}", items.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn json_is_accepted_and_its_span_is_the_text_itself(
        text in any_json(), before in "[ \t\r\n]{0,3}", after in "[ \t\r\n]{0,3}",
    ) {
        let whole = format!("{before}{text}{after}");
        let mut scanner = Scanner::new(whole.as_bytes()).unwrap();
        let span = scanner.value().unwrap();
        prop_assert_eq!(&whole[span], text.as_str());
        scanner.end().unwrap();
    }

    #[test]
    fn a_damaged_text_is_refused_exactly_where_serde_json_refuses_it(
        text in any_json(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let reference = serde_json::from_slice::<serde_json::Value>(&bytes);
        match check(&bytes) {
            Ok(()) => if let Err(error) = reference {
                // Numbers are passed through raw, so their size does not matter here.
                prop_assert!(error.to_string().contains("number out of range"), "{}", error);
            },
            Err(fault) if fault.kind == FaultKind::Syntax => prop_assert!(reference.is_err()),
            Err(_) => {}
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = check(&bytes);
    }
}
