//! Where CSV records end, by the quoting rules of RFC 4180, and what to do where a file breaks them.
//!
//! Promise: a quote opens a field only as its first byte that is no blank; elsewhere it is a plain character.
//! Blanks around a quoted field are no part of it. A quoted field that is never closed, or goes on after its
//! closing quote, spoils its first line only: that line is set aside and reading goes on behind it. Until the
//! place where the field was seen to be broken, a quote inside an unquoted field is no longer taken as a
//! plain character (`suspect`). A quoted field longer than a record may be is a stray quote when the lines
//! behind it are records, else one record that is too long. Both the cutter of chunks and the parser decide
//! by this file alone, so chunks never change a result. Read next: `cutter.rs`.

use memchr::{memchr, memchr_iter, memchr2};

use crate::files::workbook::ROW_END;

/// How one file's CSV is written. Made from the options once the line end is known.
#[derive(Clone, Debug)]
pub(crate) struct Dialect {
    pub(crate) delimiter: u8,
    /// The quote; equal to `newline` when there is none.
    pub(crate) quote: u8,
    pub(crate) escape: Option<u8>,
    pub(crate) comment: Option<u8>,
    pub(crate) trim: bool,
    /// `\n`, which takes `\r\n` in, or `\r` for files that know no other line end.
    pub(crate) newline: u8,
    pub(crate) max_record_bytes: usize,
    /// Fields in a record; 0 until the header was read.
    pub(crate) width: usize,
}

/// How a quoted field ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// With the quote at `at`; `doubled` when quotes or escapes stand inside.
    At { at: usize, doubled: bool },
    /// The quote at this place is followed by something that may not follow.
    Broken(usize),
    /// Not within the bytes at hand.
    Open,
    /// Not within the longest allowed record.
    TooLong,
    /// More bytes are needed to tell.
    More,
}

/// How a record ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordEnd {
    /// Before this place, its line end included.
    At(usize),
    /// More bytes are needed to tell.
    More,
    /// Not within the longest allowed record.
    TooLong,
    /// Not within the longest allowed record, because the quoted field that opens here goes on.
    TooLongInside(usize),
}

/// Where a quoted field that is passed over ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    /// Before this place, its closing quote included.
    Closes(usize),
    /// Behind this place.
    GoesOn(usize),
    /// A quote is followed by something that may not follow.
    Broken,
}

/// What comes behind a quoted field of a record that is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// The record ends before this place, its line end included.
    Ends(usize),
    /// Nothing yet; what to look at next starts here.
    GoesOn(usize),
    /// A stray quote, here.
    Stray(usize),
    /// A quoted field opens here, and the file ends in it.
    Open(usize),
    /// A quoted field opens here that is itself longer than a record may be.
    Long(usize),
}

impl Dialect {
    /// Whether a byte ends a line, of this file or of any text.
    pub(crate) fn ends_line(&self, byte: u8) -> bool {
        byte == self.newline || matches!(byte, b'\r' | b'\n')
    }

    /// Whether quotes say that a cell is a text: in the text of a sheet.
    pub(crate) fn has_types(&self) -> bool {
        self.newline == ROW_END
    }

    /// Whether quoting is on.
    pub(crate) fn quotes(&self) -> bool {
        self.quote != self.newline
    }

    /// How the quoted field that opens at `open`, in the record that starts at `record`, ends.
    pub(crate) fn close(&self, bytes: &[u8], record: usize, open: usize, last: bool) -> Close {
        let limit = bytes
            .len()
            .min(record.saturating_add(self.max_record_bytes));
        let cut_off = limit == bytes.len() && !last && limit - record < self.max_record_bytes;
        let escape = self.escape.filter(|escape| *escape != self.quote);
        let mut doubled = false;
        let mut at = open + 1;
        loop {
            let rest = bytes.get(at..limit).unwrap_or_default();
            let found = match escape {
                None => memchr(self.quote, rest),
                Some(escape) => memchr2(self.quote, escape, rest),
            };
            let Some(found) = found else {
                return if cut_off {
                    Close::More
                } else if limit - record >= self.max_record_bytes {
                    Close::TooLong
                } else {
                    Close::Open
                };
            };
            let place = at + found;
            if escape.is_some() && bytes.get(place).copied() == escape {
                doubled = true;
                at = place + 2;
                continue;
            }
            if bytes.get(place + 1) == Some(&self.quote) {
                doubled = true;
                at = place + 2;
                continue;
            }
            return match self.ends_field(bytes, place + 1, last) {
                Some(true) => Close::At { at: place, doubled },
                Some(false) => Close::Broken(place),
                None => Close::More,
            };
        }
    }

