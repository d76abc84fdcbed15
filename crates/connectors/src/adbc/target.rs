//! A table that is written: its name in DuckDB, and whether it is there.
//!
//! Promise: `connection.table` means the table in the schema of the connection, any other first part is a schema. It
//! changes nothing.

use towpath_vocab::TableName;

use super::error::Result;
use super::session::Work;
use super::vendor::Vendor;

/// Where names without a schema are.
const MAIN: &str = "main";

/// A table that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) schema: String,
    pub(super) name: String,
}

/// What is there.
#[derive(Clone, Debug)]
pub(super) struct Present {
    pub(super) is_view: bool,
    /// Its definition.
    pub(super) definition: String,
    pub(super) columns: Vec<PresentColumn>,
}

/// A column that is there.
#[derive(Clone, Debug)]
pub(super) struct PresentColumn {
    pub(super) name: String,
    /// Its type in DuckDB's words.
    pub(super) data_type: String,
    pub(super) is_required: bool,
}

impl Target {
    pub(super) fn of(connection: &str, table: &TableName) -> Self {
        let schema = match table.schema() {
            schema if schema == connection => MAIN,
            schema => schema,
        };
        Self {
            schema: schema.to_owned(),
            name: table.table().to_owned(),
        }
    }

    pub(super) fn sql(&self) -> String {
        let quoted = |name: &str| Vendor::DuckDb.quoted(name);
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }

    /// As a person names it.
    pub(super) fn shown(&self) -> String {
        match self.schema == MAIN {
            true => self.name.clone(),
            false => format!("{}.{}", self.schema, self.name),
        }
    }

    /// True for the table in DuckDB's own list of tables, views or columns.
    fn condition(&self, name: &str) -> String {
        let text = |text: &str| {
            Vendor::DuckDb
                .text(text)
                .unwrap_or_else(|| "NULL".to_owned())
        };
        format!(
            "database_name = current_database() AND lower(schema_name) = lower({}) AND lower({name}) = lower({})",
            text(&self.schema),
            text(&self.name)
        )
    }

    /// The table as it is now, if it is there.
    pub(super) fn look(&self, work: &mut Work<'_>) -> Result<Option<Present>> {
        let doing = "looking at the table";
        let sql = format!(
            "SELECT false, sql FROM duckdb_tables() WHERE {} UNION ALL SELECT true, sql FROM duckdb_views() WHERE {}",
            self.condition("table_name"),
            self.condition("view_name")
        );
        let rows = work.rows(&sql, doing)?;
        let Some([is_view, definition]) = rows.first().map(Vec::as_slice) else {
            return Ok(None);
        };
        let sql = format!(
            "SELECT column_name, data_type, is_nullable FROM duckdb_columns() WHERE {} ORDER BY column_index",
            self.condition("table_name")
        );
        let columns = work.rows(&sql, doing)?.into_iter().filter_map(|row| {
            let mut texts = row.into_iter().flatten();
            Some(PresentColumn {
                name: texts.next()?,
                data_type: texts.next()?,
                is_required: texts.next()? == "false",
            })
        });
        Ok(Some(Present {
            is_view: is_view.as_deref() == Some("true"),
            definition: definition.clone().unwrap_or_default(),
            columns: columns.collect(),
        }))
    }
}
