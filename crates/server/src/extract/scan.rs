//! One strict pass over JSON text: syntax, depth, keys and strings are judged, spans of values are
//! told, nothing is built.
//!
//! serde_json alone lets pass what later layers stumble over, because values that are passed
//! through raw are only skipped: a lone surrogate or `\u0000` in an input (PostgreSQL takes
//! neither into its JSON type), a key that is given twice (each reader picks another one). The
//! scan sees every byte once, and makes the path of a fault only when there is one.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use autom8_api::problem::{Problem, ProblemCode};
use autom8_model::{Invalid, limits};

/// Why a text is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// Such as `/do/http/headers`; `/` is the whole body.
    pub path: String,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It is not JSON.
    Syntax,
    /// It is JSON, but not JSON that is accepted here.
    Refused,
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let invalid = Invalid::new(fault.path, fault.message);
        match fault.kind {
            FaultKind::Syntax => {
                let mut problem = Problem::new(ProblemCode::MalformedJson, invalid.to_string());
                problem.errors.push(invalid);
                problem
            }
            FaultKind::Refused => Problem::invalid(vec![invalid]),
        }
    }
}

/// Judges a whole text: one value, and nothing after it.
pub fn check(text: &[u8]) -> Result<(), Fault> {
    let mut scanner = Scanner::new(text)?;
    scanner.value()?;
    scanner.end()
}

/// A place in a text. Each method takes one thing from there, or says what is wrong with it.
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    path: Vec<Step<'a>>,
    /// The keys of all objects that are open, innermost last.
    keys: Vec<Cow<'a, str>>,
}

enum Step<'a> {
    Key(Cow<'a, str>),
    Index(usize),
}

/// Up to here each key is compared with each: cheaper than sorting them.
const KEYS_COMPARED_MAX: usize = 8;

impl<'a> Scanner<'a> {
    /// # Errors
    /// When the bytes are not UTF-8.
    pub fn new(text: &'a [u8]) -> Result<Self, Fault> {
        match std::str::from_utf8(text) {
            Ok(text) => Ok(Scanner {
                text,
                at: 0,
                path: Vec::new(),
                keys: Vec::new(),
            }),
            Err(error) => Err(Fault {
                kind: FaultKind::Syntax,
                path: "/".to_owned(),
                message: format!("is not UTF-8 at byte {}", error.valid_up_to()),
            }),
        }
    }

    /// Takes one value of any kind, and tells where it lies, without the white space around it.
    pub fn value(&mut self) -> Result<Range<usize>, Fault> {
        self.skip_space();
        let start = self.at;
        match self.peek() {
            Some(b'{') => self.object(|scanner, _| scanner.value().map(drop))?,
            Some(b'[') => self.array(|scanner, _| scanner.value().map(drop))?,
            Some(b'"') => drop(self.string()?),
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => return Err(self.unexpected("a value")),
        }
        Ok(start..self.at)
    }

    /// Takes an object; `on_member` is to take the value of the key that it is given.
    pub fn object(
        &mut self,
        mut on_member: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.open(b'{', "an object")?;
        let first_key = self.keys.len();
        self.skip_space();
        if !self.take(b'}') {
            loop {
                self.skip_space();
                if self.peek() != Some(b'"') {
                    return Err(self.unexpected("a key in double quotes"));
                }
                let key = self.string()?;
                self.keys.push(key.clone());
                self.path.push(Step::Key(key.clone()));
                self.skip_space();
                if !self.take(b':') {
                    return Err(self.unexpected("`:`"));
                }
                self.skip_space();
                on_member(self, key)?;
                self.path.pop();
                self.skip_space();
                if self.take(b'}') {
                    break;
                }
                if !self.take(b',') {
                    return Err(self.unexpected("`,` or `}`"));
                }
            }
        }
        if let Some(twice) = repeated(&mut self.keys[first_key..]) {
            self.path.push(Step::Key(twice));
            return Err(self.refused("is given more than once"));
        }
        self.keys.truncate(first_key);
        Ok(())
    }

