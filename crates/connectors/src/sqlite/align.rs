//! Fits the rows' columns to the table's: create it, add columns, or refuse by name.
//!
//! Promise: a value is only stored where SQLite keeps it exactly (`stage.rs` knows). SQLite cannot
//! change a column's type, so nothing widens. It gives SQL; `apply.rs` runs it.

use arrow_schema::SchemaRef;
use rusqlite::Connection;
use towpath_vocab::SchemaChange;
use towpath_vocab::types;

use super::catalog::look_up;
use super::error::{Result, SqliteError};
use super::names::{quoted, same};
use super::stage::{declared, keeps};

/// One column of the rows and where it goes.
#[derive(Clone, Debug)]
pub(super) struct Aligned {
    /// Its name in the rows.
    pub(super) incoming: String,
    /// Its name in the table.
    pub(super) name: String,
    /// The same, quoted.
    pub(super) target: String,
    /// Its value, from the stage as `s`.
    pub(super) value: String,
}

/// What is to be done to the table before rows come, and how they come.
#[derive(Clone, Debug, Default)]
pub(super) struct Alignment {
    /// SQL that creates or evolves the table.
    pub(super) statements: Vec<String>,
    /// The columns that are written.
    pub(super) columns: Vec<Aligned>,
    /// True when the table is new.
    pub(super) created: bool,
}

/// Decides for a table that may or may not be there. `primary` becomes the primary key of a new one.
pub(super) fn align(
    connection: &Connection,
    table: &str,
    schema: &SchemaRef,
    change: SchemaChange,
    primary: &[String],
    shown: &str,
) -> Result<Alignment> {
    let mut alignment = Alignment::default();
    let found = look_up(connection, table, shown)?;
    if found.as_ref().is_some_and(|found| found.is_view) {
        return Err(SqliteError::Changed {
            table: table.to_owned(),
            what: "it is a view".to_owned(),
        });
    }
    let mut lines = Vec::new();
    for (at, field) in schema.fields().iter().enumerate() {
        let stored = declared(field)?;
        let mut name = field.name();
        match &found {
            None => lines.push(format!("{} {stored}", quoted(name))),
            Some(found) => match found
                .columns
                .iter()
                .find(|column| same(&column.name, field.name()))
            {
                Some(present) if keeps(&present.declared, field.data_type()) => {
                    name = &present.name;
                }
                Some(present) => {
                    return Err(SqliteError::Incompatible {
                        table: table.to_owned(),
                        column: present.name.clone(),
                        present: present.declared.clone(),
                        incoming: types::name(field.data_type()),
                    });
                }
                None if change == SchemaChange::Ignore => continue,
                None if change == SchemaChange::Fail => {
                    let what = format!("`{}` is new", field.name());
                    return Err(SqliteError::Changed {
                        table: table.to_owned(),
                        what,
                    });
                }
                None => alignment.statements.push(format!(
                    "ALTER TABLE {} ADD COLUMN {} {stored}",
                    quoted(&found.name),
                    quoted(name)
                )),
            },
        }
        alignment.columns.push(Aligned {
            incoming: field.name().clone(),
            name: name.clone(),
            target: quoted(name),
            value: format!("s.c{at}"),
        });
    }
    if found.is_none() {
        if !primary.is_empty() {
            let names: Vec<String> = primary.iter().map(|name| quoted(name)).collect();
            lines.push(format!("PRIMARY KEY ({})", names.join(", ")));
        }
        alignment.statements.push(format!(
            "CREATE TABLE {} ({})",
            quoted(table),
            lines.join(", ")
        ));
        alignment.created = true;
    }
    Ok(alignment)
}
