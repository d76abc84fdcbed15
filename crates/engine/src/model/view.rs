//! Views: SQL text with a version, planned before it is stored; and the present versions of tables.
//!
//! Promise: a view that cannot be planned, or that reads itself, is never stored. The version of a view
//! includes the versions of its inputs, so a changed input is noticed through any number of views. The rows
//! of a view can be checked before it is stored. The lake half stores the files of views.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::datasource::ViewTable;
use futures::future::BoxFuture;
use sha2::{Digest, Sha256};
use towpath_ports::{Candidate, InputVersion, ReadSpec, Reader, RejectedRecord, Source};
use towpath_vocab::{Failure, Position, Remedy, TableName};

use super::reader::ModelReader;
use super::run::RestartableModel;
use crate::session::Engine;
use crate::session::border::plain_schema;
use crate::session::holdings::{self, NamedObject};
use crate::session::stand_in::ViewCandidate;

/// Plans and stores a view.
pub(super) async fn create(engine: &Engine, table: &TableName, sql: &str) -> Result<u64, Failure> {
    plan(engine, table, sql).await?;
    engine.lake().put_view(table, sql).await
}

/// The rows that a view would show before it is stored, with each input at one version.
pub(super) async fn candidate(
    engine: &Engine,
    table: &TableName,
    sql: &str,
) -> Result<Candidate, Failure> {
    let subject = format!("view `{table}`");
    let statement_catalog = engine.statement_catalog(&BTreeMap::new())?;
    let planned = statement_catalog
        .plan(&subject, sql, std::slice::from_ref(table))
        .await?;
    let shown = Arc::new(ViewTable::new(planned.plan, Some(sql.to_owned())));
    Ok(Candidate {
        schema: plain_schema(&shown.schema()),
        source: Arc::new(ViewSource(RestartableModel::of_view(
            engine,
            statement_catalog,
            table,
            sql,
        ))),
        native: Arc::new(ViewCandidate(shown)),
    })
}

/// A view that is not stored yet, read like any other source.
struct ViewSource(RestartableModel);

#[async_trait]
impl Source for ViewSource {
    async fn open(&self, _: &ReadSpec, _: Option<&Position>) -> Result<Box<dyn Reader>, Failure> {
        let ready = self.0.ready(false).await?;
        Ok(Box::new(ModelReader::new(self.0.clone(), ready, false)))
    }

    async fn version(&self, _: &ReadSpec) -> Result<Option<InputVersion>, Failure> {
        Ok(None)
    }

    async fn replay(
        &self,
        _: &ReadSpec,
        _: Vec<RejectedRecord>,
    ) -> Result<Box<dyn Reader>, Failure> {
        Err(Failure::new(
            "R0515",
            Remedy::Bug,
            format!("{} has no records of its own", self.0.subject()),
        ))
    }
}

async fn plan(engine: &Engine, table: &TableName, sql: &str) -> Result<(), Failure> {
    let subject = format!("view `{table}`");
    let statement_catalog = engine.statement_catalog(&BTreeMap::new())?;
    statement_catalog
        .plan(&subject, sql, std::slice::from_ref(table))
        .await?;
    Ok(())
}

/// Plans and stores a view in place of the table with its name: readers see the view at once, and only then
/// the files of the table are deleted.
pub(super) async fn replace(engine: &Engine, table: &TableName, sql: &str) -> Result<u64, Failure> {
    plan(engine, table, sql).await?;
    engine.lake().put_view_over(table, sql).await
}

/// The version of each table; names that do not exist are left out.
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
            Some(NamedObject::Table(_)) => holdings::version(engine.lake(), table).await?,
            Some(NamedObject::View(view)) => {
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