    /// Takes an array; `on_item` is to take the item of the index that it is given.
    pub fn array(
        &mut self,
        mut on_item: impl FnMut(&mut Self, usize) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.open(b'[', "an array")?;
        self.skip_space();
        if self.take(b']') {
            return Ok(());
        }
        for index in 0.. {
            self.path.push(Step::Index(index));
            self.skip_space();
            on_item(self, index)?;
            self.path.pop();
            self.skip_space();
            if self.take(b']') {
                break;
            }
            if !self.take(b',') {
                return Err(self.unexpected("`,` or `]`"));
            }
        }
        Ok(())
    }

    /// Takes a string, borrowed unless it has escapes.
    pub fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        if !self.take(b'"') {
            return Err(self.unexpected("a string"));
        }
        let start = self.at;
        let mut unescaped: Option<String> = None;
        let mut plain_start = start;
        loop {
            match self.bytes().get(self.at) {
                Some(b'"') => {
                    let plain = &self.text[plain_start..self.at];
                    self.at += 1;
                    return Ok(match unescaped {
                        None => Cow::Borrowed(plain),
                        Some(text) => Cow::Owned(text + plain),
                    });
                }
                Some(b'\\') => {
                    let text = unescaped.get_or_insert_default();
                    text.push_str(&self.text[plain_start..self.at]);
                    let escaped = self.escape()?;
                    unescaped.get_or_insert_default().push(escaped);
                    plain_start = self.at;
                }
                Some(0..=0x1f) => {
                    let byte = self.bytes()[self.at];
                    return Err(self.fault(
                        FaultKind::Syntax,
                        format!(
                            "holds the bare control character 0x{byte:02x} at byte {}: \
                             escape it, e.g. as \\n",
                            self.at
                        ),
                    ));
                }
                Some(_) => self.at += 1,
                None => return Err(self.unexpected("the closing `\"` of a string")),
            }
        }
    }

    /// Takes `true` or `false`.
    pub fn boolean(&mut self) -> Result<bool, Fault> {
        match self.peek() {
            Some(b't') => self.word("true").map(|()| true),
            Some(b'f') => self.word("false").map(|()| false),
            _ => Err(self.wrong_type("true or false")),
        }
    }

    /// Nothing but white space may be left.
    pub fn end(&mut self) -> Result<(), Fault> {
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the body")),
        }
    }

    /// The first byte of what comes next.
    pub fn peek(&self) -> Option<u8> {
        self.bytes().get(self.at).copied()
    }

    pub fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    pub fn text_of(&self, span: Range<usize>) -> &'a str {
        &self.text[span]
    }

    /// A complaint about the value at this place.
    pub fn refused(&self, message: impl Into<String>) -> Fault {
        self.fault(FaultKind::Refused, message.into())
    }

    /// A complaint that the next value is none of the kind that is wanted; an error of syntax if
    /// it is none at all.
    pub fn wrong_type(&self, wanted: &str) -> Fault {
        let found = match self.peek() {
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "true or false",
            Some(b'n') => "null",
            Some(b'-' | b'0'..=b'9') => "a number",
            _ => return self.unexpected(wanted),
        };
        self.refused(format!("must be {wanted}, not {found}"))
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn open(&mut self, bracket: u8, wanted: &str) -> Result<(), Fault> {
        if self.peek() != Some(bracket) {
            return Err(self.wrong_type(wanted));
        }
        // One step of the path is one level of nesting; this one would be one more.
        if self.path.len() >= limits::JSON_DEPTH_MAX {
            return Err(self.fault(
                FaultKind::Refused,
                format!("is nested deeper than {} levels", limits::JSON_DEPTH_MAX),
            ));
        }
        self.at += 1;
        Ok(())
    }

    /// Takes a backslash and what it stands for.
    fn escape(&mut self) -> Result<char, Fault> {
        self.at += 1;
        let letter = self.peek();
        self.at += 1;
        let character = match letter {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => {
                self.at -= 1;
                return Err(self.unexpected("one of \" \\ / b f n r t u after `\\`"));
            }
        };
        Ok(character)
    }

    /// Takes the digits of `\uXXXX`, and of the second half of a pair.
    fn unicode_escape(&mut self) -> Result<char, Fault> {
        let first = self.four_digits()?;
        let code = match first {
            0 => return Err(self.refused("holds a NUL character (\\u0000), which is not accepted")),
            0xd800..=0xdbff => {
                let paired = self.bytes()[self.at..].starts_with(b"\\u");
                let second = if paired {
                    self.at += 2;
                    self.four_digits()?
                } else {
                    0
                };
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(self.lone_surrogate(first));
                }
                0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            0xdc00..=0xdfff => return Err(self.lone_surrogate(first)),
            plain => plain,
        };
        char::from_u32(code).ok_or_else(|| self.lone_surrogate(first))
    }

    fn lone_surrogate(&self, unit: u32) -> Fault {
        self.refused(format!(
            "holds \\u{unit:04x}, half of a surrogate pair, without its other half"
        ))
    }

    fn four_digits(&mut self) -> Result<u32, Fault> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.unexpected("four hexadecimal digits after `\\u`"));
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    fn word(&mut self, word: &str) -> Result<(), Fault> {
        if !self.bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        self.take(b'-');
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.unexpected("a digit")),
        }
        if self.take(b'.') {
            if !matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(self.unexpected("a digit after the decimal point"));
            }
            self.digits();
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if !matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(self.unexpected("a digit of the exponent"));
            }
            self.digits();
        }
        Ok(())
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn unexpected(&self, wanted: &str) -> Fault {
        let message = match self
            .text
            .get(self.at..)
            .and_then(|rest| rest.chars().next())
        {
            Some(found) => format!("expected {wanted} at byte {}, found {found:?}", self.at),
            None => format!(
                "expected {wanted}, but the body ends at byte {}",
                self.text.len()
            ),
        };
        self.fault(FaultKind::Syntax, message)
    }

    fn fault(&self, kind: FaultKind, message: String) -> Fault {
        let mut path = String::new();
        for step in &self.path {
            // Writing into memory cannot fail.
            let _ = match step {
                Step::Index(index) => write!(path, "/{index}"),
                Step::Key(key) => write!(path, "/{}", shown_key(key)),
            };
        }
        if path.is_empty() {
            path.push('/');
        }
        Fault {
            kind,
            path,
            message,
        }
    }
}

