//! Cuts a document into chunks of whole records, and says where the records in a chunk are.
//!
//! Promise: a record is an element that `record` names, up to its own end; what is inside of it is looked at for
//! its tags only. Every byte of the document is looked at, also behind the last record, so that a file that
//! is damaged or cut short fails the read with line and column. Read next: `scan.rs`, `../chunk.rs`.

use super::options::RecordPath;
use super::scan::{Damage, DamageKind, Document, Found, Inside, Token, close, of, open, token};
use crate::files::chunk::{Cut, Cutter, Pass, Suspicion};

/// Cuts one document.
pub(crate) struct XmlCutter {
    record: RecordPath,
    max_record_bytes: usize,
    document: Document,
    /// What is open of a record that is passed over.
    inner: Document,
    /// The records of the last cut.
    records: Vec<(usize, usize)>,
    /// Characters in the last line of what was cut.
    column: u64,
    has_records: bool,
    /// The element around the records was there.
    has_around: bool,
    /// The root has elements in it.
    has_elements: bool,
    /// Elements where records would be, the first few.
    others: Vec<String>,
}

/// So many of them are told.
const MOST_OTHERS: usize = 5;

/// How far a record goes.
enum Extent {
    Ends(usize),
    /// Not to the end of the bytes; looked at up to here.
    GoesOn(usize),
    Damaged(usize, DamageKind),
}

impl XmlCutter {
    /// At the start of a document.
    pub(crate) fn new(record: RecordPath, max_record_bytes: usize) -> Self {
        Self {
            record,
            max_record_bytes,
            document: Document::default(),
            inner: Document::default(),
            records: Vec::new(),
            column: 0,
            has_records: false,
            has_around: false,
            has_elements: false,
            others: Vec::new(),
        }
    }

    fn at_place(&self, bytes: &[u8], at: usize, kind: DamageKind) -> Damage {
        Damage {
            at,
            column: 1 + column_of(bytes, at, self.column),
            kind,
        }
    }

    /// The end of a record whose first tag ends at `at`, or that goes on there.
    fn extent(&mut self, bytes: &[u8], mut at: usize) -> Extent {
        while at < bytes.len() {
            let (found, end) = match token(bytes, at, &mut self.inner.inside) {
                Found::Token(found, end) => (found, end),
                Found::More => break,
                Found::Wrong(why) => return Extent::Damaged(at, DamageKind::Wrong(why)),
            };
            let taken = match found {
                Token::Start {
                    name,
                    is_empty: false,
                } => open(&mut self.inner.names, of(bytes, name)),
                Token::End { name } => close(&mut self.inner.names, of(bytes, name)),
                Token::DocType { .. } => Err(DamageKind::Wrong(
                    "a document type is inside of an element".to_owned(),
                )),
                Token::Start { .. } | Token::Text { .. } | Token::Other => Ok(()),
            };
            if let Err(kind) = taken {
                return Extent::Damaged(at, kind);
            }
            at = end;
            if self.inner.names.depth() == 0 {
                return Extent::Ends(at);
            }
        }
        Extent::GoesOn(at)
    }

    /// What begins here if it is a record: where it ends.
    fn record(
        &mut self,
        bytes: &[u8],
        (name, is_empty): ((usize, usize), bool),
        end: usize,
    ) -> Option<Extent> {
        let text = of(bytes, name);
        let names = &self.document.names;
        let around = || Box::new(names.iter()) as Box<dyn Iterator<Item = &[u8]>>;
        if !self.record.is_record(text, names.depth(), around) {
            return None;
        }
        if is_empty {
            return Some(Extent::Ends(end));
        }
        self.inner.names.clear();
        self.inner.inside = Inside::Content;
        if let Err(kind) = open(&mut self.inner.names, text) {
            return Some(Extent::Damaged(name.0, kind));
        }
        Some(self.extent(bytes, end))
    }

    /// Notes what is needed to tell a file without records from one with other elements.
    fn note(&mut self, bytes: &[u8], name: (usize, usize)) {
        let depth = self.document.names.depth();
        self.has_elements |= depth > 0;
        if !self.has_around {
            let own = std::iter::once(of(bytes, name));
            let names = self.document.names.iter().chain(own);
            self.has_around = self.record.is_around(names);
        }
        if !self.has_records
            && self.others.len() < MOST_OTHERS
            && self.record.is_around(self.document.names.iter())
        {
            let name: String = String::from_utf8_lossy(of(bytes, name))
                .chars()
                .take(100)
                .collect();
            if !self.others.contains(&name) {
                self.others.push(name);
            }
        }
    }

