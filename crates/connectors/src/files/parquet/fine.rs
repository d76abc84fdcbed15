//! Looks at the timestamps of Parquet files that may be finer than a microsecond.
//!
//! Promise: only the columns that are asked for are read, a row group at a time. What is looked for is
//! said in `columnar/fine.rs`.

use std::collections::BTreeSet;

use super::footer::{self, broken};
use super::groups::columns_reader;
use crate::files::columnar::{FineTimes, quietly};
use crate::files::error::FilesError;
use crate::files::find::InputFile;

/// Rows that are looked at together.
const BATCH_ROWS: usize = 8_192;

/// Looks at these columns of a file.
pub(in crate::files) fn look_at_times(
    file: &InputFile,
    asked: &BTreeSet<String>,
    found: &mut FineTimes,
) -> Result<(), FilesError> {
    quietly(|| search(file, asked, found)).map_err(|panic| broken(file, panic))?
}

fn search(
    file: &InputFile,
    asked: &BTreeSet<String>,
    found: &mut FineTimes,
) -> Result<(), FilesError> {
    let footer = footer::open(file)?;
    for group in 0..footer.metadata.metadata().num_row_groups() {
        let wanted: Vec<_> = footer
            .columns
            .iter()
            .filter(|column| found.is_open(&column.name, asked) && column.form.is_fine())
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let roots = wanted.iter().map(|column| column.root).collect();
        let reader = columns_reader(file, &footer.metadata, group, roots, BATCH_ROWS)?;
        for batch in reader {
            let batch = batch.map_err(|error| broken(file, error))?;
            for (column, array) in wanted.iter().zip(batch.columns()) {
                let seen = found.see(file, column, array);
                seen.map_err(|error| broken(file, error))?;
            }
        }
    }
    Ok(())
}
