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

/// Where in a document the end of this beginning of it lies.
fn path_of_end(beginning: &[u8]) -> String {
    match check(beginning) {
        Err(cut) if cut.kind == FaultKind::Syntax => cut.path,
        _ => "/".to_owned(),
    }
}

/// What to do about lines that have become one.
pub const JOINED_LINES: &str = "a line holds one object: send NDJSON with --data-binary, since curl's -d takes the line \
     ends out";

/// A place in a text. Each method takes one thing from there, or says what is wrong with it.
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    path: Vec<Step<'a>>,
    /// The keys of all objects that are open, innermost last.
    keys: Vec<Cow<'a, str>>,
}

#[derive(Clone)]
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
                path: path_of_end(&text[..error.valid_up_to()]),
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

    /// Whether this is one object and the beginning of another one: lines whose ends were lost.
    pub fn is_joined_lines(text: &[u8]) -> bool {
        Scanner::new(text).is_ok_and(|mut scanner| {
            let first = scanner.value();
            scanner.skip_space();
            first.is_ok() && scanner.peek() == Some(b'{')
        })
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
    /// it is none at all: `nope` begins as `null` does, and is no JSON.
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
        match self.look_ahead() {
            Err(fault) if fault.kind == FaultKind::Syntax => fault,
            _ => self.refused(format!("must be {wanted}, not {found}")),
        }
    }

    /// Judges the next value without taking it, and where it is the whole text, that nothing
    /// follows.
    fn look_ahead(&self) -> Result<(), Fault> {
        let mut ahead = Scanner {
            text: self.text,
            at: self.at,
            path: self.path.clone(),
            keys: Vec::new(),
        };
        ahead.value()?;
        match self.path.is_empty() {
            true => ahead.end(),
            false => Ok(()),
        }
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
#[path = "scan_tests.rs"]
pub(super) mod tests;
