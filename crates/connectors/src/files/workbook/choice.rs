//! Which sheet of a workbook is read, and which cells of it: the options `sheet` and `range`.
//!
//! Promise: a range that cannot be meant is refused. It opens no file. Read next: `open.rs`.

/// Excel has so many rows and columns.
pub(super) const MOST_ROWS: u32 = 1_048_576;
pub(super) const MOST_COLUMNS: u32 = 16_384;

/// A sheet by its name or its place from 1, and the cells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SheetChoice {
    /// `None` means the first one that is visible.
    pub(crate) sheet: Option<String>,
    pub(crate) area: Area,
}

/// Cells from one corner to another, counted from 0; both are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    pub(super) first: (u32, u32),
    pub(super) last: (u32, u32),
}

impl Default for Area {
    fn default() -> Self {
        Self {
            first: (0, 0),
            last: (MOST_ROWS - 1, MOST_COLUMNS - 1),
        }
    }
}

impl Area {
    /// From `B3:F200`, `B:F` (whole columns), `B3:F` or `B3` (up to the end); `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let all = Self::default();
        let (first, last) = match text.split_once(':') {
            Some((first, last)) => (corner(first)?, corner(last)?),
            None => (corner(text)?, (None, None)),
        };
        let area = Self {
            first: (first.0.unwrap_or(0), first.1?),
            last: (last.0.unwrap_or(all.last.0), last.1.unwrap_or(all.last.1)),
        };
        let is_ordered = area.first.0 <= area.last.0 && area.first.1 <= area.last.1;
        is_ordered.then_some(area)
    }

    pub(super) fn has(&self, (row, column): (u32, u32)) -> bool {
        (self.first.0..=self.last.0).contains(&row)
            && (self.first.1..=self.last.1).contains(&column)
    }
}

/// The name of a cell, such as `B3`.
pub(super) fn name_of((row, column): (u32, u32)) -> String {
    let (mut letters, mut left) = (Vec::new(), column + 1);
    while left > 0 {
        letters.push(char::from(b'A' + ((left - 1) % 26) as u8));
        left = (left - 1) / 26;
    }
    let letters: String = letters.iter().rev().collect();
    format!("{letters}{}", u64::from(row) + 1)
}

/// The row and the column of `$B$3` or `B`, each from 0.
fn corner(text: &str) -> Option<(Option<u32>, Option<u32>)> {
    let plain = text.trim().replace('$', "").to_ascii_uppercase();
    let digits = plain.trim_start_matches(|sign: char| sign.is_ascii_uppercase());
    let letters = plain.strip_suffix(digits)?;
    if letters.is_empty() || letters.len() > 3 {
        return None;
    }
    let place = |sum: u32, sign: u8| sum * 26 + u32::from(sign - b'A') + 1;
    let column = letters.bytes().fold(0, place) - 1;
    let row = match digits.is_empty() {
        true => None,
        false => Some(digits.parse::<u32>().ok()?.checked_sub(1)?),
    };
    let is_there = column < MOST_COLUMNS && row.is_none_or(|row| row < MOST_ROWS);
    is_there.then_some((row, Some(column)))
}