/// Characters of a key that a path repeats: enough to find it, too few to fill a log.
const KEY_CHARS_SHOWN_MAX: usize = 64;

/// A key as a path shows it, with the escapes of JSON Pointer (RFC 6901, section 3).
pub(super) fn shown_key(key: &str) -> String {
    let mut shown: String = key
        .chars()
        .take(KEY_CHARS_SHOWN_MAX)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if key.chars().nth(KEY_CHARS_SHOWN_MAX).is_some() {
        shown.push('…');
    }
    if shown.contains(['~', '/']) {
        shown = shown.replace('~', "~0").replace('/', "~1");
    }
    shown
}

/// A key that is there twice. Sorts what is too much to compare pair by pair: a body of 100,000
/// keys must not cost their square.
fn repeated<'a>(keys: &mut [Cow<'a, str>]) -> Option<Cow<'a, str>> {
    if keys.len() <= KEYS_COMPARED_MAX {
        let twice = keys
            .iter()
            .enumerate()
            .find(|(index, key)| keys[..*index].contains(key));
        return twice.map(|(_, key)| key.clone());
    }
    keys.sort_unstable();
    keys.windows(2)
        .find(|pair| pair[0] == pair[1])
        .map(|pair| pair[0].clone())
}

#[cfg(test)]
pub(super) mod tests {
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
            (b"{\"a\":\"\xff\"}", "/", "is not UTF-8 at byte 6"),
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
}