    /// Goes on inside a quoted field. The first byte is neither behind an escape nor the second of two
    /// quotes.
    pub(crate) fn inside(&self, bytes: &[u8], last: bool) -> Inside {
        let escape = self.escape.filter(|escape| *escape != self.quote);
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let found = match escape {
                None => memchr(self.quote, rest),
                Some(escape) => memchr2(self.quote, escape, rest),
            };
            let Some(place) = found.map(|found| at + found) else {
                return Inside::GoesOn(bytes.len());
            };
            let next = bytes.get(place + 1);
            if next.is_none() && !last {
                return Inside::GoesOn(place);
            }
            let guards = escape.is_some() && bytes.get(place).copied() == escape;
            if guards || next == Some(&self.quote) {
                at = place + 2;
                continue;
            }
            return match self.ends_field(bytes, place + 1, last) {
                Some(true) => Inside::Closes(place + 1),
                Some(false) => Inside::Broken,
                None => Inside::GoesOn(place),
            };
        }
    }

    /// Goes on behind a quoted field. The first byte starts no field.
    pub(crate) fn rest(&self, bytes: &[u8], last: bool) -> Rest {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(found) = memchr2(self.newline, self.quote, rest) else {
                return match last {
                    true => Rest::Ends(bytes.len()),
                    false => Rest::GoesOn(self.field_before(bytes, bytes.len())),
                };
            };
            let place = at + found;
            if bytes.get(place) == Some(&self.newline) {
                return Rest::Ends(place + 1);
            }
            // What starts a field is its delimiter: these bytes start none.
            let before = self.field_before(bytes, place);
            if before == place {
                at = place + 1;
                continue;
            }
            match self.close(bytes, place, place, last) {
                Close::At { at: end, .. } => at = end + 1,
                Close::More => return Rest::GoesOn(before),
                Close::Open => return Rest::Open(place),
                Close::Broken(_) => return Rest::Stray(place),
                Close::TooLong => {
                    let limit = bytes.len().min(place.saturating_add(self.max_record_bytes));
                    let seen = bytes.get(..limit).unwrap_or_default();
                    return match self.is_stray(seen, place) {
                        true => Rest::Stray(place),
                        false => Rest::Long(place),
                    };
                }
            }
        }
    }

    /// The delimiter before `at` when nothing but blanks stands between them, else `at`.
    fn field_before(&self, bytes: &[u8], at: usize) -> usize {
        let mut before = at;
        while before > 0 && bytes.get(before - 1) != Some(&self.delimiter) {
            if !matches!(bytes.get(before - 1), Some(b' ' | b'\t')) {
                return at;
            }
            before -= 1;
        }
        match before {
            // A run of blanks longer than a record: no field is looked for behind it.
            0 => at,
            _ if at - before > self.max_record_bytes => at,
            _ => before - 1,
        }
    }

    /// Whether the quote at `open`, which nothing closes for the length of the longest record, is a
    /// stray one: the lines behind its own are records by themselves.
    fn is_stray(&self, bytes: &[u8], open: usize) -> bool {
        if self.width == 0 {
            return true;
        }
        let Some(mut at) = self.line_end(bytes, open) else {
            return false;
        };
        let mut records = 0;
        while let (true, Some(end)) = (records < 3, self.line_end(bytes, at)) {
            let line = bytes.get(at..end).unwrap_or_default();
            at = end;
            if line.iter().all(|byte| self.ends_line(*byte)) {
                continue;
            }
            if self.fields(line) != Some(self.width) {
                return false;
            }
            records += 1;
        }
        self.width > 1 && records > 0
    }

    /// The fields of a line; `None` where its quotes are not those of one whole record.
    fn fields(&self, line: &[u8]) -> Option<usize> {
        if memchr(self.quote, line).is_none() {
            return Some(memchr_iter(self.delimiter, line).count() + 1);
        }
        let (mut at, mut fields) = (0, 1);
        loop {
            let found = memchr2(self.delimiter, self.quote, line.get(at..)?);
            let Some(place) = found.map(|found| at + found) else {
                return Some(fields);
            };
            if line.get(place) == Some(&self.delimiter) {
                fields += 1;
                at = place + 1;
                continue;
            }
            if !self.opens_field(line, at, place) {
                return None;
            }
            let Close::At { at: end, .. } = self.close(line, 0, place, true) else {
                return None;
            };
            at = end + 1;
            // What may follow is blank, a delimiter or the line's end: never another quote.
            at += memchr(self.delimiter, line.get(at..)?).unwrap_or(line.len() - at);
        }
    }

    /// Whether a field may end at `at`; `None` when more bytes are needed to tell.
    fn ends_field(&self, bytes: &[u8], mut at: usize, last: bool) -> Option<bool> {
        while matches!(bytes.get(at), Some(b' ' | b'\t')) && bytes.get(at) != Some(&self.delimiter)
        {
            at += 1;
        }
        match bytes.get(at) {
            None => last.then_some(true),
            Some(byte) if *byte == self.delimiter || *byte == self.newline => Some(true),
            Some(b'\r') => match bytes.get(at + 1) {
                None => last.then_some(true),
                Some(byte) => Some(*byte == self.newline),
            },
            Some(_) => Some(false),
        }
    }

    /// The end of the line that holds `from`, its line end included.
    pub(crate) fn line_end(&self, bytes: &[u8], from: usize) -> Option<usize> {
        memchr(self.newline, bytes.get(from..).unwrap_or_default()).map(|found| from + found + 1)
    }

    fn opens_field(&self, bytes: &[u8], record: usize, at: usize) -> bool {
        let mut before = at;
        while before > record
            && matches!(bytes.get(before - 1), Some(b' ' | b'\t'))
            && bytes.get(before - 1) != Some(&self.delimiter)
        {
            before -= 1;
        }
        before == record || bytes.get(before - 1) == Some(&self.delimiter)
    }

    /// The end of the record that starts at `start`. `suspect` is the place before which quotes in
    /// unquoted fields are mistrusted; it only grows. With `last` no byte will follow.
    pub(crate) fn record_end(
        &self,
        bytes: &[u8],
        start: usize,
        suspect: &mut usize,
        last: bool,
    ) -> RecordEnd {
        let limit = bytes.len().min(start.saturating_add(self.max_record_bytes));
        let too_long = limit - start >= self.max_record_bytes;
        let without_end =
            |at: usize| match self.line_end(bytes.get(..limit).unwrap_or_default(), at) {
                Some(end) => RecordEnd::At(end),
                None if too_long => RecordEnd::TooLong,
                None if last => RecordEnd::At(bytes.len()),
                None => RecordEnd::More,
            };
        if self.comment.is_some() && bytes.get(start).copied() == self.comment {
            return without_end(start);
        }
        let mut at = start;
        loop {
            let Some(found) = memchr2(
                self.newline,
                self.quote,
                bytes.get(at..limit).unwrap_or_default(),
            ) else {
                return without_end(limit);
            };
            let place = at + found;
            if bytes.get(place) == Some(&self.newline) {
                return RecordEnd::At(place + 1);
            }
            if !self.opens_field(bytes, start, place) {
                if place < *suspect {
                    return without_end(place);
                }
                at = place + 1;
                continue;
            }
            match self.close(bytes, start, place, last) {
                Close::At { at: end, .. } => at = end + 1,
                Close::More => return RecordEnd::More,
                Close::TooLong if !self.is_stray(bytes.get(..limit).unwrap_or_default(), place) => {
                    return RecordEnd::TooLongInside(place);
                }
                Close::Open | Close::TooLong => return without_end(place),
                Close::Broken(end) => {
                    *suspect = (*suspect).max(end + 1);
                    return without_end(place);
                }
            }
        }
    }
}

