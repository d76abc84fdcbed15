//! The tables and functions against which a statement is planned.
//!
//! Promise: a table here has a name and columns, never rows. `TableLookup` is what callers know; `Catalog`
//! presents it to DataFusion's planner. It knows no session and no file. Read next: `analyze.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{
    DataFusionError, Result, ScalarValue, TableReference, plan_datafusion_err,
};
use datafusion_expr::planner::{ContextProvider, ExprPlanner};
use datafusion_expr::{AggregateUDF, Expr, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use towpath_vocab::TableName;

use crate::functions::{Registry, registry};
use crate::statement::TIME_ZONE;

/// The tables that the caller knows.
pub trait TableLookup {
    /// The columns of a table; `None` if they are not known, which is not an error.
    fn columns(&self, table: &TableName) -> Option<SchemaRef>;

    /// All existing tables, whether or not their columns are known. A table that is not in this list is a
    /// mistake of the statement, unless the list is empty: then it is not known which tables exist.
    fn known(&self) -> Vec<TableName>;

    /// Whether `known` has this table.
    fn knows(&self, table: &TableName) -> bool {
        self.known().contains(table)
    }

    /// The schema of a table that is written without one, such as the files of a query; `None` if each
    /// table needs its schema.
    fn default_schema(&self) -> Option<&str> {
        None
    }
}

/// A table for the planner.
#[derive(Debug)]
pub(crate) struct KnownTable {
    pub(crate) name: TableName,
    schema: SchemaRef,
}

impl TableSource for KnownTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// The rows that a recursive CTE has found so far, as a table with its name.
#[derive(Debug)]
pub(crate) struct WorkTable {
    pub(crate) name: String,
    schema: SchemaRef,
}

impl TableSource for WorkTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// The rows of a table function, which come from no table.
#[derive(Debug)]
pub(crate) struct GeneratedTable {
    schema: SchemaRef,
}

impl TableSource for GeneratedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// Tables of one statement and the registered functions.
pub(crate) struct Catalog {
    tables: HashMap<TableName, Arc<KnownTable>>,
    default_schema: Option<String>,
    registry: &'static Registry,
    options: ConfigOptions,
}

impl Catalog {
    pub(crate) fn new() -> Self {
        let mut options = ConfigOptions::new();
        options.sql_parser.map_string_types_to_utf8view = false;
        options.execution.time_zone = Some(TIME_ZONE.to_owned());
        Self {
            tables: HashMap::new(),
            default_schema: None,
            registry: registry(),
            options,
        }
    }

    /// Finds tables that are written without a schema in this one.
    pub(crate) fn with_default_schema(mut self, schema: Option<&str>) -> Self {
        self.default_schema = schema.map(str::to_owned);
        self
    }

    pub(crate) fn add(&mut self, written: TableName, real: TableName, schema: SchemaRef) {
        self.tables
            .insert(written, Arc::new(KnownTable { name: real, schema }));
    }
}

impl ContextProvider for Catalog {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let found = match &name {
            TableReference::Partial { schema, table } => self
                .tables
                .get(&TableName::new(schema.as_ref(), table.as_ref())),
            TableReference::Bare { table } => self
                .default_schema
                .as_ref()
                .and_then(|schema| self.tables.get(&TableName::new(schema, table.as_ref()))),
            TableReference::Full { .. } => None,
        };
        match found {
            Some(table) => Ok(Arc::clone(table) as Arc<dyn TableSource>),
            None => Err(plan_datafusion_err!("table '{name}' not found")),
        }
    }

    fn get_table_function_source(
        &self,
        name: &str,
        args: Vec<Expr>,
    ) -> Result<Arc<dyn TableSource>> {
        if !TABLE_FUNCTIONS.contains(&name) {
            // Not a plan error: a session may know more table functions than this crate does.
            return Err(DataFusionError::External(
                format!("the columns of `{name}(…)` are not known here").into(),
            ));
        }
        let data_type = args.iter().find_map(|arg| match arg {
            Expr::Literal(value, _) if !value.is_null() => Some(series_type(value)),
            Expr::Literal(..) => None,
            _ => Some(None),
        });
        let Some(data_type) = data_type.unwrap_or(Some(DataType::Int64)) else {
            return Err(DataFusionError::External(
                format!("the type of `{name}(…)` is not known here").into(),
            ));
        };
        let schema = Schema::new(vec![Field::new("value", data_type, false)]);
        Ok(Arc::new(GeneratedTable {
            schema: Arc::new(schema),
        }))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(Arc::new(WorkTable {
            name: name.to_owned(),
            schema,
        }))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.registry.functions.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.registry.scalar.get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.registry.higher_order.get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.registry.aggregate.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.registry.window.get(name).cloned()
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.registry.scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.registry.higher_order.keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.registry.aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.registry.window.keys().cloned().collect()
    }
}

/// Table functions whose columns are known: DataFusion's own, one column `value`.
const TABLE_FUNCTIONS: &[&str] = &["generate_series", "range"];

fn series_type(value: &ScalarValue) -> Option<DataType> {
    matches!(value, ScalarValue::Int64(_)).then_some(DataType::Int64)
}
