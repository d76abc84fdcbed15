//! Which bytes of the rendered SQL came from which bytes of the template.
//!
//! Promise: every byte of the template that reaches the SQL has its position. Before rendering, each piece of
//! literal text that goes directly to the output is marked with two private-use characters and its number;
//! after rendering the markers are removed. Text that is captured first (`set`, `macro`, `call`, `filter`,
//! `raw`) is not marked, so no value that a template compares or passes on contains a marker. It knows
//! nothing of SQL. Read next: `render.rs`.

use std::ops::Range;

use crate::guards::guards;
use crate::segments::{Kind, Segment, segments};

const OPEN: char = '\u{E000}';
const CLOSE: char = '\u{E001}';

/// A piece of literal text of the template.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    /// Its bytes, without whitespace that whitespace control removes.
    text: Range<usize>,
    /// The tags that follow it, up to the next text.
    tags: Range<usize>,
}

/// A template with markers.
#[derive(Clone, Debug)]
pub(crate) struct MarkedTemplate {
    pub(crate) source: String,
    pieces: Vec<Piece>,
    /// Tags before the first text.
    leading: Range<usize>,
    /// The range of each marker in `source`.
    markers: Vec<Range<usize>>,
}

/// Adds markers to a template.
pub(crate) fn add_markers(text: &str) -> MarkedTemplate {
    let parts = segments(text);
    let first_text = parts
        .iter()
        .find(|part| part.kind == Kind::Text)
        .map_or(text.len(), |part| part.range.start);
    let mut marked = MarkedTemplate {
        source: String::new(),
        pieces: Vec::new(),
        leading: 0..first_text,
        markers: Vec::new(),
    };
    let foreign = text.contains(OPEN) || text.contains(CLOSE);
    let mut captured = 0_usize;
    let mut copied = 0;
    let mut guards = guards(text).into_iter().peekable();
    for (at, part) in parts.iter().enumerate() {
        while let Some((place, filter)) = guards.next_if(|(place, _)| *place <= part.range.end) {
            marked
                .source
                .push_str(text.get(copied..place).unwrap_or_default());
            copied = place;
            let start = marked.source.len();
            marked.source.push_str(&filter);
            marked.markers.push(start..marked.source.len());
        }
        match part.kind {
            Kind::Block => captured = depth(captured, part, text),
            Kind::Text if captured == 0 && !part.raw && !foreign => {
                let before = at.checked_sub(1).and_then(|at| parts.get(at));
                let literal = literal(text, part, before, parts.get(at + 1));
                if literal.is_empty() {
                    continue;
                }
                marked
                    .source
                    .push_str(text.get(copied..literal.start).unwrap_or_default());
                copied = literal.start;
                let start = marked.source.len();
                marked.source.push(OPEN);
                marked.source.push_str(&marked.pieces.len().to_string());
                marked.source.push(CLOSE);
                marked.markers.push(start..marked.source.len());
                let after = parts
                    .iter()
                    .skip(at + 1)
                    .find(|next| next.kind == Kind::Text);
                let tags = part.range.end..after.map_or(text.len(), |next| next.range.start);
                marked.pieces.push(Piece {
                    text: literal,
                    tags,
                });
            }
            Kind::Text | Kind::Comment | Kind::Expression => {}
        }
    }
    marked
        .source
        .push_str(text.get(copied..).unwrap_or_default());
    marked
}

fn depth(captured: usize, block: &Segment, text: &str) -> usize {
    let inner = text.get(block.inner.clone()).unwrap_or_default();
    match block.keyword(text) {
        "set" if !inner.contains('=') => captured + 1,
        "macro" | "call" | "filter" => captured + 1,
        "endset" | "endmacro" | "endcall" | "endfilter" => captured.saturating_sub(1),
        _ => captured,
    }
}

