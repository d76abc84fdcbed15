//! Views: SQL text with a version, stored as `<root>/_towpath/views/<schema>.<view>.json`.
//!
//! Replaced by one rename, so a reader sees the old or the new text. The text is not understood here.
//! A table hides a view of its name, except the one table the view was put over: that table is gone for
//! everybody from the rename on, whenever its files are deleted. A table made later hides the view again
//! with its first commit, which then drops the view. So a change between the two is one rename or one
//! commit, and a kill at any moment leaves one of them in sight.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use towpath_ports::Result;
use towpath_vocab::TableName;

use super::error::{LakeError, LakeResult};
use super::folder::{self, OWN};
use super::open::Lake;
use super::table::Table;

/// Version of the stored form.
const FORMAT: u32 = 1;
/// Version of a view that was put over a table: who does not know that would read the table.
const FORMAT_OVER: u32 = 2;

/// A stored view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    format: u32,
    /// Its name.
    pub name: TableName,
    /// Its SQL.
    pub sql: String,
    /// Counts up with every change of the text, from 1.
    pub version: u64,
    /// Delta's id of the table it was put over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    over: Option<String>,
}

impl Lake {
    /// Stores a view and gives its version; an unchanged text keeps the version it has.
    ///
    /// # Errors
    /// `Refused` when a table of that name is in sight.
    pub async fn put_view(&self, name: &TableName, sql: &str) -> Result<u64> {
        if self.version(name).await?.is_some() {
            return Err(LakeError::Occupied {
                table: name.to_string(),
            }
            .into());
        }
        let table = self.table(name)?;
        self.finish_view(&table).await?;
        Ok(self.store_view(name, sql, None).await?)
    }

    /// Stores a view in the place of a table, which is gone from then on, and gives its version.
    pub async fn put_view_over(&self, name: &TableName, sql: &str) -> Result<u64> {
        let table = self.table(name)?;
        let over = table.standing().await?;
        let over = over.map(|table| table.state.metadata().id().to_owned());
        let is_over = over.is_some();
        let version = self.store_view(name, sql, over).await?;
        fail::fail_point!("lake::view_stands");
        if is_over {
            self.take_away(&table).await?;
        }
        Ok(version)
    }

    async fn store_view(
        &self,
        name: &TableName,
        sql: &str,
        over: Option<String>,
    ) -> LakeResult<u64> {
        let path = self.view_path(name);
        let mut view = View {
            format: over.as_ref().map_or(FORMAT, |_| FORMAT_OVER),
            name: name.clone(),
            sql: sql.to_owned(),
            version: 1,
            over,
        };
        folder::blocking(move || {
            if let Some(old) = read(&path)? {
                let same = old.sql == view.sql;
                if same && (view.over.is_none() || old.over == view.over) {
                    return Ok(old.version);
                }
                view.version = old.version + u64::from(!same);
            }
            folder::put_json(&path, &view)?;
            Ok(view.version)
        })
        .await
    }

    /// Deletes a table that a view has taken the place of, where a kill kept that from being done.
    pub(crate) async fn finish_view(&self, table: &Table) -> LakeResult<()> {
        if table.has_log().await? && table.now().await?.is_none() {
            self.take_away(table).await?;
        }
        Ok(())
    }

    /// A view; `None` when there is none of that name.
    pub async fn view(&self, name: &TableName) -> Result<Option<View>> {
        let path = self.view_path(name);
        Ok(folder::blocking(move || read(&path)).await?)
    }

    /// Every view, by name.
    pub async fn views(&self) -> Result<Vec<View>> {
        let views = self.root().join(OWN).join("views");
        let found = folder::blocking(move || {
            let names = folder::names(&views)?;
            let stored = names
                .iter()
                .filter(|name| name.ends_with(".json") && !name.starts_with('.'));
            stored
                .filter_map(|name| read(&views.join(name)).transpose())
                .collect::<LakeResult<Vec<_>>>()
        });
        Ok(found.await?)
    }

    /// Forgets a view; true when there was one.
    pub async fn drop_view(&self, name: &TableName) -> Result<bool> {
        let path = self.view_path(name);
        let dropped = folder::blocking(move || {
            let there = path.exists();
            folder::remove(&path)?;
            Ok(there)
        });
        Ok(dropped.await?)
    }

    pub(crate) fn view_path(&self, name: &TableName) -> PathBuf {
        stored_at(self.root(), name)
    }
}

/// Where a view is stored.
pub(crate) fn stored_at(root: &Path, name: &TableName) -> PathBuf {
    root.join(OWN).join("views").join(format!(
        "{}.{}.json",
        folder::escape(name.schema()),
        folder::escape(name.table())
    ))
}

/// Delta's id of the table that the view stored here was put over.
pub(crate) fn over(path: &Path) -> LakeResult<Option<String>> {
    Ok(read(path)?.and_then(|view| view.over))
}

fn read(path: &Path) -> LakeResult<Option<View>> {
    let view = folder::get_json::<View>(path)?;
    if let Some(view) = &view
        && view.format > FORMAT_OVER
    {
        return Err(LakeError::Stored {
            path: path.to_path_buf(),
            why: format!(
                "it has version {}, this Towpath reads up to {FORMAT_OVER}",
                view.format
            ),
        });
    }
    Ok(view)
}
