//! Whether timestamps that may be finer than a microsecond are.
//!
//! Promise: a column of nanoseconds or INT96 whose values are all whole microseconds (what pandas and
//! Spark write) is a `timestamp`; one that needs its last digits is text with all of them, and a note
//! says so. Each value is looked at, only of those columns. It knows no declared type.

use std::collections::BTreeSet;

use super::convert::{ConvertError, convert};
use super::footer::{self, broken};
use super::groups::columns_reader;
use super::guard;
use crate::files::error::FilesError;
use crate::files::find::InputFile;

/// Rows that are looked at together.
const BATCH_ROWS: usize = 8_192;

/// What a look at every value showed.
#[derive(Debug, Default)]
pub(crate) struct FineTimes {
    /// Columns with a value that no microsecond says.
    pub(crate) finer: BTreeSet<String>,
    pub(crate) notes: Vec<String>,
}

/// Looks at these columns of the files.
pub(crate) fn fine_times(
    files: &[InputFile],
    columns: &BTreeSet<String>,
) -> Result<FineTimes, FilesError> {
    let mut found = FineTimes::default();
    for file in files {
        if columns.is_subset(&found.finer) {
            break;
        }
        let looked = guard::quietly(|| search(file, columns, &mut found));
        looked.map_err(|panic| broken(file, panic))??;
    }
    Ok(found)
}

fn search(
    file: &InputFile,
    columns: &BTreeSet<String>,
    found: &mut FineTimes,
) -> Result<(), FilesError> {
    let footer = footer::open(file)?;
    for group in 0..footer.metadata.metadata().num_row_groups() {
        let wanted: Vec<_> = footer
            .columns
            .iter()
            .filter(|column| columns.contains(&column.name) && !found.finer.contains(&column.name))
            .filter(|column| column.form.is_fine())
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let roots = wanted.iter().map(|column| column.root).collect();
        let reader = columns_reader(file, &footer.metadata, group, roots, BATCH_ROWS)?;
        for batch in reader {
            let batch = batch.map_err(|error| broken(file, error))?;
            for (column, array) in wanted.iter().zip(batch.columns()) {
                let converted =
                    convert(array, &column.form).map_err(|error| broken(file, error))?;
                let is_finer = converted
                    .bad
                    .iter()
                    .any(|(_, flaw)| *flaw == ConvertError::Fine);
                if is_finer && found.finer.insert(column.name.clone()) {
                    found.notes.push(format!(
                        "`{}` of `{}` has timestamps with digits below a microsecond: it is read as text with all of them; declare `timestamp` to reject such rows instead",
                        column.name, file.object
                    ));
                }
            }
        }
    }
    Ok(())
}
