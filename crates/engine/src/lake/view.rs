//! A view as it is stored: SQL text with a version, in `<root>/_towpath/views/<schema>.<view>.json`.
//!
//! The text is not understood here. It may name the one table the view was put over: that table is gone
//! for everybody, whenever its files are deleted. It knows no table and no lake. Read next: `views.rs`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use towpath_vocab::TableName;

use super::error::{LakeError, LakeResult};
use super::folder::{self, OWN};

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

/// Stores a view and gives its version; an unchanged text keeps the version it has.
pub(super) fn store(
    path: &Path,
    name: TableName,
    sql: String,
    over: Option<String>,
) -> LakeResult<u64> {
    let mut view = View {
        format: over.as_ref().map_or(FORMAT, |_| FORMAT_OVER),
        name,
        sql,
        version: 1,
        over,
    };
    if let Some(old) = read(path)? {
        let same = old.sql == view.sql;
        if same && (view.over.is_none() || old.over == view.over) {
            return Ok(old.version);
        }
        view.version = old.version + u64::from(!same);
    }
    folder::put_json(path, &view)?;
    Ok(view.version)
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

pub(super) fn read(path: &Path) -> LakeResult<Option<View>> {
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
