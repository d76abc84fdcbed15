//! A table of text cells over one buffer: two numbers per cell, no text is copied.
//!
//! CSV and JSON lines both become this before any value is parsed, so columns are filled and types
//! are inferred by one code. It knows how to skip nulls and undo escapes, and nothing of types.

const FLAG: u32 = 1 << 31;

/// Where a cell stands. Buffers are shorter than 2^31, so the highest bits are free for marks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// No value.
    pub(crate) const NULL: Self = Self {
        start: u32::MAX,
        end: u32::MAX,
    };

    /// A plain cell.
    #[inline]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "buffers are shorter than 2^31"
    )]
    pub(crate) fn plain(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    /// A cell between quotes (which are not part of it).
    #[inline]
    pub(crate) fn quoted(start: usize, end: usize, escaped: bool) -> Self {
        let plain = Self::plain(start, end);
        Self {
            start: if escaped {
                plain.start | FLAG
            } else {
                plain.start
            },
            end: plain.end | FLAG,
        }
    }

    #[inline]
    fn start(self) -> usize {
        (self.start & !FLAG) as usize
    }

    #[inline]
    fn end(self) -> usize {
        (self.end & !FLAG) as usize
    }

    #[inline]
    pub(crate) fn is_quoted(self) -> bool {
        self.end & FLAG != 0
    }

    /// The cell's bytes as they stand.
    pub(crate) fn text(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start()..self.end()).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn is_escaped(self) -> bool {
        self.start & FLAG != 0
    }

    pub(crate) fn is_null(self) -> bool {
        self.start == u32::MAX && self.end == u32::MAX
    }

    pub(crate) fn is_empty(self) -> bool {
        self.start() == self.end()
    }
}

/// Which texts mean NULL.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nulls {
    /// None of them empty.
    words: Vec<Vec<u8>>,
    /// One bit per byte, of 64, that a word may start with: most cells are told apart by it.
    firsts: u64,
    /// Unquoted empty cells.
    empty: bool,
    /// Quoted empty cells.
    quoted_empty: bool,
    /// Quoted words too.
    quoted_words: bool,
}

impl Nulls {
    /// For CSV: the empty unquoted cell and these words.
    pub(crate) fn csv(words: &[String]) -> Self {
        let named = words.iter().filter(|word| !word.is_empty());
        Self {
            words: named
                .clone()
                .map(|word| word.clone().into_bytes())
                .collect(),
            firsts: named
                .filter_map(|word| word.bytes().next())
                .fold(0, |bits, byte| bits | 1 << (byte & 63)),
            empty: true,
            quoted_empty: words.iter().any(String::is_empty),
            quoted_words: false,
        }
    }

    /// The same for a file whose quotes only say that a cell is a text.
    pub(crate) fn also_quoted(mut self, quoted_words: bool) -> Self {
        self.quoted_words = quoted_words;
        self
    }

    #[inline]
    pub(crate) fn holds(&self, text: &[u8], quoted: bool) -> bool {
        if text.is_empty() {
            return if quoted {
                self.quoted_empty
            } else {
                self.empty
            };
        }
        let first = text.first().map_or(0, |byte| 1 << (byte & 63));
        self.firsts & first != 0
            && (self.quoted_words || !quoted)
            && self.words.iter().any(|word| word.as_slice() == text)
    }
}

/// How escapes are undone.
pub(crate) type Unescape<'a> = &'a dyn Fn(&[u8], &mut Vec<u8>);

/// One column of a table of cells.
pub(crate) struct Cells<'a> {
    pub(crate) bytes: &'a [u8],
    /// Row by row.
    pub(crate) spans: &'a [Span],
    /// Cells in a row.
    pub(crate) width: usize,
    /// Which of them.
    pub(crate) column: usize,
    pub(crate) nulls: &'a Nulls,
    pub(crate) unescape: Unescape<'a>,
}

impl Cells<'_> {
    /// Calls `take` with each row's text, `None` for NULL, and whether it was quoted.
    #[inline]
    pub(crate) fn each(&self, mut take: impl FnMut(usize, Option<&[u8]>, bool)) {
        let mut scratch = Vec::new();
        let Some(spans) = self.spans.get(self.column..) else {
            return;
        };
        for (row, span) in spans.iter().step_by(self.width.max(1)).enumerate() {
            let quoted = span.is_quoted();
            let Some(text) = self.bytes.get(span.start()..span.end()) else {
                take(row, None, false);
                continue;
            };
            if self.nulls.holds(text, quoted) {
                take(row, None, quoted);
            } else if span.is_escaped() {
                scratch.clear();
                (self.unescape)(text, &mut scratch);
                take(row, Some(&scratch), quoted);
            } else {
                take(row, Some(text), quoted);
            }
        }
    }
}
