//! The table of a check, as far as its columns are known, and the columns of other tables that checks name.
//!
//! Promise: a column that does not exist is reported in the same words for every kind of check. It does not
//! know the kinds. Read next: `kinds.rs`.

use towpath_vocab::TableName;

use crate::report::{FileRange, Report};
use crate::rules::Subject;

/// A column of another table that a check refers to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reference {
    pub(crate) table: TableName,
    pub(crate) field: String,
    pub(crate) at: FileRange,
}

/// The table of a check.
pub(crate) struct Table<'a> {
    pub(crate) name: &'a TableName,
    pub(crate) subject: Subject<'a>,
    /// The origin of the known columns, for messages.
    pub(crate) origin: &'a str,
}

impl Table<'_> {
    /// Reports a column that does not exist.
    pub(crate) fn column(&self, column: &str, at: FileRange, report: &mut Report) {
        let Some(schema) = self.subject.schema else {
            return;
        };
        if crate::columns::find(schema, &self.subject.own_name(column)).is_some() {
            return;
        }
        let names: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        let message = format!("`{}` has no column `{column}`", self.name);
        let said = if self.subject.firm {
            report.error("T0402", at, message)
        } else {
            report.warning("T0402", at, message)
        };
        said.suggest(column, names.iter().copied(), "there is")
            .help(format!(
                "{} has: {}  ({})",
                self.name,
                crate::suggest::listing(&names),
                self.origin
            ));
    }
}
