//! Titles above the header of a CSV file or a sheet: records of one cell above a table with more.
//!
//! Promise: a record is passed over only if the one below looks like a header, and the rows below have as many
//! cells. It knows no file. Read next: `header.rs`, which asks.

use super::first_records::{FirstRecord, texts};
use super::scan::Dialect;

/// So many lines may stand above a header that is found without `skip_lines`.
pub(super) const MOST_TITLES: usize = 20;

/// How many of the first records are no header but a title above it: they hold one cell, the next one
/// names, and the records behind it all have as many cells.
pub(super) fn titles(bytes: &[u8], records: &[FirstRecord], dialect: &Dialect) -> usize {
    let width = records.last().map_or(0, FirstRecord::width);
    if width < 2 {
        return 0;
    }
    let is_title = |record: &&FirstRecord| {
        let is_alone = record.filled() <= 1 && !(record.filled() == 1 && record.starts_empty());
        (record.width() == 1 || record.width() == width) && is_alone
    };
    let titles = records.iter().take_while(is_title).count();
    let (above, below) = records.split_at(titles);
    // Of two columns one may just have no name.
    let is_phrase = (above.len() > 1 || above.iter().any(|record| is_phrase(bytes, record)))
        && (width > 2 || above.iter().all(|record| record.width() == 1));
    let is_table = below.len() > 1
        && below.iter().take(4).all(|record| record.width() == width)
        && below
            .first()
            .is_some_and(|header| are_names(bytes, header, dialect));
    let is_sure = is_phrase
        || below
            .get(1..)
            .is_some_and(|rows| have_values(bytes, rows, dialect));
    match is_sure && is_table && titles <= MOST_TITLES {
        true => titles,
        false => 0,
    }
}

/// Whether a record of one cell is no name of a column: it has blanks, or cells behind it.
fn is_phrase(bytes: &[u8], record: &FirstRecord) -> bool {
    let text = bytes.get(record.start..record.end).unwrap_or_default();
    text.trim_ascii().contains(&b' ') || record.width() > 1
}

/// Whether a column of the first rows has values that are no names in all of them.
fn have_values(bytes: &[u8], rows: &[FirstRecord], dialect: &Dialect) -> bool {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .take(4)
        .map(|row| {
            let text = bytes.get(row.start..row.end).unwrap_or_default();
            texts(text, &row.cells, dialect)
        })
        .collect();
    let is_value = |text: &String| !text.trim().is_empty() && !is_name(text);
    let width = rows.first().map_or(0, Vec::len);
    (0..width).any(|at| rows.iter().all(|row| row.get(at).is_some_and(is_value)))
}

/// Whether the cells of a record look like names of columns: all there, and none a number.
fn are_names(bytes: &[u8], record: &FirstRecord, dialect: &Dialect) -> bool {
    let text = bytes.get(record.start..record.end).unwrap_or_default();
    texts(text, &record.cells, dialect)
        .iter()
        .all(|name| is_name(name))
}

fn is_name(text: &str) -> bool {
    let first = text.chars().next();
    first.is_some_and(|first| first.is_alphabetic() || first == '_')
}
