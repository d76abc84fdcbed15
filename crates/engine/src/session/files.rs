//! Files as tables of a query: `select * from 'data/flights.parquet'`.
//!
//! Promise: a query reads a file with the same reader as a load or a copy, but only the columns that it
//! needs. A record that these would reject ends the query with its reason. Only queries of users can read
//! files: models, views, templates and checks cannot. It knows no format: `ports::NamedFiles` finds and
//! reads the files.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use towpath_ports::{NamedFile, NamedFiles, ReadSpec};
use towpath_vocab::{Failure, Reject, Remedy};

use super::stand_in;

/// The file as a table; `None` if the name does not look like a file, or there is none.
pub(crate) async fn provider(
    files: &Arc<dyn NamedFiles>,
    name: &str,
) -> Result<Option<Arc<dyn TableProvider>>, Failure> {
    let found = files.find(name).await?;
    Ok(found.map(|file| Arc::new(FileTable(file)) as Arc<dyn TableProvider>))
}

struct FileTable(NamedFile);

impl fmt::Debug for FileTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileTable")
            .field(&self.0.spec.table)
            .finish()
    }
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let schema = match projection {
            Some(columns) => Arc::new(self.0.schema.project(columns)?),
            None => Arc::clone(&self.0.schema),
        };
        let names = schema.fields().iter().map(|field| field.name().clone());
        let spec = ReadSpec {
            projection: Some(names.collect()),
            limit: limit.and_then(|limit| u64::try_from(limit).ok()),
            batch_rows: session.config().batch_size(),
            ..self.0.spec.clone()
        };
        let partition = FilePartition {
            file: NamedFile {
                spec,
                schema: Arc::clone(&schema),
                ..self.0.clone()
            },
        };
        let scan = StreamingTableExec::try_new(
            schema,
            vec![Arc::new(partition) as Arc<dyn PartitionStream>],
            None,
            Vec::new(),
            false,
            limit,
        )?;
        Ok(Arc::new(scan))
    }
}

struct FilePartition {
    file: NamedFile,
}

impl fmt::Debug for FilePartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilePartition")
            .field("name", &self.file.spec.table)
            .finish_non_exhaustive()
    }
}

impl PartitionStream for FilePartition {
    fn schema(&self) -> &SchemaRef {
        &self.file.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = stand_in::read(
            Arc::clone(&self.file.source),
            self.file.spec.clone(),
            Arc::clone(&self.file.schema),
            |_, rejects| rejected(rejects),
        );
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.file.schema),
            batches,
        ))
    }
}

/// The failure of a query with rejected records: a query returns all rows or none, because nobody would
/// notice a missing one.
fn rejected(rejects: &[Reject]) -> Failure {
    let first = rejects.first();
    let place = first
        .map(|reject| reject.place.to_string())
        .unwrap_or_default();
    let reasons = first.into_iter().flat_map(|reject| &reject.reasons);
    let reasons: Vec<String> = reasons.map(|reason| reason.text()).collect();
    let message = format!("{place}: {}", reasons.join("; "));
    Failure::new("R0517", Remedy::FixData, message)
        .help("`towpath copy FILE NEW_FILE` rejects such records, writes them to a file next to the new one and copies the rest")
}
