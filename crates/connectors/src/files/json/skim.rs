//! Checks one JSON object by RFC 8259 and finds its members.
//!
//! Promise: it allocates no values; a member is a span of the text, and a mistake has its byte. It does
//! not know records or files (`walk.rs`) and converts nothing (`../cells.rs`).

use crate::files::cells::{Cells, Nulls, Span};

/// A member's key and value; `null` is `Span::NULL`, strings are quoted spans.
pub(crate) type Member = (Span, Span);

/// Nesting deeper than this is refused, so that no input exhausts the stack.
const DEEPEST: usize = 128;

/// What is wrong, with the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) at: usize,
    pub(crate) expected: &'static str,
}

type Skimmed<T> = Result<T, Wrong>;

/// A reader of one record inside a larger buffer.
pub(crate) struct Skim<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Skim<'a> {
    /// From `at` to the end of `bytes`.
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Takes one object and what blanks follow it; nothing else may follow.
    pub(crate) fn object(mut self, members: &mut Vec<Member>) -> Skimmed<()> {
        self.blanks();
        if self.peek() != Some(b'{') {
            return self.wrong("an object");
        }
        self.members(1, &mut |key, value| members.push((key, value)))?;
        self.blanks();
        if self.at < self.bytes.len() {
            self.wrong("nothing after the object")
        } else {
            Ok(())
        }
    }

    /// Takes one array and what blanks follow it; nothing else may follow.
    pub(crate) fn items(mut self, items: &mut Vec<Span>) -> Skimmed<()> {
        self.blanks();
        if self.peek() != Some(b'[') {
            return self.wrong("an array");
        }
        self.list(1, &mut |item| items.push(item))?;
        self.blanks();
        if self.at < self.bytes.len() {
            self.wrong("nothing behind the array")
        } else {
            Ok(())
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn wrong<T>(&self, expected: &'static str) -> Skimmed<T> {
        Err(Wrong {
            at: self.at,
            expected,
        })
    }

    #[inline]
    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn members(&mut self, depth: usize, take: &mut dyn FnMut(Span, Span)) -> Skimmed<()> {
        self.at += 1;
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blanks();
            if self.peek() != Some(b'"') {
                return self.wrong("a key in quotes");
            }
            let key = self.string()?;
            self.blanks();
            if self.peek() != Some(b':') {
                return self.wrong("`:`");
            }
            self.at += 1;
            let value = self.value(depth)?;
            take(key, value);
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.wrong("`,` or `}`"),
            }
        }
    }

    fn value(&mut self, depth: usize) -> Skimmed<Span> {
        self.blanks();
        let start = self.at;
        match self.peek() {
            Some(b'"') => return self.string(),
            Some(b'{' | b'[') if depth >= DEEPEST => return self.wrong("less deep nesting"),
            Some(b'{') => self.members(depth + 1, &mut |_, _| {})?,
            Some(b'[') => self.list(depth + 1, &mut |_| {})?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'n') => {
                self.word(b"null")?;
                return Ok(Span::NULL);
            }
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            _ => return self.wrong("a value"),
        }
        Ok(Span::plain(start, self.at))
    }

    fn list(&mut self, depth: usize, take: &mut dyn FnMut(Span)) -> Skimmed<()> {
        self.at += 1;
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let item = self.value(depth)?;
            take(item);
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.wrong("`,` or `]`"),
            }
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Skimmed<()> {
        if self
            .bytes
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(word))
        {
            self.at += word.len();
            return Ok(());
        }
        self.wrong("a value")
    }

    fn digits(&mut self) -> Skimmed<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            self.wrong("a digit")
        } else {
            Ok(())
        }
    }

    fn number(&mut self) -> Skimmed<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn string(&mut self) -> Skimmed<Span> {
        let start = self.at + 1;
        let mut escaped = false;
        self.at = start;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Span::quoted(start, self.at - 1, escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                None | Some(0..=0x1F) => return self.wrong("the end of a string"),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Skimmed<()> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match code_point(self.bytes.get(self.at..).unwrap_or_default()) {
                Some((_, length)) => self.at += length,
                None => return self.wrong("a whole `\\u` escape"),
            },
            _ => return self.wrong("an escape"),
        }
        Ok(())
    }
}

/// The character a `\uXXXX` (or a pair of them) means, and its length in bytes.
fn code_point(text: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| -> Option<u32> {
        let hex = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        hex.iter().try_fold(0, |value, byte| {
            Some(value * 16 + char::from(*byte).to_digit(16)?)
        })
    };
    let high = unit(0)?;
    if !(0xD800..0xE000).contains(&high) {
        return Some((char::from_u32(high)?, 6));
    }
    let low = unit(6).filter(|low| (0xDC00..0xE000).contains(low))?;
    if high >= 0xDC00 {
        return None;
    }
    Some((
        char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00))?,
        12,
    ))
}

/// The text of a string with escapes, which `Skim` has found to be right.
pub(crate) fn unescape(text: &[u8], to: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        if *byte != b'\\' {
            to.push(*byte);
            at += 1;
            continue;
        }
        let plain = match text.get(at + 1) {
            Some(b'u') => {
                let (character, length) =
                    code_point(text.get(at..).unwrap_or_default()).unwrap_or(('\u{FFFD}', 6));
                let mut utf8 = [0; 4];
                to.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
                at += length;
                continue;
            }
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(other) => *other,
            None => b'\\',
        };
        to.push(plain);
        at += 2;
    }
}

/// The text of a key.
pub(crate) fn key_of(bytes: &[u8], key: Span) -> String {
    let nulls = Nulls::default();
    let cells = Cells {
        bytes,
        spans: &[key],
        width: 1,
        column: 0,
        nulls: &nulls,
        unescape: &unescape,
    };
    let mut name = String::new();
    cells.each(|_, text, _| name = String::from_utf8_lossy(text.unwrap_or_default()).into_owned());
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn valid(text: &str) -> bool {
        Skim::new(text.as_bytes(), 0)
            .object(&mut Vec::new())
            .is_ok()
    }

    #[test]
    fn wrong_json_is_refused() {
        for text in [
            "",
            "{",
            "{}x",
            "[]",
            "1",
            "{a:1}",
            "{\"a\" 1}",
            "{\"a\":}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":+1}",
            "{\"a\":1,}",
            "{\"a\":nul}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\n\"}",
            "{\"a\":[1,]}",
            "{\"a\":\"b}",
        ] {
            assert!(!valid(text), "{text}");
        }
        assert!(!valid(&format!(
            "{{\"a\":{}{}}}",
            "[".repeat(200),
            "]".repeat(200)
        )));
    }

    #[test]
    fn escapes() {
        let mut out = Vec::new();
        unescape(br#"a\"\\\/\b\f\n\r\tA\u00e4\ud83d\ude00"#, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), "a\"\\/\u{8}\u{c}\n\r\tAä😀");
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in "[{}\\[\\]\",:a1e.\\- \\\\u0tn]{0,24}") {
            let text = format!("{{\"a\":{text}}}");
            let expected = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text).is_ok();
            prop_assert_eq!(valid(&text), expected, "{}", text);
        }
    }
}
