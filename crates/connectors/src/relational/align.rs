//! Fits the rows' columns to the table's: create it, evolve it, or refuse by name.
//!
//! Promise: a value is only ever stored in a type that holds it exactly, which `TableTypes` knows; new and
//! wider columns need `schema_change: evolve`, and the report names those that get a wider type. It runs
//! nothing: it gives SQL.

use arrow_schema::{Field, SchemaRef};
use async_trait::async_trait;
use towpath_vocab::SchemaChange;
use towpath_vocab::types::{BLANKS, BLANKS_CUT};

use super::dialect::Dialect;
use super::fault::Fault;

/// One column of the rows and where it goes.
#[derive(Clone, Debug)]
pub(crate) struct Aligned {
    /// Its name in the rows.
    pub(crate) incoming: String,
    /// Its name in the table.
    pub(crate) name: String,
    /// The same, quoted.
    pub(crate) target: String,
    /// Its value in the stage as `s`, as it came.
    pub(crate) staged: String,
    /// The same in the type of the table.
    pub(crate) value: String,
    /// It comes without the blanks that fill it up in its source, and the column of the table may have them.
    pub(crate) cut: bool,
    /// It comes without the blanks that fill it up in its source: they are no part of its value.
    pub(crate) padded: bool,
    /// The column takes values for equal that differ: in upper and lower case, or in blanks at the end.
    pub(crate) equates: bool,
    /// SQL that is true for rows of `s` whose value would not stay what it is, and the type it
    /// would become.
    pub(crate) changed: Option<(String, String)>,
    /// The column of the table has a narrower type, which it keeps while it holds every value.
    pub(crate) narrow: bool,
}

/// What is to be done to the table before rows come, and how they come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alignment {
    /// SQL that creates or evolves the table.
    pub(crate) statements: Vec<String>,
    /// The columns whose type changes, for the report.
    pub(crate) notes: Vec<String>,
    /// The columns that are written.
    pub(crate) columns: Vec<Aligned>,
    /// True when the table is new.
    pub(crate) created: bool,
    /// True when rows of the table are stored in its partitions.
    pub(crate) partitioned: bool,
}

/// How the values of a field fit a column.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// As they come.
    Plain,
    /// By a cast to this type.
    Cast(String),
    /// When the column gets this type.
    Widen(String),
    /// Not exactly; what they are in the database's words.
    No(String),
}

/// A column that does not exist yet.
pub(crate) struct NewColumn {
    /// Its type.
    pub(crate) data_type: String,
    /// Whether values are cast to it.
    pub(crate) cast: bool,
}

/// A column of the table as it is now.
pub(crate) trait PresentColumn: Send + Sync {
    /// Its name.
    fn name(&self) -> &str;
    /// Its type in the database's words.
    fn type_name(&self) -> &str;
    /// Whether values are equal that differ only in blanks at their end.
    fn ignores_blanks(&self) -> bool {
        false
    }
    /// Whether values are equal that differ in anything.
    fn equates(&self) -> bool {
        false
    }
}

/// The type table of a database.
#[async_trait]
pub(crate) trait TableTypes: Send + Sync {
    /// What fails.
    type Error: From<Fault> + Send;
    /// A column of a table.
    type Present: PresentColumn;

    /// Whether two names mean one column.
    fn same(&self, one: &str, other: &str) -> bool;

    /// How the values of a field fit a column.
    fn fit(&self, field: &Field, present: &Self::Present) -> Result<Fit, Self::Error>;

    /// The type that a new column gets.
    async fn new_column(&self, field: &Field) -> Result<NewColumn, Self::Error>;

    /// SQL that is true when the stage's value `s` would not stay what it is by a cast.
    fn changed(&self, value: &str, cast: &str) -> Option<String>;

    /// SQL that gives a column of a table, both as they are written in SQL, another type.
    fn widen(&self, table: &str, column: &str, present: &Self::Present, wider: &str) -> String;
}

/// What is to be aligned.
pub(crate) struct Request<'a> {
    pub(crate) dialect: &'a dyn Dialect,
    /// The table in SQL.
    pub(crate) table: &'a str,
    /// As a person names it.
    pub(crate) shown: &'a str,
    pub(crate) schema: &'a SchemaRef,
    pub(crate) change: SchemaChange,
    /// The primary key of a table that is created.
    pub(crate) primary: &'a [String],
}

/// Decides for a table that may or may not exist.
pub(crate) async fn align<T: TableTypes>(
    types: &T,
    request: &Request<'_>,
    present: Option<&[T::Present]>,
) -> Result<Alignment, T::Error> {
    match present {
        None => create(types, request).await,
        Some(present) => evolve(types, request, present).await,
    }
}