/// The places of the bytes that structure a file (delimiter, quote, newline), 64 bytes at a step.
pub(crate) struct StructuralBytes<'a> {
    bytes: &'a [u8],
    wanted: [u8; 3],
    base: usize,
    mask: u64,
}

impl<'a> StructuralBytes<'a> {
    /// From the first byte on. `wanted` are ASCII characters.
    pub(crate) fn new(bytes: &'a [u8], wanted: [u8; 3]) -> Self {
        let mut structure = Self {
            bytes,
            wanted,
            base: 0,
            mask: 0,
        };
        structure.mask = structure.load(0);
        structure
    }

    /// The next place, or the number of bytes when there is none.
    #[inline(always)]
    pub(crate) fn next_place(&mut self) -> usize {
        if self.mask == 0 && !self.advance() {
            return self.bytes.len();
        }
        let place = self.base + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        place
    }

    /// Goes on to the next 64 bytes that hold a place; false when there are none.
    fn advance(&mut self) -> bool {
        while self.mask == 0 {
            self.base += 64;
            if self.base >= self.bytes.len() {
                return false;
            }
            self.mask = self.load(self.base);
        }
        true
    }

    /// Goes on at `place`, which lies ahead.
    #[inline]
    pub(crate) fn seek(&mut self, place: usize) {
        let base = place & !63;
        if base != self.base {
            self.base = base;
            self.mask = if base < self.bytes.len() {
                self.load(base)
            } else {
                0
            };
        }
        self.mask &= u64::MAX << (place - base);
    }

