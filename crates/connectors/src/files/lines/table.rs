//! Cells of lines, as the formats of lines write them.
//!
//! Promise: two numbers for each cell, as in `../cells.rs`. It knows no format.

use crate::files::cells::Span;

/// Cells of some lines, with a text of their own: a format may write a value in another form.
#[derive(Default)]
pub(crate) struct LineTable {
    pub(crate) text: Vec<u8>,
    pub(crate) spans: Vec<Span>,
    /// Where each line starts in the chunk.
    pub(crate) starts: Vec<usize>,
}

impl LineTable {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
        self.starts.clear();
    }

    /// A cell; `None` is NULL.
    pub(super) fn push(&mut self, cell: Option<&str>) {
        match cell {
            None => self.spans.push(Span::NULL),
            Some(cell) => self.write(|text| text.extend_from_slice(cell.as_bytes())),
        }
    }

    /// A cell that is written here.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.text.len();
        write(&mut self.text);
        self.spans.push(Span::plain(start, self.text.len()));
    }
}