fn literal(
    text: &str,
    part: &Segment,
    before: Option<&Segment>,
    after: Option<&Segment>,
) -> Range<usize> {
    let whole = text.get(part.range.clone()).unwrap_or_default();
    let mut range = part.range.clone();
    if before.is_some_and(|tag| tag.trims_after) {
        range.start += whole.len() - whole.trim_start().len();
    }
    if after.is_some_and(|tag| tag.trims_before) {
        range.end = range.start.max(part.range.start + whole.trim_end().len());
    }
    range
}

impl MarkedTemplate {
    /// Converts a position in the marked source to a position in the template.
    pub(crate) fn original(&self, at: usize) -> usize {
        let before: usize = self
            .markers
            .iter()
            .take_while(|marker| marker.start < at)
            .map(|marker| marker.end.min(at) - marker.start)
            .sum();
        at - before
    }

    /// Removes the markers from rendered text.
    pub(crate) fn remove_markers(&self, rendered: &str) -> (String, SourceMap) {
        let mut sql = String::with_capacity(rendered.len());
        let mut regions = Vec::new();
        let mut rest = rendered;
        while let Some((before, after)) = rest.split_once(OPEN) {
            sql.push_str(before);
            let number = after
                .split_once(CLOSE)
                .and_then(|(number, _)| number.parse::<usize>().ok());
            match number.and_then(|number| Some((number, self.pieces.get(number)?))) {
                Some((number, piece)) => {
                    regions.push(Region {
                        sql: sql.len(),
                        piece: piece.clone(),
                    });
                    rest = after
                        .get(number.to_string().len() + CLOSE.len_utf8()..)
                        .unwrap_or_default();
                }
                None => {
                    sql.push(OPEN);
                    rest = after;
                }
            }
        }
        sql.push_str(rest);
        let inserted = 0..0;
        (
            sql,
            SourceMap {
                regions,
                leading: self.leading.clone(),
                inserted,
            },
        )
    }
}

/// A region of the SQL that came from one piece, and then from the tags after it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Region {
    sql: usize,
    piece: Piece,
}

/// Converts positions in rendered SQL to positions in the template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceMap {
    regions: Vec<Region>,
    leading: Range<usize>,
    /// Bytes of the SQL that came from ephemeral models.
    inserted: Range<usize>,
}

impl SourceMap {
    pub(crate) fn with_inserted(mut self, inserted: Range<usize>) -> Self {
        self.inserted = inserted;
        self
    }

    /// The template's bytes for these bytes of the SQL: the text itself if it was literal, or otherwise the
    /// tag that wrote it. `None` inside an ephemeral model.
    pub fn locate(&self, sql: (usize, usize)) -> Option<(usize, usize)> {
        let (start, end) = sql;
        if self.inserted.contains(&start) {
            return None;
        }
        let moved = if start >= self.inserted.end {
            self.inserted.len()
        } else {
            0
        };
        let (start, end) = (start - moved, end.saturating_sub(moved));
        let Some(region) = self
            .regions
            .iter()
            .take_while(|region| region.sql <= start)
            .last()
        else {
            return Some((self.leading.start, self.leading.end));
        };
        let within = start - region.sql;
        let length = region.piece.text.len();
        if within < length || (region.piece.tags.is_empty() && within == length) {
            let from = region.piece.text.start + within;
            let to = (from + end.saturating_sub(start)).min(region.piece.text.end);
            return Some((from, to));
        }
        Some((region.piece.tags.start, region.piece.tags.end))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn marks_stay_out_of_captured_text() {
        let marked = add_markers("a{% set x %}b{% endset %}c{% set y = 1 %}d");
        let (clean, _) = marked.remove_markers(&marked.source);
        assert_eq!(clean, "a{% set x %}b{% endset %}c{% set y = 1 %}d");
        assert_eq!(marked.pieces.len(), 3);
        assert_eq!(marked.original(marked.source.find('c').unwrap()), 25);
    }

    #[test]
    fn text_with_such_characters_is_left_alone() {
        let text = "select '\u{E000}0\u{E001}' {{ x }}";
        assert_eq!(add_markers(text).source, text);
    }
}
