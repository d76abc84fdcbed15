//! Rows of a table that does not exist yet: they are copied into it at once, under another name.
//!
//! Promise: the rows are written once, not into a stage and from there into the table. Until COMMIT nobody
//! sees the table under any name; when others have made a table of this name meanwhile, the one here is
//! their stage. What reads the stage reads a view with the stage's name. Only for rows that need no look at
//! each other and no cast, and where nobody looks at a table before it has its name: event triggers, and
//! programs that follow the log of changes, which has rows under the name that the table had then. Read
//! next: `writer.rs`.

use arrow_schema::SchemaRef;
use tokio_postgres::Client;
use towpath_ports::WriteRequest;
use towpath_vocab::WriteMode;

use super::align::align;
use super::error::{ErrorContext as _, PgError, Result};
use super::names::{Relation, quoted};
use super::sql::STAGE;
use crate::relational::align::Alignment;

/// A table on its way to its name.
pub(super) struct NewTable {
    unnamed: Relation,
}

impl NewTable {
    /// Creates the table for these rows, and the view on it; `None` where they need a stage. `alignment`
    /// is what a table that does not exist would be.
    pub(super) async fn open(
        client: &Client,
        relation: &Relation,
        intent: &WriteRequest,
        alignment: &Alignment,
    ) -> Result<Option<Self>> {
        let is_plain = matches!(intent.write.mode, WriteMode::Append | WriteMode::Replace)
            && alignment.created
            && alignment.columns.iter().all(|c| c.value == c.staged);
        if !is_plain || !may_be_unnamed(client, &relation.schema).await? {
            return Ok(None);
        }
        let unnamed = unnamed(client, relation).await?;
        create(client, &unnamed, &intent.schema, intent).await?;
        let columns: Vec<String> = alignment
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| format!("{} AS c{at}", column.target))
            .collect();
        // Not `CREATE TEMPORARY VIEW`: the name says where it is.
        let sql = format!(
            "CREATE VIEW {STAGE} AS SELECT {} FROM {}",
            columns.join(", "),
            unnamed.sql()
        );
        client
            .batch_execute(&sql)
            .await
            .doing("creating the stage")?;
        Ok(Some(Self { unnamed }))
    }

    /// Where rows are copied to.
    pub(super) fn sql(&self) -> String {
        self.unnamed.sql()
    }

    /// Gives the table its name.
    pub(super) async fn rename(&self, client: &Client, relation: &Relation) -> Result<()> {
        let (sql, name) = (self.unnamed.sql(), quoted(&relation.name));
        let doing = format!("creating `{relation}`");
        let renamed = client
            .batch_execute(&format!("ALTER TABLE {sql} RENAME TO {name}"))
            .await;
        renamed.map_err(|error| PgError::about_table(&error, &doing, relation))
    }

    /// Before COMMIT: the view goes, and with it a table that another one of its name replaced.
    pub(super) async fn close(&self, client: &Client, is_named: bool) -> Result<()> {
        let view = format!("DROP VIEW {STAGE}");
        let sql = match is_named {
            true => view,
            false => format!("{view}; DROP TABLE {}", self.unnamed.sql()),
        };
        client.batch_execute(&sql).await.doing("dropping the stage")
    }
}

/// Whether the schema exists, this user may create tables in it, and nobody looks at a table before it has
/// its name.
async fn may_be_unnamed(client: &Client, schema: &str) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE nspname = $1 \
                   AND has_schema_privilege(n.oid, 'CREATE')) \
               AND current_setting('wal_level') <> 'logical' \
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D')";
    let row = client.query_one(sql, &[&schema]).await;
    Ok(row.doing("looking for the schema")?.get(0))
}

/// A name that no other session uses.
async fn unnamed(client: &Client, relation: &Relation) -> Result<Relation> {
    let row = client
        .query_one("SELECT pg_catalog.pg_backend_pid()", &[])
        .await
        .doing("naming a new table")?;
    let session: i32 = row.get(0);
    Ok(Relation::new(
        relation.schema.clone(),
        format!("_towpath_new_{session}"),
    ))
}

async fn create(
    client: &Client,
    unnamed: &Relation,
    schema: &SchemaRef,
    intent: &WriteRequest,
) -> Result<()> {
    let change = (intent.write.schema_change, [].as_slice());
    let alignment = align(client, unnamed, None, schema, change, &[]).await?;
    for statement in &alignment.statements {
        client
            .batch_execute(statement)
            .await
            .doing("creating the stage")?;
    }
    Ok(())
}
