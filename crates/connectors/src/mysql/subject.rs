//! What a read is of: a table, a view or a query, with the columns it has.
//!
//! Promise: all columns come with what the server says about their values, in the transaction of the read.
//! What is not there is refused with the nearest name. It moves no rows: `source.rs` and `pump.rs` do.

use towpath_ports::ReadSpec;
use towpath_vocab::Selection;

use super::catalog::{self, CatalogTable};
use super::error::{MysqlError, Result};
use super::literal::quoted;
use super::session::Session;
use super::types::{Column, Definition};
use crate::relational::selection::{Columns, Unknown};

/// What a read is of.
pub(super) struct Subject {
    /// As a person names it.
    pub(super) object: String,
    /// What can stand after FROM.
    pub(super) from: String,
    pub(super) columns: Vec<Definition>,
    /// Set for a table or view.
    pub(super) table: Option<CatalogTable>,
}

impl Subject {
    pub(super) async fn look_at(session: &mut Session, selection: &Selection) -> Result<Self> {
        match selection {
            Selection::Object(name) => {
                let table = catalog::find(session, name).await?;
                Self::of_table(session, table).await
            }
            Selection::Query(sql) => {
                let sql = sql.trim().trim_end_matches(';');
                let from = format!("({sql}\n) AS q");
                let columns = describe(session, &format!("SELECT * FROM {from}")).await?;
                Ok(Self {
                    object: "the query".to_owned(),
                    from,
                    columns,
                    table: None,
                })
            }
        }
    }

    pub(super) async fn of_table(session: &mut Session, table: CatalogTable) -> Result<Self> {
        let names = catalog::columns(session, &table).await?;
        if names.is_empty() {
            return Err(MysqlError::NoRight {
                doing: format!("reading `{}`", table.name),
                reason: "this user may not see any of its columns".to_owned(),
            });
        }
        let list: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        let from = table.sql();
        // Named, because `*` leaves invisible columns out.
        let columns = describe(session, &format!("SELECT {} FROM {from}", list.join(", "))).await?;
        let object = match table.database == session.database {
            true => table.name.clone(),
            false => format!("{}.{}", table.database, table.name),
        };
        Ok(Self {
            object,
            from,
            columns,
            table: Some(table),
        })
    }

    /// The column that a person means.
    pub(super) fn find(&self, wanted: &str) -> Result<&Definition> {
        let found = Columns::of(&self.columns).find(wanted);
        found.map_err(|unknown| self.no_column(unknown))
    }

    /// The columns as the spec wants them.
    pub(super) fn choose(&self, spec: &ReadSpec) -> Result<Vec<Column>> {
        let present = Columns::of(&self.columns);
        if let Some(column) = present.repeated(|one, other| one == other) {
            return Err(MysqlError::SameName {
                object: self.object.clone(),
                column: column.to_owned(),
            });
        }
        let wanted = present.projected(spec);
        let wanted = wanted.map_err(|unknown| self.no_column(unknown))?;
        let typed = |definition: &Definition| {
            Column::of(
                definition,
                present.declared(spec, &definition.name).as_ref(),
            )
        };
        Ok(wanted.into_iter().map(typed).collect())
    }

    fn no_column(&self, unknown: Unknown) -> MysqlError {
        MysqlError::NoColumn {
            object: self.object.clone(),
            column: unknown.column,
            similar: unknown.nearest,
        }
    }
}

/// The columns of a query, which is not run.
async fn describe(session: &mut Session, sql: &str) -> Result<Vec<Definition>> {
    let doing = "checking what is read";
    let statement = session.prepare(sql, doing).await?;
    let columns = statement.columns.clone();
    session.close(statement, doing).await?;
    Ok(columns)
}
