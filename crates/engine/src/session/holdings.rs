//! Finds what the lakehouse has under a name: a table, a view, or an older version of a table.
//!
//! Promise: a table is pinned when it is found: to the files that it has at that moment. A table hides a
//! view with the same name. It knows no SQL; `catalog.rs` makes tables of a statement from the result.

use std::sync::Arc;

use towpath_vocab::{Failure, Remedy, TableName};

use crate::lake::{Lake, LakeCandidate, View};

/// What the lakehouse has under a name.
pub(crate) enum NamedObject {
    /// A table at its current version.
    Table(Arc<LakeCandidate>),
    /// A view.
    View(View),
}

/// What the lakehouse has under this name now.
pub(crate) async fn find(lake: &Lake, name: &TableName) -> Result<Option<NamedObject>, Failure> {
    if let Some(files) = lake.snapshot(name).await? {
        return Ok(Some(NamedObject::Table(Arc::new(files))));
    }
    Ok(lake.view(name).await?.map(NamedObject::View))
}

/// The names of all tables and views.
pub(crate) async fn all_names(lake: &Lake) -> Result<Vec<TableName>, Failure> {
    let mut names = lake.tables().await?;
    names.extend(lake.views().await?.into_iter().map(|view| view.name));
    names.sort();
    names.dedup();
    Ok(names)
}

/// The code of a log with a missing or damaged file.
const DAMAGED: &str = "R0431";

/// A table at a version.
pub(crate) async fn at_version(
    lake: &Lake,
    name: &TableName,
    version: u64,
) -> Result<Arc<LakeCandidate>, Failure> {
    let newest = match lake.describe(name).await {
        Ok(described) => described.version,
        // If the log is damaged, an older version may still be readable.
        Err(failure) if failure.code == DAMAGED => version,
        Err(failure) => return Err(failure),
    };
    if version > newest {
        let message = format!("`{name}` has no version {version}; the newest is {newest}");
        return Err(Failure::new("R0502", Remedy::FixConfig, message)
            .help(format!("`towpath lake history {name}` lists its versions")));
    }
    let found = lake.snapshot_at(name, version).await.map_err(|failure| {
        let why = failure.message;
        let message = format!("`{name}` cannot be read at version {version}: {why}");
        Failure::new("R0502", Remedy::FixConfig, message)
            .help("old versions can be read until `lake vacuum` deletes their files")
    })?;
    Ok(Arc::new(found))
}

/// The version of a table for fingerprints: its commit and the id with which it was created. So a table
/// that was dropped and recreated, or whose lakehouse was restored, is not taken for the old one.
pub(crate) async fn version(lake: &Lake, name: &TableName) -> Result<String, Failure> {
    let described = lake.describe(name).await?;
    let version = lake.version_of_rows(name, described.version).await?;
    lake.version_text(name, version, &described.id).await
}
