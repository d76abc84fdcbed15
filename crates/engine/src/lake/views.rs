//! Views come and go, also in the place of tables.
//!
//! A view is replaced by one put, so a reader sees the old or the new text. A table hides a view of its
//! name, except the one table the view was put over. A table made later hides the view again with its
//! first commit, which then drops the view. So a change between the two is one put or one commit, and
//! a kill at any moment leaves one of them in sight.

use towpath_ports::Result;
use towpath_vocab::TableName;

use super::drop::Gone;
use super::error::{LakeError, LakeResult};
use super::open::Lake;
use super::storage::{child, names, remove};
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
        view::store(&**self.storage(), name, sql.to_owned(), over).await
    }

    /// Deletes a table that a view has taken the place of, where a kill kept that from being done.
    pub(crate) async fn finish_view(&self, table: &Table) -> LakeResult<()> {
        if !self.storage().finish_deletion(&table.prefix).await? {
            return Err(self.under_maintenance(&table.name));
        }
        match self.finish_hidden(table).await? {
            Gone::Wholly => Ok(()),
            Gone::ButLog => Err(self.leaving(table)),
        }
    }

    /// A view; `None` when there is none of that name.
    pub async fn view(&self, name: &TableName) -> Result<Option<View>> {
        Ok(view::visible(&**self.storage(), &view::stored_at(name)).await?)
    }

    /// Every view, by name.
    pub async fn views(&self) -> Result<Vec<View>> {
        let (storage, prefix) = (&**self.storage(), view::views());
        let mut views = Vec::new();
        for name in names(storage, &prefix).await? {
            if name.ends_with(".json") && !name.starts_with('.') {
                views.extend(view::visible(storage, &child(&prefix, &name)).await?);
            }
        }
        Ok(views)
    }

    /// Forgets a view; true when there was one.
    pub async fn drop_view(&self, name: &TableName) -> Result<bool> {
        let key = view::stored_at(name);
        let was_there = view::visible(&**self.storage(), &key).await?.is_some();
        if was_there {
            remove(&**self.storage(), &key).await?;
        }
        Ok(was_there)
    }
}
