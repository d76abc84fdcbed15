//! Views: SQL text with a version, planned before it is stored; and what tables are at now.
//!
//! Promise: a view that cannot be planned, or that reads itself, is never stored. A view's version
//! includes what its inputs are at, so that a changed input is seen through any number of views.
//! The files of views belong to the lake half.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use sha2::{Digest, Sha256};
use towpath_vocab::{Failure, TableName};

use crate::session::Engine;
use crate::session::holdings::{self, Held};

/// Stores a view after planning it.
pub(super) async fn create(engine: &Engine, table: &TableName, sql: &str) -> Result<u64, Failure> {
    plan(engine, table, sql).await?;
    engine.lake().put_view(table, sql).await
}

async fn plan(engine: &Engine, table: &TableName, sql: &str) -> Result<(), Failure> {
    let subject = format!("view `{table}`");
    let sight = engine.sight(&BTreeMap::new())?;
    sight
        .plan(&subject, sql, std::slice::from_ref(table))
        .await?;
    Ok(())
}

/// Stores a view after planning it, in the place of a table of its name: from one moment to the next
/// readers see the view, and only then the table's files go.
pub(super) async fn replace(engine: &Engine, table: &TableName, sql: &str) -> Result<u64, Failure> {
    plan(engine, table, sql).await?;
    engine.lake().put_view_over(table, sql).await
}

/// What each table is at; names that do not exist are left out.
pub(super) async fn versions(
    engine: &Engine,
    tables: &[TableName],
) -> Result<BTreeMap<TableName, String>, Failure> {
    let mut known = BTreeMap::new();
    for table in tables {
        version(engine, table, &mut known, &[]).await?;
    }
    Ok(tables
        .iter()
        .filter_map(|table| Some((table.clone(), known.get(table)?.clone())))
        .collect())
}

fn version<'a>(
    engine: &'a Engine,
    table: &'a TableName,
    known: &'a mut BTreeMap<TableName, String>,
    within: &'a [TableName],
) -> BoxFuture<'a, Result<(), Failure>> {
    Box::pin(async move {
        if known.contains_key(table) || within.contains(table) {
            return Ok(());
        }
        let text = match holdings::find(engine.lake(), table).await? {
            None => return Ok(()),
            Some(Held::Table(_)) => holdings::version(engine.lake(), table).await?,
            Some(Held::View(view)) => {
                let mut within = within.to_vec();
                within.push(table.clone());
                let mut hash = Sha256::new();
                hash.update(view.sql.as_bytes());
                for input in towpath_sql::inputs(&view.sql).unwrap_or_default() {
                    version(engine, &input, known, &within).await?;
                    let at = known.get(&input).map_or("missing", String::as_str);
                    hash.update(format!("\n{input} {at}").as_bytes());
                }
                let digest: String = hash
                    .finalize()
                    .iter()
                    .take(8)
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                format!("view {} of {digest}", view.version)
            }
        };
        known.insert(table.clone(), text);
        Ok(())
    })
}