    /// Goes over whole records and what is between them.
    fn find(&mut self, bytes: &[u8], last: bool) -> Cut {
        let mut at = 0;
        let mut goes_on = None;
        while at < bytes.len() {
            let (found, end) = match token(bytes, at, &mut self.document.inside) {
                Found::Token(found, end) => (found, end),
                Found::More => break,
                Found::Wrong(why) => {
                    return Cut::Damaged(self.at_place(bytes, at, DamageKind::Wrong(why)));
                }
            };
            let mut next = end;
            let taken = match found {
                Token::Start { name, is_empty } => {
                    match self.record(bytes, (name, is_empty), end) {
                        None => {
                            self.note(bytes, name);
                            self.document.take(bytes, &found)
                        }
                        Some(Extent::Ends(end)) => {
                            next = end;
                            self.has_records = true;
                            self.records.push((at, end));
                            self.document.begin()
                        }
                        Some(Extent::GoesOn(to)) => {
                            goes_on = Some(to);
                            break;
                        }
                        Some(Extent::Damaged(at, kind)) => {
                            return Cut::Damaged(self.at_place(bytes, at, kind));
                        }
                    }
                }
                _ => self.document.take(bytes, &found),
            };
            if let Err(kind) = taken {
                return Cut::Damaged(self.at_place(bytes, at, kind));
            }
            at = next;
        }
        match (at, goes_on) {
            (at, _) if at == bytes.len() => Cut::Whole(at),
            _ if last => Cut::Damaged(self.cut_short(bytes, at, goes_on.is_some())),
            (1.., _) => Cut::Whole(at),
            _ if bytes.len() < self.max_record_bytes => Cut::More,
            (_, Some(to)) => self.too_long(to),
            _ => Cut::Damaged(self.long_tag(bytes, at)),
        }
    }

    /// The file ends inside a record, or inside a tag.
    fn cut_short(&self, bytes: &[u8], at: usize, is_record: bool) -> Damage {
        let lacks = match is_record {
            true => self.inner.lacks(),
            false => None,
        };
        let (at, why) = match lacks {
            Some(why) => (bytes.len(), why),
            None => (at, "it ends inside of the tag that begins here".to_owned()),
        };
        self.at_place(bytes, at, DamageKind::Wrong(why))
    }

    fn long_tag(&self, bytes: &[u8], at: usize) -> Damage {
        let why = format!(
            "a tag is longer than {} bytes or does not end; `max_record_bytes` allows more",
            self.max_record_bytes
        );
        self.at_place(bytes, at, DamageKind::Wrong(why))
    }

    /// The record at hand is longer than allowed: what is left of it is passed over.
    fn too_long(&mut self, to: usize) -> Cut {
        self.has_records = true;
        match self.document.begin() {
            Ok(()) => Cut::TooLong(to),
            Err(kind) => Cut::Damaged(self.at_place(&[], 0, kind)),
        }
    }

    fn moved(&mut self, bytes: &[u8], to: usize) {
        self.column = column_of(bytes, to, self.column);
    }
}

/// Characters between the begin of a line and this place; so many are before the bytes.
fn column_of(bytes: &[u8], at: usize, before: u64) -> u64 {
    let bytes = bytes.get(..at).unwrap_or(bytes);
    let (line, before) = match memchr::memrchr(b'\n', bytes) {
        Some(end) => (bytes.get(end + 1..).unwrap_or_default(), 0),
        None => (bytes, before),
    };
    let is_first = |byte: &&u8| **byte & 0xC0 != 0x80;
    before + line.iter().filter(is_first).count() as u64
}

impl Cutter for XmlCutter {
    fn cut(&mut self, bytes: &[u8], _: &mut Suspicion, last: bool) -> Cut {
        self.records.clear();
        let cut = self.find(bytes, last);
        if let Cut::Whole(to) | Cut::TooLong(to) = cut {
            self.moved(bytes, to);
        }
        cut
    }

    fn newline(&self) -> u8 {
        b'\n'
    }

    fn pass(&mut self, bytes: &[u8], last: bool) -> Pass {
        let found = self.extent(bytes, 0);
        let pass = match found {
            Extent::Ends(to) => Pass::Ends(to),
            Extent::Damaged(at, kind) => Pass::Damaged(self.at_place(bytes, at, kind)),
            Extent::GoesOn(at) if last => Pass::Damaged(self.cut_short(bytes, at, true)),
            Extent::GoesOn(0) if bytes.len() >= self.max_record_bytes.max(64 << 10) => {
                Pass::Damaged(self.long_tag(bytes, 0))
            }
            Extent::GoesOn(to) => Pass::GoesOn(to),
        };
        if let Pass::Ends(to) | Pass::GoesOn(to) = pass {
            self.moved(bytes, to);
        }
        pass
    }

    fn records(&mut self) -> Vec<(usize, usize)> {
        std::mem::take(&mut self.records)
    }

