//! The interface to SQL: expressions over a batch, queries over tables, models.
//!
//! Promise: `flow` can compile an expression and ask a candidate without knowing the engine. The only
//! implementation is in the crate `engine`. Read next: `engine/src/session`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use towpath_vocab::{ModelPlan, TableLineage, TableName};

use crate::{BoxStream, Candidate, ReadSpec, Reader, Result, Source};

/// Compiles SQL expressions.
pub trait ExpressionCompiler: Send + Sync {
    /// Compiles one expression over the columns of `schema`.
    ///
    /// # Errors
    /// `FixConfig` if the text is not an expression, names an unknown column or has a type error.
    fn compile(&self, expression: &str, schema: &SchemaRef) -> Result<Arc<dyn RowExpression>>;

    /// The expression with names of columns in the source replaced by their names in `schema`.
    ///
    /// # Errors
    /// `FixConfig` if the text is not an expression.
    fn in_own_names(&self, expression: &str, schema: &SchemaRef) -> Result<String>;
}

/// A compiled expression.
pub trait RowExpression: Send + Sync {
    /// Its type.
    fn data_type(&self) -> &arrow_schema::DataType;

    /// One value per row of the batch.
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef>;
}

/// A running query.
pub struct QueryResult {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub batches: BoxStream<Result<RecordBatch>>,
}

/// Runs queries on tables.
#[async_trait]
pub trait Query: Send + Sync {
    /// Runs one read-only statement. `candidates` replace the tables with these names, so that checks can
    /// read a table before its commit. Anything but a query is refused.
    async fn query(
        &self,
        sql: &str,
        candidates: &BTreeMap<TableName, Candidate>,
    ) -> Result<QueryResult>;
}

/// A file, or the files of a glob, that a query names in place of a table.
#[derive(Clone)]
pub struct NamedFile {
    /// Its source: the same one that loads and copies use.
    pub source: Arc<dyn Source>,
    /// The spec that reads all of it.
    pub spec: ReadSpec,
    /// Its columns.
    pub schema: SchemaRef,
}

/// Files as tables of a query.
#[async_trait]
pub trait NamedFiles: Send + Sync {
    /// The file with this name; `None` if the name does not look like that of a file.
    ///
    /// # Errors
    /// `Refused` for a file that may not be queried, `FixConfig` for one that does not exist or has an ending
    /// that cannot be read, `FixData` for one that cannot be read.
    async fn find(&self, name: &str) -> Result<Option<NamedFile>>;
}

/// A model to run.
#[derive(Clone, Debug)]
pub struct ModelRequest {
    /// The model.
    pub model: ModelPlan,
    /// True if the whole table is rebuilt.
    pub full_refresh: bool,
    /// True if the target exists and the model is incremental.
    pub incremental: bool,
}

/// A model whose rows can be read.
pub struct ModelRun {
    /// The SQL that was planned.
    pub sql: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// Where they come from.
    pub lineage: TableLineage,
    /// Its rows, read like those of any other source.
    pub reader: Box<dyn Reader>,
}

/// Runs models.
#[async_trait]
pub trait ModelEngine: Send + Sync {
    /// Renders and plans a model and prepares its rows.
    async fn run(&self, request: ModelRequest) -> Result<ModelRun>;

    /// Stores a model as a view, and returns the version of the view.
    async fn create_view(&self, table: &TableName, sql: &str) -> Result<u64>;

    /// The present versions of the tables that a model reads; they are a part of its fingerprint.
    async fn versions(&self, tables: &[TableName]) -> Result<BTreeMap<TableName, String>>;
}
