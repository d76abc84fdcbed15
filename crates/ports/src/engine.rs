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
    /// `FixConfig` when the text is no expression, names no column or does not type-check.
    fn compile(&self, expression: &str, schema: &SchemaRef) -> Result<Arc<dyn RowExpression>>;

    /// The expression with the columns' names in `schema`, where it names them as their source does.
    ///
    /// # Errors
    /// `FixConfig` when the text is not an expression.
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

/// Asks tables.
#[async_trait]
pub trait Query: Send + Sync {
    /// Runs one read-only statement. `candidates` stand in for tables of these names: how audits see
    /// a table before its commit. Anything but a query is refused.
    async fn query(
        &self,
        sql: &str,
        candidates: &BTreeMap<TableName, Candidate>,
    ) -> Result<QueryResult>;
}

/// A file, or the files of a glob, that a query names in place of a table.
#[derive(Clone)]
pub struct NamedFile {
    /// What reads it: the same reader that loads and copies use.
    pub source: Arc<dyn Source>,
    /// How all of it is read.
    pub spec: ReadSpec,
    /// Its columns.
    pub schema: SchemaRef,
}

/// Files as tables of a query.
#[async_trait]
pub trait NamedFiles: Send + Sync {
    /// The file of this name; `None` when the name does not end like a file that can be read, or there
    /// is none.
    ///
    /// # Errors
    /// `Refused` for one that may not be queried, `FixData` for one that cannot be read.
    async fn find(&self, name: &str) -> Result<Option<NamedFile>>;
}

/// A model to run.
#[derive(Clone, Debug)]
pub struct ModelRequest {
    /// The model.
    pub model: ModelPlan,
    /// True when the whole table is rebuilt.
    pub full_refresh: bool,
    /// True when the target exists and the model is incremental.
    pub incremental: bool,
}

/// A model that is ready to give its rows.
pub struct ModelRun {
    /// The SQL that was planned.
    pub sql: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// Where they come from.
    pub lineage: TableLineage,
    /// Its rows, read like any source.
    pub reader: Box<dyn Reader>,
}

/// Runs models.
#[async_trait]
pub trait ModelEngine: Send + Sync {
    /// Renders and plans a model and prepares its rows.
    async fn run(&self, request: ModelRequest) -> Result<ModelRun>;

    /// Stores a model as a view, under the token of its task. Gives the view's version.
    async fn create_view(&self, table: &TableName, sql: &str) -> Result<u64>;

    /// What the tables a model reads are at now: part of its fingerprint.
    async fn versions(&self, tables: &[TableName]) -> Result<BTreeMap<TableName, String>>;
}
