//! `information_schema`: the tables, views and columns of the lakehouse, with the type names of project
//! files, as `describe`, `show tables`, `show columns` and programs read them.
//!
//! Promise: a view that cannot be planned is listed among the tables, and hides no other table. Functions
//! and settings are DataFusion's own lists. Not here: which names there are (`catalog.rs`).

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array as _, ArrayRef, Int64Array, StringArray, new_null_array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::information_schema::{INFORMATION_SCHEMA, InformationSchemaProvider};
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemTable, SchemaProvider, TableProvider,
};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::TableType;
use towpath_vocab::types;

use super::border::plain_schema;
use super::settings::CATALOG;

const OWN: [&str; 4] = ["tables", "views", "columns", "schemata"];
/// Lists that say nothing about the lakehouse, for `show functions` and `show all`.
const OF_THE_ENGINE: [&str; 3] = ["routines", "parameters", "df_settings"];

/// The schema `information_schema` of one statement.
#[derive(Debug)]
pub(crate) struct InformationSchema {
    catalog: Arc<dyn CatalogProvider>,
    engine: InformationSchemaProvider,
}

impl InformationSchema {
    /// The lists of `catalog`, which is the only one of `catalogs`.
    pub(crate) fn new(
        catalog: Arc<dyn CatalogProvider>,
        catalogs: Arc<dyn CatalogProviderList>,
    ) -> Self {
        Self {
            catalog,
            engine: InformationSchemaProvider::new(catalogs),
        }
    }

    /// True for the name of this schema.
    pub(crate) fn is(name: &str) -> bool {
        name == INFORMATION_SCHEMA
    }

    fn schemata(&self) -> Result<RecordBatch, ArrowError> {
        let names = self.catalog.schema_names();
        batch(vec![
            ("catalog_name", same(CATALOG, names.len())),
            ("schema_name", texts(names)),
        ])
    }

    async fn tables(&self) -> Result<RecordBatch, DataFusionError> {
        let (mut schemas, mut tables, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
        for (schema, provider) in self.schemas() {
            for table in provider.table_names() {
                let Some(kind) = provider.table_type(&table).await? else {
                    continue;
                };
                schemas.push(schema.clone());
                tables.push(table);
                kinds.push(match kind {
                    TableType::Base => "BASE TABLE",
                    TableType::View => "VIEW",
                    TableType::Temporary => "LOCAL TEMPORARY",
                });
            }
        }
        Ok(batch(vec![
            ("table_catalog", same(CATALOG, tables.len())),
            ("table_schema", texts(schemas)),
            ("table_name", texts(tables)),
            ("table_type", texts(kinds)),
        ])?)
    }

    async fn views(&self) -> Result<RecordBatch, DataFusionError> {
        let (mut schemas, mut views, mut definitions) = (Vec::new(), Vec::new(), Vec::new());
        for (schema, provider) in self.schemas() {
            for view in provider.table_names() {
                let Some(found) = provider.table(&view).await? else {
                    continue;
                };
                if found.table_type() == TableType::View {
                    schemas.push(schema.clone());
                    views.push(view);
                    definitions.push(found.get_table_definition().map(str::to_owned));
                }
            }
        }
        let definitions: ArrayRef = Arc::new(StringArray::from(definitions));
        Ok(batch(vec![
            ("table_catalog", same(CATALOG, views.len())),
            ("table_schema", texts(schemas)),
            ("table_name", texts(views)),
            ("definition", definitions),
        ])?)
    }

    async fn columns(&self) -> Result<RecordBatch, DataFusionError> {
        let (mut schemas, mut tables, mut names) = (Vec::new(), Vec::new(), Vec::new());
        let (mut places, mut nullable, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
        let (mut precisions, mut scales, mut of_moments) = (Vec::new(), Vec::new(), Vec::new());
        for (schema, provider) in self.schemas() {
            for table in provider.table_names() {
                let Some(found) = provider.table(&table).await? else {
                    continue;
                };
                for (place, field) in (1..).zip(plain_schema(&found.schema()).fields()) {
                    schemas.push(schema.clone());
                    tables.push(table.clone());
                    names.push(field.name().clone());
                    places.push(place);
                    nullable.push(yes_or_no(field));
                    kinds.push(types::name(field.data_type()));
                    let digits = digits(field.data_type());
                    precisions.push(digits.map(|(precision, _)| precision));
                    scales.push(digits.map(|(_, scale)| scale));
                    let is_moment = matches!(field.data_type(), DataType::Timestamp(..));
                    of_moments.push(is_moment.then_some(6));
                }
            }
        }
        let rows = tables.len();
        let places: ArrayRef = Arc::new(Int64Array::from(places));
        let numbers = |values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as ArrayRef;
        Ok(batch(vec![
            ("table_catalog", same(CATALOG, rows)),
            ("table_schema", texts(schemas)),
            ("table_name", texts(tables)),
            ("column_name", texts(names)),
            ("ordinal_position", places),
            ("column_default", new_null_array(&DataType::Utf8, rows)),
            ("is_nullable", texts(nullable)),
            ("data_type", texts(kinds)),
            ("character_maximum_length", numbers(vec![None; rows])),
            ("numeric_precision", numbers(precisions)),
            ("numeric_scale", numbers(scales)),
            ("datetime_precision", numbers(of_moments)),
        ])?)
    }

    fn schemas(&self) -> Vec<(String, Arc<dyn SchemaProvider>)> {
        let names = self.catalog.schema_names().into_iter();
        names
            .filter_map(|name| self.catalog.schema(&name).map(|schema| (name, schema)))
            .collect()
    }
}

#[async_trait]
impl SchemaProvider for InformationSchema {
    fn table_names(&self) -> Vec<String> {
        let names = OWN.iter().chain(&OF_THE_ENGINE);
        names.map(|name| (*name).to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let rows = match name {
            "tables" => self.tables().await?,
            "views" => self.views().await?,
            "columns" => self.columns().await?,
            "schemata" => self.schemata()?,
            name if OF_THE_ENGINE.contains(&name) => return self.engine.table(name).await,
            _ => return Ok(None),
        };
        let table = MemTable::try_new(rows.schema(), vec![vec![rows]])?;
        Ok(Some(Arc::new(table)))
    }

    fn table_exist(&self, name: &str) -> bool {
        OWN.contains(&name) || OF_THE_ENGINE.contains(&name)
    }
}

/// The answer to `describe`: the columns of a table or file.
///
/// # Errors
/// None in practice: all columns have as many rows.
pub(crate) fn described(schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let schema = plain_schema(schema);
    let fields = || schema.fields().iter();
    batch(vec![
        (
            "column_name",
            texts(fields().map(|field| field.name().clone()).collect()),
        ),
        (
            "data_type",
            texts(
                fields()
                    .map(|field| types::name(field.data_type()))
                    .collect(),
            ),
        ),
        (
            "is_nullable",
            texts(fields().map(|field| yes_or_no(field)).collect()),
        ),
    ])
}

/// All digits of a decimal, and those behind the point.
fn digits(data_type: &DataType) -> Option<(i64, i64)> {
    match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            Some((i64::from(*precision), i64::from(*scale)))
        }
        _ => None,
    }
}

fn yes_or_no(field: &Field) -> &'static str {
    if field.is_nullable() { "YES" } else { "NO" }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, ArrowError> {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

fn texts<T: AsRef<str>>(values: Vec<T>) -> ArrayRef {
    Arc::new(
        values
            .iter()
            .map(|value| Some(value.as_ref()))
            .collect::<StringArray>(),
    )
}

fn same(value: &str, rows: usize) -> ArrayRef {
    texts(vec![value; rows])
}
