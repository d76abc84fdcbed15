//! Whether timestamps that may be finer than a microsecond are.
//!
//! Promise: a column of nanoseconds or INT96 whose values are all whole microseconds (what pandas and
//! Spark write) is a `timestamp`; one that needs its last digits is text with all of them, and a note
//! says so. Each value is looked at, only of those columns. It knows no declared type and reads no file.

use std::collections::BTreeSet;

use arrow_array::ArrayRef;
use arrow_schema::ArrowError;

use super::columns::FileColumn;
use super::convert::{ConvertError, convert};
use crate::files::find::InputFile;

/// What a look at every value showed.
#[derive(Debug, Default)]
pub(in crate::files) struct FineTimes {
    /// Columns with a value that no microsecond says.
    pub(in crate::files) finer: BTreeSet<String>,
    pub(in crate::files) notes: Vec<String>,
}

impl FineTimes {
    /// Whether the values of a column are still to be looked at, of those that are asked for.
    pub(in crate::files) fn is_open(&self, name: &str, asked: &BTreeSet<String>) -> bool {
        asked.contains(name) && !self.finer.contains(name)
    }

    /// Looks at values of a column.
    pub(in crate::files) fn see(
        &mut self,
        file: &InputFile,
        column: &FileColumn,
        array: &ArrayRef,
    ) -> Result<(), ArrowError> {
        if !column.form.is_fine() {
            return Ok(());
        }
        let converted = convert(array, &column.form)?;
        let mut bad = converted.bad.iter();
        if bad.any(|(_, flaw)| *flaw == ConvertError::Fine)
            && self.finer.insert(column.name.clone())
        {
            self.notes.push(format!(
                "`{}` of `{}` has timestamps with digits below a microsecond: it is read as text with all of them; declare `timestamp` to reject such rows instead",
                column.name, file.object
            ));
        }
        Ok(())
    }
}
