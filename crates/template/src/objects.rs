//! The values of a template: relations, columns, rows of a query.
//!
//! Promise: a relation prints itself as `"schema"."table"`. The values have no connection to the warehouse;
//! questions about it go through `session.rs`.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use minijinja::{Error, State};
use towpath_vocab::TableName;

use crate::json;

/// A name in double quotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table in SQL text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// A table of the lakehouse.
    Table(TableName),
    /// An ephemeral model, which is written as the name of its CTE.
    Inlined {
        /// The model's name.
        model: String,
    },
}

/// The name of an ephemeral model's CTE.
pub(crate) fn cte_name(model: &str) -> String {
    format!("__dbt__cte__{model}")
}

impl Relation {
    fn identifier(&self) -> String {
        match self {
            Relation::Table(name) => name.table().to_owned(),
            Relation::Inlined { model } => cte_name(model),
        }
    }

    fn schema(&self) -> Option<&str> {
        match self {
            Relation::Table(name) => Some(name.schema()),
            Relation::Inlined { .. } => None,
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Relation::Table(name) => {
                write!(f, "{}.{}", quoted(name.schema()), quoted(name.table()))
            }
            Relation::Inlined { model } => f.write_str(&cte_name(model)),
        }
    }
}

impl Object for Relation {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        Some(match key {
            "identifier" | "name" | "table" => Value::from(self.identifier()),
            "schema" => self.schema().map_or(Value::from(()), Value::from),
            "database" => Value::from(()),
            "type" => Value::from(if self.schema().is_some() {
                "table"
            } else {
                "cte"
            }),
            "is_table" => Value::from(self.schema().is_some()),
            "is_cte" => Value::from(self.schema().is_none()),
            "is_view" => Value::from(false),
            _ => return None,
        })
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "render" => Ok(Value::from(self.to_string())),
            "include" | "quote" | "without_identifier" | "incorporate" => {
                Ok(if method == "without_identifier" {
                    Value::from(self.schema().map(quoted).unwrap_or_default())
                } else {
                    let _ = args;
                    Value::from_dyn_object(Arc::clone(self))
                })
            }
            _ => Err(Error::from(minijinja::ErrorKind::UnknownMethod)),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A column of a relation, as `adapter.get_columns_in_relation` returns it.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) data_type: String,
}

impl Object for Column {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(match key.as_str()? {
            "name" | "column" => Value::from(self.name.as_str()),
            "quoted" => Value::from(quoted(&self.name)),
            "dtype" | "data_type" => Value::from(self.data_type.as_str()),
            _ => return None,
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["name", "column", "quoted", "dtype", "data_type"])
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        _: &[Value],
    ) -> Result<Value, Error> {
        let is =
            |words: &[&str]| Value::from(words.iter().any(|word| self.data_type.starts_with(word)));
        match method {
            "is_string" => Ok(is(&["text"])),
            "is_numeric" => Ok(is(&["decimal"])),
            "is_float" => Ok(is(&["float", "double"])),
            "is_integer" => Ok(is(&[
                "tinyint",
                "smallint",
                "int",
                "bigint",
                "utinyint",
                "usmallint",
                "uint",
                "ubigint",
            ])),
            "is_number" => Ok(is(&[
                "decimal", "float", "double", "tinyint", "smallint", "int", "bigint", "u",
            ])),
            _ => Err(Error::from(minijinja::ErrorKind::UnknownMethod)),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The rows of a query: iterates over rows; `columns[i].values()`, `rows`, `column_names`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Rows {
    pub(crate) fn new(columns: Vec<String>, rows: &[Vec<serde_json::Value>]) -> Self {
        Self {
            columns,
            rows: rows
                .iter()
                .map(|row| row.iter().map(json::to_template).collect())
                .collect(),
        }
    }

    /// One column's values.
    pub(crate) fn column(&self, at: usize) -> Vec<Value> {
        self.rows
            .iter()
            .map(|row| row.get(at).cloned().unwrap_or_default())
            .collect()
    }

    fn row(&self, at: usize) -> Option<Value> {
        let values = self.rows.get(at)?.clone();
        Some(Value::from_object(Row {
            columns: self.columns.clone(),
            values,
        }))
    }

    fn column_value(&self, at: usize) -> Value {
        let name = self.columns.get(at).cloned().unwrap_or_default();
        Value::from_object(ResultColumn {
            name,
            values: self.column(at),
        })
    }
}

impl Object for Rows {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str() {
            Some("columns") => {
                let names = self.columns.iter().enumerate();
                Some(Value::from_object(Named {
                    values: names
                        .map(|(at, name)| (name.clone(), self.column_value(at)))
                        .collect(),
                }))
            }
            Some("rows") => Some(Value::from(
                (0..self.rows.len())
                    .filter_map(|at| self.row(at))
                    .collect::<Vec<_>>(),
            )),
            Some("column_names") => Some(Value::from(self.columns.clone())),
            Some(_) => None,
            None => self.row(key.as_usize()?),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.rows.len())
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        _: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "print_table" => Ok(Value::from("")),
            _ => Err(Error::from(minijinja::ErrorKind::UnknownMethod)),
        }
    }
}

/// A row: by position, by name, iterated by value.
#[derive(Clone, Debug)]
struct Row {
    columns: Vec<String>,
    values: Vec<Value>,
}

impl Object for Row {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let at = match key.as_str() {
            Some(name) => self
                .columns
                .iter()
                .position(|column| column.eq_ignore_ascii_case(name))?,
            None => key.as_usize()?,
        };
        self.values.get(at).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.values.len())
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        _: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "values" => Ok(Value::from(self.values.clone())),
            "keys" => Ok(Value::from(self.columns.clone())),
            _ => Err(Error::from(minijinja::ErrorKind::UnknownMethod)),
        }
    }
}

/// A column of a query's result.
#[derive(Clone, Debug)]
struct ResultColumn {
    name: String,
    values: Vec<Value>,
}

impl Object for ResultColumn {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str() {
            Some("name") => Some(Value::from(self.name.as_str())),
            Some(_) => None,
            None => self.values.get(key.as_usize()?).cloned(),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.values.len())
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        _: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "values" => Ok(Value::from(self.values.clone())),
            _ => Err(Error::from(minijinja::ErrorKind::UnknownMethod)),
        }
    }
}

/// Values by position and by name.
#[derive(Clone, Debug)]
struct Named {
    values: Vec<(String, Value)>,
}

impl Object for Named {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str() {
            Some(name) => self
                .values
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, v)| v.clone()),
            None => self.values.get(key.as_usize()?).map(|(_, v)| v.clone()),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.values.len())
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        _: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "values" => Ok(Value::from(
                self.values
                    .iter()
                    .map(|(_, v)| v.clone())
                    .collect::<Vec<_>>(),
            )),
            "keys" => Ok(Value::from(
                self.values
                    .iter()
                    .map(|(n, _)| n.clone())
                    .collect::<Vec<_>>(),
            )),
            _ => Err(Error::from(minijinja::ErrorKind::UnknownMethod)),
        }
    }
}
