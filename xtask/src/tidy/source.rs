//! Just enough of Rust's lexical grammar to tell code from comments and strings, so that a rule
//! about code is not tripped by a sentence about it.

/// A Rust file taken apart.
pub(crate) struct Source {
    /// The text with comments and the insides of literals blanked; offsets and lines are kept.
    pub(crate) code: String,
    /// Every string literal with its line, as written (escapes untouched).
    pub(crate) strings: Vec<Literal>,
}

pub(crate) struct Literal {
    pub(crate) offset: usize,
    pub(crate) text: String,
}

/// `#[…]` or `#![…]`, with what stands between the brackets.
pub(crate) struct Attribute<'a> {
    pub(crate) offset: usize,
    pub(crate) inside: &'a str,
}

impl Source {
    pub(crate) fn parse(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut code = bytes.to_vec();
        let mut strings = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let end = if rest.starts_with(b"//") {
                line_end(bytes, at)
            } else if rest.starts_with(b"/*") {
                comment_end(bytes, at)
            } else if let Some(hashes) = raw_string(bytes, at) {
                let opening = at + 1 + hashes + 1;
                let close = raw_close(bytes, opening, hashes);
                strings.push(literal(text, at, opening, close));
                close + 1 + hashes
            } else if rest.starts_with(b"\"") {
                let close = quoted_close(bytes, at + 1);
                strings.push(literal(text, at, at + 1, close));
                close + 1
            } else if let Some(end) = character_end(text, at) {
                end
            } else {
                at += 1;
                continue;
            };
            let end = end.min(bytes.len());
            for byte in &mut code[at..end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
            at = end.max(at + 1);
        }
        Source {
            code: String::from_utf8_lossy(&code).into_owned(),
            strings,
        }
    }

    pub(crate) fn line_of(&self, offset: usize) -> usize {
        line_at(&self.code, offset)
    }

    pub(crate) fn attributes(&self) -> Vec<Attribute<'_>> {
        let mut found = Vec::new();
        for (offset, _) in self.code.match_indices('#') {
            let after = &self.code[offset + 1..];
            let bracket = offset + 1 + usize::from(after.starts_with('!'));
            if self.code[bracket..].starts_with('[')
                && let Some(close) = closing(&self.code, bracket)
            {
                found.push(Attribute {
                    offset,
                    inside: &self.code[bracket + 1..close],
                });
            }
        }
        found
    }

    /// Where the `#[cfg(test)]` modules of the file lie.
    pub(crate) fn test_modules(&self) -> Vec<std::ops::Range<usize>> {
        self.attributes()
            .iter()
            .filter(|attribute| attribute.inside.trim() == "cfg(test)")
            .filter_map(|attribute| {
                let open = attribute.offset + self.code[attribute.offset..].find('{')?;
                let header = &self.code[attribute.offset..open];
                let is_module = header.split_whitespace().any(|word| word == "mod");
                (is_module && !header.contains(';'))
                    .then(|| closing(&self.code, open))
                    .flatten()
                    .map(|close| attribute.offset..close)
            })
            .collect()
    }
}

/// The 1-based line of a byte offset.
pub(crate) fn line_at(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
}

/// The offset of the bracket that closes the one at `open`.
pub(crate) fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(offset);
                }
            }
            _ => {}
        }
    }
    None
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn literal(text: &str, offset: usize, from: usize, to: usize) -> Literal {
    Literal {
        offset,
        text: text
            .get(from..to.min(text.len()))
            .unwrap_or_default()
            .to_owned(),
    }
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..]
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(bytes.len(), |found| at + found)
}

fn comment_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// The number of `#` if a raw string starts at the `r` at `at`.
fn raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes[at] != b'r' {
        return None;
    }
    // `br"…"` and `cr"…"` are raw strings; the `r` that ends a word is not one.
    let before = bytes[..at]
        .iter()
        .rev()
        .take_while(|byte| is_word(**byte))
        .count();
    let prefix_is_free = before == 0 || (before == 1 && matches!(bytes[at - 1], b'b' | b'c'));
    let hashes = bytes[at + 1..]
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    (prefix_is_free && bytes.get(at + 1 + hashes) == Some(&b'"')).then_some(hashes)
}

fn raw_close(bytes: &[u8], from: usize, hashes: usize) -> usize {
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    (from..bytes.len())
        .find(|at| bytes[*at..].starts_with(&close))
        .unwrap_or(bytes.len())
}

fn quoted_close(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

/// The end of a character literal at `at`; `None` for a lifetime and for anything else.
fn character_end(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?.strip_prefix('\'')?;
    if rest.starts_with('\\') {
        let close = rest.get(2..)?.find('\'')?;
        return Some(at + 1 + 2 + close + 1);
    }
    let inside = rest.chars().next()?.len_utf8();
    rest.get(inside..)?
        .starts_with('\'')
        .then_some(at + 1 + inside + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_lines_are_kept() {
        let source = Source::parse(
            "// #[ignore]\nfn a<'a>(x: &'a str) { /* { /* { */ } */ let q = '\"'; b(\"}\\\"{\"); }\n\
             let r = r#\"a \"quoted\" b\"#; let c = '\\''; fn z() {}\n",
        );
        assert!(!source.code.contains("ignore") && !source.code.contains("quoted"));
        assert!(
            source.code.contains("fn a<'a>(x: &'a str) {"),
            "{}",
            source.code
        );
        assert!(source.code.contains("fn z() {}"), "{}", source.code);
        let texts: Vec<&str> = source
            .strings
            .iter()
            .map(|literal| literal.text.as_str())
            .collect();
        assert_eq!(texts, ["}\\\"{", "a \"quoted\" b"]);
        assert_eq!(source.line_of(source.strings[1].offset), 3);
    }

    #[test]
    fn test_modules_end_at_their_brace() {
        let source = Source::parse(
            "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { c(\"}\"); }\n}\nfn d() {}\n",
        );
        let ranges = source.test_modules();
        assert_eq!(ranges.len(), 1);
        let inside = &source.code[ranges[0].clone()];
        assert!(
            inside.contains("fn b") && !inside.contains("fn d"),
            "{inside}"
        );
    }

    #[test]
    fn attributes_are_found_outer_and_inner_over_several_lines() {
        let source = Source::parse("#![allow(a)]\n#[allow(\n  b,\n  c\n)]\nfn x() {}\n");
        let inside: Vec<&str> = source
            .attributes()
            .iter()
            .map(|attribute| attribute.inside)
            .collect();
        assert_eq!(inside, ["allow(a)", "allow(\n  b,\n  c\n)"]);
    }
}
