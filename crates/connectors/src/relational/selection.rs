//! Which columns of a table, view or query are read, by the names that a person wrote.
//!
//! Promise: a column is found by its own name or by its name in the table that is loaded (snake case); two
//! columns of one name, and a name that none has, are noticed, never taken for another one. It knows no type
//! of a database and asks none.

use arrow_schema::DataType;
use towpath_ports::ReadSpec;
use towpath_vocab::{ColumnFinder, ColumnPlan, Naming, types};

use super::align::PresentColumn;
use super::names::nearest;

/// A name that no column has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    pub(crate) column: String,
    /// A column with nearly this name.
    pub(crate) nearest: Option<String>,
}

/// The columns there are.
pub(crate) struct Columns<'a, C> {
    columns: &'a [C],
    finder: ColumnFinder,
}

impl<'a, C: PresentColumn> Columns<'a, C> {
    pub(crate) fn of(columns: &'a [C]) -> Self {
        let names = columns.iter().map(PresentColumn::name);
        Self {
            columns,
            finder: Naming::Snake.finder(names),
        }
    }

    /// The column that a person means.
    pub(crate) fn find(&self, wanted: &str) -> Result<&'a C, Unknown> {
        self.get(wanted).ok_or_else(|| Unknown {
            column: wanted.to_owned(),
            nearest: nearest(wanted, self.columns.iter().map(PresentColumn::name)),
        })
    }

    /// The same, where there may be none.
    pub(crate) fn get(&self, wanted: &str) -> Option<&'a C> {
        self.columns.get(self.finder.find(wanted)?)
    }

    /// The first name that two columns have. `same` says when two names mean one column.
    pub(crate) fn repeated(&self, same: impl Fn(&str, &str) -> bool) -> Option<&'a str> {
        let mut columns = self.columns.iter().enumerate();
        let is_repeated = |(at, column): &(usize, &C)| {
            let mut earlier = self.columns.iter().take(*at);
            earlier.any(|other| same(other.name(), column.name()))
        };
        columns.find(is_repeated).map(|(_, column)| column.name())
    }

    /// The columns that are read: all, or those of the projection. An empty one asks for rows without
    /// values: any column gives them.
    pub(crate) fn projected(&self, spec: &ReadSpec) -> Result<Vec<&'a C>, Unknown> {
        match &spec.projection {
            None => Ok(self.columns.iter().collect()),
            Some(names) if names.is_empty() => Ok(self.columns.iter().take(1).collect()),
            Some(names) => names.iter().map(|name| self.find(name)).collect(),
        }
    }

    /// The type that the project declares for a column.
    pub(crate) fn declared(&self, spec: &ReadSpec, name: &str) -> Option<DataType> {
        let is_of = |plan: &&ColumnPlan| {
            let found = self.get(plan.from.as_deref().unwrap_or(&plan.name));
            plan.set.is_none() && found.is_some_and(|found| found.name() == name)
        };
        let plan = spec.declared.iter().find(is_of)?;
        types::parse(plan.data_type.as_deref()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(&'static str);

    impl PresentColumn for Named {
        fn name(&self) -> &str {
            self.0
        }

        fn type_name(&self) -> &str {
            "text"
        }
    }

    #[test]
    fn columns_are_found_by_what_a_person_wrote() {
        let named = [Named("Order No"), Named("sku"), Named("SKU")];
        let columns = Columns::of(&named);
        let find = |wanted| match columns.find(wanted) {
            Ok(column) => Ok(column.0),
            Err(unknown) => Err(unknown.nearest),
        };
        assert_eq!(find("order_no"), Ok("Order No"));
        assert_eq!(find("SKU"), Ok("SKU"));
        assert_eq!(find("skuu"), Err(Some("sku".to_owned())));
        assert_eq!(columns.repeated(|one, other| one == other), None);
        assert_eq!(columns.repeated(str::eq_ignore_ascii_case), Some("SKU"));
    }
}
