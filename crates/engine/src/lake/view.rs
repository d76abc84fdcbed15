//! Views: SQL text with a version, stored as `<root>/_towpath/views/<schema>.<view>.json`.
//!
//! Replaced by one rename, so a reader sees the old or the new text. The text is not understood here.
//! A table hides a view of its name; the first commit of the table drops the view.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use towpath_ports::Result;
use towpath_vocab::TableName;

use super::error::{LakeError, LakeResult};
use super::folder::{self, OWN};
use super::open::Lake;

/// Version of the stored form.
const FORMAT: u32 = 1;

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
}

impl Lake {
    /// Stores a view and gives its version; an unchanged text keeps the version it has.
    pub async fn put_view(&self, name: &TableName, sql: &str) -> Result<u64> {
        if self.version(name).await?.is_some() {
            return Err(LakeError::Occupied {
                table: name.to_string(),
            }
            .into());
        }
        let path = self.view_path(name);
        let mut view = View {
            format: FORMAT,
            name: name.clone(),
            sql: sql.to_owned(),
            version: 1,
        };
        let version = folder::blocking(move || {
            if let Some(old) = read(&path)? {
                if old.sql == view.sql {
                    return Ok(old.version);
                }
                view.version = old.version + 1;
            }
            folder::put_json(&path, &view)?;
            Ok(view.version)
        });
        Ok(version.await?)
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
        self.root().join(OWN).join("views").join(format!(
            "{}.{}.json",
            folder::escape(name.schema()),
            folder::escape(name.table())
        ))
    }
}

fn read(path: &std::path::Path) -> LakeResult<Option<View>> {
    let view = folder::get_json::<View>(path)?;
    if let Some(view) = &view
        && view.format > FORMAT
    {
        return Err(LakeError::Stored {
            path: path.to_path_buf(),
            why: format!(
                "it has version {}, this Towpath reads up to {FORMAT}",
                view.format
            ),
        });
    }
    Ok(view)
}
