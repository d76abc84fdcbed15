//! What is said of a data file that cannot be read: missing, damaged, or out of reach for now.
//!
//! Promise: damage is named with its table, version and file and, where the footer is whole, with the
//! columns and row groups whose bytes differ. It reads nothing itself. Read next: `verified.rs`.

use std::collections::BTreeSet;
use std::ops::Range;

use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::cause::brief;
use super::error::LakeError;
use super::names::table_of;
use super::verified::Mismatch;

/// Columns that are named one by one.
const NAMED: usize = 3;

/// A data file, as messages name it.
#[derive(Clone, Debug)]
pub(crate) struct FileName {
    pub(crate) address: String,
    /// The version of the table it was read at.
    pub(crate) version: Option<u64>,
}

impl FileName {
    /// Why it cannot be read; `about` is its footer, when that was read before.
    pub(crate) fn unreadable(
        &self,
        error: &ParquetError,
        about: Option<&ParquetMetaData>,
    ) -> LakeError {
        let stored = match error {
            ParquetError::External(source) => source.downcast_ref::<object_store::Error>(),
            _ => None,
        };
        let why = match stored {
            Some(stored @ object_store::Error::NotFound { .. })
                if towpath_buckets::way_out(stored).is_none() =>
            {
                "is missing".to_owned()
            }
            Some(stored) => match Mismatch::within(stored) {
                Some(mismatch) => format!("is damaged ({})", mismatch_text(mismatch, about)),
                None => {
                    return LakeError::OutOfReach {
                        address: self.address.clone(),
                        why: brief(stored),
                        way: towpath_buckets::way_out(stored),
                    };
                }
            },
            None => format!("is damaged ({})", brief(error)),
        };
        self.is(why)
    }

    /// The error that says this of it.
    pub(crate) fn is(&self, why: String) -> LakeError {
        LakeError::DataFile {
            table: table_of(&self.address).map_or_else(String::new, |table| table.to_string()),
            version: self.version,
            address: self.address.clone(),
            why,
        }
    }
}

/// A mismatch, with whose bytes they are.
pub(crate) fn mismatch_text(mismatch: &Mismatch, about: Option<&ParquetMetaData>) -> String {
    match mismatch {
        Mismatch::Bytes(range) => format!("{mismatch}: {}", owners(range, about)),
        Mismatch::Footer { range, about } => format!("{mismatch}: {}", owners(range, Some(about))),
        other => other.to_string(),
    }
}

/// Whose bytes these are.
fn owners(bytes: &Range<u64>, about: Option<&ParquetMetaData>) -> String {
    let Some(about) = about else {
        return "its footer".to_owned();
    };
    let (mut groups, mut columns, mut end) = (BTreeSet::new(), Vec::new(), 0);
    for (number, group) in about.row_groups().iter().enumerate() {
        for chunk in group.columns() {
            let Some(of_chunk) = range(chunk) else {
                continue;
            };
            end = end.max(of_chunk.end);
            if of_chunk.start < bytes.end && bytes.start < of_chunk.end {
                groups.insert(number);
                let name = chunk.column_path().parts().join(".");
                if !columns.contains(&name) {
                    columns.push(name);
                }
            }
        }
    }
    let mut owners = Vec::new();
    if !columns.is_empty() {
        owners.push(format!("{} of {}", listed(&columns), numbered(&groups)));
    }
    if bytes.end > end {
        owners.push("its footer".to_owned());
    }
    match owners.is_empty() {
        true => "its beginning".to_owned(),
        false => owners.join(" and "),
    }
}

/// The bytes of a column chunk; none if a damaged footer says what cannot be.
fn range(chunk: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let start = chunk.dictionary_page_offset();
    let start = u64::try_from(start.unwrap_or(chunk.data_page_offset())).ok()?;
    let length = u64::try_from(chunk.compressed_size()).ok()?;
    Some(start..start.checked_add(length)?)
}

fn listed(columns: &[String]) -> String {
    let named: Vec<String> = columns
        .iter()
        .take(NAMED)
        .map(|name| format!("`{name}`"))
        .collect();
    let word = match columns.len() {
        1 => "column",
        _ => "columns",
    };
    match columns.len().saturating_sub(NAMED) {
        0 => format!("{word} {}", named.join(", ")),
        more => format!("{word} {} and {more} more", named.join(", ")),
    }
}

fn numbered(groups: &BTreeSet<usize>) -> String {
    match (groups.first(), groups.last()) {
        (Some(first), Some(last)) if first != last => format!("row groups {first} to {last}"),
        (Some(only), _) => format!("row group {only}"),
        _ => "no row group".to_owned(),
    }
}
