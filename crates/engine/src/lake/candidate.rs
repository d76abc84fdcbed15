//! A set of Parquet files that together are a table: what a version of a table is, and what a
//! prepared write would make it.
//!
//! This is the `native` form of a candidate: the session half plans a plain Parquet scan over it.
//! Files may lack columns that were added later (they read as NULL); types always agree.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use object_store::ObjectStore;
use towpath_ports::Result;
use towpath_vocab::TableName;

use super::storage::{Key, StorageRef, head};
use super::verified::VerifiedFiles;

/// One Parquet file of a table. It is the same file in every version that it is found in.
#[derive(Clone, Debug)]
pub struct LakeFile {
    /// Its key in the lakehouse.
    pub(crate) key: Key,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its rows, when the log says.
    pub rows: Option<u64>,
    /// Delta's statistics of it, as JSON.
    pub stats: Option<String>,
    /// The checksums it was written with (`block_sums.rs`).
    pub(crate) sums: Option<Arc<str>>,
    /// The version of the table it was found in; `None` before it is committed.
    pub(crate) version: Option<u64>,
}

impl PartialEq for LakeFile {
    fn eq(&self, other: &Self) -> bool {
        let facts = |file: &Self| (file.bytes, file.rows, file.stats.clone());
        self.key == other.key && facts(self) == facts(other)
    }
}

impl Eq for LakeFile {}

/// The files and columns of a table or of the incoming rows of a write.
#[derive(Clone, Debug)]
pub struct LakeCandidate {
    /// The table.
    pub table: TableName,
    /// Where its files are.
    pub(crate) storage: StorageRef,
    /// Its columns.
    pub schema: SchemaRef,
    /// Its files.
    pub files: Vec<LakeFile>,
    /// The version it is, when it is a committed one.
    pub version: Option<u64>,
}

impl LakeCandidate {
    /// This candidate without the files of another one.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let known: HashSet<&Key> = other.files.iter().map(|file| &file.key).collect();
        let files = self.files.iter();
        Self {
            files: files
                .filter(|file| !known.contains(&file.key))
                .cloned()
                .collect(),
            ..self.clone()
        }
    }

    /// This candidate seen with other columns; one that its files do not have reads as NULL.
    #[must_use]
    pub fn with_columns(self, schema: &SchemaRef) -> Self {
        Self {
            schema: Arc::clone(schema),
            ..self
        }
    }

    /// False when one of its files was vacuumed.
    ///
    /// # Errors
    /// `Retry` when the storage cannot be asked.
    pub async fn is_all_there(&self) -> Result<bool> {
        for file in &self.files {
            if head(&*self.storage, &file.key).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where its files are: paths on this machine, or URLs without credentials.
    pub fn addresses(&self) -> Vec<String> {
        let files = self.files.iter();
        files.map(|file| self.storage.address(&file.key)).collect()
    }

    /// Where an object of the lakehouse is.
    pub(crate) fn address_of(&self, key: &Key) -> String {
        self.storage.address(key)
    }

    /// The objects of the lakehouse, by key.
    pub(crate) fn all_objects(&self) -> Arc<dyn ObjectStore> {
        self.storage.objects()
    }

    /// The objects that its files are, by key; what is read of them is compared with their checksums.
    pub(crate) fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::new(VerifiedFiles::of(self.storage.objects(), &self.files))
    }

    /// All rows, when every file says.
    pub fn rows(&self) -> Option<u64> {
        self.files.iter().map(|file| file.rows).sum()
    }
}
