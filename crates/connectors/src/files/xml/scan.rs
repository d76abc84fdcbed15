//! From tag to tag of a document, however long it is.
//!
//! Promise: what holds a document together is checked: one root, each tag closed by its own, no text outside.
//! A document type is passed over, and refused if it declares entities or values of attributes, which would have
//! to be expanded. Only a tag or a document type has to be at hand as a whole; texts, comments and
//! instructions may come in parts. It does not look at what is inside of tags and texts: `walk.rs` does.

use memchr::memmem;

/// What makes a document unreadable, and where.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    pub(crate) at: usize,
    /// Characters from the begin of the line, from 1.
    pub(crate) column: u64,
    pub(crate) kind: DamageKind,
}

/// What it is.
#[derive(Clone, Debug)]
pub(crate) enum DamageKind {
    Wrong(String),
    /// A document type with declarations that are not followed.
    Declares,
    /// No element is a record, though there are others.
    NoRecords {
        record: String,
        /// What is in its place instead.
        others: Vec<String>,
    },
}

/// The names of the elements that are open.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Names {
    pub(super) fn depth(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    pub(super) fn push(&mut self, name: &[u8]) {
        self.text.extend_from_slice(name);
        self.ends.push(self.text.len());
    }

    fn start_of_last(&self) -> usize {
        let before = self.ends.len().checked_sub(2);
        before
            .and_then(|at| self.ends.get(at).copied())
            .unwrap_or(0)
    }

    fn last(&self) -> Option<&[u8]> {
        self.ends.last()?;
        self.text.get(self.start_of_last()..)
    }

    fn pop(&mut self) {
        let start = self.start_of_last();
        self.ends.pop();
        self.text.truncate(start);
    }

    /// From the root on.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| self.text.get(start..*end).unwrap_or_default())
    }
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Inside {
    #[default]
    Content,
    /// A comment, an instruction or a literal text, up to this end.
    Special(&'static [u8]),
}

/// What stands at a place.
#[derive(Debug)]
pub(super) enum Token {
    Start {
        /// Where its name is.
        name: (usize, usize),
        is_empty: bool,
    },
    End {
        name: (usize, usize),
    },
    /// Text, or a part of it, literal or not; `is_blank` if there are only blanks.
    Text {
        is_blank: bool,
    },
    DocType {
        declares: bool,
    },
    /// A comment or an instruction, or a part of one.
    Other,
}

/// What was found at a place.
#[derive(Debug)]
pub(super) enum Found {
    /// A token up to this place.
    Token(Token, usize),
    /// It goes on behind the bytes.
    More,
    Wrong(String),
}

fn wrong(why: &str) -> Found {
    Found::Wrong(why.to_owned())
}

/// What stands at `at`, which is before the end.
pub(super) fn token(bytes: &[u8], at: usize, inside: &mut Inside) -> Found {
    let rest = bytes.get(at..).unwrap_or_default();
    if let Inside::Special(end) = *inside {
        return special(rest, at, end, inside);
    }
    if rest.first() != Some(&b'<') {
        let length = memchr::memchr(b'<', rest).unwrap_or(rest.len());
        let text = rest.get(..length).unwrap_or_default();
        let is_blank = text.trim_ascii().is_empty();
        return Found::Token(Token::Text { is_blank }, at + length);
    }
    for (begin, end) in SPECIALS {
        if rest.starts_with(begin) {
            *inside = Inside::Special(end);
            return Found::Token(of_special(end), at + begin.len());
        }
        if begin.starts_with(rest) {
            return Found::More;
        }
    }
    if rest.starts_with(DOCTYPE) {
        return doctype(rest, at);
    }
    match rest.get(1) {
        None => Found::More,
        Some(b'!') if DOCTYPE.starts_with(rest) => Found::More,
        Some(b'!') => wrong("`<!` is no begin of a comment, of literal text or of a document type"),
        Some(b'/') => end_tag(rest, at),
        Some(_) => start_tag(rest, at),
    }
}

const CDATA_END: &[u8] = b"]]>";
const SPECIALS: [(&[u8], &[u8]); 3] =
    [(b"<!--", b"-->"), (b"<![CDATA[", CDATA_END), (b"<?", b"?>")];
const DOCTYPE: &[u8] = b"<!DOCTYPE";

fn of_special(end: &'static [u8]) -> Token {
    match end == CDATA_END {
        true => Token::Text { is_blank: false },
        false => Token::Other,
    }
}

fn special(rest: &[u8], at: usize, end: &'static [u8], inside: &mut Inside) -> Found {
    if let Some(found) = memmem::find(rest, end) {
        *inside = Inside::Content;
        return Found::Token(of_special(end), at + found + end.len());
    }
    // Its end may be cut in two.
    match rest.len().checked_sub(end.len() - 1) {
        None | Some(0) => Found::More,
        Some(length) => Found::Token(of_special(end), at + length),
    }
}

fn end_tag(rest: &[u8], at: usize) -> Found {
    let Some(end) = memchr::memchr(b'>', rest) else {
        return Found::More;
    };
    let name = rest.get(2..end).unwrap_or_default().trim_ascii_end();
    let name = (at + 2, at + 2 + name.len());
    Found::Token(Token::End { name }, at + end + 1)
}

fn start_tag(rest: &[u8], at: usize) -> Found {
    let mut end = 1;
    loop {
        let Some(found) = memchr::memchr3(b'>', b'"', b'\'', rest.get(end..).unwrap_or_default())
        else {
            return Found::More;
        };
        end += found;
        let quote = match rest.get(end) {
            Some(b'>') | None => break,
            Some(quote) => *quote,
        };
        let behind = rest.get(end + 1..).unwrap_or_default();
        let close = memchr::memchr2(quote, b'<', behind);
        match close.and_then(|close| Some((close, behind.get(close)?))) {
            Some((_, b'<')) => {
                return wrong(
                    "`<` is inside of the value of an attribute, whose quote may not close; as a text it is `&lt;`",
                );
            }
            Some((close, _)) => end += close + 2,
            None => return Found::More,
        }
    }
    let tag = rest.get(1..end).unwrap_or_default();
    let is_empty = tag.ends_with(b"/");
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'/';
    let length = tag.iter().position(is_end).unwrap_or(tag.len());
    let name = tag.get(..length).unwrap_or_default();
    let begins = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':' | 0x80..);
    if !name.first().is_some_and(begins) {
        return wrong("`<` begins a tag, and no name is behind it; as a text it is `&lt;`");
    }
    if name.len() > LONGEST_NAME {
        return wrong("the name of an element is longer than 65536 bytes");
    }
    if memchr::memchr3(b'<', b'"', b'=', name).is_some() {
        return wrong("the name of a tag does not end");
    }
    let name = (at + 1, at + 1 + length);
    Found::Token(Token::Start { name, is_empty }, at + end + 1)
}

