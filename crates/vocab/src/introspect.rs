//! Questions of a template about the warehouse while it is rendered.
//!
//! Promise: at check time, facts answer them, and `NeedsWarehouse` defers a model to the run; at run time,
//! `engine` answers them. The crate `template` knows only this trait. Read next:
//! `engine/src/model/answers.rs`.

use arrow_schema::SchemaRef;

use crate::TableName;

/// A question of a template.
#[derive(Clone, Debug, PartialEq)]
pub enum WarehouseQuestion {
    /// Does this table exist (and may this model be built incrementally on it)?
    Exists(TableName),
    /// Which columns does this table have?
    Columns(TableName),
    /// The rows of a query, as text.
    Rows(String),
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq)]
pub enum WarehouseAnswer {
    /// For `Exists`.
    Exists(bool),
    /// For `Columns`.
    Columns(SchemaRef),
    /// For `Rows`: column names, then rows of JSON values.
    Rows {
        /// Column names in order.
        columns: Vec<String>,
        /// Values, one inner list per row.
        rows: Vec<Vec<serde_json::Value>>,
    },
}

/// The answer needs a live system: the model is deferred to run time.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the answer needs the warehouse: {0}")]
pub struct NeedsWarehouse(pub String);

/// Answers a template's questions.
pub trait Introspect {
    /// Answers one question, or returns `NeedsWarehouse` if only a live system can.
    fn ask(&mut self, question: WarehouseQuestion) -> Result<WarehouseAnswer, NeedsWarehouse>;
}