    fn damage(&self) -> Option<Damage> {
        let kind = match self.document.lacks() {
            Some(why) => DamageKind::Wrong(why),
            // An element around the records that has nothing in it has no records for certain.
            None if self.has_records
                || !self.has_elements
                || self.has_around && self.others.is_empty() =>
            {
                return None;
            }
            None => DamageKind::NoRecords {
                record: self.record.shown(),
                others: self.others.clone(),
            },
        };
        Some(Damage {
            at: 0,
            column: 1 + self.column,
            kind,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    fn path(names: &[&str]) -> RecordPath {
        RecordPath::absolute(names.iter().map(|name| (*name).to_owned()).collect())
    }

    /// The records of a text that comes in pieces, and the damage.
    fn cut(text: &str, record: RecordPath, piece: usize, most: usize) -> (Vec<String>, String) {
        let mut cutter = XmlCutter::new(record, most);
        let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
        let mut records = Vec::new();
        let (mut is_passing, mut suspicion) = (false, Suspicion::NONE);
        while !rest.is_empty() || !bytes.is_empty() {
            let (part, behind) = rest.split_at(piece.min(rest.len()));
            bytes.extend_from_slice(part);
            rest = behind;
            let last = rest.is_empty();
            if is_passing {
                match cutter.pass(&bytes, last) {
                    Pass::Ends(to) => {
                        is_passing = false;
                        bytes.drain(..to);
                    }
                    Pass::GoesOn(to) => drop(bytes.drain(..to)),
                    Pass::Damaged(damage) => return (records, format!("{damage:?}")),
                    _ => panic!(),
                }
                continue;
            }
            match cutter.cut(&bytes, &mut suspicion, last) {
                Cut::More => {}
                Cut::Whole(to) => {
                    for (start, end) in cutter.records() {
                        records.push(String::from_utf8_lossy(&bytes[start..end]).into_owned());
                    }
                    bytes.drain(..to);
                }
                Cut::TooLong(to) => {
                    records.push("…".to_owned());
                    is_passing = true;
                    bytes.drain(..to);
                }
                Cut::Damaged(damage) => return (records, format!("{damage:?}")),
            }
        }
        let damage = cutter.damage();
        (
            records,
            damage.map_or_else(String::new, |damage| format!("{damage:?}")),
        )
    }

    #[test]
    fn records_are_the_same_in_any_pieces() {
        let text = "<?xml version='1.0'?>\n<r>\n <head><i>no</i></head>\n <list><i a='>'><i>1</i></i><!-- <i/> --><i/>\n\
                    <i><![CDATA[</i>]]></i></list><list><x:i>2</x:i></list></r>\n";
        for piece in [1, 2, 5, 64, 4096] {
            let (records, damage) = cut(text, path(&["r", "list", "i"]), piece, 1 << 20);
            let expected = [
                "<i a='>'><i>1</i></i>",
                "<i/>",
                "<i><![CDATA[</i>]]></i>",
                "<x:i>2</x:i>",
            ];
            assert_eq!(
                (records, damage.as_str()),
                (expected.map(str::to_owned).to_vec(), ""),
                "{piece}"
            );
        }
    }

    #[test]
    fn a_record_that_is_too_long_is_passed_over_alone() {
        let long = "<b>x</b>".repeat(40);
        let text = format!("<r><i>1</i><i>{long}<i/>{long}</i><i>3</i></r>");
        for piece in [1, 16, 100] {
            let (records, damage) = cut(&text, path(&["r", "i"]), piece, 64);
            assert_eq!(
                (records.join(" "), damage.as_str()),
                ("<i>1</i> … <i>3</i>".to_owned(), ""),
                "{piece}"
            );
        }
    }

    #[test]
    fn damage_has_its_column_in_any_pieces() {
        for (text, why) in [
            (
                "<r>\n<i>é</i> <i></b></i></r>",
                "column: 13, kind: Wrong(\"`</b>` closes `<i>`\")",
            ),
            (
                "<r>\n<i>1</i>\n<i>2",
                "column: 5, kind: Wrong(\"it ends inside of `<i>`\")",
            ),
            (
                "<r>\n<i>1</i>\n",
                "column: 1, kind: Wrong(\"it ends inside of `<r>`\")",
            ),
            (
                "<r><i/></r> <r/>",
                "column: 13, kind: Wrong(\"a second root element begins\")",
            ),
            ("<r><j/></r>", "kind: NoRecords { record: \"/s/i\""),
            (
                "<s><j/><k/></s>",
                "record: \"/s/i\", others: [\"j\", \"k\"]",
            ),
            ("<s><j>1</j></s>\n", "record: \"/s/i\", others: [\"j\"]"),
        ] {
            for piece in [1, 3, 1000] {
                let record = path(if why.contains("/s/i") {
                    &["s", "i"]
                } else {
                    &["r", "i"]
                });
                let (_, damage) = cut(text, record, piece, 1 << 20);
                assert!(damage.contains(why), "{piece}: {text}: {damage}");
            }
        }
    }

    #[test]
    fn a_file_without_records_is_no_damage_where_their_place_is_there() {
        for (text, record) in [
            ("<r/>", "/r/i"),
            ("<r> </r>", "/r/i"),
            ("<r><n>0</n><l/></r>", "/r/l/i"),
            ("<r/>", "i"),
        ] {
            let record = match record.strip_prefix('/') {
                Some(names) => path(&names.split('/').collect::<Vec<_>>()),
                None => super::super::options::RecordPath::of_name(record),
            };
            assert_eq!(
                cut(text, record, 3, 1 << 20),
                (Vec::new(), String::new()),
                "{text}"
            );
        }
    }
}
