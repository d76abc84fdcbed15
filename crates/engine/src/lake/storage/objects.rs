//! What every storage can do with its objects: keys, JSON, names below a prefix.
//!
//! An object that is not there is `None` or fine, never an error. It knows no disk and no bucket.

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::{ObjectMeta, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Storage;
use crate::lake::error::{LakeError, LakeResult};

/// The name of an object, relative to the lakehouse.
pub(crate) use object_store::path::Path as Key;

/// A key of a text whose parts are taken as they are, as far as a storage can hold them.
pub(crate) fn key(text: &str) -> Key {
    Key::parse(text).unwrap_or_else(|_| Key::from(text))
}

/// The key of this name below a prefix.
pub(crate) fn child(prefix: &Key, name: &str) -> Key {
    match prefix.as_ref() {
        "" => key(name),
        above => key(&format!("{above}/{name}")),
    }
}

/// True when an error says that there is no such object.
pub(crate) fn absent(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
}

/// Names a failed storage operation.
pub(super) fn failed<'a>(
    storage: &'a dyn Storage,
    doing: &'static str,
    key: &'a Key,
) -> impl FnOnce(object_store::Error) -> LakeError + 'a {
    move |source| LakeError::Storage {
        doing,
        address: storage.address(key),
        source,
    }
}

/// What the storage knows of an object; `None` when there is none.
pub(crate) async fn head(storage: &dyn Storage, key: &Key) -> LakeResult<Option<ObjectMeta>> {
    match storage.objects().head(key).await {
        Err(error) if absent(&error) => Ok(None),
        Err(error) => Err(failed(storage, "reading", key)(error)),
        Ok(meta) => Ok(Some(meta)),
    }
}

/// An object's bytes; `None` when there is none.
pub(crate) async fn get(storage: &dyn Storage, key: &Key) -> LakeResult<Option<Bytes>> {
    let got = match storage.objects().get(key).await {
        Ok(got) => got.bytes().await,
        Err(error) => Err(error),
    };
    match got {
        Err(error) if absent(&error) => Ok(None),
        Err(error) => Err(failed(storage, "reading", key)(error)),
        Ok(bytes) => Ok(Some(bytes)),
    }
}

/// Puts an object in the place of what was there.
pub(crate) async fn replace(storage: &dyn Storage, key: &Key, bytes: Bytes) -> LakeResult<()> {
    let options = PutOptions::from(PutMode::Overwrite);
    storage
        .objects()
        .put_opts(key, PutPayload::from_bytes(bytes), options)
        .await
        .map(drop)
        .map_err(failed(storage, "writing", key))
}

/// Puts JSON in the place of what was there: a reader sees the old object or the new one.
pub(crate) async fn put_json(
    storage: &dyn Storage,
    key: &Key,
    value: &impl Serialize,
) -> LakeResult<()> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| stored(storage, key, &error))?;
    replace(storage, key, text.into()).await
}

/// Reads JSON; `None` when there is no such object.
pub(crate) async fn get_json<T: DeserializeOwned>(
    storage: &dyn Storage,
    key: &Key,
) -> LakeResult<Option<T>> {
    let Some(bytes) = get(storage, key).await? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| stored(storage, key, &error))
}

fn stored(storage: &dyn Storage, key: &Key, error: &serde_json::Error) -> LakeError {
    LakeError::Stored {
        address: storage.address(key),
        why: error.to_string(),
    }
}

/// Deletes an object; none there is fine.
pub(crate) async fn remove(storage: &dyn Storage, key: &Key) -> LakeResult<()> {
    match storage.objects().delete(key).await {
        Err(error) if !absent(&error) => Err(failed(storage, "deleting", key)(error)),
        _ => Ok(()),
    }
}

/// Names right below a prefix, sorted: of objects and of prefixes; none when nothing is there.
pub(crate) async fn names(storage: &dyn Storage, prefix: &Key) -> LakeResult<Vec<String>> {
    let listed = storage
        .objects()
        .list_with_delimiter(Some(prefix))
        .await
        .map_err(failed(storage, "listing", prefix))?;
    let below = listed.objects.iter().map(|object| &object.location);
    let mut names: Vec<String> = below
        .chain(&listed.common_prefixes)
        .filter_map(|key| key.filename().map(str::to_owned))
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// Objects right below a prefix.
pub(crate) async fn objects_below(
    storage: &dyn Storage,
    prefix: &Key,
) -> LakeResult<Vec<ObjectMeta>> {
    let listed = storage.objects().list_with_delimiter(Some(prefix)).await;
    Ok(listed.map_err(failed(storage, "listing", prefix))?.objects)
}

/// Every object below a prefix.
pub(crate) async fn all(storage: &dyn Storage, prefix: &Key) -> LakeResult<Vec<ObjectMeta>> {
    storage
        .objects()
        .list(Some(prefix))
        .try_collect()
        .await
        .map_err(failed(storage, "listing", prefix))
}
