//! `lake history` and `lake describe`: a table as it is now, and its versions.
//!
//! Promise: it only reads. Restore, compaction, vacuum and drop are in `lake_maintenance.rs`; the log itself is
//! read in `engine::lake`. Read next: `lake_maintenance.rs`.

use std::collections::BTreeMap;

use serde::Serialize;
use towpath_engine::lake::TableHistoryEntry;
use towpath_vocab::{Failure, Remedy, TableName, types};

use crate::Result;
use crate::services::ProjectServices;

/// A table as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct LakeTable {
    /// Version of this form; 1.
    pub version: u32,
    /// Its name.
    pub table: String,
    /// The version of the table that readers see.
    pub table_version: u64,
    /// The number of rows, if the files have it.
    pub rows: Option<u64>,
    /// Files.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    /// Where it is.
    pub location: String,
    /// Columns in order.
    pub columns: Vec<LakeColumn>,
    /// Delta's table properties.
    pub properties: BTreeMap<String, String>,
}

/// One column.
#[derive(Clone, Debug, Serialize)]
pub struct LakeColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Its name in the source, if it is different.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_name: Option<String>,
    /// Its type in the source, if values are stored as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_type: Option<String>,
}

/// The newest versions of a table, newest first.
///
/// # Errors
/// `FixConfig` when there is no such table.
pub(crate) async fn lake_history(
    services: &ProjectServices,
    table: &str,
    limit: usize,
) -> Result<Vec<TableHistoryEntry>> {
    let name = existing(services, table).await?;
    services.lake.history(&name, limit).await
}

/// A table as it is now.
///
/// # Errors
/// `FixConfig` when there is no such table.
pub async fn lake_describe(services: &ProjectServices, table: &str) -> Result<LakeTable> {
    let name = existing(services, table).await?;
    let found = services.lake.describe(&name).await?;
    let column = |field: &std::sync::Arc<arrow_schema::Field>| LakeColumn {
        name: field.name().clone(),
        data_type: types::name(field.data_type()),
        source_name: field.metadata().get(types::SOURCE_NAME).cloned(),
        source_type: field.metadata().get(types::SOURCE_TYPE).cloned(),
    };
    Ok(LakeTable {
        version: 1,
        table: name.to_string(),
        table_version: found.version,
        rows: found.rows,
        files: found.files,
        bytes: found.bytes,
        location: found.location,
        columns: found.schema.fields().iter().map(column).collect(),
        properties: found.properties,
    })
}

pub(crate) async fn existing(services: &ProjectServices, table: &str) -> Result<TableName> {
    let wrong = |message: String| Failure::new("R0928", Remedy::FixConfig, message);
    let name: TableName = table.parse().map_err(|error| {
        wrong(format!("{error}")).help("a table is named with its schema: raw.orders")
    })?;
    if services.lake.version(&name).await?.is_some() {
        return Ok(name);
    }
    if let Some(view) = services.lake.view(&name).await? {
        return Err(wrong(format!(
            "`{name}` is a view (version {}): it has no files and no history",
            view.version
        ))
        .help(format!("query it: towpath query \"select * from {name}\"")));
    }
    let tables: Vec<String> = services
        .lake
        .tables()
        .await?
        .iter()
        .map(ToString::to_string)
        .collect();
    Err(
        wrong(format!("the lakehouse has no table `{name}`")).help(match tables.is_empty() {
            true => "it is empty: towpath run".to_owned(),
            false => format!("there are: {}", tables.join(", ")),
        }),
    )
}
