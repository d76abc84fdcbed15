//! Counts what a part of a workbook holds, while its bytes pass.
//!
//! Promise: what the library would take into memory for a part is never more than what is counted here,
//! whatever the part looks like; nothing of it is kept. It reads names of elements and knows no cell. Read
//! next: `open.rs`.

use std::io::{self, Write};

/// So many bytes are kept of the element that says how many texts follow.
const MOST_KEPT: usize = 64 << 10;
/// No name that is looked for is longer.
const MOST_NAME: usize = 12;

/// What one part holds.
#[derive(Debug, Default)]
pub(super) struct Weight {
    pub(super) bytes: u64,
    /// Elements that begin or end.
    pub(super) tags: u64,
    /// Texts of the table of texts.
    pub(super) texts: u64,
    /// The most bytes between one cell or row and the next, up to the end of the rows.
    pub(super) longest: u64,
    /// The first element is the one of a sheet.
    pub(super) is_sheet: bool,
    /// Behind the name of the element `sst`, which says how many texts follow; `None` before it.
    pub(super) table: Option<Vec<u8>>,
    inside: Inside,
    name: Vec<u8>,
    is_closing: bool,
    has_root: bool,
    has_rows: bool,
    has_no_more_rows: bool,
    /// A document type may have elements that are none: from there on no cell ends a run of bytes.
    has_document_type: bool,
    /// Where the last cell or row began or ended.
    last: u64,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Inside {
    #[default]
    Text,
    Name,
    /// Behind the name of an element that begins, and inside of these quotes.
    Attributes(Option<u8>),
    /// Behind `<!`.
    Mark,
    /// A comment, a literal text or an instruction up to its end, of which so many bytes were there.
    Special(&'static [u8], usize),
}

impl Weight {
    fn byte(&mut self, byte: u8) {
        self.inside = match (self.inside, byte) {
            (Inside::Text, b'<') => {
                self.tags += 1;
                self.name.clear();
                self.is_closing = false;
                Inside::Name
            }
            (Inside::Text, _) => Inside::Text,
            (Inside::Mark, b'-') => Inside::Special(b"-->", 0),
            (Inside::Mark, b'[') => Inside::Special(b"]]>", 0),
            (Inside::Mark, _) => {
                self.has_document_type = true;
                Inside::Special(b">", 0)
            }
            (Inside::Attributes(None), b'>') => Inside::Text,
            (Inside::Attributes(None), quote @ (b'"' | b'\'')) => Inside::Attributes(Some(quote)),
            (Inside::Attributes(Some(quote)), _) if quote == byte => Inside::Attributes(None),
            (attributes @ Inside::Attributes(_), _) => attributes,
            (Inside::Special(end, seen), _) => special(end, seen, byte),
            (Inside::Name, b'!') if self.name.is_empty() => Inside::Mark,
            (Inside::Name, b'?') if self.name.is_empty() => Inside::Special(b"?>", 0),
            (Inside::Name, b'/') if self.name.is_empty() => {
                self.is_closing = true;
                Inside::Name
            }
            // A prefix.
            (Inside::Name, b':') => {
                self.name.clear();
                Inside::Name
            }
            (Inside::Name, b'>') => self.named(Inside::Text),
            (Inside::Name, blank) if blank == b'/' || blank.is_ascii_whitespace() => {
                // Only an element that begins has attributes.
                self.named(match self.is_closing {
                    true => Inside::Text,
                    false => Inside::Attributes(None),
                })
            }
            (Inside::Name, letter) => {
                if self.name.len() < MOST_NAME {
                    self.name.push(letter);
                }
                Inside::Name
            }
        };
    }

    /// The name of an element is complete.
    fn named(&mut self, next: Inside) -> Inside {
        if !self.has_root {
            (self.has_root, self.is_sheet) = (true, self.name == b"worksheet");
        }
        match self.name.as_slice() {
            b"si" if !self.is_closing => self.texts += 1,
            b"sst" if self.table.is_none() => self.table = Some(Vec::new()),
            b"c" | b"row" => self.passed(),
            b"sheetData" if !self.is_closing => self.has_rows = true,
            b"sheetData" if self.has_rows && !self.has_document_type => {
                self.passed();
                self.has_no_more_rows = true;
            }
            _ => {}
        }
        next
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let Some(table) = &mut self.table {
            let missing = MOST_KEPT.saturating_sub(table.len());
            table.extend(bytes.iter().take(missing));
        }
    }

    fn passed(&mut self) {
        if !self.has_no_more_rows && !self.has_document_type {
            self.longest = self.longest.max(self.bytes - self.last);
            self.last = self.bytes;
        }
    }
}

fn special(end: &'static [u8], seen: usize, byte: u8) -> Inside {
    let seen = match end.get(seen) == Some(&byte) {
        true => seen + 1,
        // `--->` and `]]]>` end too.
        false if end.first() == Some(&byte) => seen.clamp(1, end.len() - 1),
        false => 0,
    };
    match seen == end.len() {
        true => Inside::Text,
        false => Inside::Special(end, seen),
    }
}

impl Write for Weight {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        loop {
            if self.inside == Inside::Text {
                let at = memchr::memchr(b'<', rest).unwrap_or(rest.len());
                let (text, behind) = rest.split_at(at);
                self.bytes += text.len() as u64;
                self.keep(text);
                rest = behind;
            }
            let Some((byte, behind)) = rest.split_first() else {
                break;
            };
            self.bytes += 1;
            self.keep(&[*byte]);
            self.byte(*byte);
            rest = behind;
        }
        if !self.has_no_more_rows {
            self.longest = self.longest.max(self.bytes - self.last);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn no_cell_is_seen_where_the_library_sees_none() {
        let cells = "<c ".repeat(100);
        for text in [
            format!("<worksheet><sheetData><row a=\"'>{cells}\"/>"),
            format!("<worksheet><sheetData><row a='\">{cells}'/>"),
            format!("<!DOCTYPE a [ <!ENTITY b> </sheetData>{cells}]><worksheet><sheetData>"),
            format!("<worksheet></sheetData><sheetData>{}", "x".repeat(300)),
        ] {
            for size in [1, 5, 1000] {
                let mut weight = Weight::default();
                for piece in text.as_bytes().chunks(size) {
                    weight.write_all(piece).unwrap();
                }
                assert!(weight.longest >= 300, "{text} {weight:?}");
            }
        }
    }

    #[test]
    fn elements_are_counted_in_whatever_pieces_they_come() {
        let text = "<?xml version='1.0'?><!-- <c> -- <row> ---><x:worksheet a='b'><sheetData><row r='1'><c r='A1'><v>12345</v></c><c/>\
            </row></sheetData><![CDATA[<si>]]]><si/><si ></si></x:worksheet>";
        for size in [1, 2, 3, 7, 1000] {
            let mut weight = Weight::default();
            for piece in text.as_bytes().chunks(size) {
                weight.write_all(piece).unwrap();
            }
            assert_eq!(
                (weight.texts, weight.bytes),
                (2, text.len() as u64),
                "{size}"
            );
            assert!(weight.is_sheet);
            assert_eq!(weight.longest, text.find("<row r=").unwrap() as u64 + 5);
            assert_eq!(weight.table, None);
        }
        let mut weight = Weight::default();
        let table = "<!-- <sst --><x:sst uniqueCount='7'><si/></x:sst>";
        weight.write_all(table.as_bytes()).unwrap();
        assert_eq!(weight.table.unwrap(), b"uniqueCount='7'><si/></x:sst>");
        assert_eq!((weight.texts, weight.is_sheet), (1, false));
    }
}
