//! Writes to the state store what is known about each commit of a task, when the commit happens.
//!
//! Promise: check results, lineage and columns are stored after every commit of a transfer, however long
//! the transfer goes on. If the data stopped a table, its check results are stored. It moves no rows. Read
//! next: `write_table.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use towpath_flow::{CommitObserver, OutputSummary};
use towpath_ports::{Clock, Destination};
use towpath_vocab::{Environment, FactSource, RunName, TableFact, TableLineage, TableName};

use crate::Result;
use crate::services::ProjectServices;

/// Writes the state store for the tables of one transfer.
pub(super) struct CommitRecorder {
    pub(super) services: Arc<ProjectServices>,
    pub(super) environment: Environment,
    pub(super) run: RunName,
    pub(super) tables: BTreeMap<TableName, RecordedTable>,
}

/// What is known about a table before it is written.
pub(super) struct RecordedTable {
    pub(super) lineage: TableLineage,
    /// The destination, for tables whose columns are stored.
    pub(super) lake: Option<Arc<dyn Destination>>,
}

#[async_trait]
impl CommitObserver for CommitRecorder {
    async fn table_committed(&self, table: &OutputSummary) -> Result<()> {
        let store = self.services.store.as_ref();
        let now_us = self.services.system.now_us();
        if !table.checks.is_empty() {
            store
                .put_checks(&self.run, &self.environment, now_us, &table.checks)
                .await?;
        }
        let Some(known) = self.tables.get(&table.table) else {
            return Ok(());
        };
        if table.receipt.is_none() {
            return Ok(());
        }
        let (environment, name) = (&self.environment, &table.table);
        store.put_lineage(environment, name, &known.lineage).await?;
        match &known.lake {
            Some(lake) => observe(&self.services, environment, name, lake.as_ref()).await,
            None => Ok(()),
        }
    }
}

/// Stores the present columns of a table of the lakehouse.
pub(super) async fn observe(
    services: &ProjectServices,
    environment: &Environment,
    table: &TableName,
    lake: &dyn Destination,
) -> Result<()> {
    let Some(schema) = lake.schema(table).await? else {
        return Ok(());
    };
    let fact = observed(services, schema);
    let store = services.store.as_ref();
    store.put_fact(environment, &table.to_string(), &fact).await
}

/// Columns as an observed fact of now.
pub(super) fn observed(services: &ProjectServices, schema: SchemaRef) -> TableFact {
    TableFact {
        schema,
        key: Vec::new(),
        source: FactSource::Observed,
        seen_at: crate::system::time_text(services.system.now_us()),
    }
}