async fn create<T: TableTypes>(types: &T, request: &Request<'_>) -> Result<Alignment, T::Error> {
    let mut alignment = Alignment {
        created: true,
        ..Alignment::default()
    };
    let mut lines = Vec::new();
    for (at, field) in request.schema.fields().iter().enumerate() {
        let column = types.new_column(field).await?;
        let name = request.dialect.quoted(field.name());
        lines.push(format!("{name} {}", column.data_type));
        let cast = column.cast.then_some(column.data_type.as_str());
        let aligned = aligned(types, request, (at, field), field.name(), cast);
        alignment.columns.push(aligned);
    }
    if !request.primary.is_empty() {
        let names = request
            .primary
            .iter()
            .map(|name| request.dialect.quoted(name));
        let names: Vec<String> = names.collect();
        lines.push(format!("PRIMARY KEY ({})", names.join(", ")));
    }
    alignment.statements.push(format!(
        "CREATE TABLE {} ({})",
        request.table,
        lines.join(", ")
    ));
    Ok(alignment)
}

async fn evolve<T: TableTypes>(
    types: &T,
    request: &Request<'_>,
    present: &[T::Present],
) -> Result<Alignment, T::Error> {
    let mut alignment = Alignment::default();
    let changed = |change: String| Fault::Changed {
        table: request.shown.to_owned(),
        change,
    };
    for (at, field) in request.schema.fields().iter().enumerate() {
        let is_meant = |column: &&T::Present| types.same(column.name(), field.name());
        let Some(column) = present.iter().find(is_meant) else {
            match request.change {
                SchemaChange::Ignore => continue,
                SchemaChange::Fail => {
                    return Err(changed(format!("`{}` is new", field.name())).into());
                }
                SchemaChange::Evolve | SchemaChange::AddColumns => {}
            }
            let column = types.new_column(field).await?;
            alignment.statements.push(format!(
                "ALTER TABLE {} ADD COLUMN {} {}",
                request.table,
                request.dialect.quoted(field.name()),
                column.data_type
            ));
            let cast = column.cast.then_some(column.data_type.as_str());
            let mut aligned = aligned(types, request, (at, field), field.name(), cast);
            // No row of the table has a value there.
            aligned.cut = false;
            alignment.columns.push(aligned);
            continue;
        };
        let (name, present) = (column.name(), column.type_name());
        let cast = match types.fit(field, column)? {
            Fit::Plain => None,
            Fit::Cast(cast) => Some(cast),
            Fit::Widen(wider) if request.change == SchemaChange::Evolve => {
                let quoted = request.dialect.quoted(name);
                let sql = types.widen(request.table, &quoted, column, &wider);
                alignment.statements.push(sql);
                alignment.notes.push(format!(
                    "the type of a column of the target was changed: `{name}` was `{present}` and is `{wider}` (`schema_change: freeze` stops instead)"
                ));
                None
            }
            Fit::Widen(wider)
                if matches!(
                    request.change,
                    SchemaChange::Fail | SchemaChange::AddColumns
                ) =>
            {
                let what = format!("`{name}` is `{present}` and would become `{wider}`");
                return Err(changed(what).into());
            }
            Fit::Widen(incoming) | Fit::No(incoming) => {
                return Err(Fault::Incompatible {
                    table: request.shown.to_owned(),
                    column: name.to_owned(),
                    present: present.to_owned(),
                    incoming,
                }
                .into());
            }
        };
        let mut aligned = aligned(types, request, (at, field), name, cast.as_deref());
        aligned.cut &= !column.ignores_blanks();
        aligned.equates = column.equates();
        alignment.columns.push(aligned);
    }
    Ok(alignment)
}

fn aligned<T: TableTypes>(
    types: &T,
    request: &Request<'_>,
    (at, field): (usize, &Field),
    name: &str,
    cast: Option<&str>,
) -> Aligned {
    let staged = format!("s.c{at}");
    let value = match cast {
        None => staged.clone(),
        Some(cast) => format!("CAST({staged} AS {cast})"),
    };
    let padded = field
        .metadata()
        .get(BLANKS)
        .is_some_and(|word| word == BLANKS_CUT);
    let changed = cast.and_then(|cast| Some((types.changed(&staged, cast)?, cast.to_owned())));
    Aligned {
        incoming: field.name().clone(),
        name: name.to_owned(),
        target: request.dialect.quoted(name),
        staged,
        value,
        cut: padded,
        padded,
        equates: false,
        changed,
        narrow: false,
    }
}
