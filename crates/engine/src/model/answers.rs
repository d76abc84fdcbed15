//! Answers questions of templates at run time: `run_query`, `is_incremental`, `get_columns_in_relation`.
//!
//! Promise: the answer is the state of the lakehouse at the time of the question; asking changes nothing. A
//! query with more rows than a limit is refused. It runs on a blocking thread, because templates are
//! rendered synchronously.

use std::collections::BTreeMap;

use datafusion::arrow::array::cast::AsArray;
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use serde_json::{Number, Value};
use tokio::runtime::Handle;
use towpath_vocab::{
    Failure, Introspect, NeedsWarehouse, Remedy, TableName, WarehouseAnswer, WarehouseQuestion,
};

use crate::query;
use crate::session::Engine;
use crate::session::border::plain_schema;
use crate::session::failure::arrow_failure;
use crate::session::holdings;

/// The most rows of a template's query.
const MOST_ROWS: usize = 100_000;

/// Answers questions of templates from the lakehouse.
pub(super) struct LiveAnswers {
    engine: Engine,
    runtime: Handle,
    failure: Option<Failure>,
}

impl LiveAnswers {
    /// For templates that are rendered on a blocking thread of `runtime`.
    pub(super) fn new(engine: Engine, runtime: Handle) -> Self {
        Self {
            engine,
            runtime,
            failure: None,
        }
    }

    /// Why the last question could not be answered.
    pub(super) fn into_failure(self) -> Option<Failure> {
        self.failure
    }

    async fn answer(&self, question: WarehouseQuestion) -> Result<WarehouseAnswer, Failure> {
        match question {
            WarehouseQuestion::Exists(table) => {
                let found = holdings::find(self.engine.lake(), &table).await?;
                Ok(WarehouseAnswer::Exists(found.is_some()))
            }
            WarehouseQuestion::Columns(table) => self.columns(&table).await,
            WarehouseQuestion::Rows(sql) => self.rows(&sql).await,
        }
    }

    async fn columns(&self, table: &TableName) -> Result<WarehouseAnswer, Failure> {
        let statement_catalog = self.engine.statement_catalog(&BTreeMap::new())?;
        match statement_catalog.provider(table, &[]).await? {
            Some(provider) => Ok(WarehouseAnswer::Columns(plain_schema(&provider.schema()))),
            None => Err(Failure::new(
                "R0502",
                Remedy::FixConfig,
                format!(
                    "the template asks for the columns of `{table}`, which is not in the lakehouse"
                ),
            )),
        }
    }

    async fn rows(&self, sql: &str) -> Result<WarehouseAnswer, Failure> {
        let mut result =
            query::answer(&self.engine.statement_catalog(&BTreeMap::new())?, sql).await?;
        let columns = result
            .schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let mut rows = Vec::new();
        while let Some(batch) = result.batches.try_next().await? {
            if rows.len() + batch.num_rows() > MOST_ROWS {
                return Err(Failure::new(
                    "R0513",
                    Remedy::FixConfig,
                    format!("a query of the template gives more than {MOST_ROWS} rows"),
                )
                .help(
                    "ask for less: `select distinct`, `limit`, or join in the model's SQL instead",
                ));
            }
            append_rows(&batch, &mut rows)?;
        }
        Ok(WarehouseAnswer::Rows { columns, rows })
    }
}

impl Introspect for LiveAnswers {
    fn ask(&mut self, question: WarehouseQuestion) -> Result<WarehouseAnswer, NeedsWarehouse> {
        let runtime = self.runtime.clone();
        runtime.block_on(self.answer(question)).map_err(|failure| {
            let pending = NeedsWarehouse(failure.message.clone());
            self.failure = Some(failure);
            pending
        })
    }
}

fn append_rows(batch: &RecordBatch, rows: &mut Vec<Vec<Value>>) -> Result<(), Failure> {
    let first = rows.len();
    rows.resize_with(first + batch.num_rows(), || {
        Vec::with_capacity(batch.num_columns())
    });
    for column in batch.columns() {
        let values = column_values(column)
            .map_err(|error| arrow_failure("a query of the template", &error))?;
        for (row, value) in rows[first..].iter_mut().zip(values) {
            row.push(value);
        }
    }
    Ok(())
}

/// The values of a column: numbers keep all of their digits, everything else is text as in the output of a
/// query.
fn column_values(column: &ArrayRef) -> Result<Vec<Value>, datafusion::arrow::error::ArrowError> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let text = |row: usize| formatter.value(row).to_string();
    let value = |row: usize| match column.data_type() {
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        data_type if data_type.is_numeric() => {
            let text = text(row);
            text.parse::<Number>()
                .map_or(Value::String(text), Value::Number)
        }
        _ => Value::String(text(row)),
    };
    Ok((0..column.len())
        .map(|row| {
            if column.is_null(row) {
                Value::Null
            } else {
                value(row)
            }
        })
        .collect())
}
