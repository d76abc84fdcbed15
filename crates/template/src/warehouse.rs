//! Questions of a template about the warehouse: rows, columns, whether a table exists.
//!
//! Promise: during a scan nothing is known: no rows, no columns, no table. It asks nobody itself;
//! `Session::ask` keeps the questions for the caller.

use minijinja::{Error, ErrorKind, Value};
use towpath_vocab::{TableName, WarehouseAnswer, WarehouseQuestion, types};

use crate::objects::{Column, Relation, Rows};
use crate::problem::Raised;
use crate::session::Session;

/// The rows of a query; none during a scan.
pub(crate) fn run_query(session: &Session, sql: &str) -> Result<Value, Error> {
    match session.ask(WarehouseQuestion::Rows(sql.to_owned()))? {
        Some(WarehouseAnswer::Rows { columns, rows }) => {
            Ok(Value::from_object(Rows::new(columns, &rows)))
        }
        None if session.settings.execute => Ok(Value::from_object(Rows::default())),
        None => Ok(Value::from(())),
        Some(_) => Err(wrong_answer()),
    }
}

pub(crate) fn wrong_answer() -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        "the answer does not fit the question",
    )
}

/// The table of a relation, or of a text in the form `schema.table`.
pub(crate) fn table_of(value: &Value) -> Option<TableName> {
    match value.downcast_object_ref::<Relation>() {
        Some(Relation::Table(name)) => Some(name.clone()),
        Some(Relation::Inlined { .. }) => None,
        None => value.as_str()?.replace('"', "").parse().ok(),
    }
}

/// The relation itself if it exists, otherwise none.
pub(crate) fn existing(session: &Session, relation: &Value) -> Result<Value, Error> {
    let Some(table) = table_of(relation) else {
        return Ok(Value::from(()));
    };
    match session.ask(WarehouseQuestion::Exists(table))? {
        Some(WarehouseAnswer::Exists(true)) => Ok(relation.clone()),
        Some(WarehouseAnswer::Exists(false)) | None => Ok(Value::from(())),
        Some(_) => Err(wrong_answer()),
    }
}

/// The columns of a relation; none during a scan.
pub(crate) fn columns(session: &Session, relation: &Value) -> Result<Vec<Column>, Error> {
    let Some(table) = table_of(relation) else {
        let raised = Raised::new(
            "M0323",
            format!("`{relation}` is no table whose columns could be asked for"),
        );
        return Err(session.raise(raised.help("an ephemeral model has none: make it a view")));
    };
    match session.ask(WarehouseQuestion::Columns(table))? {
        Some(WarehouseAnswer::Columns(schema)) => {
            let column = |field: &arrow_schema::FieldRef| Column {
                name: field.name().clone(),
                data_type: types::name(field.data_type()),
            };
            Ok(schema.fields().iter().map(column).collect())
        }
        None => Ok(Vec::new()),
        Some(_) => Err(wrong_answer()),
    }
}
