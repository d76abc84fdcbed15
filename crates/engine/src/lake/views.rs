//! Views come and go, also in the place of tables.
//!
//! A view is replaced by one rename, so a reader sees the old or the new text. A table hides a view of its
//! name, except the one table the view was put over. A table made later hides the view again with its
//! first commit, which then drops the view. So a change between the two is one rename or one commit, and
//! a kill at any moment leaves one of them in sight.

use std::path::PathBuf;

use towpath_ports::Result;
use towpath_vocab::TableName;

use super::error::{LakeError, LakeResult};
use super::folder::{self, OWN};
use super::open::Lake;
use super::table::Table;
use super::view::{self, View};

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
        let (path, name, sql) = (self.view_path(name), name.clone(), sql.to_owned());
        folder::blocking(move || view::store(&path, name, sql, over)).await
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
        Ok(folder::blocking(move || view::read(&path)).await?)
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
                .filter_map(|name| view::read(&views.join(name)).transpose())
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
        view::stored_at(self.root(), name)
    }
}