    #[inline(always)]
    fn load(&self, base: usize) -> u64 {
        if let Some(block) = self
            .bytes
            .get(base..)
            .and_then(|rest| rest.first_chunk::<64>())
        {
            return mask(block, self.wanted);
        }
        let rest = self.bytes.get(base..).unwrap_or_default();
        let mut block = [0_u8; 64];
        for (to, from) in block.iter_mut().zip(rest) {
            *to = *from;
        }
        // Short of 64 bytes, so the shift is in range; the padding never counts.
        mask(&block, self.wanted) & ((1_u64 << rest.len()) - 1)
    }
}

const LOW: u64 = 0x7F7F_7F7F_7F7F_7F7F;

/// One bit per byte that is one of `wanted`, eight bytes at a step. A byte of `low ^ pattern` is zero
/// where the wanted byte stands; adding 0x7F sets the highest bit of every byte that is not, without a
/// carry into its neighbour.
#[inline(always)]
fn mask(block: &[u8; 64], wanted: [u8; 3]) -> u64 {
    let [a, b, c] = wanted.map(|byte| u64::from(byte) * 0x0101_0101_0101_0101);
    let (parts, _) = block.as_chunks::<8>();
    // Bit `at` of byte `i`: whether byte `i` of part `at` is wanted.
    let mut found = 0;
    for (at, part) in parts.iter().enumerate() {
        let word = u64::from_le_bytes(*part);
        let low = word & LOW;
        let other = ((low ^ a) + LOW) & ((low ^ b) + LOW) & ((low ^ c) + LOW);
        found |= (!(other | word) & !LOW) >> (7 - at);
    }
    transposed(found)
}

/// Eight bytes as a square of bits with rows and columns exchanged (Hacker's Delight, 7-3).
#[inline(always)]
fn transposed(square: u64) -> u64 {
    let swap = |square: u64, by: u32, which: u64| {
        let moved = (square ^ (square >> by)) & which;
        square ^ moved ^ (moved << by)
    };
    let square = swap(square, 7, 0x00AA_00AA_00AA_00AA);
    let square = swap(square, 14, 0x0000_CCCC_0000_CCCC);
    swap(square, 28, 0x0000_0000_F0F0_F0F0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dialect() -> Dialect {
        Dialect {
            delimiter: b',',
            quote: b'"',
            escape: None,
            comment: None,
            trim: false,
            newline: b'\n',
            max_record_bytes: 1 << 20,
            width: 2,
        }
    }

    fn records(text: &str) -> Vec<&str> {
        let (mut at, mut suspect, mut found) = (0, 0, Vec::new());
        while at < text.len() {
            let RecordEnd::At(end) = dialect().record_end(text.as_bytes(), at, &mut suspect, true)
            else {
                break;
            };
            found.push(&text[at..end]);
            at = end;
        }
        found
    }

    #[test]
    fn records_end_where_they_end() {
        assert_eq!(
            records("a,b\r\n\"x\ny\",z\n1,2"),
            ["a,b\r\n", "\"x\ny\",z\n", "1,2"]
        );
        assert_eq!(records("a,\"b\"\"c\n\"\n"), ["a,\"b\"\"c\n\"\n"]);
        assert_eq!(records("a,b\"c\n"), ["a,b\"c\n"]);
    }

    #[test]
    fn a_quote_that_never_closes_spoils_one_line() {
        assert_eq!(records("1,\"x\n2,y\n3,z\n"), ["1,\"x\n", "2,y\n", "3,z\n"]);
        assert_eq!(
            records("1,\"x\n2,y\n3,\"z\"\n"),
            ["1,\"x\n", "2,y\n", "3,\"z\"\n"]
        );
    }

    #[test]
    fn undecided_ends_ask_for_more() {
        let mut suspect = 0;
        for text in ["a,b", "a,\"b", "a,\"b\"", "a,\"b\"\r"] {
            assert_eq!(
                dialect().record_end(text.as_bytes(), 0, &mut suspect, false),
                RecordEnd::More,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn marks_find_what_a_plain_search_finds(text in "[ab,\"\n\u{0}\u{7f}\u{ac}\u{a2}\u{e4}\u{20ac}]{0,300}", skip in 0_usize..300) {
            let bytes = text.as_bytes();
            let skip = skip.min(bytes.len());
            let mut structure = StructuralBytes::new(bytes, [b',', b'"', b'\n']);
            structure.seek(skip);
            let expected: Vec<usize> = (skip..bytes.len()).filter(|at| b",\"\n".contains(&bytes[*at])).collect();
            let mut found = Vec::new();
            loop {
                let place = structure.next_place();
                if place >= bytes.len() { break }
                found.push(place);
            }
            prop_assert_eq!(found, expected);
        }
    }
}
