//! A view as it is stored: SQL text with a version, in `_towpath/views/<schema>.<view>.json`.
//!
//! The text is not understood here. It may name the one table the view was put over: that table is gone
//! for everybody, whenever its files are deleted. It knows no table and no lake. Read next: `views.rs`.

use serde::{Deserialize, Serialize};
use towpath_vocab::TableName;

use super::error::{LakeError, LakeResult};
use super::names::{OWN, object_of};
use super::storage::{Key, Storage, child, get_json, key, put_json};

/// Version of the stored form.
const FORMAT: u32 = 1;
/// Version of a view that was put over a table: who does not know that would read the table.
const FORMAT_OVER: u32 = 2;
/// Version of a note that a table is dropped.
const FORMAT_DROPPED: u32 = 3;

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
    /// It is no view: it says that the table it is over is dropped.
    #[serde(default, skip_serializing_if = "is_false")]
    dropped: bool,
}

impl View {
    /// True for the note of a dropped table.
    pub(super) fn is_dropped(&self) -> bool {
        self.dropped
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Stores a view and gives its version; an unchanged text keeps the version it has.
pub(super) async fn store(
    storage: &dyn Storage,
    name: &TableName,
    sql: String,
    over: Option<String>,
) -> LakeResult<u64> {
    let key = stored_at(name);
    let mut view = View {
        format: over.as_ref().map_or(FORMAT, |_| FORMAT_OVER),
        name: name.clone(),
        sql,
        version: 1,
        over,
        dropped: false,
    };
    if let Some(old) = read(storage, &key).await? {
        let same = old.sql == view.sql && !old.dropped;
        if same && (view.over.is_none() || old.over == view.over) {
            return Ok(old.version);
        }
        view.version = old.version + u64::from(!same);
    }
    put_json(storage, &key, &view).await?;
    Ok(view.version)
}

/// Puts a note over the table with this id: it is dropped, whenever its files are deleted.
pub(super) async fn store_dropped(
    storage: &dyn Storage,
    name: &TableName,
    over: &str,
) -> LakeResult<()> {
    let note = View {
        format: FORMAT_DROPPED,
        name: name.clone(),
        sql: String::new(),
        version: 0,
        over: Some(over.to_owned()),
        dropped: true,
    };
    put_json(storage, &stored_at(name), &note).await
}

/// Where views are stored.
pub(crate) fn views() -> Key {
    key(&format!("{OWN}/views"))
}

/// Where a view is stored.
pub(crate) fn stored_at(name: &TableName) -> Key {
    child(&views(), &object_of(name))
}

/// Delta's id of the table that the view stored here was put over.
pub(crate) async fn over(storage: &dyn Storage, key: &Key) -> LakeResult<Option<String>> {
    Ok(read(storage, key).await?.and_then(|view| view.over))
}

/// What is stored under a view's name; it may be the note of a dropped table.
pub(super) async fn read(storage: &dyn Storage, key: &Key) -> LakeResult<Option<View>> {
    let view = get_json::<View>(storage, key).await?;
    if let Some(view) = &view
        && view.format > FORMAT_DROPPED
    {
        return Err(LakeError::Stored {
            address: storage.address(key),
            why: format!(
                "it has version {}, and this version of Towpath reads up to {FORMAT_DROPPED}",
                view.format
            ),
        });
    }
    Ok(view)
}

/// A view; `None` when there is none.
pub(super) async fn visible(storage: &dyn Storage, key: &Key) -> LakeResult<Option<View>> {
    Ok(read(storage, key).await?.filter(|view| !view.dropped))
}
