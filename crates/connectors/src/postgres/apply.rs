//! What PostgreSQL adds to a write (`relational/apply.rs`): the lock of its table, values that a cast
//! would change, foreign keys that reach into other tables, and the fast way to empty one.
//!
//! Promise: everything happens inside the writer's transaction, so nobody sees it before the commit.
//! Replace deletes and inserts (readers are never blocked, grants, views and foreign keys stay) unless
//! `replace: truncate` asks for the faster way, which waits for the commit.

use tokio_postgres::Client;

use super::catalog::CatalogRelation;
use super::error::{ErrorContext as _, PgError, Result};
use super::names::Relation;
use super::sql::{STAGE, Writing};
use crate::relational::align::Alignment;
use crate::relational::apply::Apply;
use crate::relational::effects::Effects;
use crate::relational::session::Session as _;
use crate::relational::statements::Step;

/// Refuses values that a cast would change. One look at the stage for all columns.
pub(super) async fn check_values(
    client: &Client,
    relation: &Relation,
    alignment: &Alignment,
) -> Result<()> {
    let columns = alignment.columns.iter();
    let cast: Vec<_> = columns
        .filter_map(|column| Some((column, column.changed.as_ref()?)))
        .collect();
    if cast.is_empty() {
        return Ok(());
    }
    let counts: Vec<String> = cast
        .iter()
        .map(|(_, (changed, _))| format!("count(*) FILTER (WHERE {changed})"))
        .collect();
    let sql = format!("SELECT {} FROM {STAGE} s", counts.join(", "));
    let row = client
        .query_one(&sql, &[])
        .await
        .doing(&format!("checking values for `{}`", relation))?;
    for (index, (column, (_, present))) in cast.into_iter().enumerate() {
        let rows: i64 = row.get(index);
        if rows > 0 {
            return Err(PgError::Inexact {
                table: relation.to_string(),
                column: column.incoming.clone(),
                present: present.clone(),
                rows,
            });
        }
    }
    Ok(())
}

/// The columns of the rows with values that a column of a narrower type does not hold. One look at the stage
/// for all columns.
pub(super) async fn wide_columns(
    client: &Client,
    relation: &Relation,
    alignment: &Alignment,
) -> Result<Vec<String>> {
    let columns = alignment.columns.iter().filter(|column| column.narrow);
    let narrow: Vec<_> = columns
        .filter_map(|column| Some((&column.incoming, &column.changed.as_ref()?.0)))
        .collect();
    if narrow.is_empty() {
        return Ok(Vec::new());
    }
    let any = narrow
        .iter()
        .map(|(_, lost)| format!("coalesce(bool_or({lost}), false)"));
    let sql = format!(
        "SELECT {} FROM {STAGE} s",
        any.collect::<Vec<_>>().join(", ")
    );
    let row = client
        .query_one(&sql, &[])
        .await
        .doing(&format!("checking values for `{relation}`"))?;
    let columns = narrow.iter().enumerate();
    Ok(columns
        .filter(|(at, _)| row.get(*at))
        .map(|(_, (incoming, _))| String::clone(incoming))
        .collect())
}

/// Keeps other writers of the table away until the transaction's end; readers go on. False when
/// this user has no right to.
pub(super) async fn lock_table(client: &Client, relation: &Relation) -> Result<bool> {
    let sql = "SELECT c.relkind IN ('r', 'p') AND has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE') \
                   FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = $1 AND c.relname = $2";
    let (schema, name) = (&relation.schema, &relation.name);
    let row = client
        .query_opt(sql, &[schema, name])
        .await
        .doing("checking permissions")?;
    if !row.is_some_and(|row| row.get(0)) {
        return Ok(false);
    }
    let sql = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", relation.sql());
    let locked = client.batch_execute(&sql).await;
    let doing = format!("locking `{relation}`");
    locked.map_err(|error| PgError::about_table(&error, &doing, relation))?;
    Ok(true)
}

/// The table in SQL that changes rows: those of tables that inherit from it are not its own, those of
/// its partitions are.
pub(super) fn own_rows(relation: &Relation, alignment: &Alignment) -> String {
    let only = if alignment.partitioned { "" } else { "ONLY " };
    format!("{only}{}", relation.sql())
}

/// Empties the table the fast way and fills it from the stage.
pub(super) async fn truncate_and_insert(apply: &Apply<'_, Writing>) -> Result<()> {
    let statements = &apply.statements;
    apply
        .execute(&format!("TRUNCATE {}", statements.rows))
        .await?;
    let insert = Step::Insert {
        sql: statements.insert(""),
        asked: None,
        missing: None,
    };
    apply.step(&insert, false).await?;
    apply
        .check_replaced(apply.session.interferes().await?)
        .await
}

/// A write must not change rows of other tables behind the user's back.
pub(super) async fn refuse_cascades(
    client: &Client,
    found: &CatalogRelation,
    effects: &Effects,
) -> Result<()> {
    if effects.are_none() {
        return Ok(());
    }
    let sql = "WITH key AS (SELECT c.*, confdeltype IN ('c', 'n', 'd') AND $2 AS deletes, \
                  confupdtype IN ('c', 'n', 'd') AND EXISTS (SELECT FROM pg_catalog.pg_attribute a \
                  WHERE a.attrelid = c.confrelid AND a.attnum = ANY (c.confkey) AND a.attname = ANY ($3)) AS updates \
               FROM pg_catalog.pg_constraint c WHERE confrelid = $1 AND contype = 'f') \
               SELECT conname::text, conrelid::regclass::text, deletes FROM key WHERE deletes OR updates LIMIT 1";
    let row = client
        .query_opt(sql, &[&found.oid, &effects.deletes, &effects.updates])
        .await
        .doing("looking at foreign keys")?;
    row.map_or(Ok(()), |row| {
        let (constraint, other): (String, String) = (row.get(0), row.get(1));
        Err(PgError::Cascade {
            table: found.relation.to_string(),
            done: if row.get(2) { "deleted" } else { "updated" },
            constraint,
            other,
        })
    })
}