/// A document type, with the declarations in it.
fn doctype(rest: &[u8], at: usize) -> Found {
    let (mut end, mut depth) = (DOCTYPE.len(), 0_usize);
    let mut declares = false;
    while let Some(byte) = rest.get(end) {
        let left = rest.get(end..).unwrap_or_default();
        let skipped = match byte {
            b'"' | b'\'' => closing(left, &[*byte], 1),
            b'<' if left.starts_with(b"<!--") => closing(left, b"-->", 4),
            b'<' if left.starts_with(b"<?") => closing(left, b"?>", 2),
            _ => Some(1),
        };
        declares |= left.starts_with(b"<!ENTITY") || left.starts_with(b"<!ATTLIST");
        match byte {
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            b'>' if depth == 0 => {
                return Found::Token(Token::DocType { declares }, at + end + 1);
            }
            _ => {}
        }
        match skipped {
            Some(length) => end += length,
            None => return Found::More,
        }
    }
    Found::More
}

/// The length up to the end of what begins here.
fn closing(text: &[u8], end: &[u8], begin: usize) -> Option<usize> {
    let found = memmem::find(text.get(begin..)?, end)?;
    Some(begin + found + end.len())
}

/// A document up to a place outside of records.
#[derive(Clone, Debug, Default)]
pub(super) struct Document {
    pub(super) inside: Inside,
    pub(super) names: Names,
    pub(super) has_root: bool,
}

/// Elements inside each other, whatever they are.
const MOST_OPEN: usize = 10_000;
/// Bytes of their names.
const MOST_OPEN_BYTES: usize = 4 << 20;
/// Bytes of one name.
const LONGEST_NAME: usize = 64 << 10;

impl Document {
    /// Takes what is no record.
    pub(super) fn take(&mut self, bytes: &[u8], token: &Token) -> Result<(), DamageKind> {
        let wrong = |why: String| Err(DamageKind::Wrong(why));
        match token {
            Token::Start { name, is_empty } => {
                self.begin()?;
                if !is_empty {
                    open(&mut self.names, of(bytes, *name))?;
                }
                Ok(())
            }
            Token::End { name } => close(&mut self.names, of(bytes, *name)),
            Token::Text { is_blank: false } if self.names.depth() == 0 => {
                wrong("there is text outside of its root element".to_owned())
            }
            Token::DocType { declares: true } => Err(DamageKind::Declares),
            Token::DocType { .. } if self.has_root => {
                wrong("a document type is behind the root element".to_owned())
            }
            Token::Text { .. } | Token::DocType { .. } | Token::Other => Ok(()),
        }
    }

    /// Notes that an element begins here.
    pub(super) fn begin(&mut self) -> Result<(), DamageKind> {
        if self.names.depth() == 0 && std::mem::replace(&mut self.has_root, true) {
            let why = "a second root element begins".to_owned();
            return Err(DamageKind::Wrong(why));
        }
        Ok(())
    }

