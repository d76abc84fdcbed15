//! The Delta log of a table: the library's log store over our storage.
//!
//! An entry is put only where its version is free, which decides who wins; the storage makes it durable
//! before anyone can see it. Entries hold a checksum (`sealed.rs`). It knows no other content of an entry.

use std::sync::Arc;

use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use object_store::prefix::PrefixStore;

use super::error::LakeResult;
use super::lenient::LenientStore;
use super::sealed::SealedLog;
use super::storage::{Key, StorageRef};

/// The log of the table below a prefix.
pub(crate) fn log_of(storage: &StorageRef, prefix: &Key) -> LakeResult<LogStoreRef> {
    let url = storage.url(prefix)?;
    let table = Arc::new(PrefixStore::new(storage.objects(), prefix.clone()));
    Ok(default_logstore(
        Arc::new(SealedLog(table)),
        Arc::new(SealedLog(storage.absolute())),
        &url,
        &StorageConfig::default(),
    ))
}

/// The same log without most of its statistics (`lenient.rs`).
pub(crate) fn lenient_log_of(storage: &StorageRef, prefix: &Key) -> LakeResult<LogStoreRef> {
    let url = storage.url(prefix)?;
    let table = Arc::new(PrefixStore::new(storage.objects(), prefix.clone()));
    Ok(default_logstore(
        Arc::new(LenientStore(Arc::new(SealedLog(table)))),
        Arc::new(LenientStore(Arc::new(SealedLog(storage.absolute())))),
        &url,
        &StorageConfig::default(),
    ))
}