    /// What is not whole at the end.
    pub(super) fn lacks(&self) -> Option<String> {
        match (self.names.last(), self.inside) {
            (Some(name), _) => Some(format!("it ends inside of `<{}>`", lossy(name))),
            (None, Inside::Special(_)) => Some("it ends inside of a comment".to_owned()),
            (None, _) if !self.has_root => Some("it has no element".to_owned()),
            (None, _) => None,
        }
    }
}

/// The text of a name.
pub(super) fn of(bytes: &[u8], (start, end): (usize, usize)) -> &[u8] {
    bytes.get(start..end).unwrap_or_default()
}

fn lossy(name: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(name).chars().take(100).collect();
    text.replace(char::is_control, "")
}

/// Opens an element.
pub(super) fn open(names: &mut Names, name: &[u8]) -> Result<(), DamageKind> {
    names.push(name);
    let why = match () {
        () if names.depth() > MOST_OPEN => {
            format!("more than {MOST_OPEN} elements are inside each other")
        }
        () if names.text.len() > MOST_OPEN_BYTES => format!(
            "the names of the elements inside each other are longer than {MOST_OPEN_BYTES} bytes"
        ),
        () => return Ok(()),
    };
    Err(DamageKind::Wrong(why))
}

/// Closes the element that was opened last.
pub(super) fn close(names: &mut Names, name: &[u8]) -> Result<(), DamageKind> {
    let why = match names.last() {
        Some(last) if last == name => {
            names.pop();
            return Ok(());
        }
        Some(last) => format!("`</{}>` closes `<{}>`", lossy(name), lossy(last)),
        None => format!("`</{}>` closes what was not opened", lossy(name)),
    };
    Err(DamageKind::Wrong(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes all of a document, in pieces of so many bytes.
    fn all(text: &[u8], piece: usize) -> Result<(), String> {
        let mut document = Document::default();
        let mut bytes: Vec<u8> = Vec::new();
        for part in text.chunks(piece) {
            bytes.extend_from_slice(part);
            let mut at = 0;
            while at < bytes.len() {
                match token(&bytes, at, &mut document.inside) {
                    Found::Token(token, end) => {
                        let taken = document.take(&bytes, &token);
                        taken.map_err(|damage| format!("{damage:?}"))?;
                        at = end;
                    }
                    Found::More => break,
                    Found::Wrong(why) => return Err(why),
                }
            }
            bytes.drain(..at);
        }
        match (bytes.is_empty(), document.lacks()) {
            (true, None) => Ok(()),
            (_, Some(why)) => Err(why),
            (false, None) => Err("it ends inside a tag".to_owned()),
        }
    }

    #[test]
    fn a_document_is_the_same_in_any_pieces() {
        for good in [
            "<r/>",
            "<?xml version='1.0'?>\n<r>\n</r>\n",
            "<r a='>' b=\"'>\"><!-- </r> -- ><[]> --><![CDATA[</r>]] > ]]]]><?p </r> ?><a><b /></a></r><!-- x -->",
            "<!DOCTYPE r PUBLIC \"a>\" 'b' [ <!-- ]> don't --> <!ELEMENT r ANY> <?p ]> ?> ]><r/>",
            "<a:r xmlns:a=\"u\">\u{e9}<\u{e9}/></a:r >",
        ] {
            for piece in [1, 2, 3, 7, 1000] {
                assert_eq!(all(good.as_bytes(), piece), Ok(()), "{piece}: {good}");
            }
        }
    }

    #[test]
    fn what_is_no_document_is_told_in_any_pieces() {
        for (wrong, why) in [
            ("", "no element"),
            ("<!-- x -->", "no element"),
            ("x", "text outside"),
            ("<r>", "ends inside of `<r>`"),
            ("<r><a></r>", "`</r>` closes `<a>`"),
            ("</r>", "not opened"),
            ("<r/><r/>", "second root"),
            ("<r/>x", "text outside"),
            ("<r/><![CDATA[x]]>", "text outside"),
            ("<r>1 < 2</r>", "no name is behind"),
            ("<r></ r></r>", "closes `<r>`"),
            ("<r><!x></r>", "no begin"),
            ("<r a='1><b c='2'/></r>", "quote may not close"),
            ("<r", "inside a tag"),
            ("<r><!-- x", "ends inside of `<r>`"),
            ("<r/><!-- x", "inside of a comment"),
            ("<r/><!DOCTYPE r>", "behind the root"),
            ("<!DOCTYPE r [<!ENTITY a 'b'>]><r/>", "Declares"),
            ("<!DOCTYPE r [<!ATTLIST r a CDATA 'b'>]><r/>", "Declares"),
            ("<!DOCTYPE r [<!ENTITY % a SYSTEM 'b'>]><r/>", "Declares"),
        ] {
            for piece in [1, 2, 1000] {
                let found = all(wrong.as_bytes(), piece);
                let is_told = found.as_ref().is_err_and(|found| found.contains(why));
                let is_told = is_told || wrong == "<r" && found.is_err();
                assert!(is_told, "{piece}: {wrong}: {found:?}");
            }
        }
    }
}
